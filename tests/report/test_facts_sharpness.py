"""Facts of the measures of generalization: each guard true and false, and the rule of the bonus claim."""

from typing import Any

import numpy as np
import pytest
import scaffold

from hw1_3 import measures
from report import claims
from report.facts import sharpness

SIZES = tuple(2**power for power in range(5, 13))
NETS = 8
OWN = np.arange(NETS)  # the order of the nets of one batch size by their gap


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    monkeypatch.setattr(measures, "PERMUTATIONS", 400)
    monkeypatch.setattr(measures, "RESAMPLINGS", 20)


def order(inversions: int) -> np.ndarray:
    """An order of the nets in which so many of the 28 pairs stand the other way round than in OWN."""
    left, places = list(OWN), []
    for rest in reversed(range(NETS)):
        step = min(inversions, rest)
        places.append(left.pop(step))
        inversions -= step
    return np.array(places)


WEAK, STRONGER, AGAINST = [order(13)] * 8, [order(9), order(10)] * 4, [order(21)] * 8


def planted(
    within: dict[str, list] | None = None,
    twin: dict[str, float] | None = None,
    falling: tuple[str, ...] = ("bottom",),
    **changed: Any,
) -> dict[str, Any]:
    """A history in which all that the report says holds, but for what is given.

    Batch size moves the gap and every measure; within a batch size the Jacobian alone goes with the gap. within:
    {measure: orders of the nets, one a batch size}. changed: {quantity at equal loss: values, one a batch size}.
    twin: {measure: its factor in rescaled nets}. falling: measures that fall where the others rise.
    """
    factors = {"top": 6.0} | (twin or {})
    orders = dict.fromkeys(measures.MEASURES, WEAK) | {"train_jacobian": STRONGER} | (within or {})
    results: dict[str, Any] = {}
    for place, size in enumerate(SIZES):
        stops = {}
        for stop, sign in (("equal_loss", 1), ("equal_epochs", -1)):
            ways = {name: -sign if name in falling else sign for name in orders}
            values = {name: 100.0 + ways[name] * place + 0.01 * each[place] for name, each in orders.items()}
            values |= dict.fromkeys(measures.BESIDE, 1.0 + OWN) | {"gap": 1 + 0.1 * place + 0.01 * OWN}
            values |= {"accuracy_gap": 0.05 + 0.001 * OWN, "test_accuracy": 0.95 - 0.001 * place + 1e-5 * OWN}
            values |= {"train_loss": 0.01 + 1e-5 * OWN[::-1] if sign > 0 else 1 / values["gap"]}
            values["bottom"] = -values["bottom"]
            if sign > 0:
                values["top"] = values["top"] - 96.5
                values |= {name: each[place] + 1e-3 * orders.get(name, WEAK)[place] for name, each in changed.items()}
            stops[stop] = {name: np.array(each, float).tolist() for name, each in values.items()}
        first = {name: factors.get(name, 1.0) * each[0] for name, each in stops["equal_loss"].items()}
        results[f"batch-{size:04d}"] = {"rescaled": first, **stops}
    return scaffold.made_up("hw1_3/sharpness", results, {"stop_loss": 0.01})


test_partial = scaffold.partial_tests(sharpness.facts, planted)


def test_all_guards_hold_where_the_results_are_such():
    guards = sharpness.facts(planted())["guards"]
    assert guards == dict.fromkeys(guards, True)


LINE = np.linspace(0, 1, len(SIZES))


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("worse_at_equal_loss", {"train_loss": 0.01 + 0.01 * LINE}),
        ("worse_at_equal_loss", {"test_accuracy": 0.95 + 0 * LINE}),
        ("sharper", {"top": 3 + 0 * LINE}),
        ("three_times", {"top": 3 + LINE}),
        ("follow_batch_size", dict.fromkeys(sharpness.CURVATURE, 100 + 0 * LINE)),
        ("follow_batch_size", {"top": 3 + 0 * LINE}),
        ("smallest_eigenvalue_turns", {"bottom": -100 - 5 * LINE}),
        ("hardly_any_within", {"within": dict.fromkeys(("path_norm", "distance"), STRONGER)}),
        ("weak_within", {"within": {"path_norm": [order(5)] * 8}}),
        ("no_curvature_within", {"within": {"top": STRONGER}}),
        ("no_curvature_within", {"within": {"bottom": STRONGER}}),
        ("jacobian_within", {"within": {"train_jacobian": WEAK}}),
        ("all_lean_up", {"within": {"path_norm": AGAINST}}),
        ("gap_is_batch_size", {"gap": 1 + 0.001 * LINE}),
        ("no_minimum", {"bottom": 1 + 0 * LINE}),
        ("rescaling_sharpens", {"twin": {"top": 1.0}}),
        ("rescaling_keeps_the_gap", {"twin": {"gap": 1.1}}),
    ],
)
def test_a_guard_is_false_where_its_sentence_would_be(name, changed):
    assert sharpness.facts(planted(**changed))["guards"][name] is False


def test_swapped_results_withdraw_what_ranks_them():
    found = planted()
    units = list(found["results"])
    found["results"] = dict(zip(units, reversed(found["results"].values()), strict=True))
    guards = sharpness.facts(found)["guards"]
    ranking = {"worse_at_equal_loss", "sharper", "three_times"}
    assert {name for name in ranking if guards[name]} == set()
    found = planted()
    for about in found["results"].values():
        about["equal_loss"], about["equal_epochs"] = about["equal_epochs"], about["equal_loss"]
    guards = sharpness.facts(found)["guards"]
    assert not any(guards[name] for name in ("turns_at_equal_epochs", "loss_explains_epochs", "follow_batch_size"))


def test_no_net_at_equal_loss_leaves_that_open():
    found = planted()
    for about in found["results"].values():
        about["equal_loss"] = {name: [float("nan")] * NETS for name in about["equal_loss"]}
        about["rescaled"] = None
    facts = sharpness.facts(found)
    assert facts["guards"]["worse_at_equal_loss"] is facts["numbers"]["twin_top"] is None
    assert facts["guards"]["turns_at_equal_epochs"] is True
    assert facts["claims"][0]["verdict"] == claims.UNCLEAR


@pytest.mark.parametrize(
    ("over_all", "fixed", "nets", "verdict"),
    [
        ((0.4, 0.01), (0.2, 0.04), 64, claims.HOLDS),
        ((0.4, 0.01), (0.2, 0.06), 64, claims.UNCLEAR),
        ((0.1, 0.20), (0.2, 0.01), 64, claims.UNCLEAR),
        ((0.4, 0.01), (-0.2, 0.04), 64, claims.FAILS),
        ((-0.4, 0.01), (0.2, 0.04), 64, claims.FAILS),
        ((np.nan, np.nan), (0.2, 0.04), 64, claims.UNCLEAR),
        ((0.9, 0.01), (0.9, 0.01), 7, claims.UNCLEAR),
    ],
)
def test_the_rule_of_a_measure(over_all, fixed, nets, verdict):
    kinds = {name: {"tau": tau, "p": p} for name, (tau, p) in {"all": over_all, "fixed": fixed}.items()}
    assert sharpness.verdict(kinds, nets) == verdict


@pytest.mark.parametrize(("within", "verdict"), [(STRONGER, claims.HOLDS), (WEAK, claims.UNCLEAR)])
def test_the_claim_holds_where_each_measure_does(within, verdict, monkeypatch):
    monkeypatch.setattr(measures, "LEVEL", 0.2)  # ten measures with equal taus, corrected for ten
    (claim,) = sharpness.facts(planted(dict.fromkeys(measures.MEASURES, within), falling=()))["claims"]
    assert claim["verdict"] == verdict
    assert {part["verdict"] for part in claim["parts"]} == {verdict}
