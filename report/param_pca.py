"""Visualize the optimization process: what the report says of the history of param_pca.py, and claim C4.

The claim is about the ends of live runs from different starts. Their distances, after matching hidden units, are
compared with those of the control, runs from one start whose batches come in other orders.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from report import claims
from report.claims import C4_TIMES
from report.wording import NOTHING, PERCENT, VERDICT_WORDS, digits, from_to, number, percent, spread

FIGURES = ("param_pca_layer", "param_pca_model", "param_pca_distances")
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
APART = 2  # times the lowest end loss from which on the highest is another place's
GROUPS = {"runs": "different starts", "control": "one start"}


def needed(unit: str) -> tuple[str, ...]:
    """What this module reads of a unit's results."""
    return ("parameters", "explained", "runs", "control", *(["surface"] if unit == "whole" else []))


def c4(found: dict[str, Any]) -> dict[str, Any]:
    """C4: runs from different starts end in different places.

    Returns verdict, live (runs, control), pairs, bound (C4_TIMES the control's median distance), median (of
    the runs' distances) and share (of pairs beyond the bound); the last three are NaN where nothing is measured.
    """
    whole = found["results"].get("whole")
    result = {"verdict": claims.UNCLEAR, "live": (0, 0), "pairs": 0}
    result |= {"bound": math.nan, "median": math.nan, "share": math.nan}
    if whole is None:
        return result
    distances, control = (np.array(whole[name]["matched_distances"], float) for name in GROUPS)
    result |= {"live": tuple(len(whole[name]["lengths"]) for name in GROUPS), "pairs": len(distances)}
    if not len(distances) or not len(control):
        return result
    bound = C4_TIMES * float(np.median(control))
    share = float(np.mean(distances > bound))
    result |= {"bound": bound, "median": float(np.median(distances)), "share": share}
    if np.isfinite(distances).all() and math.isfinite(bound):
        result["verdict"] = claims.by_share(share, result["live"])
    return result


# ---------------------------------------------------------------------------------------------- the section


def finite(values: Sequence[float]) -> list[float]:
    """Those that have a value."""
    return [value for value in values if math.isfinite(value)]


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that param_pca.typ shows, but the settings."""
    verdict = c4(found)
    whole = found["results"].get("whole")
    return {
        "rows": [row(whole[name], words) for name, words in GROUPS.items()] if whole else [],
        "parameters": f"{whole['parameters']:,}" if whole else NOTHING,
        "claim": claim_4(found, verdict),
        "answer": answer(found, verdict),
        "comment": comment(found, verdict),
    }


def row(group: dict[str, Any], words: str) -> dict[str, str]:
    """One row of the table of distances."""
    return {
        "words": words,
        "live": f"{len(group['lengths'])} of {len(group['dead'])}",
        "starts": spread(finite(group["start_distances"]), 1),
        "lengths": spread(finite(group["lengths"]), 1),
        "ends": spread(finite(group["distances"]), 1),
        "matched": spread(finite(group["matched_distances"]), 1),
        "cosines": spread(finite(group["cosines"]), 2),
        "loss": spread(finite(live_losses(group)), count=2),
    }


def live_losses(group: dict[str, Any]) -> list[float]:
    """The end losses of a group's runs that are not dead."""
    return [loss for loss, dead in zip(group["end_loss"], group["dead"], strict=True) if not dead]


def farthest(whole: dict[str, Any]) -> float:
    """How far apart two ends could be at most: the farthest starts and the two longest ways, end to end."""
    runs = whole["runs"]
    return max(runs["start_distances"], default=math.nan) + sum(sorted(runs["lengths"])[-2:])


def claim_4(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C4 in the table that opens the report."""
    evidence = "The whole model is not measured yet, or no two live runs of each kind"
    if math.isfinite(verdict["share"]):
        evidence = (
            f"Ways as good as orthogonal in {as_random(found['results']['whole'], 'runs')} pairs; "
            f"{percent(verdict['share'])} of {verdict['pairs']} pairs end farther apart than {C4_TIMES} times the "
            f"control's median, units matched"
        )
        if (reach := farthest(found["results"]["whole"])) < verdict["bound"]:
            evidence += f"; no pair could: {number(reach, 1)} apart at most, {number(verdict['bound'], 1)} asked for"
    return {
        "name": "C4",
        "statement": "Eight runs from different initial weights go off in different directions and end in different "
        "places",
        "evidence": evidence,
        "verdict": verdict["verdict"],
        "section": "param_pca",
    }


# -------------------------------------------------------------------------------------------- its sentences


def chance(whole: dict[str, Any]) -> float:
    """The cosine that two random directions seldom exceed: in 95 % of cases they do not."""
    return NORMAL_95 / math.sqrt(whole["parameters"])


def as_random(whole: dict[str, Any], name: str) -> str:
    """How many of a group's pairs have a cosine that random directions have as well: 28 of 28."""
    cosines = np.abs(np.array(whole[name]["cosines"], float))
    return f"{int(np.sum(cosines <= chance(whole)))} of {len(cosines)}"


def answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, whether the runs go different ways and end in different places; empty where nothing is measured."""
    whole = found["results"].get("whole")
    if whole is None or not math.isfinite(verdict["share"]):
        return ""
    places = {
        claims.HOLDS: "By the claim's rule their ends are different places",
        claims.FAILS: "By the claim's rule their ends are not different places",
        claims.UNCLEAR: "The claim's rule leaves open whether their ends are different places",
    }[verdict["verdict"]]
    if farthest(whole) < verdict["bound"]:
        most, asked = digits(farthest(whole)), digits(verdict["bound"])
        places += f", but none could be: {most} apart at most, and the rule asks for {asked}"
    control, times = verdict["bound"] / C4_TIMES, ""
    if control > 0:
        times = f". They are {number(verdict['median'] / control, 1)} times as far apart as those from one start"
    return (
        f"In {as_random(whole, 'runs')} pairs their ways are as good as orthogonal (random ones: "
        f"95{PERCENT}). {places}{times}."
    )


def unequal(whole: dict[str, Any]) -> list[str]:
    """That losses differ too much for all ends to be one place, and whether those of one start do so as well."""
    losses = {name: live_losses(whole[name]) for name in GROUPS}
    ranges = {name: from_to(each) for name, each in losses.items() if each and several_places(each)}
    if "runs" not in ranges:
        return []
    said = f"Their unequal losses, {ranges['runs']}, show that not all ends are one place"
    if "control" in ranges:
        return [f"{said}; but so do those of one start, {ranges['control']}."]
    return [f"{said}; those of one start do not differ so."]


def several_places(losses: Sequence[float]) -> bool:
    """Whether the losses at the ends differ by so much that the ends cannot all be one place."""
    return min(losses) > 0 and max(losses) > APART * min(losses)


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, directions, plane, surface, dead; empty where nothing is measured."""
    said: dict[str, list[str]] = {"result": [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]}
    said |= {"directions": [], "plane": [], "surface": [], "dead": []}
    whole = found["results"].get("whole")
    if whole is None:
        return said
    if math.isfinite(verdict["bound"]) and farthest(whole) < verdict["bound"]:
        said["result"] = [
            f"By its rule, which no pair of these runs could meet, the claim {VERDICT_WORDS[verdict['verdict']]}."
        ]
    if math.isfinite(verdict["share"]):
        said["result"] += ends(verdict, whole)
    if min(verdict["live"]) < claims.ENOUGH:
        said["result"].append(
            f"With {verdict['live'][0]} live runs and {verdict['live'][1]} of the control nothing is decided: "
            f"{claims.ENOUGH} of each are needed."
        )
    said["directions"] = directions(whole)
    said["plane"] = layer(found) + plane(whole)
    said["surface"] = surface(whole)
    said["dead"] = dead(whole)
    return said


def ends(verdict: dict[str, Any], whole: dict[str, Any]) -> list[str]:
    """How far apart the ends are, beside the control's and beside the starts."""
    runs = whole["runs"]
    times = verdict["median"] / (verdict["bound"] / C4_TIMES) if verdict["bound"] > 0 else math.inf
    matched = float(np.median(runs["matched_distances"]))
    ratio = f"{number(times, 1)} times the control's" if math.isfinite(times) else "beyond the control's, 0"
    beyond = percent(verdict["share"])
    above = claims.superiority(whole["control"]["matched_distances"], runs["matched_distances"])
    said = [
        f"After matching units the ends of runs from different starts are {number(matched, 1)} apart (median of "
        f"{verdict['pairs']} pairs), {ratio} median; {beyond} of the pairs are farther apart than {C4_TIMES} times "
        f"that median ({number(verdict['bound'], 1)}).",
        f"A pair of them is farther apart than a pair of the control in {percent(above)} of all comparisons.",
    ]
    said += unequal(whole)
    reach, control = farthest(whole), verdict["bound"] / C4_TIMES
    if reach < verdict["bound"]:
        said.append(
            f"No pair could be so far apart as the rule asks: the farthest starts and the two longest ways add up to "
            f"{number(reach, 1)}. The control's own ends scatter widely ({number(control, 1)} apart, median), so this "
            f"rule, set before that was known, could not come out otherwise. What is left is the comparison pair by "
            f"pair; as pairs share runs, it is no test."
        )
    return said


def directions(whole: dict[str, Any]) -> list[str]:
    """Whether the runs go as random directions would, and the control's do not."""
    words = {}
    for name in GROUPS:
        if len(whole[name]["cosines"]):
            middle = number(float(np.median(whole[name]["cosines"])))
            words[name] = f"{middle} (median), {as_random(whole, name)} within that"
    if not words:
        return []
    said = [
        f"Two random directions in {whole['parameters']:,} dimensions have a cosine within "
        f"\N{PLUS-MINUS SIGN}{chance(whole):.3f} in 95{PERCENT} of cases."
    ]
    if "runs" in words:
        said.append(f"The displacements of runs from different starts have a cosine of {words['runs']}.")
    if "control" in words:
        said.append(f"Those of the control have one of {words['control']}.")
    return said


def layer(found: dict[str, Any]) -> list[str]:
    """How much of the one layer's variance its plane holds."""
    results = next((found["results"][unit] for unit in found["results"] if unit != "whole"), None)
    if results is None:
        return []
    share = percent(float(np.sum(np.array(results["explained"]["runs"], float)[:2])))
    return [
        f"The one layer has {results['parameters']} weights and biases: of their variance over the runs from different "
        f"starts the first two components hold {share}."
    ]


def plane(whole: dict[str, Any]) -> list[str]:
    """What the first two components of the whole model hold, beside what equally distant starts alone would give."""
    shares = np.array(whole["explained"]["runs"], float)
    count = len(whole["runs"]["dead"])
    said = [
        f"Of the whole model's variance over the {count} runs from different starts, the first two components hold "
        f"{percent(float(shares[:2].sum()))}."
    ]
    if 3 <= count <= len(shares):
        said.append(
            f"As many equally distant points, and nothing else, would give each of the first {count - 1} components "
            f"{percent(1 / (count - 1))}; here these hold from {percent(float(shares[count - 2]))} to "
            f"{percent(float(shares[0]))}, {percent(float(shares[: count - 1].sum()))} together."
        )
    return said


def surface(whole: dict[str, Any]) -> list[str]:
    """Whether the runs' losses are those of the plane beneath them."""
    losses = np.array(whole["surface"]["loss"], float)
    losses = losses[np.isfinite(losses)]
    runs = whole["runs"]
    reached = [loss for loss, is_dead in zip(runs["end_loss"], runs["dead"], strict=True) if not is_dead]
    if not len(losses) or not reached:
        return []
    lowest, worst = float(losses.min()), max(reached)
    if lowest > worst:
        return [
            f"The lowest loss in the plane is {digits(lowest, 2)}, and the worst live run ends at {digits(worst, 2)}: "
            f"what the runs found lies outside the plane, and the contours beneath a path are not its loss."
        ]
    return [
        f"The lowest loss in the plane is {digits(lowest, 2)}; the live runs end at {digits(min(reached), 2)} to "
        f"{digits(worst, 2)}, at places outside the plane, so the contours beneath a path are not its loss."
    ]


def dead(whole: dict[str, Any]) -> list[str]:
    """How many of all trained runs are dead at the end."""
    counts = {name: (whole[name]["dead_of_trained"], whole[name]["trained"]) for name in GROUPS}
    if not any(count for count, _ in counts.values()):
        trained = sum(trained for _, trained in counts.values())
        return [f"None of the {trained} trained runs, spare ones included, is dead at the end."]
    (first, of_first), (second, of_second) = counts["runs"], counts["control"]
    return [
        f"Dead at the end, with a constant output, are {first} of {of_first} runs from different starts and {second} "
        f"of {of_second} of the control; distances and cosines leave them out."
    ]
