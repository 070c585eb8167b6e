"""Builds the report PDF from the histories and figures of one scale.

    python report/build.py                    the paper scale where it has a history, else quick
    python report/build.py --scale quick      out/quick/report/hw1.pdf, from what the quick scale measured
    python report/build.py --check            says whether the report is up to date, and builds nothing

At paper scale the README's tables of verdicts and results are written as well, where there is a README.
Any history or figure may be missing: the report then says so in its place and in a box on its first page.
"""

import argparse
import hashlib
import importlib.metadata
import json
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import files, history, settings
from common.settings import ROOT, Problem

from report import measured, readme

HERE = Path(__file__).resolve().parent
README = ROOT / "README.md"
BESIDE = [  # make its numbers
    *(ROOT / "hw1_3" / name for name in ("batch_nets.py", "measures.py", "ten_nets.py")),
    *(ROOT / "common" / name for name in ("figures.py", "reading.py")),
]
STAMP = "made-from-"
LARGEST_REPORT = 50 * history.MEGABYTE


def sources() -> dict[str, bytes]:
    """The layout's files by name."""
    return {path.name: path.read_bytes() for path in sorted([*HERE.glob("*.typ"), *HERE.glob("*.bib")])}


def stamp(root: Path, scale: str, code: Path = ROOT) -> str:
    """SHA-256 over all that decides the report's bytes: histories, figures, layout, code, typst's version."""
    paths = [settings.history_path(root, experiment) for experiment in measured.EXPERIMENTS]
    paths += [root / "figures" / f"{name}.svg" for names in measured.FIGURES.values() for name in names]
    try:
        version = importlib.metadata.version("typst")
    except importlib.metadata.PackageNotFoundError:
        raise Problem("typst is not installed: pip install -r requirements.txt") from None
    digest = hashlib.sha256(f"{scale}\n{version}\n".encode())
    for path in paths:
        digest.update(f"{path.relative_to(root)}\n{_digest(path)}\n".encode())
    code_files = {path.name: path.read_bytes() for path in [*sorted(HERE.glob("*.py")), *BESIDE]}
    for name, content in (sources() | code_files).items():
        digest.update(f"{name}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    for experiment in measured.EXPERIMENTS:  # "made by other code" stands in the report
        script = code / f"{experiment}.py"
        digest.update((history.code_hash(script) if script.is_file() else "no script").encode())
    return STAMP + digest.hexdigest()


def _digest(path: Path) -> str:
    try:
        return files.sha256(path) if path.is_file() else "absent"
    except OSError as error:
        return f"unreadable: {error.strerror}"


def stamped(report: Path) -> str | None:
    """The stamp in the keywords of a report PDF; None where there is no report or it carries none."""
    try:
        if not report.is_file() or report.stat().st_size > LARGEST_REPORT:
            return None
        found = re.search(rb"/Keywords\([^)]*(" + STAMP.encode() + rb"[0-9a-f]{64})", report.read_bytes())
    except OSError:
        return None
    return found[1].decode() if found else None


class Built(NamedTuple):
    """A report: the PDF, and the numbers that it shows."""

    pdf: bytes
    numbers: dict[str, Any]


def build(root: Path, scale: str, code: Path = ROOT) -> Built:
    """The report of the tree at `root`; Problem where typst cannot make it. The same inputs give the same bytes."""
    import typst

    mark = stamp(root, scale, code)
    numbers, drawings = measured.gather(root, scale, code, objection)
    project = inputs(numbers, drawings, mark)
    try:
        pdf, warnings = typst.compile_with_warnings(
            project, format="pdf", ignore_system_fonts=True, timestamp=moment(numbers)
        )
    except typst.TypstError as error:
        raise Problem(f"typst cannot build the report: {one_line(error.diagnostic or error.message)}") from None
    if warnings:
        raise Problem(f"typst warns about the report: {one_line(warnings[0].message)}")
    return Built(pdf, numbers)


def inputs(numbers: dict, drawings: dict[str, bytes], mark: str) -> dict[str, bytes]:
    """The files typst sees, in memory: layout, numbers, figures."""
    project = sources()
    main = {"main.typ": project.pop("hw1.typ")}  # the name that typst starts with
    encoded = json.dumps(numbers | {"stamp": mark}, allow_nan=False).encode()
    return main | project | {"numbers.json": encoded, **{f"figures/{name}.svg": svg for name, svg in drawings.items()}}


def moment(numbers: dict) -> int:
    """The newest history's time, which stands for now, in seconds since 1970."""
    return max(0, int(datetime.fromisoformat(numbers["measured"]).timestamp())) if numbers["measured"] else 0


def objection(content: bytes) -> str:
    """Why typst cannot draw this SVG; empty if it can."""
    import typst

    page = b'#set page(width: auto, height: auto)\n#image("figure.svg")'
    try:
        typst.compile({"main.typ": page, "figure.svg": content}, ignore_system_fonts=True)
    except typst.TypstError as error:
        return one_line(error.message)
    return ""


def one_line(text: str) -> str:
    """The first line of a message that may have many."""
    return text.strip().splitlines()[0] if text.strip() else "no reason given"


def main() -> None:
    arguments = _arguments()
    scale = arguments.scale or ("paper" if _measured_at("paper") else "quick")
    root = settings.tree(scale)
    path = root / "report" / "hw1.pdf"
    if not arguments.scale:
        reason = "it has histories" if scale == "paper" else "no history of paper scale yet"
        print(f"report: {scale} scale ({reason})", file=sys.stderr)
    there = stamped(path)
    mark = stamp(root, scale)
    text = README.read_text("utf-8") if scale == "paper" and README.is_file() else None
    fresh = there == mark and (text is None or readme.stamp_of(text) == mark)
    if arguments.check:
        print(f"up to date ({_measured_on(path)})" if fresh else f"due: {_because(path, there, mark)}")
        raise SystemExit(0 if fresh else 1)
    if fresh and not arguments.force:
        print(f"report: up to date: {path}")
        return
    built = build(root, scale)
    states = built.numbers["histories"]
    lost = [f"{about['experiment']}: {about['words']}" for about in states if about["state"] == "unreadable"]
    if lost and there and not arguments.force:
        raise Problem(
            f"{path} stays as it is, with numbers that would be lost: {'; '.join(lost)}; restore the history "
            f"(git checkout) or measure it again (its script with --force), or build without it (--force)"
        )
    if text is not None:
        files.write_atomically(README, readme.with_results(text, built.numbers, mark).encode())
    files.write_atomically(path, built.pdf)
    print(f"report: {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--scale", choices=("quick", "paper"), help="whose histories to report")
    parser.add_argument("--check", action="store_true", help="say whether the report is up to date, and stop")
    parser.add_argument("--force", action="store_true", help="build it even if it is up to date")
    return parser.parse_args()


def _measured_at(scale: str) -> bool:
    tree = settings.tree(scale)
    return any(settings.history_path(tree, experiment).exists() for experiment in measured.EXPERIMENTS)


def _measured_on(path: Path) -> str:
    """The newest history's date, which is the PDF's."""
    found = re.search(rb"/ModDate\(D:(\d{4})(\d\d)(\d\d)", path.read_bytes())
    if found is None or found[1] == b"1970":
        return "nothing measured yet"
    return "measured " + "-".join(part.decode() for part in found.groups())


def _because(path: Path, there: str | None, wanted: str) -> str:
    if not path.exists():
        return "no report yet"
    if there == wanted:
        return "README's tables are of another report"
    return "it carries no stamp of its sources" if there is None else "histories, figures or the report's code changed"


if __name__ == "__main__":
    with settings.one_message():
        main()
