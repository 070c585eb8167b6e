"""The file that holds a history: its fields, and how it is read and encoded.

The on-disk format is that of `common.plain_pickle`; this adds which fields there must be, and that what every
reader takes from them is there: units with their records, results with their summaries.
"""

import math
from pathlib import Path
from typing import Any

from common import plain_pickle
from common.plain_pickle import MEGABYTE, is_number, plain
from common.settings import Problem
from common.text import clipped, printable

import numpy as np

SCHEMA = 1
LARGEST_WRITTEN = 5 * MEGABYTE
MOST_UNITS, MOST_QUANTITIES, MOST_CELLS = 10_000, 200, 100_000  # of a table: more would not be a table to read
MOST_SETTINGS = 200  # and values of the environment, for the same reason
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
        return f"its results are {_a(results)} and not a dict"
    mistake = _unplain(results, ())
    if mistake:
        return mistake
    summary = results.get("summary")
    if not isinstance(summary, dict):
        return "its results have no 'summary', the dict of numbers for the table that is printed"
    for name, value in plain(summary).items():
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, (int, float)) for each in values):
            return f"'summary/{name}' holds more than numbers"
    return ""


def _unplain(value: Any, path: tuple[str, ...]) -> str:
    """Which entry is no plain data, and why."""
    if isinstance(value, dict):
        return next(filter(None, (_unplain(item, (*path, str(name))) for name, item in value.items())), "")
    try:
        plain_pickle.check([plain(value)])
    except (TypeError, ValueError) as error:
        return f"'{'/'.join(path)}' is {_a(value)} that a history cannot hold: {error}"
    return ""


def _a(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"a NumPy array of {value.dtype}"
    return "None" if value is None else f"a {type(value).__name__}"


def not_finite(results: dict[str, Any]) -> list[str]:
    """The keys of a unit's results under which a number is NaN or infinite."""

    def odd(value: Any) -> bool:
        if isinstance(value, (dict, list)):
            return any(map(odd, value.values() if isinstance(value, dict) else value))
        return isinstance(value, float) and not math.isfinite(value)

    return [name for name, value in plain(results).items() if odd(value)]


def encode(history: dict[str, Any]) -> bytes:
    """The bytes of a history file. ValueError if they exceed 5 MB, or if `read` would refuse them."""
    history = plain(history)
    _check_fields(history)
    content = plain_pickle.dumps(history)
    if len(content) > LARGEST_WRITTEN:
        raise ValueError(f"the history would take {len(content) / MEGABYTE:.1f} MB: record fewer points")
    return content


def _check_fields(loaded: Any) -> None:
    """ValueError unless the fields, and what every reader takes from them, are those of a history."""
    if not isinstance(loaded, dict) or set(loaded) != set(FIELDS):
        raise ValueError("its fields are not those of a history")
    for name, kind in FIELDS.items():
        if not isinstance(loaded[name], kind) or (kind is not bool and isinstance(loaded[name], bool)):
            raise ValueError(f"its field {name!r} is a {type(loaded[name]).__name__}")
    if loaded["schema"] != SCHEMA:
        raise ValueError(f"its schema is {loaded['schema']}; this project reads {SCHEMA}")
    for name in ("name", "fingerprint"):
        if not isinstance(loaded["data"].get(name), str):
            raise ValueError("it does not say which data it was measured on")
    if not isinstance(loaded["code"].get("hash"), str) or not isinstance(loaded["code"].get("revision"), int):
        raise ValueError("it does not say which code made it")
    if max(len(loaded[name]) for name in ("settings", "data", "environment", "code")) > MOST_SETTINGS:
        raise ValueError("it has too many settings")
    for name, value in loaded["settings"].items():
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"its setting {name!r} is {value}")
    _check_units(loaded)


def _check_units(loaded: dict[str, Any]) -> None:
    units, results = loaded["units"], loaded["results"]
    for name, record in units.items():
        if (record is None) == (name in results):
            raise ValueError(f"its unit {name!r} has no results, or results without a record")
        if record is not None and not (
            isinstance(record, dict)
            and isinstance(record.get("measured"), str)
            and isinstance(record.get("code"), str)
            and is_number(record.get("wall_seconds"))
        ):
            raise ValueError(f"its unit {name!r} does not say when and by which code it was measured")
    if loaded["complete"] != all(record is not None for record in units.values()):
        raise ValueError("it calls itself complete and is not, or the other way round")
    if not is_number(loaded["wall_seconds"]):
        raise ValueError("its duration is no number")
    quantities = set()
    for name, result in results.items():
        if name not in units or not isinstance(result, dict):
            raise ValueError(f"its results {name!r} belong to no unit")
        summary = result.get("summary")
        if not isinstance(summary, dict):
            raise ValueError(f"its unit {name!r} has no summary")
        for value in summary.values():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, (int, float)) for each in values):
                raise ValueError(f"the summary of its unit {name!r} holds more than numbers")
        quantities.update(summary)
    cells = len(units) * len(quantities)
    if len(units) > MOST_UNITS or len(quantities) > MOST_QUANTITIES or cells > MOST_CELLS:
        raise ValueError("it has too many units or quantities")
