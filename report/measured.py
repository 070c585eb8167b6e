"""All that the report says about results, read out of the histories of one scale into one plain structure.

Everything in it is text, a list or a dict, formatted here, so that the report's layout computes nothing. A history or a
figure that is missing, unreadable or partial leaves words in its place.
"""

import functools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import figures as drawn
from common import files, history
from common.plain_pickle import is_number
from common.settings import ROOT, history_path

from report import (
    error_surface,
    function_fit,
    grad_norm,
    image_nets,
    interpolation,
    minimal_ratio,
    param_count,
    param_pca,
    random_labels,
    sensitivity,
    sharpness,
)
from report.setting_names import settings_of
from report.wording import NOTHING, listed, short_line

LARGEST_FIGURE = 20 * history.MEGABYTE
FIGURES = {  # names of the drawings of each experiment, in the order of the report
    "hw1_1/function_fit": function_fit.FIGURES,
    **image_nets.FIGURES,
    "hw1_2/param_pca": param_pca.FIGURES,
    "hw1_2/grad_norm": grad_norm.FIGURES,
    "hw1_2/minimal_ratio": minimal_ratio.FIGURES,
    "hw1_2/error_surface": error_surface.FIGURES,
    "hw1_3/random_labels": random_labels.FIGURES,
    "hw1_3/param_count": param_count.FIGURES,
    "hw1_3/interpolation": interpolation.FIGURES,
    "hw1_3/sensitivity": sensitivity.FIGURES,
    "hw1_3/sharpness": sharpness.FIGURES,
}
EXPERIMENTS = tuple(FIGURES)
THREADS = ("cores", "intra_threads", "inter_threads")  # of an environment, which differ between experiments
SINGLE = {  # lists of seeds, and what they are the seeds of
    ("hw1_3/param_count", "widest_seeds"): "nets of more than 1,024 units a layer (1-3.2)",
    ("hw1_3/sensitivity", "large_seeds"): "batch sizes above 1,000 (1-3.4)",
}


def gather(
    root: Path, scale: str, code: Path = ROOT, objection: Callable[[bytes], str] = lambda svg: ""
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the report shows of the tree at `root`, and the bytes of the figures it places ({name: SVG}).

    code: the repository whose scripts are compared with those that made the histories. objection: why a figure
    cannot be placed, if it cannot.
    """
    histories = {experiment: _history(root, scale, experiment, code) for experiment in EXPERIMENTS}
    figures, drawings = _figures(root, objection)
    sections = {}
    for experiment, about in histories.items():
        name = experiment.split("/")[1]
        found = about["history"]
        sections[name] = {"settings": settings_of(found), **SECTIONS[experiment](found)} if found else {"answer": ""}
        sections[name] |= {"state": about["state"], "words": about["words"]}
    read = [about["history"] for about in histories.values() if about["history"]]
    image_nets.compare_tasks(sections, {name: about["history"] for name, about in histories.items()})
    newest = max((_newest(found) for found in read), default="")
    shown = {
        "scale": scale,
        "measured": newest,
        "data": sorted({found["data"]["name"] for found in read} - {"computed"}),
        "box": _box(scale, histories, figures),
        "claims": [
            claim
            for section in sections.values()
            if "claim" in section
            for claim in (section["claim"], *section.get("more_claims", ()))
        ],
        "sections": sections,
        "figures": figures,
        "histories": [{key: value for key, value in about.items() if key != "history"} for about in histories.values()],
        "environments": _environments(histories),
        "not_done": _not_done(histories),
    }
    return shown, drawings


def _figures(root: Path, objection: Callable[[bytes], str]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Of each figure whether it is there and what its reader must know, and the bytes of those that are there."""
    about, drawings = {}, {}
    for experiment, names in FIGURES.items():
        for name in names:
            path = root / "figures" / f"{name}.svg"
            content, words = figure(path)
            why = objection(content) if content is not None else ""
            if why:
                content, words = None, f"unreadable: {short_line(why)}"
            if content is not None:
                drawings[name] = content
                words = _caveat(path, history_path(root, experiment))
            about[name] = {"there": content is not None, "words": words}
    return about, drawings


def _history(root: Path, scale: str, experiment: str, code: Path) -> dict[str, Any]:
    """One history and its state in words; `history` is None where there is nothing to show."""
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
    if not all(RESULTS[experiment](unit, results) for unit, results in found["results"].items()):
        return about | {"state": "unreadable", "words": "unreadable: its results are not those of this experiment"}
    script = code / f"{experiment}.py"
    hashes = {found["code"]["hash"], *(unit["code"] for unit in done)}
    other = not script.is_file() or hashes != {history.code_hash(script)}
    total, partial = len(found["units"]), len(done) < len(found["units"])
    return about | {
        "history": found,
        "state": "partial" if partial else "complete",
        "words": f"partial: {len(done)} of {total} units" if partial else f"complete: {total} units",
        "measured": _newest(found)[:10],
        "data": short_line(found["data"]["name"]),
        "source": short_line(str(found["data"].get("source", "computed from the formula"))),
        "fingerprint": short_line(found["data"]["fingerprint"]),
        "revision": str(found["code"]["revision"]),
        "code": [short_line(each)[:12] for each in dict.fromkeys(unit["code"] for unit in done)],
        "commit": short_line(str(found["code"].get("commit", ""))),
        "other_code": other,
        **{name: short_line(str(found["environment"].get(name, NOTHING))) for name in THREADS},
        "wall": duration(sum(float(unit["wall_seconds"]) for unit in done)),
        "memory": f"{max(float(unit['peak_memory_megabytes']) for unit in done) / 1000:.2f}",
    }


def _newest(found: dict[str, Any]) -> str:
    """When the newest unit was measured, in ISO 8601, UTC."""
    return max(_moment(unit["measured"]).isoformat() for unit in found["units"].values() if unit)


def _moment(text: str) -> datetime:
    """The time that a record names, in UTC; ValueError or OverflowError where it names none."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


# What a section reads of a history beyond what `history.read` has checked. A file from elsewhere fails here, so that
# an error further on is one of this code.


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


def _caveat(path: Path, measured: Path) -> str:
    """Why a drawing may not show what the tables hold; empty if it was drawn from the same history."""
    try:
        stamp = drawn.stamp_of(path)
        same = files.sha256(measured) in stamp
    except ValueError as error:
        return f"not as its plot script left it ({error})"
    except OSError:
        same = False
    return "" if same else "drawn from another history than the tables"


def _box(scale: str, histories: dict[str, dict[str, Any]], figures: dict[str, dict[str, Any]]) -> list[str]:
    """What the reader must know before any number: scale, sample data, what is not there."""
    lines = []
    if scale == "quick":
        lines.append(
            "Quick scale: short trainings that show the chain at work. The numbers do not answer the "
            "questions, and the verdicts are of these short trainings only."
        )
    for experiment, about in histories.items():
        name = str(about.get("data", ""))
        if name == "sample":
            lines.append(f"Sample data in {experiment}: {about['source']}.")
        elif name.startswith("unverified"):
            lines.append(f"Data of unknown origin in {experiment}: {name}, {about['source']}.")
        elif "JPEG copy" in name:
            lines.append(f"{name} in {experiment}: the pictures were re-encoded as JPEG; they are not the originals.")
    for experiment, about in histories.items():
        if about["state"] != "complete":
            lines.append(f"{experiment}: {about['words']}.")
    older = sum(about.get("other_code", False) for about in histories.values())
    if older:
        lines.append(
            f"Measured with an earlier version of their script (Appendix A): {older} of {len(histories)} histories."
        )
    for words in dict.fromkeys(about["words"] for about in figures.values() if about["words"]):
        names = [name for name, about in figures.items() if about["words"] == words]
        lines.append(f"{'Figure' if len(names) == 1 else 'Figures'} {listed(names)}: {words}.")
    return lines


def _not_done(histories: dict[str, dict[str, Any]]) -> list[str]:
    """What the report leaves open: what is not measured, what has one seed, and what nobody tried."""
    said = []
    due = [f"{name} ({about['words']})" for name, about in histories.items() if about["state"] != "complete"]
    if due:
        said.append(f"Not complete: {listed(due)}.")
    if any(about.get("other_code") for about in histories.values()):
        said.append("Those marked \N{DAGGER} were not measured again: the changes were not meant to change results.")
    single = [
        words
        for (experiment, name), words in SINGLE.items()
        if len(((histories[experiment]["history"] or {}).get("settings", {})).get(name, ())) == 1
    ]
    if single:
        said.append(f"One seed only: {listed(single)}.")
    said.append(
        "Not tried: other orders of the batches from the same initial weights, but in 1-2.1; initial weights of "
        "another scale, but in the earlier recipe of 1-2.3; activations other than ReLU and tanh."
    )
    said.append("The earlier report's table of who did what has no counterpart.")
    return said


def _environments(histories: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
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
            "values": [
                {"value": value, "where": listed(where) if len(values) > 1 else ""} for value, where in values.items()
            ],
        }
        for name, values in items.items()
    ]


# --------------------------------------------------------------------------------------------- formatting


def duration(seconds: float) -> str:
    """12 s or 340.5 min: a column of them is compared at a glance."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def _holds(names: Sequence[str], unit: str, results: dict[str, Any]) -> bool:
    """Whether a unit's results have all of these entries."""
    return all(name in results for name in names)


SECTIONS = {  # what the report shows of a history beside its settings
    "hw1_1/function_fit": function_fit.section,
    "hw1_1/cifar10_cnn": image_nets.cifar10_cnn,
    "hw1_1/mnist_cnn": image_nets.mnist_cnn,
    "hw1_2/param_pca": param_pca.section,
    "hw1_2/grad_norm": grad_norm.section,
    "hw1_2/minimal_ratio": minimal_ratio.section,
    "hw1_2/error_surface": error_surface.section,
    "hw1_3/random_labels": random_labels.section,
    "hw1_3/param_count": param_count.section,
    "hw1_3/interpolation": interpolation.section,
    "hw1_3/sensitivity": sensitivity.section,
    "hw1_3/sharpness": sharpness.section,
}
RESULTS = {
    "hw1_1/function_fit": function_fit.is_unit,
    "hw1_1/cifar10_cnn": functools.partial(image_nets.is_unit, image_nets.LAYERS["hw1_1/cifar10_cnn"]),
    "hw1_1/mnist_cnn": functools.partial(image_nets.is_unit, image_nets.LAYERS["hw1_1/mnist_cnn"]),
    "hw1_2/param_pca": lambda unit, results: _holds(param_pca.needed(unit), unit, results),
    "hw1_2/grad_norm": functools.partial(_holds, grad_norm.NEEDED),
    "hw1_2/minimal_ratio": lambda unit, results: _holds(minimal_ratio.needed(unit), unit, results),
    "hw1_2/error_surface": functools.partial(_holds, error_surface.NEEDED),
    "hw1_3/random_labels": functools.partial(_holds, random_labels.NEEDED),
    "hw1_3/param_count": functools.partial(_holds, param_count.NEEDED),
    "hw1_3/interpolation": functools.partial(_holds, interpolation.NEEDED),
    "hw1_3/sensitivity": functools.partial(_holds, sensitivity.NEEDED),
    "hw1_3/sharpness": functools.partial(_holds, sharpness.NEEDED),
}
