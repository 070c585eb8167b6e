"""Flatness against generalization, part 1: what the report says of the history of interpolation.py, and claim C10.

A line is a plane where its barrier, the height of the training loss above the straight line from one end's to the
other's, lies below a tenth of the way from the ends' mean loss to ln 10, the loss of guessing. The large-batch solution
is the flatter one where the training loss has risen by the setting `rise` farther from it than from the small-batch
one, along random directions (`hw1_3/lines.py`). Values are one a seed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from report import claims
from report.wording import (
    NOTHING,
    PART_WORDS,
    PERCENT,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    number,
    seed_count,
    spread,
    two_lines,
)

UNITS = {  # unit: its name in tables
    "sgd/early": "early",
    "sgd/late": "late",
    "sgd/converged": "converged",
    "adam/converged": "Adam",
}
STARTS = {"shared": "same start", "independent": "other start", "matched": "other start, units matched"}
ENDS = {"small": "small", "large": "large"}
PLANE, FLATTER = "sgd/converged", "sgd/early"  # the stages that the claim is about
FIGURES = ("interpolation", "interpolation_adam")
NEEDED = ("alpha", "ends", "lines", "flatness")
EARLIER_STEPS = 100_000  # after which an earlier report stopped early
EARLIER_SPAN = 0.46  # points of test accuracy, of its curve
EARLIER_ERROR = 0.3  # points, one standard error of its test accuracy


# ------------------------------------------------------------------------------------------------- the claim


def heights(results: dict[str, Any], start: str) -> np.ndarray:
    """The barriers of the training loss."""
    return np.array(results["lines"][start]["barrier"]["train_loss"]["height"], float)


def at(results: dict[str, Any], start: str, name: str, place: float) -> np.ndarray:
    """A quantity at one alpha of the line."""
    index = int(np.searchsorted(results["alpha"], place))
    return np.array(results["lines"][start][name], float)[:, index]


def limits(results: dict[str, Any], start: str) -> np.ndarray:
    """The height below which the line counts as a plane."""
    mean = (at(results, start, "train_loss", 0) + at(results, start, "train_loss", 1)) / 2
    return claims.C10_BARRIER * (claims.UNIFORM_LOSS - mean)


def distances(results: dict[str, Any], end: str) -> np.ndarray:
    """How far from one end the training loss has risen by `rise`, mean over directions and both signs, in lengths."""
    return np.array(results["flatness"][end], float).mean(axis=(1, 2))


def plane(found: dict[str, Any], start: str, unit: str = PLANE) -> dict[str, Any]:
    """Whether the barriers lie below their limits, and by how much (`margins`)."""
    results = found["results"].get(unit)
    margins = [] if results is None else limits(results, start) - heights(results, start)
    return {"margins": margins, **claims.by_margins(margins)}


def flatter(found: dict[str, Any], unit: str = FLATTER) -> dict[str, Any]:
    """Whether the loss rises farther away from the large end than from the small one, paired by seed."""
    results = found["results"].get(unit)
    margins = [] if results is None else distances(results, "large") - distances(results, "small")
    return {"margins": margins, **claims.by_margins(margins)}


def c10(found: dict[str, Any]) -> dict[str, Any]:
    """C10: converged, the two solutions lie on one plane; stopped early, the large batch's is the flatter one."""
    parts = [
        {"words": "converged, from the same start: barrier below the limit", **plane(found, "shared")},
        {"words": "converged, from other starts: barrier below the limit", **plane(found, "independent")},
        {"words": "early: the large-batch solution is the flatter one", **flatter(found)},
    ]
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that interpolation.typ shows, but the settings."""
    verdict = c10(found)
    measured = {unit: found["results"][unit] for unit in UNITS if unit in found["results"]}
    return {
        "rise": f"{found['settings']['rise']:g}",
        "lines": [line_row(found, unit, start) for unit in measured for start in STARTS],
        "solutions": [solution_row(found, unit, end) for unit in measured for end in ENDS],
        "claim": claim_10(found, verdict),
        "answer": answer(found),
        "comment": comment(found, verdict),
    }


def interval(values: Sequence[float]) -> str:
    """The 95 % interval of the mean over seeds; a dash where there are too few for one."""
    if len(values) < claims.ENOUGH:
        return NOTHING
    low, high = claims.student_interval(values)
    return f"[{digits(low, 2)}, {digits(high, 2)}]"


def with_interval(values: Sequence[float], unit: str = "") -> str:
    """Their mean, and its 95 % interval where there are seeds enough."""
    mean = f"{digits(float(np.mean(values)), 2)}{unit}"
    return f"{mean}, 95{PERCENT} interval {interval(values)}" if len(values) >= claims.ENOUGH else mean


def line_row(found: dict[str, Any], unit: str, start: str) -> dict[str, str]:
    """One row of the table of lines."""
    results, judged = found["results"][unit], plane(found, start, unit)
    dip = 100 * np.array(results["lines"][start]["barrier"]["test_accuracy"]["height"], float)
    return {
        "unit": UNITS[unit],
        "start": STARTS[start],
        "length": two_lines(results["lines"][start]["length"]),
        "barrier": two_lines(heights(results, start)),
        "limit": digits(float(np.median(limits(results, start))), 2),
        "seeds": f"{judged['agree']} of {judged['seeds']}",
        "dip": two_lines(dip),
    }


def end_name(found: dict[str, Any], unit: str, end: str) -> str:
    """batch 64 or rate 0.001: what makes it this end."""
    word, name = ("batch", "batch") if unit.startswith("sgd") else ("rate", "learning_rate")
    return f"{word} {found['settings'][f'{end}_{name}']:,g}"


def solution_row(found: dict[str, Any], unit: str, end: str) -> dict[str, str]:
    """One row of the table of solutions."""
    results = found["results"][unit]
    own = results["ends"][end]
    moved = np.array(own["moved"], float) / np.array(own["start_norm"], float)
    return {
        "unit": UNITS[unit],
        "end": end_name(found, unit, end),
        "train_loss": digits(float(np.median(own["train_loss"])), 2),
        "test_loss": digits(float(np.median(own["test_loss"])), 2),
        "train_accuracy": number(100 * float(np.median(own["train_accuracy"])), 2),
        "test_accuracy": spread([100 * value for value in own["test_accuracy"]], 2),
        "moved": number(float(np.median(moved)), 2),
        "distance": spread(distances(results, end), 3),
    }


def claim_10(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C10 in the table that opens the report."""
    shown = []
    if PLANE in found["results"]:
        results = found["results"][PLANE]
        shared, other, limit = (
            digits(float(np.median(values)), 2)
            for values in (heights(results, "shared"), heights(results, "independent"), limits(results, "independent"))
        )
        shown.append(f"Converged: barrier {shared} nats from the same start, {other} from other starts (limit {limit})")
    if FLATTER in found["results"]:
        results, judged = found["results"][FLATTER], verdict["parts"][2]
        small, large = (number(float(np.median(distances(results, end))), 3) for end in ENDS)
        names = [end_name(found, FLATTER, end) for end in ENDS]
        shown.append(
            f"early ({found['settings']['early_steps']:,} steps): the training loss has risen by "
            f"{found['settings']['rise']:g} nats at {small} ({names[0]}) and {large} ({names[1]}) weight lengths, "
            f"farther with the latter in {judged['agree']} of {seed_count(judged['seeds'])}"
        )
        if "sgd/late" in found["results"] and found["settings"]["late_steps"] == EARLIER_STEPS:
            late = flatter(found, "sgd/late")
            shown[-1] += (
                f"; at {EARLIER_STEPS:,}, the earlier report's early stop, in {late['agree']} of {late['seeds']}"
            )
    evidence = "; ".join(shown) or "Neither stage is measured yet"
    return {
        "name": "C10",
        "statement": "Converged, small- and large-batch solutions lie on one smooth plane; stopped early, the "
        "large-batch one is the flatter",
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": "interpolation",
    }


# -------------------------------------------------------------------------------------------- its sentences


def widths_sentence(found: dict[str, Any], unit: str) -> str:
    """Whether the test accuracy falls beside the ends at all, on the lines from the same start."""
    results, fall = found["results"][unit], 100 * found["settings"]["fall"]
    reached = results["lines"]["shared"]["widths"]["test_accuracy"]
    counts = {
        (end, side): int(np.isfinite(np.array(reached[end][side], float)).sum())
        for end in ENDS
        for side in ("outward", "inward")
    }
    total = len(reached["small"]["outward"])
    small, large, *inward = (counts[end, side] for side in ("outward", "inward") for end in ENDS)
    said = (
        f"Within the part that is drawn, the {UNITS[unit]} lines fall by {digits(fall, 2)} point from an end outward "
        f"in {small} of {total} seeds at the small-batch end and {large} at the large-batch end, and between the ends "
        f"in {inward[0]} and {inward[1]}"
    )
    if 2 * max(counts.values()) < total:
        said += ": in most there is no peak whose flatness could be read off"
    return said + "."


def answer(found: dict[str, Any]) -> str:
    """In short, which end is the flatter one, and whether a barrier lies between; empty where not measured."""
    said = []
    whose = {claims.HOLDS: "the large batch's", claims.FAILS: "the small batch's", claims.UNCLEAR: "neither surely"}
    flatter_end: dict[str, list[str]] = {}
    for unit, stage in UNITS.items():
        if unit.startswith("sgd") and unit in found["results"]:
            flatter_end.setdefault(whose[flatter(found, unit)["verdict"]], []).append(stage)
    if flatter_end:
        ends = [f"{end} ({listed(stages)})" for end, stages in flatter_end.items()]
        said.append(f"The flatter end: {', '.join(ends)}.")
    if PLANE in found["results"]:
        better = {claims.HOLDS: "the large batch's does", claims.FAILS: "the small batch's does"}
        which = better.get(test_margins(found, PLANE)["verdict"], "neither end surely does")
        said.append(f"Converged, {which} better on test images.")
        same, other = (plane(found, start) for start in ("shared", "independent"))
        said.append(
            f"Between converged ends the barrier is below the limit of a plane in {same['agree']} of "
            f"{seed_count(same['seeds'])} from the same start, and in {other['agree']} of {other['seeds']} from other "
            "starts."
        )
    return " ".join(said)


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, starts, apart, flatness, curve, adam; empty where nothing is measured."""
    there = found["results"]
    said: dict[str, list[str]] = {"result": [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]}
    said["result"] += [part_sentence(part) for part in verdict["parts"] if part["seeds"]]
    batches = [unit for unit in UNITS if unit in there and unit.startswith("sgd")]
    said["starts"] = [starts_sentence(there[unit], UNITS[unit]) for unit in batches[-1:]]
    said["apart"] = [apart_sentence(there, batches)] if batches else []
    said["flatness"] = [flatness_sentence(found, unit) for unit in batches]
    said["flatness"] += [better_sentence(found, unit) for unit in batches[-1:]]
    said["curve"] = [earlier_sentence(found["settings"]["late_steps"])]
    said["curve"] += [curve_sentence(found, unit) for unit in batches if unit != PLANE]
    said["curve"] += [widths_sentence(found, FLATTER)] if FLATTER in batches else []
    margins = plane(found, "independent")["margins"]
    said["nearest"] = [f"its margin nearest to 0 is {digits(min(margins, key=abs), 2)}"] if len(margins) else []
    said["adam"] = []
    if "adam/converged" in there:
        said["adam"] = [starts_sentence(there["adam/converged"], "Adam"), flatness_sentence(found, "adam/converged")]
    return said


def part_sentence(part: dict[str, Any]) -> str:
    """How many seeds agree with a part and by how much, and what follows."""
    return (
        f"{capital(part['words'])} in {part['agree']} of {seed_count(part['seeds'])} (mean margin "
        f"{with_interval(part['margins'])}): {PART_WORDS[part['verdict']]}."
    )


def starts_sentence(results: dict[str, Any], name: str) -> str:
    """The barriers from the three starts, and what matching the units does to them."""
    shared, other, matched = (heights(results, start) for start in STARTS)
    ratios = matched[other > 0] / other[other > 0]
    said = (
        f"{capital(name)}: the barrier is {spread(shared, count=2)} from the same start and "
        f"{spread(other, count=2)} from other starts; with the units matched it is {spread(matched, count=2)}"
    )
    if not len(ratios):
        return said + "."
    share = float(np.median(ratios))
    return f"{said}, {100 * share:.0f}{PERCENT} of the height without matching (median of the seeds' ratios)."


def apart_sentence(there: dict[str, Any], units: Sequence[str]) -> str:
    """How far apart the ends are that began together, as a share of how far they have gone."""
    shown = []
    for unit in units:
        moved = np.mean([there[unit]["ends"][end]["moved"] for end in ENDS], axis=0)
        share = 100 * np.array(there[unit]["lines"]["shared"]["length"], float) / moved
        shown.append(f"{UNITS[unit]} {spread(share, count=2)}{PERCENT}")
    return f"The two ends of a line are apart by this share of the way each has gone: {listed(shown)}."


def flatness_sentence(found: dict[str, Any], unit: str) -> str:
    """Which end is the flatter one along random directions, and by how much."""
    small, large = (distances(found["results"][unit], end) for end in ENDS)
    change = with_interval(100 * (large / small - 1), PERCENT)
    words = ("the distance is longer", "is the flatter end", "neither is clearly the flatter end")
    return paired_sentence(found, unit, flatter(found, unit), change, words)


def test_margins(found: dict[str, Any], unit: str) -> dict[str, Any]:
    """Whether the large end has the higher test accuracy, paired by seed, and by how many points (`margins`)."""
    small, large = (100 * np.array(found["results"][unit]["ends"][end]["test_accuracy"], float) for end in ENDS)
    return {"margins": large - small, **claims.by_margins(large - small)}


def better_sentence(found: dict[str, Any], unit: str) -> str:
    """Which end classifies more test images, and by how much."""
    judged = test_margins(found, unit)
    change = with_interval(judged["margins"], " points")
    words = ("the test accuracy is higher", "does better on new images", "neither clearly does better on new images")
    return paired_sentence(found, unit, judged, change, words)


def paired_sentence(
    found: dict[str, Any], unit: str, judged: dict[str, Any], change: str, words: tuple[str, str, str]
) -> str:
    """Which end has more of something, paired by seed. words: what is more, what the end with more is, and neither."""
    more, outcome, neither = words
    small, large = (end_name(found, unit, end) for end in ENDS)
    which = {claims.HOLDS: f"{large} {outcome}", claims.FAILS: f"{small} {outcome}"}
    return (
        f"{capital(UNITS[unit])}: {more} with {large} in {judged['agree']} of {seed_count(judged['seeds'])} (mean "
        f"difference {change}): {which.get(judged['verdict'], neither)}."
    )


def earlier_sentence(late_steps: int) -> str:
    """What an earlier report's curve of test accuracy is, and how long its stage and ours are."""
    ours = "where this one stops late" if late_steps == EARLIER_STEPS else f"and this one stops late at {late_steps:,}"
    return (
        f"The earlier report read flatness off the test accuracy along the line, which in its early run spans "
        f"{EARLIER_SPAN} points where one standard error is {EARLIER_ERROR}. It stopped early at {EARLIER_STEPS:,} "
        f"steps, {ours}."
    )


def curve_sentence(found: dict[str, Any], unit: str) -> str:
    """How much test accuracy changes on the line from the same start, beside how much chance makes it vary."""
    results = found["results"][unit]
    curves = 100 * np.array(results["lines"]["shared"]["test_accuracy"], float)
    spans = np.ptp(curves, axis=1)
    ends = np.array([results["ends"][end]["test_accuracy"] for end in ENDS], float)
    between = 100 * float(np.ptp(ends, axis=1).max())
    said = (
        f"{capital(UNITS[unit])}, on the line from the same start the test accuracy spans {spread(spans, count=2)} "
        f"points; between seeds it differs by up to {digits(between, 2)} points at one end"
    )
    images = claims.test_images(found)
    if not images:
        return said + "."
    middle = float(np.median(ends))
    error = 100 * claims.standard_error(middle, images)
    return f"{said}, and its binomial standard error on {images:,} images is {digits(error, 2)}."
