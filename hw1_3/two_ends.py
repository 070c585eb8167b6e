"""What is read of the history of interpolation.py, for its figures and for the report. Values are one a seed."""

from typing import Any

import numpy as np

STAGES = {  # how a training is ended: the small- and the large-batch one of SGD, or the two rates of Adam
    "early": "sgd/early",
    "late": "sgd/late",
    "converged": "sgd/converged",
    "adam": "adam/converged",
}
STARTS = ("shared", "independent", "matched")  # from where the two ends of a line began
ENDS = ("small", "large")


def measured(history: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """{stage: its results}, of the stages that are measured."""
    return {stage: history["results"][unit] for stage, unit in STAGES.items() if unit in history["results"]}


def at(results: dict[str, Any], start: str, quantity: str, place: float) -> np.ndarray:
    """A quantity, such as train_loss, at one alpha of the line."""
    return np.array(results["lines"][start][quantity], float)[:, int(np.searchsorted(results["alpha"], place))]


def barriers(results: dict[str, Any], start: str) -> np.ndarray:
    """The largest height of the training loss above the straight line from one end's to the other's, nats."""
    return np.array(results["lines"][start]["barrier"]["train_loss"]["height"], float)


def below_guessing(results: dict[str, Any], start: str) -> np.ndarray:
    """How far the mean training loss of the two ends lies below ln 10, the loss of guessing."""
    return np.log(10) - (at(results, start, "train_loss", 0) + at(results, start, "train_loss", 1)) / 2


def distances(results: dict[str, Any], end: str) -> np.ndarray:
    """How far one can go from an end along random directions until the training loss has risen by `rise`.

    Mean over directions and both signs, in lengths of the net's weights.
    """
    return np.array(results["flatness"][end], float).mean(axis=(1, 2))


def own(results: dict[str, Any], end: str, quantity: str) -> np.ndarray:
    """A quantity of the solutions at one end, such as test_accuracy."""
    return np.array(results["ends"][end][quantity], float)
