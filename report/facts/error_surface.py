"""Facts of hw1_2/error_surface: the loss on lines and planes through the weights, and claim C7.

A line is smooth where its loss has no interior maximum whose prominence exceeds 1 % of the loss's range on the line;
`hw1_2/surfaces.py` finds the maxima.
"""

import math
from typing import Any

from common import reading

import numpy as np

from report import claims
from report.facts import claim, guard, median, number, plain

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
LOSSES = {"train_loss": "training", "test_loss": "test"}
LINES = ("line", "unrelated_line")
SHAPE = {"largest_prominence": "prominence", "minimum_at": "lowest_at", "end_to_minimum": "end_over_lowest"}
NUMBERS = ("lowest_at", "test_drop", "accuracy_points", "moved", "growth", "half_own", "half_other")
AT_MINIMUM = 1.05  # loss at the end over the lowest on the line, up to which the end counts as the minimum
BACK = 2 / 3  # place on the line, a third of the way back from the end
FARTHER = 5  # times as far: "many times"
Run = dict[str, Any]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds unless named otherwise), guards, tables and C7."""
    runs = {name: [of_run(history, unit) for unit in reading.units_of(history, name)] for name in OPTIMIZERS}
    sgd, adam = runs.values()
    numbers: dict[str, Any] = {"path_share": min((run["path_share"] for run in sgd + adam), default=None)}
    for name, group in runs.items():
        numbers |= {f"{name}_{key}": median([run[key] for run in group]) for key in NUMBERS}

    def beyond(name: str) -> bool | None:
        """Whether each run with Adam has many times of it what any with SGD has."""
        if not adam or not sgd:
            return None
        return min(run[name] for run in adam) > FARTHER * max(run[name] for run in sgd)

    guards = {
        "smooth": guard(sgd, lambda run: vote(run, "line") > 0),
        "adam_smooth": guard(adam, lambda run: vote(run, "line") > 0),
        "other_starts_smooth": guard(sgd + adam, lambda run: vote(run, "unrelated_line") > 0),
        "own_start_is_lower": guard(sgd + adam, lambda run: run["half_other"] > 2 * run["half_own"]),
        "sgd_falls_to_the_end": guard(sgd, lambda run: all(run["line"][loss]["lowest_at"] == 1 for loss in LOSSES)),
        "adam_end_is_the_minimum": guard(
            adam, lambda run: run["lowest_at"] < 1 and run["line"]["train_loss"]["end_over_lowest"] <= AT_MINIMUM
        ),
        "adam_test_turns": guard(
            adam, lambda run: abs(run["line"]["test_loss"]["lowest_at"] - BACK) <= 0.1 and run["test_drop"] >= 0.25
        ),
        "accuracy_stands_still": guard(adam, lambda run: abs(run["accuracy_points"]) <= 0.3 and run["test_drop"] > 0.1),
        "adam_goes_farther": beyond("moved"),
        "adam_grows": beyond("grown"),
        "random_plane_misses_the_path": guard(sgd + adam, lambda run: run["random_share"] < 1e-4),
        "path_plane_holds_most": guard(sgd + adam, lambda run: run["path_share"] > 0.8),
        "lower_beside_the_path": guard(sgd + adam, lambda run: run["end_over_plane"] > 1),
    }
    shown = [(name, loss, "line") for name in OPTIMIZERS for loss in LOSSES]
    shown += [(name, "train_loss", "unrelated_line") for name in OPTIMIZERS]
    rows = [row(name, loss, line, runs[name]) for name, loss, line in shown if runs[name]]
    statement = "On the line from initial to final weights the loss is smooth, without bumps"
    part = claims.by_signs([vote(run, "line") for run in sgd])  # the reference's setting
    judged = claim("C7", statement, [part])
    return plain({"numbers": numbers, "guards": guards, "tables": {"lines": rows}, "claims": [judged]})


def of_run(history: dict[str, Any], unit: str) -> Run:
    """What is used of one training: by line and loss its shape, where `bumps` counts the maxima; and lengths, shares of
    the way that the planes hold, and losses and accuracies at places of the lines."""

    def at(place: float, name: str, line: str = "line") -> float:
        """At the measured point of the line nearest to a place."""
        nearest = np.argmin(np.abs(reading.field(history, unit, line, "alpha") - place))
        return float(reading.field(history, unit, line, name)[nearest])

    run: Run = {
        line: {
            loss: {short: number(history, unit, line, "shape", loss, name) for name, short in SHAPE.items()}
            | {"bumps": len(reading.field(history, unit, line, "shape", loss, "maxima")), "end": at(1, loss, line)}
            for loss in LOSSES
        }
        for line in LINES
    }
    start, end, moved = (number(history, unit, name) for name in ("start_norm", "end_norm", "moved"))
    centre = [np.argmin(np.abs(reading.field(history, unit, "random_plane", axis))) for axis in ("y", "x")]
    end_loss = reading.field(history, unit, "random_plane", "loss")[*centre]  # on the images of the planes
    return run | {
        "lowest_at": run["line"]["train_loss"]["lowest_at"],
        "test_drop": 1 - at(BACK, "test_loss") / at(1, "test_loss"),
        "accuracy_points": 100 * (at(1, "test_accuracy") - at(BACK, "test_accuracy")),
        "moved": moved / start,
        "growth": end / start,
        "grown": end / start - 1,
        "half_own": at(0.5, "train_loss"),
        "half_other": at(0.5, "train_loss", "unrelated_line"),
        "end_over_plane": end_loss / np.min(reading.field(history, unit, "path_plane", "loss")),
        "random_share": number(history, unit, "random_plane", "share_of_displacement"),
        "path_share": number(history, unit, "path_plane", "share_of_displacement"),
    }


def vote(run: Run, line: str, *losses: str) -> float:
    """1 where these losses, both unless named, have no bump, -1 where one has, NaN where one is not finite."""
    shapes = [run[line][loss] for loss in losses or LOSSES]
    if not all(math.isfinite(shape["prominence"]) for shape in shapes):
        return math.nan
    return -1.0 if any(shape["bumps"] for shape in shapes) else 1.0


def row(optimizer: str, loss: str, line: str, runs: list[Run]) -> dict[str, Any]:
    """A row of the table of lines; lists have a value for each seed."""
    return {
        "optimizer": OPTIMIZERS[optimizer],
        "loss": LOSSES[loss] + (", other start" if line != "line" else ""),
        "seeds": len(runs),
        "smooth": claims.by_signs([vote(run, line, loss) for run in runs])["agree"],
    } | {name: [run[line][loss][name] for run in runs] for name in (*SHAPE.values(), "end")}
