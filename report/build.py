"""Builds the report PDF from the histories and figures of one scale.

    python report/build.py                    the paper scale where it has a history, else quick
    python report/build.py --scale quick      out/quick/report/hw1.pdf, from what the quick scale measured
    python report/build.py --check            says whether the report is up to date, and builds nothing
    python report/build.py --strict           fails where the histories contradict a sentence, and writes nothing

Prose stands in sections/NAME.typ; facts/NAME.py turns the history of NAME into the numbers, guards and tables that it
shows. Each experiment of run_all.sh that has both gets a section. See README.md beside this file for how to write one.
At paper scale the README's tables of verdicts and results are written as well, where there is a README.
Any history or figure may be missing: the report then says so in its place and in a box on its first page.
"""

import argparse
import functools
import hashlib
import importlib
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

from report import histories, readme
from report.facts import plain

HERE = Path(__file__).resolve().parent
README = ROOT / "README.md"
LISTED = re.compile(r'^experiments="([^"]*)"', re.MULTILINE)  # in run_all.sh
BESIDE = re.compile(r"^from (hw1_\d) import (\w+)", re.MULTILINE)  # in facts
SHOWN = re.compile(r'\bfig\(\s*"(\w+)"')  # in a section: the drawings that it places
STAMP = "made-from-"
LARGEST_REPORT = 50 * history.MEGABYTE


def experiments() -> tuple[str, ...]:
    """hw1_1/function_fit and so on, in the order of run_all.sh."""
    listed = LISTED.search((ROOT / "run_all.sh").read_text("utf-8"))
    return tuple(listed[1].split()) if listed else ()


def reported(root: Path) -> tuple[str, ...]:
    """Those that the report of the tree at `root` mentions: all but experiments with neither section nor history."""
    return tuple(each for each in experiments() if section_file(each) or settings.history_path(root, each).is_file())


def section_file(experiment: str) -> str:
    """The layout file of an experiment's section, relative to `report`; empty where it has none."""
    name = experiment.split("/")[1]
    both = HERE / "facts" / f"{name}.py", HERE / "sections" / f"{name}.typ"
    return f"sections/{name}.typ" if all(path.is_file() for path in both) else ""


def drawings_of(experiment: str) -> tuple[str, ...]:
    """Names of the figures that an experiment's section places."""
    file = section_file(experiment)
    return tuple(SHOWN.findall((HERE / file).read_text("utf-8"))) if file else ()


def sources() -> dict[str, bytes]:
    """The layout's files by name."""
    found = [path for pattern in ("*.typ", "*/*.typ", "*.bib") for path in HERE.glob(pattern)]
    return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in sorted(found)}


def stamp(root: Path, scale: str) -> str:
    """SHA-256 over all that decides the report's bytes: histories, figures, layout, code, typst's version."""
    try:
        version = importlib.metadata.version("typst")
    except importlib.metadata.PackageNotFoundError:
        raise Problem("typst is not installed: pip install -r requirements.txt") from None
    inputs = [settings.history_path(root, experiment) for experiment in reported(root)]
    inputs += [root / "figures" / f"{name}.svg" for experiment in reported(root) for name in drawings_of(experiment)]
    facts = sorted(HERE.rglob("*.py"))
    beside = {match for path in facts for match in BESIDE.findall(path.read_text("utf-8"))}
    code = [*facts, *(ROOT / folder / f"{name}.py" for folder, name in sorted(beside)), ROOT / "common" / "reading.py"]
    scripts = [ROOT / f"{experiment}.py" for experiment in reported(root)]  # "made by other code" stands in the report
    parts = [scale, version, *(f"{path.relative_to(root)} {_digest(path)}" for path in inputs)]
    parts += [f"{name} {hashlib.sha256(content).hexdigest()}" for name, content in sources().items()]
    parts += [f"{path.parent.name}/{path.name} {_digest(path)}" for path in code]
    parts += [history.code_hash(script) if script.is_file() else "no script" for script in scripts]
    return STAMP + hashlib.sha256("\n".join(parts).encode()).hexdigest()


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


def gather(root: Path, scale: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    """What the report shows of the tree at `root`, and the bytes of the figures it places ({name: SVG})."""
    about = {experiment: histories.read(root, scale, experiment) for experiment in reported(root)}
    sections = {experiment.split("/")[1]: _section(experiment, each) for experiment, each in about.items()}
    claims = [
        claim | {"section": name}
        for name, section in sections.items()
        if section["facts"]
        for claim in section["facts"]["claims"]
    ]
    figures, drawings = {}, {}
    for experiment in reported(root):
        folder, name = experiment.split("/")
        for each in drawings_of(experiment):
            path, measured = root / "figures" / f"{each}.svg", settings.history_path(root, experiment)
            content, words = histories.figure(path, measured)
            figures[each] = {"there": content is not None, "words": words, "script": f"{folder}/plot_{name}.py"}
            if content is not None:
                drawings[each] = content
    read = [each["history"] for each in about.values() if each["history"]]
    shown = {
        "scale": scale,
        "measured": max(map(histories.newest, read), default=""),
        "data": sorted({found["data"]["name"] for found in read} - {"computed"}),
        "claims": sorted(claims, key=lambda claim: (len(claim["name"]), claim["name"])),  # C2 before C10
        "sections": sections,
        "figures": figures,
        "histories": [{key: value for key, value in each.items() if key != "history"} for each in about.values()],
    }
    return shown, drawings


def _section(experiment: str, about: dict[str, Any]) -> dict[str, Any]:
    """What the layout shows of one experiment; `facts` is None where there is no usable history.

    Where the results are not those of the experiment, `about` is changed to say so.
    """
    folder, name = experiment.split("/")
    text, facts = section_file(experiment), None
    if about["history"] and text:
        try:
            facts = importlib.import_module(f"report.facts.{name}").facts(about["history"])
            if not any(facts["tables"].values()) and set(facts["guards"].values()) <= {None}:
                raise Problem("nothing in it is measured")
            facts = plain(facts | {"settings": about["history"]["settings"]})
        except (Problem, LookupError, TypeError, ValueError) as error:  # lists that do not fit together among them
            facts, why = None, f" ({type(error).__name__}: {error})" * (not isinstance(error, Problem))
            about |= histories.unreadable(f"its results are not those of this experiment{why}")
    return {"folder": folder, "text": text, "facts": facts, "state": about["state"], "words": about["words"]}


class Built(NamedTuple):
    """A report: the PDF, and what typst made it of."""

    pdf: bytes
    numbers: dict[str, Any]
    project: dict[str, bytes]


def build(root: Path, scale: str) -> Built:
    """The report of the tree at `root`; Problem where typst cannot make it. The same inputs give the same bytes."""
    import typst

    mark = stamp(root, scale)
    numbers, drawings = gather(root, scale)
    project = inputs(numbers, drawings, mark)
    newest = datetime.fromisoformat(numbers["measured"] or "1970-01-01T00Z").timestamp()
    try:
        pdf, warnings = typst.compile_with_warnings(
            project, format="pdf", ignore_system_fonts=True, timestamp=max(0, int(newest))
        )
    except typst.TypstError as error:
        why = (error.diagnostic or error.message).strip().partition("\n")[0]
        raise Problem(f"typst cannot build the report: {why}") from None
    if warnings:
        raise Problem(f"typst warns about the report: {warnings[0].message.strip()}")
    return Built(pdf, numbers, project)


def inputs(numbers: dict, drawings: dict[str, bytes], mark: str) -> dict[str, bytes]:
    """The files typst sees, in memory: layout, numbers, figures."""
    project = sources()
    main = {"main.typ": project.pop("hw1.typ")}  # the name that typst starts with
    encoded = json.dumps(numbers | {"stamp": mark}, allow_nan=False).encode()
    return main | project | {"numbers.json": encoded, **{f"figures/{name}.svg": svg for name, svg in drawings.items()}}


def noted(project: dict[str, bytes], label: str) -> list[dict[str, Any]]:
    """What the layout notes under a label.

    `withheld`: sentences that are not shown, by section and guard, and whether what the guard reads is measured.
    `finding`: sentences of the first page that are borne out, as typst describes them, each with its figure's name.
    `evidence`: a sentence for each claim, as typst describes it, with the claim's name.
    `page`: the page on which each section begins.
    """
    import typst

    return [item["value"] for item in json.loads(typst.query(project, f"<{label}>", ignore_system_fonts=True))]


def main() -> None:
    arguments = _arguments()
    with_history = [each for each in experiments() if settings.history_path(settings.tree("paper"), each).exists()]
    scale = arguments.scale or ("paper" if with_history else "quick")
    if not arguments.scale:
        reason = "it has histories" if with_history else "no history of paper scale yet"
        print(f"report: {scale} scale ({reason})", file=sys.stderr)
    root = settings.tree(scale)
    path = root / "report" / "hw1.pdf"
    if arguments.strict:
        check_prose(root, scale)
        return
    there, mark = stamped(path), stamp(root, scale)
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
        shown = readme.with_results(text, built.numbers, functools.partial(noted, built.project), mark)
        files.write_atomically(README, shown.encode())
    files.write_atomically(path, built.pdf)
    print(f"report: {path}")


def check_prose(root: Path, scale: str) -> None:
    """Problem where the histories contradict a sentence. What they leave open is only listed: it may need new runs."""
    held = noted(inputs(*gather(root, scale), mark="none"), "withheld")
    against, open_ = (
        ", ".join(dict.fromkeys(f"{item['section']}: {item['guard']}" for item in held if item["measured"] is measured))
        for measured in (True, False)
    )
    if open_:
        print(f"report: not measured, or not settled: {open_}", file=sys.stderr)
    if against:
        raise Problem(f"the histories contradict sentences of the report ({against}): correct its prose")
    print("report: the histories contradict no sentence")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--scale", choices=("quick", "paper"), help="whose histories to report")
    parser.add_argument("--check", action="store_true", help="say whether the report is up to date, and stop")
    parser.add_argument("--force", action="store_true", help="build it even if it is up to date")
    parser.add_argument("--strict", action="store_true", help="only check that the histories contradict no sentence")
    return parser.parse_args()


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
