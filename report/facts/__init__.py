"""What the modules of facts share: medians, guards, and results as the plain data that a report can hold."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common import plain_pickle, reading
from common.settings import Problem

import numpy as np

from report import claims


def median(values: Sequence[float | None]) -> float | None:
    """The median; None where there is no value, or one is not finite."""
    values = np.asarray(values, float)
    return float(np.median(values)) if values.size and np.isfinite(values).all() else None


def mean(values: Sequence[float]) -> float | None:
    """The mean; None where there is no value, or one is not finite."""
    return float(np.mean(values)) if len(values) and np.isfinite(values).all() else None


def interval(values: Sequence[float]) -> list[float] | None:
    """The 95 % interval of the mean over seeds, by Student's t; None with too few seeds for one."""
    return list(claims.student_interval(values)) if len(values) >= claims.ENOUGH else None


def ratio(above: float | None, below: float | None) -> float | None:
    """above / below; None where one of them is missing or the quotient is not finite."""
    if above is None or below is None or not below:
        return None
    return above / below if math.isfinite(above / below) else None


def guard(items: Iterable[Any], holds: Callable[[Any], Any] = bool) -> bool | None:
    """Whether a statement holds for each of these, such as seeds; None where there are none, or one is None."""
    items = list(items)
    if not items or any(item is None for item in items):
        return None
    return all(bool(holds(item)) for item in items)


def ends(values: Sequence[float | None]) -> list[float | None]:
    """The smallest and the largest; twice None where there is no value, or one is missing."""
    return [min(values), max(values)] if values and None not in values else [None, None]


def number(history: dict[str, Any], unit: str, *path: str) -> float:
    """One number of a unit's results; Problem where there is none."""
    values = reading.field(history, unit, *path)
    if values.ndim:
        raise Problem(f"the history of {history['experiment']} has no number {'/'.join(path)} in {unit}")
    return float(values)


def models(history: dict[str, Any], layers: dict[str, str]) -> list[dict[str, Any]]:
    """A row for each net of `layers`, {net: its layers in words}: with parameters and multiply-adds as counted."""
    rows = []
    for net, words in layers.items():
        unit = next((unit for unit in history["results"] if net in unit.split("/")), None)
        counted = {
            name: int(number(history, unit, name)) if unit and name in history["results"][unit] else None
            for name in ("parameters", "multiply_adds")
        }
        rows.append({"net": net, "layers": words, **counted})
    return rows


def known(statement: Callable[..., Any], *values: Any) -> bool | None:
    """Whether a statement holds for these values; None where one of them is not measured."""
    return None if any(value is None for value in values) else bool(statement(*values))


def verdict_guard(verdict: str) -> bool | None:
    """A verdict of `claims` as a guard: None where it is unclear."""
    return {"holds": True, "does not hold": False}.get(verdict)


def verdict_of(values: Sequence[float], above: float = 0.0) -> dict[str, Any]:
    """Mean and interval of a statistic, one value a seed, and `claims.by_margins` of whether it lies above a limit."""
    return {"mean": mean(values), "interval": interval(values), **claims.by_margins(np.asarray(values, float) - above)}


def claim(name: str, statement: str, parts: list[dict[str, Any]], verdict: str = "") -> dict[str, Any]:
    """A row of the table of claims; without a verdict of its own it is judged by its parts and holds if all do."""
    return {
        "name": name,
        "statement": statement,
        "verdict": verdict or claims.combined([part["verdict"] for part in parts]),
        "parts": parts,
    }


def plain(value: Any) -> Any:
    """NumPy's types as built-in ones, and None for each number that is not finite."""
    return _finite(plain_pickle.plain(value))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
