"""The results of param_count.py by width, and those of an earlier report on the same ten nets."""

from typing import Any

from common import reading

import numpy as np

LAST = 5  # last records, over which a curve is averaged
FITTED = 0.99  # training accuracy, wrong labels included, from which a net counts as fitting all labels
CURVES = ("running_loss", "running_accuracy", "train_loss", "train_accuracy", "test_loss", "test_accuracy")

# Training loss, test loss, test accuracy and training accuracy by width, from the table of an earlier report on this
# homework (three authors, 2018): one training each, the last of 20 epochs; training values are running means.
_TABLE = {
    16: (0.0702, 0.1741, 0.9576, 0.9782),
    32: (0.0398, 0.1186, 0.9697, 0.9874),
    64: (0.0179, 0.1107, 0.9764, 0.9945),
    128: (0.0139, 0.1061, 0.9781, 0.9958),
    256: (0.0081, 0.0915, 0.9825, 0.9975),
    512: (0.0091, 0.0888, 0.983, 0.9973),
    1024: (0.0163, 0.0781, 0.985, 0.996),
    2000: (0.0149, 0.0972, 0.9844, 0.9962),
    3000: (0.0149, 0.1159, 0.9839, 0.9963),
    4000: (0.0154, 0.1013, 0.983, 0.9962),
}
_COLUMNS = ("train_loss", "test_loss", "test_accuracy", "train_accuracy")
REFERENCE = {width: dict(zip(_COLUMNS, row, strict=True)) for width, row in _TABLE.items()}


def by_width(history: dict[str, Any], noisy: bool = False) -> dict[int, dict[str, np.ndarray]]:
    """{width: results of all its nets}, narrowest first. noisy: of the nets that learn wrong labels.

    Results are `seeds` (n,), `parameters`, `epochs` of the records (records,), `dead` (n,), and curves (n, records),
    accuracies as shares. Problem where the history lacks one of them.
    """
    units: dict[int, list[dict[str, np.ndarray]]] = {}
    names = (*CURVES, "wrong_learnt") if noisy else CURVES
    for unit in history["results"]:
        if unit.startswith("noisy/") == noisy:
            width = int(reading.field(history, unit, "width"))
            fields = ("seeds", "parameters", "epochs", "dead", *names)
            units.setdefault(width, []).append({name: reading.field(history, unit, name) for name in fields})
    return {width: _joined(parts) for width, parts in sorted(units.items())}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The results of the units of one width joined, in the order of their seeds."""
    order = np.argsort(np.concatenate([part["seeds"] for part in parts]), kind="stable")
    return {
        name: parts[0][name]
        if name in ("parameters", "epochs")
        else np.concatenate([part[name] for part in parts])[order]
        for name in parts[0]
    }


def at_the_end(net: dict[str, np.ndarray], name: str) -> np.ndarray:
    """(n,): the mean of a curve's last LAST records, or of all where there are fewer."""
    return net[name][:, -LAST:].mean(axis=1)


def gap(net: dict[str, np.ndarray], quantity: str) -> np.ndarray:
    """(n,): how much worse loss or accuracy (`quantity`) is on test images than on training images at the end."""
    difference = at_the_end(net, f"test_{quantity}") - at_the_end(net, f"train_{quantity}")
    return difference if quantity == "loss" else -difference


def fitting_width(nets: dict[int, dict[str, np.ndarray]]) -> int | None:
    """The smallest width whose median training accuracy at the last record is at least FITTED, or None."""
    return next((width for width, net in nets.items() if np.median(net["train_accuracy"][:, -1]) >= FITTED), None)


def running_gap(net: dict[str, np.ndarray], quantity: str) -> np.ndarray:
    """(n,): `gap` with the running values in place of those on training images, as in the earlier report."""
    difference = at_the_end(net, f"test_{quantity}") - at_the_end(net, f"running_{quantity}")
    return difference if quantity == "loss" else -difference
