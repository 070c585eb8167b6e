"""What the modules of facts share: medians, guards, and results as the plain data that a report can hold."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common import plain_pickle

import numpy as np


def median(values: Sequence[float]) -> float | None:
    """The median; None where there is no value, or one is not finite."""
    values = np.asarray(values, float)
    return float(np.median(values)) if values.size and np.isfinite(values).all() else None


def ratio(above: float | None, below: float | None) -> float | None:
    """above / below; None where one of them is missing or the quotient is not finite."""
    if above is None or below is None or not below:
        return None
    return above / below if math.isfinite(above / below) else None


def guard(items: Iterable[Any], holds: Callable[[Any], Any]) -> bool | None:
    """Whether a statement holds for each of these, such as seeds; None where nothing is measured."""
    items = list(items)
    return all(bool(holds(item)) for item in items) if items else None


def plain(value: Any) -> Any:
    """NumPy's types as built-in ones, and None for each number that is not finite."""
    return _finite(plain_pickle.plain(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
