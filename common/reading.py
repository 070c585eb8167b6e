"""What figures and the report read of a history's results. Problem, with the remedy, where it is not there."""

from typing import Any

from common import settings
from common.tables import group_of

import numpy as np


def field(kept: dict[str, Any], unit: str, *path: str) -> np.ndarray:
    """The numbers of a unit's results under `path` as an array, infinities as NaN; Problem where they are missing."""
    found: Any = kept["results"][unit]
    try:
        for name in path:
            found = found[name]
        numbers = np.array(found, dtype=float)
    except (KeyError, TypeError, ValueError):
        raise settings.Problem(
            f"the history of {kept['experiment']} has no usable {'/'.join(path)} in {unit}: measure it again (--force)"
        ) from None
    return np.where(np.isinf(numbers), np.nan, numbers)  # drawn as gaps


def words(kept: dict[str, Any], unit: str, name: str) -> np.ndarray:
    """A list of words in a unit's results; Problem where there is none."""
    found = kept["results"][unit].get(name)
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise settings.Problem(
            f"the history of {kept['experiment']} has no usable {name} in {unit}: measure it again (--force)"
        )
    return np.array(found, str)


def setting(kept: dict[str, Any], name: str) -> float:
    """A number of the run's settings; Problem where it is missing."""
    value = kept["settings"].get(name)
    if not isinstance(value, (int, float)):
        raise settings.Problem(f"the history of {kept['experiment']} has no setting {name}: measure it again (--force)")
    return value


def groups(kept: dict[str, Any]) -> list[str]:
    """The groups of a history, such as deep of deep/seed-0 and deep/seed-1, in the order of training."""
    return list(dict.fromkeys(map(group_of, kept["units"])))


def units_of(kept: dict[str, Any], group: str) -> list[str]:
    """The measured units of a group, such as deep/seed-0 and deep/seed-1 of deep."""
    return [unit for unit in kept["units"] if unit in kept["results"] and group_of(unit) == group]


def by_seed(kept: dict[str, Any], group: str, name: str) -> np.ndarray:
    """(seeds, points): a list of numbers that each unit of a group holds. Problem where there is none."""
    values = [field(kept, unit, name) for unit in units_of(kept, group)]
    if len({value.shape for value in values}) != 1 or values[0].ndim != 1 or not values[0].size:
        raise settings.Problem(
            f"the history of {kept['experiment']}: {name} of {group} differs in length over seeds: measure it again "
            f"(--force)"
        )
    return np.stack(values)
