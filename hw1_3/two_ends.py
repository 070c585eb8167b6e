"""The results of interpolation.py as its figures and the report read them from its history. Arrays are over seeds."""

from collections.abc import Callable
from functools import partial
from typing import Any

from common import reading

import numpy as np

STAGES = {  # of SGD with a small and a large batch, and of Adam with a small and a large learning rate
    "early": "sgd/early",
    "late": "sgd/late",
    "converged": "sgd/converged",
    "adam": "adam/converged",
}
STARTS = ("shared", "independent", "matched")  # initial weights of the two solutions on a line
ENDS = ("small", "large")  # batch size or learning rate of the solution at alpha = 0 and at alpha = 1
Results = Callable[..., np.ndarray]  # the array at a path of keys, such as ("lines", "shared", "train_loss")


def measured(history: dict[str, Any]) -> dict[str, Results]:
    """{stage: its results}, for the stages that are measured."""
    units = history["results"]
    return {stage: partial(reading.field, history, unit) for stage, unit in STAGES.items() if unit in units}


def at(results: Results, start: str, quantity: str, place: float) -> np.ndarray:
    """A quantity, such as train_loss, at one alpha of the line."""
    return results("lines", start, quantity)[:, int(np.searchsorted(results("alpha"), place))]


def barriers(results: Results, start: str) -> np.ndarray:
    """How far the training loss on the line exceeds the linear interpolation of both ends' losses, at most, in nats."""
    return results("lines", start, "barrier", "train_loss", "height")


def below_guessing(results: Results, start: str) -> np.ndarray:
    """How far the mean training loss of both ends is below ln 10, the loss of guessing, in nats."""
    return np.log(10) - (at(results, start, "train_loss", 0) + at(results, start, "train_loss", 1)) / 2


def distances(results: Results, end: str) -> np.ndarray:
    """Distance from an end along random directions at which the training loss has risen by the setting `rise`.

    Mean over directions, forward and backward, in units of the length of the net's weight vector.
    """
    return results("flatness", end).mean(axis=(1, 2))
