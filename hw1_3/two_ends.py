"""What is read of the history of interpolation.py, for its figures and for the report. Values are one a seed."""

from collections.abc import Callable
from functools import partial
from typing import Any

from common import reading

import numpy as np

STAGES = {  # how the trainings were ended: of SGD with a small and a large batch, and of Adam with two rates
    "early": "sgd/early",
    "late": "sgd/late",
    "converged": "sgd/converged",
    "adam": "adam/converged",
}
STARTS = ("shared", "independent", "matched")  # from where the two ends of a line began
ENDS = ("small", "large")
Results = Callable[..., np.ndarray]  # what lies under a path of names, such as ("lines", "shared", "train_loss")


def measured(history: dict[str, Any]) -> dict[str, Results]:
    """{stage: its results}, of the stages that are measured."""
    found = history["results"]
    return {stage: partial(reading.field, history, unit) for stage, unit in STAGES.items() if unit in found}


def at(results: Results, start: str, quantity: str, place: float) -> np.ndarray:
    """A quantity, such as train_loss, at one alpha of the line."""
    return results("lines", start, quantity)[:, int(np.searchsorted(results("alpha"), place))]


def barriers(results: Results, start: str) -> np.ndarray:
    """The largest height of the training loss above the straight line from one end's to the other's, nats."""
    return results("lines", start, "barrier", "train_loss", "height")


def below_guessing(results: Results, start: str) -> np.ndarray:
    """How far the mean training loss of the two ends lies below ln 10, the loss of guessing, nats."""
    return np.log(10) - (at(results, start, "train_loss", 0) + at(results, start, "train_loss", 1)) / 2


def distances(results: Results, end: str) -> np.ndarray:
    """How far one can go from an end along random directions until the training loss has risen by `rise`.

    Mean over directions and both signs, in lengths of the net's weights.
    """
    return results("flatness", end).mean(axis=(1, 2))
