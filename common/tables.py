"""What a history shows on a terminal: its table of results, one row an epoch, and where it comes from."""

import collections
import re
from collections.abc import Sequence
from typing import Any

from common.plain_pickle import is_number
from common.text import clipped, printable

import numpy as np


def measured_on(history: dict[str, Any]) -> str:
    """Date of the newest unit, such as 2026-11-24; empty where nothing is measured yet."""
    return printable(max((record["measured"] for record in history["units"].values() if record), default="")[:10])


def group_of(unit: str) -> str:
    """deep for deep/seed-0: the name of what several seeds measure."""
    return "/".join(part for part in unit.split("/") if not part.startswith("seed-"))


def gathered(history: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """{group: {quantity: values over seeds}} from the summaries of all units."""
    groups: dict[str, dict[str, list[float]]] = {}
    for unit in history["units"]:
        for quantity, value in history["results"].get(unit, {}).get("summary", {}).items():
            values = value if isinstance(value, list) else [value]
            groups.setdefault(group_of(unit), {}).setdefault(quantity, []).extend(values)
    return groups


def title_of(history: dict[str, Any]) -> str:
    """What the names of the groups are: net, batch size, or task and optimizer as in `function / activation / net`.

    A part of a name is a value of a setting that is a list: "deep" of nets, "batch-0032" of batch_sizes.
    """
    titles: list[str] = []
    values = {
        name.replace("_", " ").removesuffix("s"): {f"{each:g}" if is_number(each) else str(each) for each in value}
        for name, value in history["settings"].items()
        if isinstance(value, list) and name != "seeds"
    }
    for group in dict.fromkeys(map(group_of, history["units"])):
        for part in dict.fromkeys((group, *group.split("/"))):
            word, _, number = part.rpartition("-")
            for title, of_title in values.items():
                named = word and title.startswith(word) and _plain_number(number) in of_title
                if (part in of_title or named) and title not in titles:
                    titles.append(title)
    return printable(clipped(" / ".join(titles), 80)) or "unit"


def _plain_number(text: str) -> str:
    return f"{float(text):g}" if re.fullmatch(r"\d{1,12}(\.\d{1,12})?", text) else ""


def table(history: dict[str, Any], numeric: bool = False) -> Any:
    """A pandas table, one row a group: median [smallest, largest] over seeds, or those and n as columns."""
    import pandas

    rows: dict[str, dict[str, Any]] = {}
    for group, quantities in gathered(history).items():
        row = rows.setdefault(_heading(group), {})
        for quantity, values in quantities.items():
            name, (middle, low, high) = _heading(quantity), _spread(values)
            if numeric:
                row |= {f"{name} median": middle, f"{name} min": low, f"{name} max": high, f"{name} n": len(values)}
            elif values:
                row[name] = f"{middle:.4g}" + (f" [{low:.4g}, {high:.4g}]" if len(values) > 1 else "")
            else:
                row[name] = "none"  # such as the live nets where all are dead
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis(title_of(history))


def by_epoch(history: dict[str, Any]) -> Any:
    """A pandas table, one row a unit and epoch (or record): all lists of a unit's results that have one number each.

    The epoch is that of the unit's `epochs` or `steps`, where it has such a list, else counts from 1. Curves of several
    nets, (nets, epochs), give one column a net.
    """
    import pandas

    tables = []
    for unit, results in history["results"].items():
        lists = {name: np.array(value) for name, value in results.items() if isinstance(value, list) and value}
        lists = {name: value for name, value in lists.items() if value.dtype.kind in "biuf" and value.ndim in (1, 2)}
        counted = next((name for name in ("epochs", "steps") if name in lists and lists[name].ndim == 1), None)
        lengths = collections.Counter(value.shape[-1] for value in lists.values())
        count = len(lists[counted]) if counted else max(lengths, key=lengths.get, default=0)
        columns = {"epoch" if counted != "steps" else "step": lists.pop(counted, np.arange(1, count + 1))}
        for name, value in lists.items():
            if value.shape[-1] == count:
                rows = value[None] if value.ndim == 1 else value
                ends = [f" {net}" for net in range(len(rows))] if value.ndim == 2 else [""]
                columns |= {_heading(name) + end: row for end, row in zip(ends, rows, strict=True)}
        tables.append(pandas.DataFrame(columns, index=pandas.Index([_heading(unit)] * count, name="unit")))
    return pandas.concat(tables) if tables else pandas.DataFrame(index=pandas.Index([], name="unit"))


def _heading(name: str) -> str:
    return printable(clipped(name, 80))  # a table pads its columns: a name of a megabyte would be in every row


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest value; NaN where there is none."""
    if not values:
        return np.nan, np.nan, np.nan
    numbers = np.array(values, float)
    with np.errstate(invalid="ignore", over="ignore"):  # the mean of -inf and inf, and of two that are nearly infinite
        return float(np.median(numbers)), float(numbers.min()), float(numbers.max())


def describe(history: dict[str, Any]) -> str:
    """What a history holds, for a terminal: where it comes from, the sizes of its results, and their table."""
    results = history["results"]
    lines = {name: _in_short(value) for name, value in history.items() if name not in ("units", "results")}
    lines["measured"] = measured_on(history) or "not yet"
    lines["units"] = f"{len(results)} of {len(history['units'])}"
    lines["results"] = ", ".join(f"{name} {_size(value)}" for name, value in next(iter(results.values()), {}).items())
    described = [f"{name:<12}  {printable(clipped(text, 2000))}" for name, text in lines.items()]
    return "\n".join([*described, "", table(history).to_string(na_rep="-") if results else "(nothing measured yet)"])


def _in_short(value: Any) -> str:
    """epochs 2, seeds 0 1 for a dict of those."""
    if isinstance(value, dict):
        return ", ".join(f"{clipped(name, 80)} {_in_short(item)}" for name, item in value.items())
    items = value if isinstance(value, list) else [value]
    return " ".join(clipped(str(item), 80) for item in items[:20]) + " ..." * (len(items) > 20)


def _size(value: Any) -> str:
    """3 x 20 for three lists of 20, and the name of its type for anything else."""
    lengths = []
    while isinstance(value, list):
        lengths.append(str(len(value)))
        value = value[0] if value else None
    return " x ".join(lengths) or type(value).__name__
