"""What state the histories and figures of a tree are in, and the code, data and machines behind them.

All of it is text, lists and dicts that the layout shows as they are. A history or a figure that is missing, unreadable
or partial leaves words in its place.
"""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import figures as drawn
from common import files, history
from common.plain_pickle import is_number
from common.settings import ROOT, history_path

from report.facts import plain

LARGEST_FIGURE = 20 * history.MEGABYTE
LONGEST_TEXT = 400
NOTHING = "\N{EN DASH}"
REVISION = re.compile(r"^REVISION = (\d+)", re.MULTILINE)  # in a script
THREADS = ("cores", "intra_threads", "inter_threads")  # of an environment, which differ between experiments


def short_line(text: str) -> str:
    """`text` on one line, without control characters, and no longer than anybody reads."""
    text = text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "\N{HORIZONTAL ELLIPSIS}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def read(root: Path, scale: str, experiment: str, code: Path = ROOT) -> dict[str, Any]:
    """One history and its state in words; `history` is None where there is nothing to show.

    code: the repository whose script is compared with the one that made the history.
    """
    path = history_path(root, experiment)
    about: dict[str, Any] = {
        "experiment": experiment,
        "history": None,
        "state": "missing",
        "words": "nothing measured yet",
    }
    try:
        found = history.read(path)
    except FileNotFoundError:
        return about
    except history.UnreadableError as error:
        why = str(error).split("not a usable history: ")[-1].split("; restore it")[0]
        return about | {"state": "unreadable", "words": f"unreadable: {short_line(why)}"}
    if (found["experiment"], found["scale"]) != (experiment, scale):
        of = short_line(f"{found['experiment']} at {found['scale']} scale")
        return about | {"state": "unreadable", "words": f"unreadable: the file holds {of}"}
    done = [unit for unit in found["units"].values() if unit is not None]
    if not done:
        return about
    if not all(map(_recorded, done)):
        return about | {"state": "unreadable", "words": "unreadable: its units have no records"}
    script = code / f"{experiment}.py"
    hashes = {found["code"]["hash"], *(unit["code"] for unit in done)}
    other = not script.is_file() or hashes != {history.code_hash(script)}
    total, partial = len(found["units"]), len(done) < len(found["units"])
    return about | {
        "history": found,
        "settings": plain(found["settings"]),
        "revision_now": REVISION.search(script.read_text("utf-8"))[1] if script.is_file() else NOTHING,
        "state": "partial" if partial else "complete",
        "words": f"partial: {len(done)} of {total} units" if partial else f"complete: {total} units",
        "measured": newest(found)[:10],
        "data": short_line(found["data"]["name"]),
        "source": short_line(str(found["data"].get("source", "computed from the formula"))),
        "fingerprint": short_line(found["data"]["fingerprint"]),
        "revision": str(found["code"]["revision"]),
        "commits": [short_line(each)[:13] for each in _commits(found)],
        "other_code": other,
        **{name: short_line(str(found["environment"].get(name, NOTHING))) for name in THREADS},
        "wall": duration(sum(float(unit["wall_seconds"]) for unit in done)),
        "memory": f"{max(float(unit['peak_memory_megabytes']) for unit in done) / 1000:.2f}",
    }


def _commits(found: dict[str, Any]) -> list[str]:
    """The git commits that measured the units, each once; a history before 2026-12 has one for all."""
    whole = str(found["code"].get("commit", ""))
    return list(dict.fromkeys(str(unit.get("commit", whole)) for unit in found["units"].values() if unit))


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


def figure(path: Path) -> tuple[bytes | None, str]:
    """The bytes of a drawing, or None and what is wrong with it."""
    try:
        if not path.is_file():
            return None, "not drawn yet"
        if path.stat().st_size > LARGEST_FIGURE:
            return None, "unreadable: larger than 20 MB"
        content = path.read_bytes()
        top = ElementTree.fromstring(content)
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        return None, f"unreadable: {short_line(str(error))}"
    if top.tag != "{http://www.w3.org/2000/svg}svg":
        return None, "unreadable: not a drawing"
    return content, ""


def caveat(path: Path, measured: Path) -> str:
    """Why a drawing may not show what the tables hold; empty if it was drawn from the same history."""
    try:
        stamp = drawn.stamp_of(path)
        same = files.sha256(measured) in stamp
    except ValueError as error:
        return f"not as its plot script left it ({error})"
    except OSError:
        same = False
    return "" if same else "drawn from another history than the tables"


def box(scale: str, histories: dict[str, dict[str, Any]], figures: dict[str, dict[str, Any]]) -> list[str]:
    """What the reader must know before any number: scale, sample data, what is not there."""
    lines = []
    if scale == "quick":
        lines.append(
            "Quick scale: short trainings that show the chain at work. The numbers do not answer the "
            "questions, and the verdicts are of these short trainings only."
        )
    origins: dict[tuple[str, str], list[str]] = {}
    for experiment, about in histories.items():
        origins.setdefault((about.get("data", ""), about.get("source", "")), []).append(experiment)
    for (name, source), where in origins.items():
        if name == "sample":
            lines.append(f"Sample data in {listed(where)}: {source}.")
        elif name.startswith("unverified"):
            lines.append(f"Data of unknown origin in {listed(where)}: {name}, {source}.")
        elif "JPEG copy" in name:
            lines.append(
                f"{name} in {listed(where)}: the pictures were re-encoded as JPEG; they are not the originals."
            )
    for experiment, about in histories.items():
        if about["state"] != "complete":
            lines.append(f"{experiment}: {about['words']}.")
    older = [name for name, about in histories.items() if about.get("revision") != about.get("revision_now")]
    if older:
        lines.append(f"Measured by a revision of the script that was corrected since: {listed(older)}.")
    for words in dict.fromkeys(about["words"] for about in figures.values() if about["words"]):
        names = [name for name, about in figures.items() if about["words"] == words]
        lines.append(f"{'Figure' if len(names) == 1 else 'Figures'} {listed(names)}: {words}.")
    return lines


def environments(histories: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """For each setting of the machine its values and, where they differ, in which experiments."""
    items: dict[str, dict[str, list[str]]] = {}
    for experiment, about in histories.items():
        kept = about["history"] or {}
        found = {name: [value] for name, value in kept.get("environment", {}).items()}  # of the unit that came last
        devices = {record["device"] for record in kept.get("units", {}).values() if record}
        found |= {"device": sorted(devices)} if devices else {}
        for name, each in found.items():
            if name in THREADS:
                continue
            values = items.setdefault(short_line(name).replace("_", " "), {})
            for value in each:
                values.setdefault(short_line(str(value)), []).append(experiment.split("/")[1])
    return [
        {
            "name": name,
            "values": [{"value": value, "where": listed(where) * (len(values) > 1)} for value, where in values.items()],
        }
        for name, values in items.items()
    ]


def duration(seconds: float) -> str:
    """12 s or 340.5 min: a column of them is compared at a glance."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"
