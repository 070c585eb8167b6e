"""What figures and the report read of a history's results. Problem, with the remedy, where it is not there."""

from typing import Any

from common.settings import Problem
from common.tables import group_of

import numpy as np


def field(history: dict[str, Any], unit: str, *path: str) -> np.ndarray:
    """The numbers of a unit's results under `path` as an array, infinities as NaN; Problem where they are missing."""
    value: Any = history["results"][unit]
    try:
        for name in path:
            value = value[name]
        numbers = np.array(value, dtype=float)
    except (KeyError, TypeError, ValueError):
        raise _unusable(history, f"has no usable {'/'.join(path)} in {unit}") from None
    return np.where(np.isinf(numbers), np.nan, numbers)  # drawn as gaps


def words(history: dict[str, Any], unit: str, name: str) -> np.ndarray:
    """A list of words in a unit's results; Problem where there is none."""
    value = history["results"][unit].get(name)
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise _unusable(history, f"has no usable {name} in {unit}")
    return np.array(value, str)


def setting(history: dict[str, Any], name: str) -> float:
    """A number of the run's settings; Problem where it is missing."""
    value = history["settings"].get(name)
    if not isinstance(value, (int, float)):
        raise _unusable(history, f"has no setting {name}")
    return value


def groups(history: dict[str, Any]) -> list[str]:
    """The groups of a history, such as deep of deep/seed-0 and deep/seed-1, in the order of training."""
    return list(dict.fromkeys(map(group_of, history["units"])))


def units_of(history: dict[str, Any], group: str) -> list[str]:
    """The measured units of a group, such as deep/seed-0 and deep/seed-1 of deep."""
    return [unit for unit in history["units"] if unit in history["results"] and group_of(unit) == group]


def by_seed(history: dict[str, Any], group: str, name: str) -> np.ndarray:
    """(seeds, points): a list of numbers that each unit of a group holds. Problem where there is none."""
    values = [field(history, unit, name) for unit in units_of(history, group)]
    if len({value.shape for value in values}) != 1 or values[0].ndim != 1 or not values[0].size:
        raise _unusable(history, f"has {name} of {group} that differs in length over seeds")
    return np.stack(values)


def _unusable(history: dict[str, Any], what: str) -> Problem:
    return Problem(f"the history of {history['experiment']} {what}: measure it again (--force)")
