"""The plot scripts and the report where something broke: the rest is done, and what is missing is named."""

import copy
import functools
import importlib
import itertools
import math
import random
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from common import figures, history, settings

import pytest
from conftest import ROOT
from matplotlib.text import Text
from test_driver import fit
from trees import NO_FILES, call, copy_with_report, left_over, refused

from report import build

sys.path.insert(0, str(ROOT / "tests" / "report"))
import scaffold

# Those with a committed history: one of a user's own may have none.
EXPERIMENTS = [each for each in build.experiments() if settings.history_path(ROOT, each).is_file()]
DRAWINGS = [name for each in EXPERIMENTS for name in build.drawings_of(each)]


def shown(root: Path, scale: str = "paper") -> str:
    """The text of the report of this tree."""
    return scaffold.text_of(build.build(root, scale).project)


# ------------------------------------------------------------------------------------ faults of histories


@functools.cache
def committed(experiment: str) -> dict[str, Any]:
    """The history of the paper run."""
    return history.read(settings.history_path(ROOT, experiment))


def reduced(kept: dict[str, Any], units: set[str]) -> dict[str, Any]:
    """The history as it was when only these units were measured."""
    records = {unit: record if unit in units else None for unit, record in kept["units"].items()}
    results = {unit: kept["results"][unit] for unit in kept["results"] if unit in units}
    return kept | {"units": records, "results": results, "complete": all(records.values())}


def half(kept: dict[str, Any]) -> dict[str, Any]:
    """The history with every second unit of it, which is partial in any case."""
    partial = reduced(kept, set(list(kept["results"])[::2]))
    if partial["complete"]:
        partial = copy.deepcopy(partial)
        partial["units"]["another"], partial["complete"] = None, False
    return partial


def from_sample(kept: dict[str, Any]) -> dict[str, Any]:
    return kept | {"data": {"name": "sample", "fingerprint": "5a", "source": "4,000 digits of the sample"}}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def put_fault(fault: str, path: Path, experiment: str) -> str:
    """Put a history with a fault at `path`; what the report says of it (a pattern)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if fault in NO_FILES:
        NO_FILES[fault](path)
        return "unreadable: it is not a regular file"
    whole = settings.history_path(ROOT, experiment).read_bytes()
    kept = committed(experiment)
    other = EXPERIMENTS[EXPERIMENTS.index(experiment) - 2]  # the one before may look alike
    foreign = settings.history_path(ROOT, other).read_bytes()
    content, words = {
        "missing": (None, "nothing measured yet"),
        "empty": (b"", "unreadable: it has no checksum line"),
        "truncated": (whole[: len(whole) // 2], "unreadable: it has no checksum line"),
        "flipped": (flipped(whole, len(whole) // 3), "unreadable: its checksum does not match"),
        "other scale": (kept | {"scale": "quick"}, f"unreadable: the file holds {experiment} at quick scale"),
        "foreign": (foreign, f"unreadable: the file holds {other} at paper scale"),
        "renamed": (committed(other) | {"experiment": experiment}, "unreadable: its results are not those of this exp"),
        "nothing measured": (reduced(kept, set()), "nothing measured yet"),
        "partial": (half(kept), r"partial: \d+ of \d+ units"),
        "sample": (from_sample(kept), rf"Sample data in {experiment}: 4,000 digits of the sample"),
    }[fault]
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else history.encode(content))
    return words


HISTORY_FAULTS = (
    *("missing", "truncated", "partial", "other scale", "flipped", "foreign", "sample", "empty", "renamed"),
    *("nothing measured", "folder", "pipe"),
)


def gather_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report gathers its numbers once a tree, although its bytes and its text are asked for."""
    gather, kept = build.gather, {}

    def once(root: Path, *others: Any, **named: Any) -> Any:
        if root not in kept:
            kept[root] = gather(root, *others, **named)
        return kept[root]

    monkeypatch.setattr(build, "gather", once)


# --------------------------------------------------------------------------------------- faults of figures

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="453.6pt" height="200pt"><path d="M0 0 L400 100"/>%s</svg>'
BOMB = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(12))


def put_figure(fault: str, path: Path) -> str:
    """Put a drawing with a fault at `path`; what the report says of it."""
    if fault in NO_FILES:
        NO_FILES[fault](path)
        return "not drawn yet"
    if fault == "large":
        path.write_text(SVG % ("<!-- " + "x" * 21_000_000 + " -->"))
        return "unreadable: larger than 20 MB"
    contents, words = {
        "missing": (None, "not drawn yet"),
        "empty": ("", "unreadable: "),
        "truncated": (SVG[:90], "unreadable: "),
        "a web page": ("<html><body/></html>", "unreadable: "),
        "binary": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "unreadable: "),
        "billion laughs": (f'<!DOCTYPE svg [<!ENTITY l0 "ha">{BOMB}]>' + SVG % "<text>&l12;</text>", "unreadable: "),
        "no size": (SVG.replace("453.6pt", "-1") % "", "unreadable: "),
        "another's": (SVG % "", "not as its plot script left it"),
        "a file it names": (SVG % '<image href="/etc/passwd" width="9" height="9"/>', "unreadable: failed to load"),
        "a program": (SVG % "<script>while (true) {}</script>", "not as its plot script left it"),
    }[fault]
    if contents is not None:
        path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    return words


FIGURE_FAULTS = (
    *("missing", "empty", "truncated", "a web page", "binary", "billion laughs", "no size", "another's"),
    *("a file it names", "a program", "folder", "pipe", "endless", "large"),
)


def test_the_report_is_built_whatever_a_history_or_a_figure_is_and_says_so(tmp_path, monkeypatch, record_property):
    gather_once(monkeypatch)
    figure_cases = 0
    for turn in range(0, len(HISTORY_FAULTS), 2):
        root = tmp_path / f"tree {turn}"
        (root / "figures").mkdir(parents=True)
        expected = {}
        for place, experiment in enumerate(EXPERIMENTS):
            fault = HISTORY_FAULTS[(place + turn) % len(HISTORY_FAULTS)]
            words = put_fault(fault, settings.history_path(root, experiment), experiment)
            expected[experiment] = (fault, words if fault == "sample" else f"{experiment}: {words}")
        drawn = {}
        for place, name in enumerate(DRAWINGS):
            fault = FIGURE_FAULTS[(place + turn) % len(FIGURE_FAULTS)]
            drawn[name] = put_figure(fault, root / "figures" / f"{name}.svg")
            figure_cases += 1
        assert build.build(root, "paper").pdf.startswith(b"%PDF-"), turn
        text = shown(root)
        assert "Read this first" in text
        for experiment, (fault, words) in expected.items():
            assert re.search(words, text), (experiment, fault)
        numbers = build.gather(root)[0]
        for name, words in drawn.items():
            assert numbers["figures"][name]["words"].startswith(words), name
            assert re.search(rf"Figures? [^:]*\b{name}\b", text), name
        assert str(tmp_path) not in text
        shutil.rmtree(root)
    record_property("cases", len(HISTORY_FAULTS) // 2 * len(EXPERIMENTS) + figure_cases)


def test_the_report_command_exits_as_documented_among_faults(tmp_path, record_property):
    root = copy_with_report(tmp_path)
    for place, experiment in enumerate(EXPERIMENTS):
        put_fault(HISTORY_FAULTS[place % len(HISTORY_FAULTS)], settings.history_path(root, experiment), experiment)
    command, pdf = (root / "report" / "build.py", "--scale", "paper"), root / "report" / "hw1.pdf"
    assert call(*command, "--check").stdout == "due: no report yet\n"
    built = call(*command)
    assert (built.returncode, built.stderr, built.stdout) == (0, "", f"report: {pdf}\n")
    assert call(*command, "--check").returncode == 0
    pdf.write_bytes(pdf.read_bytes()[:1000])
    checked = call(*command, "--check")
    assert (checked.returncode, checked.stdout) == (1, "due: it carries no stamp of its sources\n")
    pdf.unlink()
    pdf.mkdir()
    refused(call(*command), "hw1.pdf")
    assert not left_over(root)
    pdf.rmdir()
    (root / "report" / "hw1.typ").write_text("#panic()")
    refused(call(*command), "typst cannot build the report: ")
    assert not pdf.exists()
    undrawable = [(each, HISTORY_FAULTS[place]) for place, each in enumerate(EXPERIMENTS)]
    for experiment, fault in [each for each in undrawable if each[1] not in DRAWABLE][:3]:
        done = call(root / f"{fit(experiment)}.py", "--scale", "paper")
        assert (done.returncode, done.stdout) == (1, ""), fault
        assert done.stderr.splitlines()[-1].startswith("error: ") and done.stderr.count("\n") <= 2, fault
    record_property("cases", 9)


# ------------------------------------------------------------------------------------------- plot scripts

DRAWABLE = ("partial", "sample", "other scale", "renamed")  # these are drawn, or their results are named as unusable


def plot_script(experiment: str) -> ModuleType:
    """The plot script of an experiment as a module."""
    return importlib.import_module(fit(experiment).replace("/", "."))


def test_a_plot_script_gives_one_message_for_what_cannot_be_drawn(tmp_path, monkeypatch, capsys, record_property):
    faults = [fault for fault in HISTORY_FAULTS if fault not in DRAWABLE]
    for experiment, fault in itertools.product(EXPERIMENTS, faults):
        path = settings.history_path(tmp_path / f"{fault} {experiment.replace('/', ' ')}", experiment)
        put_fault(fault, path, experiment)
        for flags in ((), ("--check",)):
            monkeypatch.setattr(sys, "argv", ["plot.py", "--history", str(path), *flags])
            with pytest.raises((settings.Problem, SystemExit)) as ending:
                plot_script(experiment).main()
            if flags:
                said = capsys.readouterr().out
                assert ending.value.code == 1 and said.count("\n") == 1, (experiment, fault)
                assert said.startswith(("due: ", "unreadable: ")), (experiment, fault)
            else:
                assert isinstance(ending.value, settings.Problem), (experiment, fault)
                assert str(path) in str(ending.value) and "\n" not in str(ending.value)
        assert not list(path.parents[2].glob("figures/*"))
    record_property("cases", 2 * len(EXPERIMENTS) * len(faults))


def with_gaps(value: Any, chance: random.Random) -> Any:
    """The value with one number of fifty that is NaN or infinite."""
    if isinstance(value, dict):
        return {name: with_gaps(item, chance) for name, item in value.items()}
    if isinstance(value, list):
        return [with_gaps(item, chance) for item in value]
    return chance.choice([math.nan, math.inf, -math.inf]) if type(value) is float and chance.random() < 0.02 else value


# With gaps NumPy and matplotlib warn of sums and limits.
@pytest.mark.parametrize("gaps", [False, pytest.param(True, marks=pytest.mark.filterwarnings("ignore"))])
def test_a_plot_script_draws_what_is_there_and_says_how_much_of_it(tmp_path, monkeypatch, record_property, gaps):
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(figures.Drawing, "save", lambda drawing, name, figure: drawn.update({name: figure}))
    chance = random.Random(12)
    for experiment in EXPERIMENTS:
        kept = committed(experiment)
        if gaps:
            kept = kept | {"results": with_gaps(kept["results"], chance)}
        path = settings.history_path(tmp_path, experiment)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(history.encode(from_sample(half(kept)) | {"scale": "quick"}))
        monkeypatch.setattr(sys, "argv", ["plot.py", "--history", str(path)])
        plot_script(experiment).main()
    assert set(drawn) >= set(DRAWINGS)
    for name, figure in drawn.items():
        said = figure.get_suptitle()
        assert "quick scale" in said and "sample data" in said, name
        words = " ".join(each.get_text() for each in figure.findobj(Text))
        assert re.search(r"\bof \d+|not measured|\bmeasured: ", words), f"{name}: {words}"
        if gaps:
            figure.draw_without_rendering()
        else:
            assert figures.encode(figure, ".svg", "history x").startswith(b"<?xml"), name
    if gaps:
        assert build.build(tmp_path, "quick").pdf.startswith(b"%PDF-")
    record_property("cases", len(drawn))
