"""What the tests of all facts share: made-up histories, guards that can be true and false, rankings to swap.

    GUARDS = {"double_descent": (hump, flat), ...}   # by guard: a history that makes it true, one that makes it false
    test_guards = scaffold.guard_tests(facts.facts, GUARDS)
    test_partial = scaffold.partial_tests(facts.facts, whole)
    test_swaps = scaffold.swap_tests(facts.facts, [(whole, "deep", "shallow", ("deep_is_best", ...))])

A history is given as a function without arguments, so that each test has a fresh one.
"""

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from common import history

import pytest

from report.facts import plain

History = dict[str, Any]
Facts = Callable[[History], dict[str, Any]]


def made_up(
    experiment: str,
    results: dict[str, Any],
    settings: dict[str, Any] | None = None,
    data: dict[str, str] | None = None,
    units: Sequence[str] = (),
    scale: str = "paper",
) -> History:
    """A history with these results; what else it needs is made up. units: all that are planned, if more."""
    record = {"measured": "2026-11-24T12:00:00+00:00", "wall_seconds": 1.0, "peak_memory_megabytes": 1}
    record |= {"device": "CPU", "code": ""}
    planned = list(units) or list(results)
    return history.plain(
        {
            "schema": history.SCHEMA,
            "experiment": experiment,
            "scale": scale,
            "settings": settings or {},
            "units": {unit: record if unit in results else None for unit in planned},
            "complete": len(results) == len(planned),
            "data": data or {"name": "computed", "fingerprint": "computed"},
            "environment": {},
            "code": {"revision": 1, "hash": "", "commit": ""},
            "wall_seconds": 1.0,
            "results": {unit: {"summary": {}} | found for unit, found in results.items()},
        }
    )


def without(whole: History, *units: str) -> History:
    """The history before these units were measured."""
    kept = copy.deepcopy(whole)
    for unit in units:
        del kept["results"][unit]
        kept["units"][unit] = None
    return kept | {"complete": not units}


def swapped(whole: History, one: str, other: str) -> History:
    """The history in which two nets, parts of the units' names between slashes, have each other's results."""
    exchange = {one: other, other: one}
    renamed = {unit: "/".join(exchange.get(part, part) for part in unit.split("/")) for unit in whole["results"]}
    kept = copy.deepcopy(whole)
    kept["results"] = {unit: copy.deepcopy(whole["results"][renamed[unit]]) for unit in whole["results"]}
    return kept


def guard_tests(facts: Facts, table: dict[str, tuple[Callable[[], History], Callable[[], History]]]) -> Callable:
    """A test: each guard of the facts is in the table, is true of its first history and false of its second."""
    cases = [(guard, place == 0, make) for guard, pair in table.items() for place, make in enumerate(pair)]

    @pytest.mark.parametrize(("guard", "truth", "make"), cases, ids=[f"{name}-{truth}" for name, truth, _ in cases])
    def test(guard: str, truth: bool, make: Callable[[], History]) -> None:
        guards = facts(make())["guards"]
        assert set(guards) == set(table), "each guard of the facts needs a history that makes it true, and one false"
        assert plain(guards[guard]) is truth

    return test


def partial_tests(facts: Facts, whole: Callable[[], History]) -> Callable:
    """A test: with units missing, or all of them, the facts have the same keys, and are plain data for JSON."""

    def test() -> None:
        kept = whole()
        units = list(kept["results"])
        complete = plain(facts(kept))
        lacking = [units, *([unit] for unit in units), *([each for each in units if each != unit] for unit in units)]
        for missing in lacking:
            found = plain(facts(without(kept, *missing)))
            json.dumps(found, allow_nan=False)
            for part in ("numbers", "guards", "tables"):
                assert set(found[part]) == set(complete[part]), (part, missing)
            assert [claim["name"] for claim in found["claims"]] == [claim["name"] for claim in complete["claims"]]
            for claim in found["claims"]:
                assert set(claim) >= {"name", "statement", "verdict", "parts"}
        nothing = plain(facts(without(kept, *units)))
        assert set(nothing["guards"].values()) <= {None}, "nothing is measured, so no guard can be true or false"

    return test


def swap_tests(facts: Facts, rankings: Iterable[tuple[Callable[[], History], str, str, Sequence[str]]]) -> Callable:
    """A test: guards that rank two nets are true of the history, and not once the nets' results are swapped."""

    @pytest.mark.parametrize(("make", "one", "other", "guards"), list(rankings))
    def test(make: Callable[[], History], one: str, other: str, guards: Sequence[str]) -> None:
        before, after = facts(make())["guards"], facts(swapped(make(), one, other))["guards"]
        assert [name for name in guards if plain(before[name]) is not True] == []
        assert [name for name in guards if plain(after[name]) is True] == []

    return test


def text_of(project: dict[str, bytes], kinds: Sequence[str] = ("heading", "par", "list", "figure", "table")) -> str:
    """The text of a report that `build.inputs` has put together: its elements of these kinds, kind by kind."""
    import typst

    found = [json.loads(typst.query(project, kind, ignore_system_fonts=True)) for kind in kinds]
    return "".join(leaves(found)).replace("\N{NO-BREAK SPACE}", " ")


def leaves(content: Any) -> Iterator[str]:
    """The texts within an element that typst was asked for."""
    if isinstance(content, dict):
        if isinstance(content.get("text"), str):
            yield content["text"]
        elif content.get("func") == "space":
            yield " "
        content = list(content.values())
    if isinstance(content, list):
        for value in content:
            yield from leaves(value)
