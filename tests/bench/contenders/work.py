"""What is timed, as plain data that can go through a pipe, and the arithmetic of it. Imports nothing heavy."""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT))
from common import backend

HALVES = {"intra_threads": max(1, backend.cores() // 2), "inter_threads": 2}  # of `backend.start_in_halves`
TRAINING = ("classify", "classify with norms", "regress", "regress with norms", "regress on own points")
MEASURING = ("evaluate", "outputs", "norms", "norms of regression", "jacobian", "sensitivity", "line", "hessian")
NUMPY_ONLY = ("hessian", "adam in float64", "newton", "levenberg")  # the script does these without TensorFlow
OURS_ONLY = ("adam in float64", "newton", "levenberg", "recipe", "product", "slope")


@dataclass(frozen=True)
class Work:
    """One kind of step on one net of a script. A step of anything but training takes all examples at once."""

    kind: str  # of TRAINING, MEASURING or OURS_ONLY
    script: str  # whose net it is, such as hw1_1/mnist_cnn
    net: tuple = ()  # arguments of its build_model; of minimal_ratio, a name of its WIDTHS
    batch_size: int = 0  # examples of a step of training
    examples: int = 0  # of the whole set
    nets: int = 1  # in one step
    optimizer: str = "adam"  # or sgd, or momentum
    learning_rate: float = 1e-3
    intra_threads: int = 0  # of TensorFlow in the script, 0: one a core
    inter_threads: int = 0


def script_module(name: str) -> ModuleType:
    """The module of a script, such as hw1_1/mnist_cnn; importing it does not import TensorFlow."""
    return importlib.import_module(name.replace("/", "."))


def operations(work: Work, layers: Sequence[dict[str, Any]]) -> float | None:
    """Floating-point operations of a step for one net: two for each multiply-add of its Dense and Conv2D layers.

    layers: of `keras_fit.describe`, with the multiply-adds m_1, m_2, ... of one example's forward pass (a convolution:
    output places x kernel height x kernel width x channels in x filters, also where it reads padding). Backward costs
    as much again for the gradient of the weights, and once more for the gradient of a layer's input, which the first
    layer does not need:

        training   2 batch_size (3 sum(m) - m_1)
        evaluation 2 examples sum(m)

    Biases, activations, pooling, dropout, loss, the batches' gathering and the optimizer are not counted. None where
    the methods that are compared differ in their arithmetic (Jacobians, Hessians).
    """
    counts = [layer["multiply_adds"] for layer in layers if layer["multiply_adds"]]
    backward = 3 * sum(counts) - counts[0]
    if work.kind in TRAINING:
        return 2.0 * work.batch_size * backward
    if work.kind in ("norms", "norms of regression"):
        return 2.0 * work.examples * backward
    if work.kind in ("evaluate", "outputs", "line"):
        return 2.0 * work.examples * sum(counts)
    return None
