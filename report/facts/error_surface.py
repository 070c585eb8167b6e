"""Facts of hw1_2/error_surface: the loss on lines and planes through the weights, and claim C7.

A line is smooth where its loss has no interior maximum whose prominence exceeds 1 % of the loss's range on the line;
`hw1_2/surfaces.py` finds the maxima.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from common import reading

import numpy as np

from report import claims
from report.facts import claim, guard, median, number, plain

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
LOSSES = {"train_loss": "training", "test_loss": "test"}
LENGTHS = ("moved", "start_norm", "end_norm")
SHAPE = ("largest_prominence", "minimum_at", "end_to_minimum")
AT_MINIMUM = 1.05  # loss at the end over the lowest on the line, up to which the end counts as the minimum
BACK = 2 / 3  # place on the line, a third of the way back from the end
FARTHER = 5  # times as far: "many times"

Runs = list[dict[str, Any]]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds unless named otherwise), guards, tables and C7."""
    runs = {name: [results(history, unit) for unit in reading.units_of(history, name)] for name in OPTIMIZERS}
    sgd, adam = runs["sgd"], runs["adam"]
    numbers: dict[str, Any] = {}
    for name, group in runs.items():
        numbers |= {f"{name}_{key}": median([measure(run) for run in group]) for key, measure in OF_A_RUN.items()}
    numbers["path_share"] = min((run["path_plane"]["share"] for run in sgd + adam), default=None)
    statement = "On the line from initial to final weights the loss is smooth, without bumps"
    part = {"words": "neither training nor test loss has a bump, SGD", **smoothness(sgd)}  # the reference's setting
    guards = {
        "smooth": guard(sgd, is_smooth),
        "adam_smooth": guard(adam, is_smooth),
        "sgd_falls_to_the_end": guard(sgd, lambda run: all(shape(run, loss)["minimum_at"] == 1 for loss in LOSSES)),
        "adam_end_is_the_minimum": guard(adam, ends_at_minimum),
        "adam_test_turns": guard(adam, test_turns),
        "accuracy_stands_still": guard(adam, loses_sureness_alone),
        "adam_goes_farther": beyond(adam, sgd, lambda run: run["moved"] / run["start_norm"], FARTHER),
        "adam_grows": beyond(adam, sgd, lambda run: run["end_norm"] / run["start_norm"] - 1, FARTHER),
        "other_starts_smooth": guard(sgd + adam, lambda run: is_smooth(run, "unrelated_line")),
        "own_start_is_lower": guard(sgd + adam, lambda run: halfway(run, "unrelated_line") > 2 * halfway(run, "line")),
        "random_plane_misses_the_path": guard(sgd + adam, lambda run: run["random_plane"]["share"] < 1e-4),
        "path_plane_holds_most": guard(sgd + adam, lambda run: run["path_plane"]["share"] > 0.8),
        "lower_beside_the_path": guard(sgd + adam, lambda run: OF_A_RUN["end_over_plane"](run) > 1),
    }
    rows = [row(name, runs[optimizer], loss) for optimizer, name in OPTIMIZERS.items() for loss in LOSSES]
    rows += [row(name, runs[optimizer], "train_loss", "unrelated_line") for optimizer, name in OPTIMIZERS.items()]
    tables = {"lines": [each for each in rows if each["seeds"]]}
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C7", statement, [part])]})


# ------------------------------------------------------------------------------------------ of one training


def results(history: dict[str, Any], unit: str) -> dict[str, Any]:
    """What is used of one training: `line` and `unrelated_line` with their shapes, the planes, lengths."""
    run: dict[str, Any] = {name: number(history, unit, name) for name in LENGTHS}
    for line in ("line", "unrelated_line"):
        run[line] = {name: reading.field(history, unit, line, name) for name in ("alpha", *LOSSES, "test_accuracy")}
        run[line]["shape"] = {
            loss: {
                "maxima": reading.field(history, unit, line, "shape", loss, "maxima"),
                **{name: number(history, unit, line, "shape", loss, name) for name in SHAPE},
            }
            for loss in LOSSES
        }
    for plane in ("random_plane", "path_plane"):
        run[plane] = {name: reading.field(history, unit, plane, name) for name in ("x", "y", "loss")}
        run[plane]["share"] = number(history, unit, plane, "share_of_displacement")
    return run


def shape(run: dict[str, Any], loss: str = "train_loss", line: str = "line") -> dict[str, Any]:
    """Maxima and minimum of one loss on one line."""
    return run[line]["shape"][loss]


def is_smooth(run: dict[str, Any], line: str = "line") -> bool:
    """Whether both losses are finite and neither has a bump."""
    return all(vote(run, loss, line) > 0 for loss in LOSSES)


def vote(run: dict[str, Any], loss: str, line: str) -> float:
    """1 where a loss has no bump, -1 where it has one, NaN where it is not finite."""
    found = shape(run, loss, line)
    return (-1.0 if len(found["maxima"]) else 1.0) if math.isfinite(found["largest_prominence"]) else math.nan


def value_at(run: dict[str, Any], place: float, name: str, line: str = "line") -> float:
    """What a quantity is at the measured point of the line nearest to a place."""
    return float(run[line][name][np.argmin(np.abs(run[line]["alpha"] - place))])


def halfway(run: dict[str, Any], line: str) -> float:
    return value_at(run, 0.5, "train_loss", line)


def drop(run: dict[str, Any]) -> float:
    """By which share the test loss is lower a third of the way back than at the end."""
    return 1 - value_at(run, BACK, "test_loss") / run["line"]["test_loss"][-1]


def test_turns(run: dict[str, Any]) -> bool:
    """Whether the test loss is lowest about a third of the way back, and clearly lower there than at the end."""
    return abs(shape(run, "test_loss")["minimum_at"] - BACK) <= 0.1 and drop(run) >= 0.25


def ends_at_minimum(run: dict[str, Any]) -> bool:
    """Whether the training loss turns before the end, and rises again by little."""
    return shape(run)["minimum_at"] < 1 and shape(run)["end_to_minimum"] <= AT_MINIMUM


def loses_sureness_alone(run: dict[str, Any]) -> bool:
    """Whether the test accuracy hardly changes over the last third of the line, while the test loss climbs."""
    return abs(OF_A_RUN["accuracy_points"](run)) <= 0.3 and drop(run) > 0.1


def end_loss(run: dict[str, Any]) -> float:
    """The loss at the end of training on the images of the planes: that in the middle of the random plane."""
    plane = run["random_plane"]
    row, column = (np.argmin(np.abs(plane[axis])) for axis in ("y", "x"))
    return float(plane["loss"][row, column])


OF_A_RUN: dict[str, Callable[[dict[str, Any]], float]] = {
    "lowest_at": lambda run: shape(run)["minimum_at"],
    "test_drop": drop,
    "accuracy_points": lambda run: 100 * (run["line"]["test_accuracy"][-1] - value_at(run, BACK, "test_accuracy")),
    "moved": lambda run: run["moved"] / run["start_norm"],
    "growth": lambda run: run["end_norm"] / run["start_norm"],
    "half_own": lambda run: halfway(run, "line"),
    "half_other": lambda run: halfway(run, "unrelated_line"),
    "end_over_plane": lambda run: end_loss(run) / np.min(run["path_plane"]["loss"]),
}


# ------------------------------------------------------------------------------------- of several, and C7


def beyond(more: Runs, less: Runs, measure: Callable, times: float) -> bool | None:
    """Whether each of the first runs has more than so many times what any of the second has."""
    if not more or not less:
        return None
    return min(map(measure, more)) > times * max(map(measure, less))


def smoothness(runs: Runs, line: str = "line", losses: Sequence[str] = tuple(LOSSES)) -> dict[str, Any]:
    """Whether the seeds' lines are smooth: agree (how many seeds), seeds, verdict."""
    return claims.by_signs([np.min([vote(run, loss, line) for loss in losses]) for run in runs])


def row(optimizer: str, runs: Runs, loss: str, line: str = "line") -> dict[str, Any]:
    """A row of the table of lines; lists have a value for each seed."""
    found = [shape(run, loss, line) for run in runs]
    return {
        "optimizer": optimizer,
        "loss": LOSSES[loss] + (", other start" if line != "line" else ""),
        "seeds": len(runs),
        "smooth": smoothness(runs, line, [loss])["agree"],
        "prominence": [each["largest_prominence"] for each in found],
        "lowest_at": [each["minimum_at"] for each in found],
        "end": [run[line][loss][-1] for run in runs],
        "end_over_lowest": [each["end_to_minimum"] for each in found],
    }
