"""The file that holds a history: its fields, and how it is read and encoded.

The on-disk format is that of `common.plain_pickle`; this adds which fields there must be, and that what every
reader takes from them is there: units with their records, results with their summaries.
"""

import math
from pathlib import Path
from typing import Any

from common import plain_pickle
from common.plain_pickle import plain
from common.settings import Problem
from common.text import clipped, printable

SCHEMA = 1
MOST_CELLS, MOST_ROWS, MOST_COLUMNS = 100_000, 10_000, 200  # of a table: more would not be a table to read
LONGEST_REASON = 300  # of a refusal, which may quote names from the file
FIELDS = {
    "schema": int,
    "experiment": str,
    "scale": str,
    "settings": dict,
    "units": dict,
    "complete": bool,
    "data": dict,
    "environment": dict,
    "code": dict,
    "wall_seconds": (int, float),
    "results": dict,
}
DATA = {"name": str, "fingerprint": str}
CODE = {"hash": str, "revision": int}
RECORD = {"measured": str, "code": str, "wall_seconds": (int, float)}  # of a unit


class UnreadableError(Problem):
    """The file is not a whole and unaltered history."""


def read(path: Path) -> dict[str, Any]:
    """The history in `path`. UnreadableError names the file and the remedy; FileNotFoundError if there is none."""
    try:
        history = plain_pickle.read(path)
        _check_fields(history)
        return history
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableError(
            printable(f"{path}: cannot be read: {error.strerror}; check its permissions and those of its folder")
        ) from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise UnreadableError(
            printable(
                f"{path}: not a usable history: {clipped(str(error), LONGEST_REASON)}; "
                f"restore it (git checkout, where it is committed) or measure it again (its script with --force)"
            )
        ) from None


def first_mistake(results: Any) -> str:
    """What keeps these results of a unit from being published, naming the key; empty where nothing does."""
    if not isinstance(results, dict):
        return f"its results are a {type(results).__name__} and not a dict"
    try:
        results = plain(results)
        plain_pickle.check(results)
    except (TypeError, ValueError) as error:
        return str(error)
    return _mistake_in_summary(results)


def _mistake_in_summary(results: dict[str, Any]) -> str:
    summary = results.get("summary")
    if not isinstance(summary, dict):
        return "its results have no 'summary', the dict of numbers for the table that is printed"
    for name, value in summary.items():
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, (int, float)) for each in values):
            return f"'summary/{name}' holds more than numbers"
    return ""


def not_finite(results: dict[str, Any]) -> list[str]:
    """The keys of a unit's results under which a number is NaN or infinite."""

    def odd(value: Any) -> bool:
        if isinstance(value, (dict, list)):
            return any(map(odd, value.values() if isinstance(value, dict) else value))
        return isinstance(value, float) and not math.isfinite(value)

    return [name for name, value in plain(results).items() if odd(value)]


def encode(history: dict[str, Any]) -> bytes:
    """The bytes of a history file. ValueError where `read` would refuse them, as beyond 5 MB."""
    history = plain(history)
    _check_fields(history)
    return plain_pickle.dumps(history)


def _require(whose: str, values: Any, kinds: dict[str, Any]) -> None:
    """ValueError unless `values` is a dict with a value of the right kind under each of these names."""
    for name, kind in kinds.items():
        value = values.get(name) if isinstance(values, dict) else None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{whose} has no usable {name!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{whose} has {value} for {name!r}")


def _check_fields(loaded: Any) -> None:
    """ValueError unless the fields, and what every reader takes from them, are those of a history."""
    _require("it", loaded, FIELDS)
    if loaded["schema"] != SCHEMA or set(loaded) != set(FIELDS):
        raise ValueError(f"its schema is {loaded['schema']}; this project reads {SCHEMA}")
    _require("its data", loaded["data"], DATA)
    _require("its code", loaded["code"], CODE)
    if max(len(loaded[name]) for name in ("settings", "data", "environment", "code")) > MOST_COLUMNS:
        raise ValueError("it has too many settings")
    for name, value in loaded["settings"].items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"its setting {name!r} is {value}")
    units, results = loaded["units"], loaded["results"]
    for name, record in units.items():
        if (record is None) == (name in results):
            raise ValueError(f"its unit {name!r} has no results, or results without a record")
        if record is not None:
            _require(f"its unit {name!r}", record, RECORD)
    if loaded["complete"] != (None not in units.values()):
        raise ValueError("it calls itself complete and is not, or the other way round")
    for name, result in results.items():
        if name not in units or not isinstance(result, dict):
            raise ValueError(f"its results {name!r} belong to no unit")
        if mistake := _mistake_in_summary(result):
            raise ValueError(f"in its unit {name!r}: {mistake}")
    quantities = {quantity for result in results.values() for quantity in result["summary"]}
    if len(units) > MOST_ROWS or len(quantities) > MOST_COLUMNS or len(units) * len(quantities) > MOST_CELLS:
        raise ValueError("it has too many units or quantities")
