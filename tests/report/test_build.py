"""The report: built whatever is missing or damaged, the same bytes from the same histories, what is withheld named."""

import functools
import hashlib
import importlib
import json
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import history, settings

import pytest
import scaffold
import test_facts_param_count

from report import build, readme
from report.facts import plain

ROOT = Path(__file__).resolve().parents[2]
NAMES = [each.split("/")[1] for each in build.experiments() if build.section_file(each).startswith("sections/")]
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" xmlns:dc="http://purl.org/dc/elements/1.1/" width="9pt">%s</svg>'


def sizes(**changes: Any) -> dict[str, Any]:
    return test_facts_param_count.history(**changes)


def put(root: Path, *kept: dict[str, Any]) -> Path:
    """Write histories where the report looks for them; the last one's path."""
    for each in kept:
        path = settings.history_path(root, each["experiment"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(history.encode(each))
    return path


def draw(root: Path, content: bytes = b'<path d="M0 0 L400 100"/>') -> None:
    """A drawing for every figure, without the stamp that a plot script leaves."""
    (root / "figures").mkdir(parents=True, exist_ok=True)
    for experiment in build.experiments():
        for name in build.drawings_of(experiment):
            (root / "figures" / f"{name}.svg").write_bytes(SVG % content)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    put(tmp_path, sizes())
    draw(tmp_path)
    return tmp_path


def parts_of(pdf: bytes) -> Iterator[bytes]:
    """The file, and its streams unpacked."""
    yield pdf
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            yield zlib.decompressobj().decompress(found[1])
        except zlib.error:
            continue


# ----------------------------------------------------------------------------------------------- the document


def test_the_pdf_has_outline_language_tags_and_embedded_fonts(tree: Path) -> None:
    built = build.build(tree, "paper")
    parts = b"\n".join(parts_of(built.pdf))
    for entry in (b"/Title(MLDS homework 1, Keras edition)", b"/Lang(en", b"/StructTreeRoot", b"/Outlines", b"/Alt"):
        assert entry in parts, entry
    fonts = re.findall(rb"/FontName/([\w+-]+)", parts)
    assert fonts and all(b"+" in font for font in fonts)  # the mark of an embedded subset
    assert len(re.findall(rb"/FontFile[23]? ", parts)) == len(set(fonts))
    assert built.pdf == build.build(tree, "paper").pdf
    headings = scaffold.text_of(built.project, ("heading",))
    for words in ("Deep versus shallow", "Optimization", "Generalization", "Number of parameters", "Discussion"):
        assert words in headings, words


def empty_facts(name: str) -> dict[str, Any]:
    """The facts of a history without results."""
    experiment = next(each for each in build.experiments() if each.endswith(f"/{name}"))
    nothing = scaffold.made_up(experiment, {}, units=("deep/seed-0",))
    return plain(importlib.import_module(f"report.facts.{name}").facts(nothing) | {"settings": {}})


def test_every_section_stands_without_a_single_number_and_for_readers_that_speak(tmp_path: Path) -> None:
    """PDF/UA-1: figures and equations have alternative text. No prose reads a number in a way that None breaks."""
    import typst

    draw(tmp_path)
    numbers, drawings = build.gather(tmp_path, "paper")
    for name in NAMES:
        numbers["sections"][name] |= {"facts": empty_facts(name), "state": "partial", "words": "partial: 0 of 1 units"}
    project = build.inputs(numbers, drawings, "made-from-nothing")
    assert typst.compile(project, ignore_system_fonts=True, pdf_standards=["ua-1"])
    held = build.noted(project, "withheld")
    assert {item["section"] for item in held} >= set(NAMES) and not any(item["measured"] for item in held)
    assert "these runs do not settle" in scaffold.text_of(project)


@pytest.mark.parametrize("name", NAMES)
def test_prose_and_facts_name_the_same_guards(name: str) -> None:
    """A guard that no sentence reads is dead; the other way round typst refuses an unknown one."""
    texts = {path.stem: path.read_text("utf-8") for path in (ROOT / "report").rglob("*.typ")}
    own = set(re.findall(r'given\(\s*"(\w+)"', texts.get(name, "")))
    elsewhere = {key for text in texts.values() for key in re.findall(rf'"{name}\.(\w+)"', text)}
    assert set(empty_facts(name)["guards"]) == own | elsewhere


def test_numbers_as_the_reader_sees_them() -> None:
    import typst

    minus, times = "\N{MINUS SIGN}", " \N{MULTIPLICATION SIGN} 10"
    cases = {
        "num(0)": "0",
        "num(97.514, digits: 3)": "97.5",
        "num(0.0577, digits: 3)": "0.0577",
        "num(0.0123)": "0.012",
        "num(-12.34, digits: 3)": f"{minus}12.3",
        "num(999.6, digits: 3)": "1,000",
        "num(17615.0, digits: 3)": "17,600",
        "num(386.4)": "386",
        "num(0.00099996, digits: 3)": "0.00100",
        "num(0.000000281)": f"2.8{times}⁻⁷",
        "num(-4951000000000.0, digits: 3)": f"{minus}4.95{times}¹²",
        "num(1234567)": "1,234,567",
        "num(-0.001, places: 2)": "0.00",
        "num(2.675, places: 1)": "2.7",
        "num(none)": "not measured",
        "pct(0.1234)": "12\N{NO-BREAK SPACE}%",
        "pct(1.0, places: 1)": "100.0\N{NO-BREAK SPACE}%",
        "listed((1, 2, 3))": "1, 2 and 3",
        "in-words(8)": "eight",
        "setting-words(0.001)": "0.001",
    }
    lines = "".join(f"#metadata({call}) <shown>\n" for call in cases)
    project = {
        "main.typ": f'#import "template.typ": *\n{lines}'.encode(),
        "template.typ": build.sources()["template.typ"],
    }
    shown = [item["value"] for item in json.loads(typst.query(project, "<shown>", ignore_system_fonts=True))]
    assert shown == list(cases.values())


# ----------------------------------------------------------------------------- what is withheld, and --strict


def test_a_sentence_that_is_not_borne_out_is_withheld_and_named(tree: Path) -> None:
    sentence = "test loss peaks near the size"
    assert sentence in scaffold.text_of(build.build(tree, "paper").project)
    put(tree, test_facts_param_count.disputed())
    project = build.build(tree, "paper").project
    text = scaffold.text_of(project)
    assert sentence not in text
    assert "left out because these runs contradict" in text and "double descent" in text
    item = {"section": "param_count", "guard": "double_descent", "measured": True}
    assert item in build.noted(project, "withheld")


def built_by_command(root: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> bytes:
    monkeypatch.setattr(sys, "argv", ["build.py", "--scale", "paper", *flags])
    monkeypatch.setattr(settings, "tree", lambda scale: root)
    monkeypatch.setattr(build, "README", root / "README.md")
    build.main()
    return (root / "report" / "hw1.pdf").read_bytes()


def test_strict_fails_on_what_runs_contradict_lists_what_they_leave_open_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(settings, "tree", lambda scale: tmp_path)
    monkeypatch.setattr(sys, "argv", ["build.py", "--scale", "paper", "--strict"])
    build.main()
    assert "page 1: function_fit.most_deep_born_dead" in capsys.readouterr().err
    path = put(tmp_path, test_facts_param_count.disputed())
    with pytest.raises(settings.Problem, match=r"contradict sentences .*param_count: double_descent.*: correct"):
        build.main()
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


# ------------------------------------------------------------------------------------ missing, partial, damaged


def test_no_history_at_all(tmp_path: Path) -> None:
    text = scaffold.text_of(build.build(tmp_path, "quick").project)
    assert "Quick scale" in text
    assert text.count("No results to show: nothing measured yet") == len(NAMES)


def test_partial_sample_and_older_revisions_stand_on_the_first_page(tmp_path: Path) -> None:
    kept = scaffold.without(sizes(), "width-0016/seed-0-to-2")
    kept["data"] = {"name": "sample", "fingerprint": "5a", "source": "4,000 training and 1,000 test digits"}
    kept["code"]["revision"] = 0
    put(tmp_path, kept)
    text = scaffold.text_of(build.build(tmp_path, "paper").project)
    for words in (
        "Read this first",
        "partial: 15 of 16 units",
        "Sample data in hw1_3/param_count: 4,000 training and 1,000 test digits",
        "Measured by a revision of the script that was corrected since: hw1_3/param_count",
    ):
        assert words in text, words


def test_damaged_and_foreign_histories_are_named(tmp_path: Path) -> None:
    strange = scaffold.made_up("hw1_3/random_labels", sizes()["results"])
    path = put(tmp_path, sizes() | {"scale": "quick"}, strange, sizes() | {"experiment": "hw1_1/mnist_cnn"})
    path.write_bytes(path.read_bytes()[:-40])
    built = build.build(tmp_path, "paper")
    text = scaffold.text_of(built.project)
    assert "hw1_1/mnist_cnn: unreadable: it has no checksum line at its end" in text
    assert "hw1_3/param_count: unreadable: the file holds hw1_3/param_count at quick scale" in text
    assert "hw1_3/random_labels: unreadable: its results are not those of this experiment" in text
    assert str(tmp_path) not in text
    assert built.numbers["claims"] == []


def test_a_record_with_an_odd_time_is_not_shown(tmp_path: Path) -> None:
    kept = sizes()
    next(iter(kept["units"].values()))["measured"] = "yesterday"
    put(tmp_path, kept)
    assert build.gather(tmp_path, "paper")[0]["sections"]["param_count"]["state"] == "unreadable"


def test_no_report_is_built_over_one_whose_history_is_damaged_since(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built_by_command(tree, monkeypatch)
    path = settings.history_path(tree, "hw1_3/param_count")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(settings.Problem, match=r"stays as it is.*hw1_3/param_count: unreadable: it has no checksum"):
        built_by_command(tree, monkeypatch)
    assert (tree / "report" / "hw1.pdf").read_bytes() == whole
    assert built_by_command(tree, monkeypatch, "--force") != whole


def test_an_error_in_the_facts_is_named_and_the_report_stands(tmp_path: Path, monkeypatch: Any) -> None:
    """It may be the history's, whose lists do not fit together, or this code's: the words must tell which."""

    def fails(kept: dict) -> dict:
        raise KeyError("no such name")

    put(tmp_path, sizes())
    monkeypatch.setattr(test_facts_param_count.reported, "facts", fails)
    words = build.build(tmp_path, "paper").numbers["sections"]["param_count"]["words"]
    assert words == "unreadable: its results are not those of this experiment (KeyError: 'no such name')"
    monkeypatch.setattr(test_facts_param_count.reported, "facts", lambda kept: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build.gather(tmp_path, "paper")


def test_texts_of_a_history_are_shown_literally(tmp_path: Path) -> None:
    name = 'MNIST *bold* _x_ #panic("no") $x$ @lu2019 <here> \\ ~ -- ... "q" // [a](b)'
    data = {"name": name, "fingerprint": "x" * 10_000, "source": 'from #read("/etc/passwd")\x1b[31m\n= Title'}
    put(tmp_path, sizes() | {"data": data})
    text = scaffold.text_of(build.build(tmp_path, "paper").project)
    assert name in text
    assert 'from #read("/etc/passwd")' in text
    assert "\x1b" not in text


# ----------------------------------------------------------------------------------------------------- figures


def test_figures_from_another_history_are_said(tree: Path) -> None:
    path = tree / "figures" / "param_count.svg"
    ours = hashlib.sha256(settings.history_path(tree, "hw1_3/param_count").read_bytes()).hexdigest()
    for carried, words in ((ours, ""), ("00" * 32, "drawn from another history than the tables")):
        content = SVG % f"<metadata><dc:description>history {carried}; code c</dc:description></metadata>".encode()
        content += b"\n"
        path.write_bytes(content + f"<!-- sha256:{hashlib.sha256(content).hexdigest()} -->\n".encode())
        assert build.gather(tree, "paper")[0]["figures"]["param_count"]["words"] == words


@pytest.mark.parametrize("content", [b"", b"<svg", b"\x00\xff" * 50, b"<html/>", SVG.replace(b"9pt", b"-1") % b""])
def test_a_damaged_figure_does_not_stop_the_report(tree: Path, content: bytes) -> None:
    (tree / "figures" / "param_count.svg").write_bytes(content)
    assert "This figure is missing: unreadable" in scaffold.text_of(build.build(tree, "paper").project)


# ----------------------------------------------------------------------- experiments of one's own, stamp, flags


def test_an_experiment_of_ones_own(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a section it stands in the table of histories alone; with facts and prose of its name it has one."""
    monkeypatch.setattr(build, "experiments", lambda: ("hw1_3/param_count", "hw1_3/mine"))
    put(tree, scaffold.made_up("hw1_3/mine", {"one": {"value": 3}}))
    assert "hw1_3/mine" in scaffold.text_of(build.build(tree, "paper").project)
    copied = tree / "checkout" / "report"
    shutil.copytree(build.HERE, copied, ignore=shutil.ignore_patterns("__pycache__", "*.pdf"))
    monkeypatch.setattr(build, "HERE", copied)
    (copied / "facts" / "mine.py").write_text(
        "def facts(history):\n"
        "    value = history['results']['one']['value']\n"
        "    return {'numbers': {'value': value}, 'guards': {'odd': value % 2 == 1}, 'tables': {}, 'claims': []}\n"
    )
    (copied / "sections" / "mine.typ").write_text(
        '#let title = "Mine"\n#let section(f, pieces) = [#(pieces.given)("odd")[It is #(pieces.num)(f.numbers.value).]]'
    )
    package = importlib.import_module("report.facts")
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(copied / "facts")])
    assert "It is 3." in scaffold.text_of(build.build(tree, "paper").project)


def test_the_stamp_follows_histories_and_figures(tree: Path) -> None:
    report = tree / "hw1.pdf"
    assert build.stamped(report) is None
    report.write_bytes(build.build(tree, "paper").pdf)
    assert build.stamped(report) == build.stamp(tree, "paper")
    put(tree, sizes(seeds=2))
    changed = build.stamp(tree, "paper")
    assert build.stamped(report) != changed
    (tree / "figures" / "param_count.svg").unlink()
    assert build.stamp(tree, "paper") not in (changed, build.stamped(report))
    report.write_bytes(b"not a PDF")
    assert build.stamped(report) is None


def test_the_readme_shows_findings_claims_and_questions(tree: Path) -> None:
    built = build.build(tree, "paper")
    noted = functools.partial(build.noted, built.project)
    names = ("findings", "claims", "questions")
    marks = [readme.MARK.format(name=name, stamp="none") + "\nstale\n" + readme.END.format(name=name) for name in names]
    text = readme.with_results("# Title\n" + "\n\n".join(marks) + "\nafter\n", built.numbers, noted, "made-from-these")
    assert "stale" not in text and text.endswith("after\n")
    assert readme.stamp_of(text) == "made-from-these"
    assert readme.with_results(text, built.numbers, noted, "made-from-these") == text
    assert len(re.findall(r"^- \*\*.*\(figures/param_count_noise.png\)\)$", text, re.MULTILINE)) == 1
    (claim,) = built.numbers["claims"]
    assert re.search(
        rf"^\| C9 \| {claim['statement']} \| At \d of 9 steps [^|]+\. \| {claim['verdict']} \|$", text, re.M
    )
    (row,) = re.findall(r"^\| \*\*1-3.2 Number of parameters v.s. Generalization\*\* Does a larger net.*", text, re.M)
    for link in ("report/hw1.pdf#page=", "hw1_3/param_count.py", "hw1_3/plot_param_count.py", "figures/param_count.p"):
        assert f"]({link}" in row, link
    assert text.count("| not measured |") == len(NAMES) - 1
    with pytest.raises(settings.Problem, match=r"README.md needs one pair of lines .* restore them"):
        readme.with_results("# Title\n", built.numbers, noted, "made-from-these")


def test_the_committed_report_and_readme_go_together() -> None:
    stamp = build.stamp(ROOT, "paper")
    assert build.stamped(ROOT / "report" / "hw1.pdf") == stamp, "python report/build.py --scale paper"
    assert readme.stamp_of((ROOT / "README.md").read_text("utf-8")) == stamp


def test_check_imports_neither_typst_nor_matplotlib() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['build.py', '--check', '--scale', 'quick']\n"
        "try:\n"
        f"    runpy.run_path({str(ROOT / 'report' / 'build.py')!r}, run_name='__main__')\n"
        "except SystemExit:\n"
        "    pass\n"
        "print(sorted({'typst', 'matplotlib', 'tensorflow', 'keras', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    state, imported = done.stdout.splitlines()
    assert state.startswith(("up to date", "due: "))
    assert imported == "[]"


def test_unknown_flag_is_a_usage_error() -> None:
    command = [sys.executable, str(ROOT / "report" / "build.py"), "--scale", "huge"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
