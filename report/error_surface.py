"""Error surface: what the report says of the history of error_surface.py, and claim C7.

A line is smooth where its loss has no interior maximum whose prominence exceeds 1 % of the loss's range on the line;
`hw1_2/surfaces.py` finds the maxima.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from report import claims
from report.wording import (
    DIVERGED,
    PERCENT,
    VERDICT_WORDS,
    capital,
    digits,
    from_to,
    listed,
    number,
    seed_count,
    spread,
    two_lines,
)

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
JUDGED = "sgd"  # the reference's setting
LOSSES = {"train_loss": "training", "test_loss": "test"}
EARLIER_END = 0.044  # training loss at the end of the earlier report's line
NEAR = 1.045  # a ratio so near to the next one that chance could cross it
AT_MINIMUM = 1.05  # loss at the end over the lowest on the line, up to which the end counts as the minimum
FIGURES = ("error_surface", "error_surface_planes")
NEEDED = ("line", "unrelated_line", "moved", "start_norm", "explained", "path_plane", "random_plane")


def measured(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """{name: results of its seeds} of the optimizers that were measured."""
    return {name: runs for optimizer, name in OPTIMIZERS.items() if (runs := claims.runs_of(found, optimizer))}


def shapes(runs: Sequence[dict[str, Any]], line: str, loss: str) -> list[dict[str, Any]]:
    """The shapes of one loss on one line, a seed each."""
    return [run[line]["shape"][loss] for run in runs]


def smoothness(runs: Sequence[dict[str, Any]], line: str = "line", losses: Sequence[str] = tuple(LOSSES)) -> dict:
    """Whether the seeds' lines are smooth: a seed agrees where none of the losses has an interior maximum.

    Returns agree (how many seeds do), seeds, verdict; a seed whose loss is not finite is on neither side.
    """
    votes = []
    for run in runs:
        found = [run[line]["shape"][loss] for loss in losses]
        finite = all(math.isfinite(shape["largest_prominence"]) for shape in found)
        smooth = not any(len(shape["maxima"]) for shape in found)
        votes.append((1.0 if smooth else -1.0) if finite else math.nan)
    return claims.by_signs(votes)


def c7(found: dict[str, Any], optimizer: str = JUDGED) -> dict[str, Any]:
    """C7: the loss on the line from initial to final weights is smooth, without bumps. SGD decides."""
    return smoothness(claims.runs_of(found, optimizer))


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that error_surface.typ shows, but the settings."""
    verdict = c7(found)
    rows = []
    for name, runs in measured(found).items():
        rows += [line_row(name, words, runs, "line", loss) for loss, words in LOSSES.items()]
        rows.append(line_row(name, "training, unrelated start", runs, "unrelated_line", "train_loss"))
    return {
        "rows": rows,
        "planes": [plane_row(name, runs) for name, runs in measured(found).items()],
        "claim": claim_7(found, verdict),
        "answer": answer(found),
        "comment": comment(found, verdict),
    }


def line_row(name: str, words: str, runs: Sequence[dict[str, Any]], line: str, loss: str) -> dict[str, str]:
    """One row of the table of lines."""
    found = shapes(runs, line, loss)
    smooth = smoothness(runs, line, [loss])
    return {
        "optimizer": name,
        "loss": words,
        "smooth": f"{smooth['agree']} of {smooth['seeds']}",
        "prominence": two_lines([100 * shape["largest_prominence"] for shape in found], 2),
        "minimum_at": two_lines([shape["minimum_at"] for shape in found], 3),
        "end": two_lines([run[line][loss][-1] for run in runs]),
        "ratio": two_lines([shape["end_to_minimum"] for shape in found], 2),
    }


def plane_row(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """One row of the table of paths and planes."""
    return {
        "optimizer": name,
        "n": str(len(runs)),
        "moved": two_lines([run["moved"] / run["start_norm"] for run in runs], 2),
        "first": two_lines([100 * run["explained"][0] for run in runs], 1),
        "second": two_lines([100 * run["explained"][1] for run in runs], 1),
        "path": two_lines([100 * run["path_plane"]["share_of_displacement"] for run in runs], 1),
        "random": two_lines([100 * run["random_plane"]["share_of_displacement"] for run in runs]),
    }


def claim_7(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C7 in the table that opens the report."""
    evidence = "SGD is not measured yet"
    if verdict["seeds"]:
        evidence = f"SGD: no bump in {of_seeds(verdict)}"
        adam = c7(found, "adam")
        evidence += f"; Adam: no bump in {of_seeds(adam)}" if adam["seeds"] else ""
    return {
        "name": "C7",
        "statement": "On the line from initial to final weights the loss is smooth, without bumps",
        "evidence": evidence,
        "verdict": verdict["verdict"],
        "section": "error_surface",
    }


def of_seeds(judged: dict[str, Any]) -> str:
    """2 of 3 seeds."""
    return f"{judged['agree']} of {seed_count(judged['seeds'])}"


# -------------------------------------------------------------------------------------------- its sentences


def answer(found: dict[str, Any]) -> str:
    """In short, whether the lines have bumps and where they are lowest; empty where nothing is measured."""
    by_name = measured(found)
    if not by_name:
        return ""
    bumps = [f"in {of_seeds(smoothness(runs))} with {name}" for name, runs in by_name.items()]
    said = [f"It has no bump {listed(bumps)}."]
    for loss, words in LOSSES.items():
        places = {
            name: float(np.median([shape["minimum_at"] for shape in shapes(runs, "line", loss)]))
            for name, runs in by_name.items()
        }
        shown = listed([f"{number(place)} with {name}" for name, place in places.items()])
        said.append(f"The {words} loss is lowest at \N{GREEK SMALL LETTER ALPHA} = {shown} (medians).")
    return " ".join(said)


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, minimum, start, planes; empty where nothing is measured."""
    by_name = measured(found)
    result = [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]
    if verdict["seeds"] == 1:
        result.append("There is one seed of SGD, which decides nothing about other seeds.")
    result += [bumps(name, runs) for name, runs in by_name.items()]
    return {
        "result": result,
        "minimum": [
            sentence
            for name, runs in by_name.items()
            for sentence in grouped({f"{name}, {words} loss": lowest(runs, loss) for loss, words in LOSSES.items()})
        ],
        "earlier": beside(by_name),
        "start": grouped({f"with {name}": unrelated(runs) for name, runs in by_name.items()}),
        "planes": [shares(name, runs) for name, runs in by_name.items()],
    }


def bumps(name: str, runs: Sequence[dict[str, Any]]) -> str:
    """How many seeds have a smooth line, and how prominent the largest maximum is."""
    judged = smoothness(runs)
    prominences = [shape["largest_prominence"] for loss in LOSSES for shape in shapes(runs, "line", loss)]
    finite = [value for value in prominences if math.isfinite(value)]
    seeds = of_seeds(judged)
    said = f"With {name}, neither loss has an interior maximum above 1{PERCENT} of its range in {seeds}"
    if len(finite) < len(prominences):
        said += "; some losses are not finite"
    if not finite:
        return said + "."
    if max(finite) == 0:
        return said + ", nor any smaller one."
    return said + f"; the most prominent maximum of any seed has {digits(100 * max(finite), 2)}{PERCENT}."


def grouped(ends: dict[str, str]) -> list[str]:
    """Sentences of these beginnings and ends, those with one end joined: "With SGD and with Adam, ..."."""
    beginnings: dict[str, list[str]] = {}
    for beginning, end in ends.items():
        beginnings.setdefault(end, []).append(beginning)
    return [capital(listed(names)) + end for end, names in beginnings.items()]


def lowest(runs: Sequence[dict[str, Any]], loss: str) -> str:
    """Whether the end of the line is its minimum."""
    found = shapes(runs, "line", loss)
    ratios, places = ([shape[name] for shape in found] for name in ("end_to_minimum", "minimum_at"))
    count = sum(each <= AT_MINIMUM for each in ratios)
    place, ratio = (number(float(np.median(values)), 2, DIVERGED) for values in (places, ratios))
    if not all(map(math.isfinite, ratios)):
        words = "some losses are not finite, so no minimum can be named"
    elif min(places) == 1:
        words = "the loss falls up to the end, and what lies beyond it is not drawn"
    elif count == len(found):
        rises = [number(100 * (each - 1), 1, DIVERGED) for each in (min(ratios), max(ratios))]
        words = (
            f"from there it rises by {' to '.join(dict.fromkeys(rises))}{PERCENT}, so little that the end "
            f"counts as the minimum{', though that of another seed might not' if max(ratios) > NEAR else ''}"
        )
    elif count == 0:
        words = "the minimum lies inside the line, and the loss rises again towards the end"
    else:
        words = f"the end is the line's minimum in {count} of {len(found)} seeds only"
    return f": lowest at \N{GREEK SMALL LETTER ALPHA} = {place}, the end {ratio} times as high (medians): {words}."


def beside(by_name: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Whether our SGD, at the earlier report's learning rate and steps, has its minimum inside the line as well."""
    ratios = [shape["end_to_minimum"] for shape in shapes(by_name.get("SGD", []), "line", "train_loss")]
    if not ratios or not np.isfinite(ratios).all() or max(ratios) > AT_MINIMUM:
        return []
    ends = spread([run["line"]["train_loss"][-1] for run in by_name["SGD"]], count=2)
    return [
        f"The earlier report's settings do not give its minimum here: with SGD our training loss falls up to the end, "
        f"to {ends}, where its is {EARLIER_END}."
    ]


def unrelated(runs: Sequence[dict[str, Any]]) -> str:
    """Whether a line from initial weights that the training never saw is smooth as well."""
    judged = smoothness(runs, "unrelated_line")
    own = smoothness(runs)
    words = {
        claims.HOLDS: "this start is no better than another draw of the same initialisation",
        claims.FAILS: "the start does matter" if own["verdict"] == claims.HOLDS else "these lines have bumps as well",
        claims.UNCLEAR: "which leaves open whether the start matters",
    }[judged["verdict"]]
    return f", the line from there is smooth in {of_seeds(judged)}: {words}."


def shares(name: str, runs: Sequence[dict[str, Any]]) -> str:
    """How much of the way from start to end each of the planes holds."""
    path, random = (
        spread([100 * run[plane]["share_of_displacement"] for run in runs], places, count=2)
        for plane, places in (("path_plane", 1), ("random_plane", None))
    )
    said = (
        f"With {name}, the plane of the path holds {path}{PERCENT} of the squared distance from start to end, "
        f"the random plane {random}{PERCENT}."
    )
    ratios = [end_loss(run) / np.min(run["path_plane"]["loss"]) for run in runs]
    if not np.isfinite(ratios).all() or min(ratios) <= 1:
        return said
    return (
        f"{said} On the part of the path's plane that is drawn, the loss at the end is {from_to(ratios)} times the "
        "lowest."
    )


def end_loss(run: dict[str, Any]) -> float:
    """The loss at the end of training on the images of the planes: that in the middle of the random plane."""
    plane = run["random_plane"]
    row, column = (int(np.argmin(np.abs(np.array(plane[axis], float)))) for axis in ("y", "x"))
    return float(np.array(plane["loss"], float)[row, column])
