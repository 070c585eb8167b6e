"""From a history to figure files: what is due, and files that carry a stamp of what they were drawn from.

Each figure is an SVG for the report and a PNG for the screen. Both carry a stamp: checksums of the history and of
the code that drew it, and matplotlib's version. Where the stamp fits, nothing is drawn; no matplotlib is loaded.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import io
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import files, history, provenance, settings, signals

SHEET = Path(__file__).with_name("hw1.mplstyle")
LOOK = [Path(__file__).with_name(name) for name in ("figures.py", "reading.py")]  # they and the sheet decide the look
SUFFIXES = (".svg", ".png")


@dataclass(frozen=True)
class Drawing:
    """What one call of a plot script has to draw."""

    history: dict[str, Any]
    folder: Path  # takes the figures
    stamp: str  # of everything that the figures are made from
    due: tuple[str, ...]  # names of the figures to draw

    def save(self, name: str, figure: Any) -> None:
        """Write the figure as NAME.svg and NAME.png and print their paths; the same figure gives the same bytes."""
        for suffix in SUFFIXES:
            path = self.folder / f"{name}{suffix}"
            files.write_atomically(path, encode(figure, suffix, self.stamp))
            figure.set_layout_engine("none")  # the next format keeps this layout, which takes longer than drawing
            print(path)


def start(script: str, description: str, names: Iterable[str]) -> Drawing:
    """Read the command line, find the history, and say which of the figures `names` are due.

    script: the caller's `__file__`. Sets the style where something is due; else prints so and exits with 0.
    Exits after --check. Problem where there is no history, or it cannot be read.
    """
    arguments = _parse(description)
    experiment = settings.experiment_of(script)
    path, why = _find(experiment, arguments)
    folder = path.parents[2] / "figures"
    names = tuple(names)
    if not path.is_file():
        if arguments.check:
            print("due: nothing measured yet")
            raise SystemExit(1)
        remedy = f"run {experiment}.py first" if arguments.history is None else "check the path"
        raise settings.Problem(f"{path}: no history: {remedy}")
    made_from = _made_from(Path(script), path)
    reasons = {name: reason for name in names if (reason := _why_due(folder, name, made_from))}
    measured = "" if reasons else stamp_of(folder / f"{names[0]}{SUFFIXES[0]}").rpartition("; ")[2]
    if arguments.check:
        print(_state(path, measured, reasons))
        raise SystemExit(bool(reasons))
    if not reasons and not arguments.force:
        print(f"{experiment}: figures of {why} are up to date ({measured}); --force redraws", file=sys.stderr)
        raise SystemExit(0)
    print(f"{experiment}: drawing {why}", file=sys.stderr)
    loaded = history.read(path)
    if loaded["experiment"] != experiment:
        raise settings.Problem(f"{path}: this history is of {loaded['experiment']}, not of {experiment}")
    if not loaded["results"]:
        raise settings.Problem(f"{path}: nothing in this history is measured yet: run {experiment}.py")
    use_style()
    stamp = f"{made_from}; measured {history.measured_on(loaded)}"
    return Drawing(loaded, folder, stamp, names if arguments.force else tuple(reasons))


def _parse(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--scale", choices=("quick", "paper"), help="whose history to draw (default: paper where there is one)"
    )
    source.add_argument(
        "--history", type=Path, metavar="FILE", help="draw TREE/hw1_x/history/FILE.pkl into TREE/figures instead"
    )
    parser.add_argument("--force", action="store_true", help="draw again what is up to date")
    parser.add_argument("--check", action="store_true", help="say whether the figures are up to date, and stop")
    return parser.parse_args()


def _find(experiment: str, arguments: argparse.Namespace) -> tuple[Path, str]:
    """Where the history is, and in words which one it is and why."""
    if arguments.history is not None:
        path = settings.absolute(arguments.history)
        if path.parent.name != "history" or len(path.parents) < 3:
            raise settings.Problem(f"{path}: a history lies in TREE/hw1_x/history, so that figures go to TREE/figures")
        return path, str(path)
    if arguments.scale:
        return settings.history_path(settings.tree(arguments.scale), experiment), f"the {arguments.scale} history"
    paper = settings.history_path(settings.tree("paper"), experiment)
    if paper.is_file():
        return paper, "the paper history"
    return settings.history_path(settings.tree("quick"), experiment), "the quick history, as there is no paper history"


def _made_from(script: Path, path: Path) -> str:
    """Checksums of all that decides how the figures look."""
    try:
        matplotlib = importlib.metadata.version("matplotlib")
    except importlib.metadata.PackageNotFoundError:
        raise settings.Problem("matplotlib is not installed: pip install -r requirements.txt") from None
    try:
        data = files.sha256(path)
    except OSError as error:
        raise settings.Problem(f"{path}: {error.strerror}: check the disk and the permissions") from None
    look = b"".join(path.read_bytes() for path in (SHEET, *LOOK))
    code = hashlib.sha256(provenance.code_hash(script).encode() + look).hexdigest()
    return f"history {data}; code {code}; matplotlib {matplotlib}"


def _why_due(folder: Path, name: str, made_from: str) -> str:
    """Why the figure must be drawn; empty if it need not."""
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if not path.is_file():
            return f"{path.name} is not drawn yet"
        try:
            carried = dict(part.split(" ", 1) for part in stamp_of(path).split("; "))
        except ValueError as error:
            return f"{path.name} is damaged or not ours ({error})"
        for part in made_from.split("; "):
            subject, wanted = part.split(" ", 1)
            if carried.get(subject) != wanted:
                causes = {"history": "was drawn from another history", "code": "is by other code"}
                return f"{path.name} {causes.get(subject, f'is by another {subject}')}"
    return ""


def _state(path: Path, measured: str, reasons: dict[str, str]) -> str:
    """One line for --check."""
    if not reasons:
        return f"up to date ({measured})"
    try:
        history.read(path)
    except history.UnreadableError as problem:
        return f"unreadable: {problem}"
    return f"due: {next(iter(reasons.values()))}"


def encode(figure: Any, suffix: str, stamp: str) -> bytes:
    """The bytes of a figure file that carries `stamp`. suffix: .svg or .png."""
    ours = {".svg": {"Date": None, "Creator": None}, ".png": {"Software": None}}[suffix]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix[1:], metadata={**ours, "Description": stamp})
    content = buffer.getvalue()
    if suffix == ".png":  # its chunks have checksums already
        return content
    return content + f"<!-- sha256:{hashlib.sha256(content).hexdigest()} -->\n".encode()


def stamp_of(path: Path) -> str:
    """The stamp in a figure file; ValueError where the file is damaged or has none."""
    content = path.read_bytes()
    if path.suffix == ".svg":
        body, _, checksum = content.rpartition(b"<!-- sha256:")
        if checksum != hashlib.sha256(body).hexdigest().encode() + b" -->\n":
            raise ValueError("its checksum is wrong")
        described = re.search(rb"<dc:description>([^<]*)</dc:description>", body)
        stamp = described[1].decode("latin-1") if described else ""
    else:
        from PIL import Image  # which matplotlib requires

        try:
            with Image.open(io.BytesIO(content)) as image:
                stamp = image.info.get("Description", "")
                image.verify()  # compares its checksums
        except Exception:  # of many kinds on a broken file
            raise ValueError("it is not a whole PNG") from None
    if not stamp.startswith("history "):
        raise ValueError("it has no stamp")
    return stamp


def use_style() -> None:
    """Make matplotlib forget any matplotlibrc and use our sheet; no window is opened and none is needed."""
    if signals.prepared:  # a notebook keeps its own choices
        os.environ["MPLBACKEND"] = "Agg"
        os.environ["MATPLOTLIBRC"] = str(SHEET)
        os.environ["MPLCONFIGDIR"] = str(settings.ROOT / "out" / "matplotlib")  # its list of fonts: not in the home
    with contextlib.chdir(SHEET.parent):  # a matplotlibrc in the working folder would come first
        import matplotlib

    matplotlib.rc_file(SHEET)
