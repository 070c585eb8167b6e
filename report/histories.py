"""What state the histories and figures of a tree are in, and the code, data and machines behind them.

All of it is text, lists and dicts that the layout shows as they are. A history or a figure that is missing, unreadable
or partial leaves words in its place.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import figures as drawn
from common import files, history
from common.plain_pickle import is_number
from common.settings import ROOT, history_path
from common.text import clipped, printable

from report.facts import plain

LARGEST_FIGURE = 20 * history.MEGABYTE
LONGEST_TEXT = 400
NOTHING = "\N{EN DASH}"
REVISION = re.compile(r"^REVISION = (\d+)", re.MULTILINE)  # in a script
THREADS = ("cores", "intra_threads", "inter_threads")  # of an environment, which differ between experiments


def short(text: Any) -> str:
    """A text from outside on one line, without control characters, and no longer than anybody reads."""
    return printable(clipped(str(text), LONGEST_TEXT))


def read(root: Path, scale: str, experiment: str) -> dict[str, Any]:
    """One history and its state in words; `history` is None where there is nothing to show."""
    about = {"experiment": experiment, "history": None, "state": "missing", "words": "nothing measured yet"}
    try:
        found = history.read(history_path(root, experiment))
    except FileNotFoundError:
        return about
    except history.UnreadableError as error:
        return about | unreadable(str(error).split("not a usable history: ")[-1].split("; restore it")[0])
    if (found["experiment"], found["scale"]) != (experiment, scale):
        return about | unreadable(f"the file holds {found['experiment']} at {found['scale']} scale")
    done = [unit for unit in found["units"].values() if unit is not None]
    if not done:
        return about
    if not all(map(_recorded, done)):
        return about | unreadable("its units have no records")
    script = ROOT / f"{experiment}.py"
    hashes = {found["code"]["hash"], *(unit["code"] for unit in done)}
    commits = [unit.get("commit", found["code"].get("commit", "")) for unit in done]  # units have it since 2026-12
    total, partial = len(found["units"]), len(done) < len(found["units"])
    return about | {
        "history": found,
        "settings": plain(found["settings"]),
        "state": "partial" if partial else "complete",
        "words": f"partial: {len(done)} of {total} units" if partial else f"complete: {total} units",
        "measured": newest(found)[:10],
        "data": short(found["data"]["name"]),
        "source": short(found["data"].get("source", "computed from the formula")),
        "fingerprint": short(found["data"]["fingerprint"]),
        "revision": str(found["code"]["revision"]),
        "revision_now": REVISION.search(script.read_text("utf-8"))[1] if script.is_file() else NOTHING,
        "commits": [short(each)[:13] for each in dict.fromkeys(map(str, commits))],
        "other_code": not script.is_file() or hashes != {history.code_hash(script)},
        "threads": {name: short(found["environment"].get(name, NOTHING)) for name in THREADS},
        "environment": _environment(found),
        "wall": duration(sum(float(unit["wall_seconds"]) for unit in done)),
        "memory": f"{max(float(unit['peak_memory_megabytes']) for unit in done) / 1000:.2f}",
    }


def unreadable(why: str) -> dict[str, Any]:
    """The state of a history that cannot be shown."""
    return {"history": None, "state": "unreadable", "words": f"unreadable: {short(why)}"}


def newest(found: dict[str, Any]) -> str:
    """When the newest unit was measured, in ISO 8601, UTC."""
    return max(_moment(unit["measured"]).isoformat() for unit in found["units"].values() if unit)


def _moment(text: str) -> datetime:
    """The time that a record names, in UTC; ValueError or OverflowError where it names none."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _recorded(record: dict[str, Any]) -> bool:
    """Whether a unit's record says when, where and with how much memory it was measured."""
    try:
        _moment(record["measured"])
    except (ValueError, OverflowError):
        return False
    return is_number(record.get("peak_memory_megabytes")) and isinstance(record.get("device"), str)


def _environment(found: dict[str, Any]) -> dict[str, list[str]]:
    """{name: values} of the machines, as of the unit that came last; the devices of all units."""
    values = {name: [value] for name, value in found["environment"].items() if name not in THREADS}
    values["device"] = sorted({unit["device"] for unit in found["units"].values() if unit})
    return {short(name).replace("_", " "): list(map(short, each)) for name, each in values.items()}


def duration(seconds: float) -> str:
    """12 s or 340.5 min: a column of them is compared at a glance."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def figure(path: Path, measured: Path) -> tuple[bytes | None, str]:
    """The bytes of a drawing, or None where it cannot be shown, and in words what its reader must know.

    measured: the history that the tables beside it show.
    """
    try:
        if not path.is_file():
            return None, "not drawn yet"
        if path.stat().st_size > LARGEST_FIGURE:
            return None, "unreadable: larger than 20 MB"
        content = path.read_bytes()
    except OSError as error:
        return None, f"unreadable: {short(error.strerror)}"
    if why := _objection(content):
        return None, f"unreadable: {short(why)}"
    try:
        stamp = drawn.stamp_of(path)
        same = files.sha256(measured) in stamp
    except ValueError as error:
        return content, f"not as its plot script left it ({error})"
    except OSError:
        same = False
    return content, "" if same else "drawn from another history than the tables"


def _objection(content: bytes) -> str:
    """Why typst cannot draw this SVG; empty if it can."""
    import typst

    page = b'#set page(width: auto, height: auto)\n#image("figure.svg")'
    try:
        typst.compile({"main.typ": page, "figure.svg": content}, ignore_system_fonts=True)
    except RuntimeError as error:  # typst's own error is one, and others come of bytes that are no text
        return str(error)
    return ""
