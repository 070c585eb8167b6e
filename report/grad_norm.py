"""Observe gradient norm during training: what the report says of the history of grad_norm.py, and claim C5.

Correlations are Spearman's, one a seed (`hw1_2/norm_and_loss.py` says of what). Dead nets are counted and left out.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from report import claims
from report.wording import (
    PART_WORDS,
    PERCENT,
    SHORT_WORDS,
    VERDICT_WORDS,
    apart,
    at_least,
    capital,
    listed,
    mean_and_interval,
    number,
    seed_count,
)

ARMS = {"mnist/adam": "MNIST, Adam", "mnist/sgd": "MNIST, momentum", "f1/adam": "f1, Adam"}
JUDGED = "mnist/adam"  # the reference's setting
SHARED = 0.5  # a rank correlation of mini-batch and fixed set above which the jumps count as the landscape's
NEAR_ZERO = 0.01  # a gradient norm that may be that of a place near a critical point
PLATEAU = 50  # times the median loss at the end: a net that has learnt little
FIGURES = ("grad_norm", "grad_norm_window")
NEEDED = ("statistics",)
COLUMNS = {  # statistic: heading of its column; the first two decide C5
    "large_scale": "fixed set,\nafter epoch 1",
    "small_scale": "mini-batches,\naround trend",
    "small_scale_differences": "their first\ndifferences",
    "window": "window,\nmini-batches",
    "window_fixed": "window,\nfixed set",
    "window_fixed_differences": "its first\ndifferences",
}


def live(results: dict[str, Any], name: str) -> np.ndarray:
    """A statistic of the seeds that are not dead."""
    values = np.array(results["statistics"][name], float)
    return values[~np.array(results.get("dead", [False] * len(values)), bool)]


def c5(found: dict[str, Any], arm: str = JUDGED) -> dict[str, Any]:
    """C5: norm and loss fall together at large scale, and their bumps match at small scale. Adam on MNIST decides."""
    parts = []
    for name, limits in claims.C5_PARTS.items():
        values = live(found["results"][arm], name) if arm in found["results"] else []
        parts.append({"name": name, **claims.beyond(values, limits)})
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


# ---------------------------------------------------------------------------------------------- the section


def interval(values: Sequence[float]) -> str:
    """Mean of correlations and its 95 % interval over seeds, or their range where there are too few seeds for one."""
    return mean_and_interval([value for value in values if math.isfinite(value)], bounds=1)


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that grad_norm.typ shows, but the settings."""
    verdict = c5(found)
    rows = []
    for arm, words in ARMS.items():
        if arm in found["results"]:
            results = found["results"][arm]
            dead = sum(results.get("dead", []))
            cells = {name: interval(live(results, name)) for name in COLUMNS}
            seeds = len(results["statistics"]["large_scale"])
            rows.append({"arm": words, "n": f"{seeds - dead} of {seeds}" if dead else str(seeds), **cells})
    return {
        "columns": [{"name": name, "heading": heading} for name, heading in COLUMNS.items()],
        "rows": rows,
        "shared": f"{SHARED:g}",
        "claim": claim_5(verdict),
        "answer": answer(found, verdict),
        "comment": comment(found, verdict),
    }


def claim_5(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C5 in the table that opens the report."""
    names = {"large_scale": "large scale", "small_scale": "small scale"}
    shown = [
        f"{names[part['name']]}: rank correlation {number(part['mean'])} ({part['verdict']})"
        for part in verdict["parts"]
        if part["seeds"]
    ]
    evidence = "; ".join(shown) or "The reference's setting is not measured yet"
    return {
        "name": "C5",
        "statement": "Gradient norm and loss fall together, and their bumps match",
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": "grad_norm",
    }


# -------------------------------------------------------------------------------------------- its sentences


def direction(values: Sequence[float]) -> int:
    """1 or -1 where the values of all seeds have one sign (of their interval from ENOUGH seeds on), else 0."""
    verdict = claims.by_margins(values)["verdict"] if len(values) > 1 else claims.UNCLEAR
    return {claims.HOLDS: 1, claims.FAILS: -1}.get(verdict, 0)


TRENDS = {1: "rises", -1: "falls", 0: "shows no common trend"}


def answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, whether norm and loss move together at both scales; empty where nothing is measured."""
    where = {
        "large_scale": "on fixed images after the first epoch",
        "small_scale": "between mini-batches around their trend",
    }
    said = [
        f"{where[part['name']]}: {SHORT_WORDS[part['verdict']]} (rank correlation {number(part['mean'])})"
        for part in verdict["parts"]
        if part["seeds"]
    ]
    other = f" On f1: {SHORT_WORDS[c5(found, 'f1/adam')['verdict']]}." if "f1/adam" in found["results"] else ""
    return f"With Adam on MNIST, {'; '.join(said)}.{other}" if said else ""


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, trend, optimizer, window, function; empty where nothing is measured."""
    results = found["results"]
    said: dict[str, list[str]] = {"result": [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]}
    said["result"] += [part_sentence(part) for part in verdict["parts"] if part["seeds"]]
    said["trend"] = [trend_sentence(ARMS[arm], results[arm]) for arm in ARMS if arm in results]
    said["optimizer"] = [against("With momentum", found, "mnist/sgd")] if "mnist/sgd" in results else []
    said["window"] = [line for arm in ARMS if arm in results for line in window_sentences(ARMS[arm], results[arm])]
    said["lowest"] = lowest({ARMS[arm]: results[arm] for arm in ARMS if arm in results})
    said["function"] = function_sentences(found) if "f1/adam" in results else []
    dead = sum(results["f1/adam"].get("dead", [])) if "f1/adam" in results else 0
    if dead:
        said["function"].append(f"Dead nets, whose output is constant, are left out: {dead}.")
    return said


def part_sentence(part: dict[str, Any]) -> str:
    where = {
        "large_scale": "At large scale, on the fixed images after the first epoch,",
        "small_scale": "At small scale, on mini-batches around their trend,",
    }[part["name"]]
    outcome = PART_WORDS[part["verdict"]]
    spread = ""
    if part["low"] is not None:
        ends = [max(part["low"], -1), min(part["high"], 1)]
        low, high = (number(end, apart(ends, 2)) for end in ends)
        spread = f", 95{PERCENT} interval {low} to {high}"
    seeds = seed_count(part["seeds"])
    mean = f"mean of {seeds}" if part["seeds"] > 1 else seeds
    agrees, denies = claims.C5_PARTS[part["name"]]
    return (
        f"{where} the rank correlation of norm and loss is {number(part['mean'])} ({mean}{spread}; at least "
        f"{number(agrees)} holds, at most {number(denies)} does not): {outcome}."
    )


def trend_sentence(arm: str, results: dict[str, Any]) -> str:
    """Which way norm and loss on the fixed set go after the first epoch."""
    norm, loss = live(results, "norm_trend"), live(results, "loss_trend")
    return (
        f"{arm}: after the first epoch the norm on the fixed set {TRENDS[direction(norm)]} (rank correlation with the "
        f"iteration {interval(norm)}) and the loss {TRENDS[direction(loss)]} ({interval(loss)})."
    )


def against(where: str, found: dict[str, Any], arm: str) -> str:
    """The two correlations of an arm that decides nothing, and what the same rule would say."""
    verdict = c5(found, arm)
    large, small = (interval(live(found["results"][arm], part["name"])) for part in verdict["parts"])
    return (
        f"{where} the correlation is {large} at large and {small} at small scale; by the same rule the claim "
        f"{VERDICT_WORDS[verdict['verdict']].removesuffix(' here')} there."
    )


def lowest(arms: dict[str, dict[str, Any]]) -> list[str]:
    """How near the norm on the fixed set comes to zero: a critical point would bring it there."""
    said, low = [], []
    for words, results in arms.items():
        norms = np.array(results["fixed"]["gradient_norm"], float) if "fixed" in results else np.zeros(0)
        if norms.size and np.isfinite(norms).all():
            said.append(f"{at_least(float(norms.min()))} ({words}, {seed_count(len(norms))})")
            low += [words] if norms.min() < NEAR_ZERO else []
    if not said:
        return []
    outcome = "no critical point was met, at most passed by between two measurements"
    if len(low) == len(said):
        outcome = "a critical point may have been near"
    elif low:
        outcome = f"with {listed(low)} a critical point may have been near; elsewhere {outcome}"
    return [
        f"Wherever the norm was measured on the fixed set, from the start to the end, it is at least {listed(said)}: "
        f"{outcome}."
    ]


def function_sentences(found: dict[str, Any]) -> list[str]:
    """The correlations on f1, how far its seeds go apart, and which of them stay on a plateau of the loss."""
    results = found["results"]["f1/adam"]
    said = [against("On f1", found, "f1/adam")]
    large, small = (np.array(results["statistics"][name], float) for name in ("large_scale", "small_scale"))
    ends = np.array(results["fixed"]["loss"], float)[:, -1] if "fixed" in results else np.zeros(0)
    if len(ends) != len(large) or len(ends) < 2 or not np.isfinite([*ends, *large, *small]).all():
        return said
    said.append(f"Seed by seed it is {number(large.min())} to {number(large.max())} at large scale.")
    stuck = np.flatnonzero(ends > PLATEAU * np.median(ends))
    if len(stuck):
        over, between = (listed([number(values[seed]) for seed in stuck]) for values in (large, small))
        said.append(
            f"{len(stuck)} of the {len(ends)} seeds end on a plateau, at {PLATEAU} times the median loss or more: "
            f"their correlation is {over} at large and {between} at small scale."
        )
    return said


def window_sentences(arm: str, results: dict[str, Any]) -> list[str]:
    """Whether the norm's jumps are the batch's or the landscape's."""
    batch, fixed, shared = (live(results, name) for name in ("scatter", "scatter_fixed", "batch_with_fixed"))
    usable = np.isfinite(batch) & np.isfinite(fixed) & np.isfinite(shared)
    if not usable.any():
        return []
    source = {
        1: "are mostly those of the fixed set",
        -1: "mostly are not those of the fixed set",
        0: "are those of the fixed set in part",
    }[direction(shared[usable] - SHARED)]
    of_batch, of_fixed = (f"{100 * np.mean(each[usable]):.0f}{PERCENT}" for each in (batch, fixed))
    return [
        f"{arm}: by {of_batch} on mini-batches and by {of_fixed} on the fixed set, with a rank correlation of "
        f"{interval(shared)}, so the mini-batch's jumps {source}."
    ]
