"""The report: built whatever is missing, its sentences follow the numbers, the same histories give the same bytes."""

import ast
import itertools
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common import history, settings

from report import build, claims, function_fit, histories, image_nets, readme, setting_names, wording

NETS = {
    "mnist_cnn": {"shallow": (115_610, 500_000), "middle": (115_018, 5_000_000), "deep": (115_742, 6_000_000)},
    "cifar10_cnn": {
        "shallow": (1_247_666, 2_000_000),
        "middle": (1_243_898, 4_000_000),
        "deep": (1_250_858, 9_000_000),
    },
}
DATA = {"name": "MNIST", "fingerprint": "ab" * 32, "source": "60,000 training and 10,000 test images from a file"}
EPOCHS = 5


def fit_results(net: str, end_loss: np.ndarray, dead: np.ndarray) -> dict[str, Any]:
    """A unit of function_fit with these end losses and dead nets."""
    return {
        "parameters": 90 if net == "deep" else 91,
        "end_loss": end_loss,
        "dead_at_birth": dead,
        "dead_at_end": dead,
        "summary": {"end loss": end_loss},
    }


def wrapped(experiment: str, scale: str, chosen: dict, results: dict, units: list[str], data: dict) -> dict[str, Any]:
    """A whole history around `results`; units without results are those not measured yet."""
    record = {
        "measured": "2026-11-24T10:00:00+00:00",
        "wall_seconds": 61.5,
        "peak_memory_megabytes": 1234,
        "device": "CPU: test",
        "code": "cd" * 32,
    }
    return {
        "schema": 1,
        "experiment": experiment,
        "scale": scale,
        "settings": chosen,
        "units": {unit: record if unit in results else None for unit in units},
        "complete": len(results) == len(units),
        "data": data,
        "environment": {"python": "3.11.7", "cores": 2},
        "code": {"revision": 1, "hash": "cd" * 32, "commit": "0123456789ab+"},
        "wall_seconds": 61.5,
        "results": results,
    }


def fit(order: tuple[str, ...] = ("deep", "medium", "shallow"), seeds: int = 20, scale: str = "paper") -> dict:
    """A history of function_fit in which the nets' losses are as in `order`, lowest first; a few deep nets dead."""
    random = np.random.default_rng(0)
    results = {}
    for function, activation, net in itertools.product(("f1", "f2"), ("relu", "tanh"), order):
        losses = 0.02 * (1 + order.index(net)) + 0.001 * random.random(seeds)
        dead = np.zeros(seeds, bool)
        if (activation, net) == ("relu", "deep"):
            dead[: seeds // 10] = True
            losses[dead] = 0.289 + 1e-9 * random.random(dead.sum())
        results[f"{function}/{activation}/{net}"] = fit_results(net, losses, dead)
    chosen = {"epochs": 30_000, "learning_rate": 0.001, "seeds": seeds, "functions": ["f1", "f2"]}
    data = {"name": "computed", "fingerprint": "computed"}
    return wrapped("hw1_1/function_fit", scale, chosen, results, list(results), data)


def cnn(
    name: str,
    order: tuple[str, ...] = ("shallow", "middle", "deep"),
    seeds: int = 3,
    scale: str = "paper",
    lacking: tuple[str, ...] = (),
    data: dict = DATA,
    running: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """A history of a CNN question in which the nets of `order` are better from left to right in each seed."""
    results, units = {}, []
    for seed, net in itertools.product(range(seeds), order):
        units.append(f"{net}/seed-{seed}")
        if units[-1] in lacking:
            continue
        ahead, shown = 0.01 * order.index(net), 0.01 * (running or order).index(net)
        falling = np.linspace(0.5, 0.1, EPOCHS) - ahead + 0.001 * seed
        curves = {
            "running_loss": falling + 0.1,
            "running_accuracy": 0.9 - falling - ahead + shown,
            "train_loss": falling,
            "train_accuracy": 0.95 - falling / 10,
            "test_loss": falling + 0.05,
            "test_accuracy": 0.93 - falling / 10,
        }
        parameters, multiply_adds = NETS[name][net]
        results[units[-1]] = {
            "parameters": parameters,
            "multiply_adds": multiply_adds,
            "summary": {curve: float(values[-1]) for curve, values in curves.items()},
            **curves,
        }
    chosen = {"epochs": EPOCHS, "batch_size": 128, "nets": list(order), "seeds": list(range(seeds))}
    return wrapped(f"hw1_1/{name}", scale, chosen, results, units, data)


def put(root: Path, *histories: dict[str, Any]) -> None:
    """Write histories where the report looks for them."""
    for each in histories:
        path = settings.history_path(root, each["experiment"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(history.encode(each))


def put_figures(root: Path) -> None:
    """A drawing for every figure, without the stamp that a plot script leaves."""
    (root / "figures").mkdir(parents=True, exist_ok=True)
    for name in [each for one in build.experiments() for each in build.drawings_of(one)]:
        svg = '<svg xmlns="http://www.w3.org/2000/svg" width="453.6pt" height="200pt"><path d="M0 0 L400 100"/></svg>'
        (root / "figures" / f"{name}.svg").write_text(svg)


def shown(root: Path, scale: str = "paper") -> str:
    """The report's text: headings, paragraphs, boxes, tables and captions, in that order."""
    import typst

    numbers, drawings = build.gather(root, scale)
    project = build.inputs(numbers, drawings, "made-from-nothing")
    kinds = ("heading", "par", "list", "figure", "table")
    found = [typst.query(project, kind, ignore_system_fonts=True) for kind in kinds]
    return "".join("".join(_leaves(json.loads(each))) for each in found).replace("\N{NO-BREAK SPACE}", " ")


def _leaves(content: Any) -> Iterator[str]:
    """The texts within a queried element."""
    if isinstance(content, dict):
        if isinstance(content.get("text"), str):
            yield content["text"]
        elif content.get("func") == "space":
            yield " "
        for value in content.values():
            yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)


def pages(pdf: bytes) -> int:
    """How many pages the PDF has, from its page tree, packed or not."""
    streams = [pdf]
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            streams.append(zlib.decompressobj().decompress(found[1]))
        except zlib.error:
            continue
    return sum(len(re.findall(rb"/Type\s*/Page\b(?!s)", stream)) for stream in streams)


def everything(root: Path) -> None:
    put(root, fit(), cnn("cifar10_cnn"), cnn("mnist_cnn"))
    put_figures(root)


# ------------------------------------------------------------------------------------------------ building


def test_whole_report(tmp_path: Path) -> None:
    everything(tmp_path)
    pdf = build.build(tmp_path, "paper").pdf
    assert pdf.startswith(b"%PDF-")
    assert 5 <= pages(pdf) <= 24
    for entry in (b"/Title(MLDS homework 1, Keras edition)", b"/Lang(en", b"/StructTreeRoot", b"/Outlines", b"/Alt"):
        assert any(entry in part for part in (pdf, *_unpacked(pdf))), entry
    text = shown(tmp_path)
    for words in ("Simulate a Function", "Train on Actual Tasks", "CIFAR-10", "30,000", "115,610", "6.00", "dead nets"):
        assert words in text
    assert "2026-11-24" in text
    for script in ("plot_function_fit.py", "plot_cifar10_cnn.py", "plot_mnist_cnn.py"):
        assert script in text


def _unpacked(pdf: bytes) -> Iterator[bytes]:
    for found in re.finditer(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        try:
            yield zlib.decompressobj().decompress(found[1])
        except zlib.error:
            continue


def test_fit_for_readers_that_speak(tmp_path: Path) -> None:
    """PDF/UA-1: every figure and equation has alternative text, and headings, tables and lists are tagged."""
    import typst

    everything(tmp_path)
    numbers, drawings = build.gather(tmp_path, "paper")
    project = build.inputs(numbers, drawings, "made-from-nothing")
    assert typst.compile(project, ignore_system_fonts=True, pdf_standards=["ua-1"], timestamp=build.moment(numbers))


def test_only_embedded_fonts(tmp_path: Path) -> None:
    everything(tmp_path)
    pdf = build.build(tmp_path, "paper").pdf
    parts = b"\n".join([pdf, *_unpacked(pdf)])
    fonts = re.findall(rb"/FontName/([\w+-]+)", parts)
    assert fonts
    assert all(b"+" in font for font in fonts)  # the mark of an embedded subset
    assert len(re.findall(rb"/FontFile[23]? ", parts)) == len(set(fonts))


def test_same_histories_same_bytes(tmp_path: Path) -> None:
    everything(tmp_path)
    assert build.build(tmp_path, "paper").pdf == build.build(tmp_path, "paper").pdf


def test_no_history_at_all(tmp_path: Path) -> None:
    assert pages(build.build(tmp_path, "quick").pdf) >= 1
    text = shown(tmp_path, "quick")
    assert "Quick scale" in text
    assert text.count("No results to show: nothing measured yet") == len(build.experiments())
    assert "not drawn yet" in text


def test_the_readme_shows_what_the_report_shows(tmp_path: Path) -> None:
    everything(tmp_path)
    before = "# Title\n\n<!-- results: none, written by report/build.py -->\nstale\n<!-- end of results -->\n\n"
    before += f"{readme.TIMES_BEGIN}\nstale\n{readme.TIMES_END}\n\nafter\n"
    numbers, _ = build.gather(tmp_path, "paper")
    after = readme.with_results(before, numbers, "made-from-these")
    assert after.startswith("# Title\n\n<!-- results: made-from-these,")
    assert after.endswith(f"{readme.TIMES_END}\n\nafter\n")
    assert "stale" not in after
    assert readme.stamp_of(after) == "made-from-these"
    for claim in numbers["claims"]:
        words = " ".join(claim["evidence"].split())
        assert f"| {claim['name']} | {claim['statement']} | {words} | {claim['verdict']} |" in after
    accuracies = [row["test_accuracy"]["median"] for row in numbers["sections"]["mnist_cnn"]["rows"][::2]]
    row = f"| MNIST test accuracy, %: shallow / middle / deep | {' / '.join(accuracies)} | 98.49 / 98.93 / 99.37 |"
    assert row in after
    assert after.count("| not measured |") > 5
    nets = next(about for about in numbers["histories"] if about["experiment"] == "hw1_1/mnist_cnn")
    assert f"| `hw1_1/mnist_cnn.py` | {nets['wall']} | {nets['memory']} GB |" in after
    assert "| `hw1_2/grad_norm.py` | not measured |  |" in after
    assert readme.with_results(after, numbers, "made-from-these") == after
    with pytest.raises(settings.Problem, match=r"README.md needs one pair of lines .* restore them"):
        readme.with_results("# Title\n", numbers, "made-from-these")


def test_the_p_of_a_mean_is_that_of_scipy() -> None:
    from scipy import stats

    values = np.random.default_rng(0).normal(0.7, 1, 8)
    assert claims.student_p(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    assert claims.student_p([0.1] * 8) == 0 and claims.student_p([0.0] * 8) == 1


def test_no_report_is_built_over_one_whose_history_is_damaged_since(tmp_path: Path, monkeypatch) -> None:
    def run(*flags: str) -> bytes:
        monkeypatch.setattr(sys, "argv", ["build.py", "--scale", "paper", *flags])
        build.main()
        return (tmp_path / "report" / "hw1.pdf").read_bytes()

    monkeypatch.setattr(settings, "tree", lambda scale: tmp_path)
    monkeypatch.setattr(build, "README", tmp_path / "README.md")
    put(tmp_path, cnn("mnist_cnn"))
    whole = run()
    path = settings.history_path(tmp_path, "hw1_1/mnist_cnn")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(settings.Problem, match=r"stays as it is.*hw1_1/mnist_cnn: unreadable: it has no checksum"):
        run()
    assert (tmp_path / "report" / "hw1.pdf").read_bytes() == whole
    assert run("--force") != whole


def test_the_committed_report_and_readme_go_together() -> None:
    stamp = build.stamp(ROOT, "paper")
    assert build.stamped(ROOT / "report" / "hw1.pdf") == stamp, "python report/build.py --scale paper"
    assert readme.stamp_of((ROOT / "README.md").read_text("utf-8")) == stamp


@pytest.mark.parametrize("name", ["function_fit", "cifar10_cnn", "mnist_cnn"])
def test_one_history(tmp_path: Path, name: str) -> None:
    put(tmp_path, fit() if name == "function_fit" else cnn(name))
    assert build.build(tmp_path, "paper").pdf
    numbers, _ = build.gather(tmp_path, "paper")
    states = {section: about["state"] for section, about in numbers["sections"].items()}
    assert states.pop(name) == "complete"
    assert set(states.values()) == {"missing"}
    assert [claim["section"] for claim in numbers["claims"]] == [name]


def test_damaged_and_foreign_histories_are_named(tmp_path: Path) -> None:
    everything(tmp_path)
    path = settings.history_path(tmp_path, "hw1_1/mnist_cnn")
    path.write_bytes(path.read_bytes()[:-40])
    put(tmp_path, fit(scale="quick"))
    strange = cnn("cifar10_cnn")
    for results in strange["results"].values():
        results["train_loss"] = "low"
    put(tmp_path, strange)
    assert build.build(tmp_path, "paper").pdf
    box = "\n".join(build.gather(tmp_path, "paper")[0]["box"])
    assert "hw1_1/mnist_cnn: unreadable: it has no checksum line at its end" in box
    assert "hw1_1/function_fit: unreadable: the file holds hw1_1/function_fit at quick scale" in box
    assert "hw1_1/cifar10_cnn: unreadable: its results are not those of this experiment" in box
    assert str(tmp_path) not in box


def test_partial_and_sample_stand_in_the_box(tmp_path: Path) -> None:
    sample = DATA | {"name": "sample", "source": "4,000 training and 1,000 test digits"}
    put(tmp_path, cnn("mnist_cnn", lacking=("deep/seed-2",), scale="quick", data=sample))
    put_figures(tmp_path)
    text = shown(tmp_path, "quick")
    assert "Read this first" in text
    assert "partial: 8 of 9 units" in text
    assert "Sample data in hw1_1/mnist_cnn: 4,000 training and 1,000 test digits" in text


def test_complete_paper_report_has_no_box(tmp_path: Path) -> None:
    everything(tmp_path)
    numbers, drawings = build.gather(tmp_path, "paper")
    assert len(drawings) == sum(len(build.drawings_of(each)) for each in build.experiments())
    of_these = [
        line for line in numbers["box"] if not line.startswith(("hw1_2/", "hw1_3/"))
    ]  # whose histories are not made here
    assert of_these.pop(0) == "Measured with an earlier version of their script (Appendix A): 3 of 12 histories."
    assert all("not as its plot script left it" in line for line in of_these)


def test_figures_from_another_history_are_said(tmp_path: Path) -> None:
    import hashlib

    everything(tmp_path)
    path = tmp_path / "figures" / "mnist_cnn.svg"
    body = (
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt" xmlns:dc="http://purl.org/dc/elements/1.1/">'
        b"<metadata><dc:description>history HASH; code c</dc:description></metadata></svg>\n"
    )
    measured_from = hashlib.sha256(settings.history_path(tmp_path, "hw1_1/mnist_cnn").read_bytes()).hexdigest()
    for carried, words in ((measured_from, ""), ("00" * 32, "drawn from another history than the tables")):
        content = body.replace(b"HASH", carried.encode())
        path.write_bytes(content + f"<!-- sha256:{hashlib.sha256(content).hexdigest()} -->\n".encode())
        assert build.gather(tmp_path, "paper")[0]["figures"]["mnist_cnn"]["words"] == words


@pytest.mark.parametrize(
    "content", [b"", b"<svg", b"\x00\xff" * 50, b"<html/>", b'<svg xmlns="http://www.w3.org/2000/svg" width="-1"/>']
)
def test_damaged_figure_does_not_stop_the_report(tmp_path: Path, content: bytes) -> None:
    everything(tmp_path)
    (tmp_path / "figures" / "mnist_cnn.svg").write_bytes(content)
    assert build.build(tmp_path, "paper").pdf
    assert "This figure is missing: unreadable" in shown(tmp_path)


def test_markup_in_names_is_shown_literally(tmp_path: Path) -> None:
    name = 'MNIST *bold* _x_ #panic("no") $x$ @lu2019 <here> \\ ~ -- ... "q" // [a](b)'
    put(tmp_path, cnn("mnist_cnn", data=DATA | {"name": name, "source": 'from #read("/etc/passwd")\x1b[31m\n= Title'}))
    assert build.build(tmp_path, "paper").pdf
    text = shown(tmp_path)
    assert name in text
    assert 'from #read("/etc/passwd")' in text
    assert "\x1b" not in text


def test_other_scripts_and_odd_times(tmp_path: Path) -> None:
    put(tmp_path, cnn("mnist_cnn", data=DATA | {"name": "\u6570\u636e \U0001f600 \u05d0 " + "x" * 10_000}))
    odd = cnn("cifar10_cnn")
    odd["units"]["deep/seed-0"] = odd["units"]["deep/seed-0"] | {"measured": "yesterday"}
    put(tmp_path, odd)
    assert build.build(tmp_path, "paper").pdf
    assert build.gather(tmp_path, "paper")[0]["sections"]["cifar10_cnn"]["state"] == "unreadable"


def test_values_that_are_not_finite(tmp_path: Path) -> None:
    fitted, trained = fit(), cnn("mnist_cnn")
    fitted["results"]["f1/relu/deep"]["end_loss"][5] = np.nan
    fitted["results"]["f2/relu/deep"]["end_loss"][:] = np.inf
    for values in trained["results"]["deep/seed-0"].values():
        if isinstance(values, np.ndarray):
            values[-1] = np.nan
    put(tmp_path, fitted, trained)
    assert build.build(tmp_path, "paper").pdf
    assert "diverged" in shown(tmp_path)


# ------------------------------------------------------------------------------------- sentences and claims


def test_opposite_numbers_change_the_sentences(tmp_path: Path) -> None:
    texts = {}
    for name, order in (("as claimed", ("deep", "medium", "shallow")), ("opposite", ("shallow", "medium", "deep"))):
        put(tmp_path, fit(order))
        texts[name] = shown(tmp_path)
    assert "deep is below medium on f1" in texts["as claimed"]
    assert "deep is above medium on f1" in texts["opposite"]
    assert "The claim that depth lowers the loss holds here" in texts["as claimed"]
    assert "The claim that depth lowers the loss does not hold here" in texts["opposite"]
    assert "With ReLU deep is better on f1 and f2 than medium and shallow; medium is better" in texts["as claimed"]
    assert "With ReLU deep is worse on f1 and f2 than medium and shallow; medium is worse" in texts["opposite"]


def test_cnn_sentences_follow_the_numbers(tmp_path: Path) -> None:
    put(tmp_path, cnn("cifar10_cnn"))
    holds = build.gather(tmp_path, "paper")[0]["sections"]["cifar10_cnn"]
    put(tmp_path, cnn("cifar10_cnn", order=("deep", "middle", "shallow")))
    fails = build.gather(tmp_path, "paper")[0]["sections"]["cifar10_cnn"]
    assert (holds["claim"]["verdict"], fails["claim"]["verdict"]) == (claims.HOLDS, claims.FAILS)
    assert "the highest test accuracy that of deep (3 of 3 seeds)" in " ".join(holds["comment"]["result"])
    assert "the highest test accuracy that of shallow (3 of 3 seeds)" in " ".join(fails["comment"]["result"])
    assert "deep does 4.5 times" in holds["comment"]["arithmetic"][0]
    assert "nets is, on the test images, deep (3 of 3 seeds), and in training deep (3" in holds["answer"]
    assert "nets is, on the test images, shallow (3 of 3 seeds), and in training shallow (3" in fails["answer"]
    alone = cnn("cifar10_cnn")
    alone["results"] = {unit: found for unit, found in alone["results"].items() if unit.endswith("seed-0")}
    assert image_nets.answer(alone).endswith("(seed 0, the only one with all three nets).")
    assert image_nets.answer(alone | {"results": {}}) == "No seed has all three nets yet."
    alone["results"]["deep/seed-0"]["test_accuracy"][-1] = float("nan")
    assert "deep \N{EN DASH}" in image_nets.answer(alone)


def test_running_and_clean_values_may_disagree() -> None:
    agreed = image_nets._running(cnn("mnist_cnn"))[0]
    other = image_nets._running(cnn("mnist_cnn", running=("shallow", "deep", "middle")))[0]
    assert "Here both accuracies name the same net" in agreed
    assert "by the running accuracy it is middle (3 of 3 seeds), by the clean evaluation deep" in other


def test_c1_verdicts() -> None:
    assert function_fit.c1(fit())["verdict"] == claims.HOLDS
    assert function_fit.c1(fit(("shallow", "medium", "deep")))["verdict"] == claims.FAILS
    same = fit()
    for unit in same["results"]:
        same["results"][unit]["end_loss"] = np.random.default_rng(1).permutation(20) + 0.0
    assert function_fit.c1(same)["verdict"] == claims.UNCLEAR
    assert function_fit.c1(fit(seeds=1))["verdict"] == claims.UNCLEAR
    lacking = fit()
    del lacking["results"]["f1/relu/deep"], lacking["units"]["f1/relu/deep"]
    assert function_fit.c1(lacking)["verdict"] == claims.UNCLEAR


def test_c2_and_c3_verdicts() -> None:
    assert image_nets.c2(cnn("cifar10_cnn"))["verdict"] == claims.HOLDS
    assert image_nets.c2(cnn("cifar10_cnn", ("deep", "shallow", "middle")))["verdict"] == claims.FAILS
    assert image_nets.c2(cnn("cifar10_cnn", seeds=1))["verdict"] == claims.UNCLEAR
    assert image_nets.c2(cnn("cifar10_cnn", lacking=("deep/seed-0", "deep/seed-1")))["verdict"] == claims.UNCLEAR
    mixed = cnn("cifar10_cnn")
    mixed["results"]["deep/seed-1"], mixed["results"]["middle/seed-1"] = (
        mixed["results"]["middle/seed-1"],
        mixed["results"]["deep/seed-1"],
    )
    assert image_nets.c2(mixed)["verdict"] == claims.UNCLEAR
    assert [part["verdict"] for part in image_nets.c3(cnn("mnist_cnn"))["parts"]] == ["does not hold", "holds", "holds"]
    claimed = cnn("mnist_cnn")
    for seed in range(3):
        claimed["results"][f"middle/seed-{seed}"]["train_accuracy"][-1] = 0.99
    assert image_nets.c3(claimed)["verdict"] == claims.HOLDS


def test_eight_seeds_are_judged_by_an_interval() -> None:
    assert claims.by_margins([0.1] * 7 + [-0.01])["verdict"] == claims.HOLDS
    assert claims.by_margins([-0.1] * 7 + [0.01])["verdict"] == claims.FAILS
    assert claims.by_margins([0.1, -0.1] * 4)["verdict"] == claims.UNCLEAR
    assert claims.by_margins([0.1, 0.1, 0.0])["verdict"] == claims.UNCLEAR  # a tie is on neither side
    assert claims.by_margins([])["verdict"] == claims.UNCLEAR


def test_yes_and_no_by_the_sign_test() -> None:
    def verdict(yes: int, no: int, neither: float | None = None) -> str:
        return claims.by_signs([1.0] * yes + [-1.0] * no + ([] if neither is None else [neither]))["verdict"]

    assert (verdict(8, 0), verdict(0, 8)) == (claims.HOLDS, claims.FAILS)  # p of 2 in 256
    assert (verdict(7, 1), verdict(1, 7)) == (claims.UNCLEAR, claims.UNCLEAR)  # 18 in 256
    assert verdict(20, 3) == claims.HOLDS
    assert (verdict(3, 0), verdict(0, 3), verdict(2, 1), verdict(1, 0)) == (
        claims.HOLDS,
        claims.FAILS,
        claims.UNCLEAR,
        claims.UNCLEAR,
    )
    assert verdict(8, 0, np.nan) == verdict(2, 0, 0.0) == claims.UNCLEAR
    assert verdict(8, 0, 0.0) == claims.HOLDS
    assert claims.by_signs([])["verdict"] == claims.UNCLEAR


def test_dead_nets_share_one_loss() -> None:
    nets = function_fit.end_losses(fit(), "f1", "relu")
    assert len(set(nets["deep"]["loss"][nets["deep"]["dead"]])) == 1
    assert claims.superiority([1.0, 1.0], [1.0, 2.0]) == 0.75


@pytest.mark.parametrize("seed", range(5))
def test_mann_whitney_against_all_ways(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 4, 5).astype(float), random.integers(1, 6, 6).astype(float)
    pooled = np.concatenate([first, second])
    shares = []
    for chosen in itertools.combinations(range(11), 5):
        rest = [index for index in range(11) if index not in chosen]
        shares.append(claims.superiority(pooled[list(chosen)], pooled[rest]))
    observed = claims.superiority(first, second)
    tail = (
        np.mean(np.array(shares) >= observed - 1e-9)
        if observed >= 0.5
        else np.mean(np.array(shares) <= observed + 1e-9)
    )
    assert claims.mann_whitney(first, second) == pytest.approx(min(1, 2 * tail), rel=1e-12)


def test_mann_whitney_against_scipy_without_ties() -> None:
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(0)
    first, second = random.normal(size=40), random.normal(0.3, size=30)
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert claims.mann_whitney(first, second) == pytest.approx(expected, rel=1e-9)
    assert claims.mann_whitney(second, first) == pytest.approx(expected, rel=1e-9)


def test_mann_whitney_of_many_seeds() -> None:
    values = np.arange(600.0)
    assert 0 <= claims.mann_whitney(values, values + 600) < 1e-300
    assert 0 < claims.mann_whitney(values[:100], values[:100] + 99.5) < 1e-50


def test_best_of_ten_says_what_diverged() -> None:
    best = function_fit.best_of(np.array([np.nan] * 10 + [0.5, *[np.inf] * 9, 7.0]))
    assert best.tolist() == [np.inf, 0.5]
    assert wording.number(float(best[0]), 3, wording.DIVERGED) == "diverged"


@pytest.mark.parametrize(
    ("value", "count", "words"),
    [
        (0, 3, "0"),
        (97.514, 3, "97.5"),
        (0.0577, 3, "0.0577"),
        (120.0, 3, "120"),
        (0.0123, 2, "0.012"),
        (-12.34, 3, "\N{MINUS SIGN}12.3"),
        (999.6, 3, "1,000"),
        (17_615.0, 3, "17,600"),
        (0.00099996, 3, "0.00100"),
        (2.81e-7, 2, "2.8e\N{MINUS SIGN}7"),
        (1e-6, 1, "1e\N{MINUS SIGN}6"),
        (-4.951e12, 3, "\N{MINUS SIGN}4.95 \N{MULTIPLICATION SIGN} 10¹²"),
        (float("nan"), 3, "diverged"),
        (float("inf"), 3, "diverged"),
    ],
)
def test_numbers_are_written_alike(value: float, count: int, words: str) -> None:
    assert wording.digits(value, count) == words


def test_numbers_with_places() -> None:
    assert wording.number(-0.001) == "0.00"
    assert wording.number(-1.236) == "\N{MINUS SIGN}1.24"
    assert wording.number(float("nan")) == wording.NOTHING
    assert len(wording.number(1e300, 3)) <= 12
    assert wording.percent(0.1234) == f"12{wording.PERCENT}"
    assert wording.percent(float("nan")) == wording.NOTHING


def test_spread_over_seeds() -> None:
    assert wording.spread([]) == wording.NOTHING
    assert wording.spread([0.25], 1) == "0.2"
    assert wording.spread([1, 5, 3], 0) == "3 [1, 5]"
    assert wording.two_lines([0.00123, 0.5, 0.25]) == "0.25\n[0.0012, 0.50]"
    assert (
        wording.spread([1.0, 2.0, float("nan")], 1)
        == wording.spread([float("inf"), 1.0, 2.0], 1)
        == "2.0 [1.0, diverged]"
    )
    assert wording.probability(float("nan")) == wording.NOTHING


def test_views_that_change_a_verdict_are_named() -> None:
    other = fit()
    for function in ("f1", "f2"):
        other["results"][f"{function}/relu/medium"]["end_loss"][:] = 9.0
        other["results"][f"{function}/relu/medium"]["end_loss"][[3, 13]] = 0.001
    said = {name: " ".join(words) for name, words in function_fit.comment(other, function_fit.c1(other), {}).items()}
    assert "medium is above shallow on f1 (90" in said["order"]
    assert "Tanh in place of ReLU changes medium against shallow on f1 from above to " in said["tanh"]
    assert "Leaving out the nets that were born dead changes none of the verdicts" in said["live"]
    many = fit(seeds=100)
    for unit in ("f1/relu/medium", "f2/relu/medium"):
        losses = many["results"][unit]["end_loss"]
        losses[:], losses[::10] = 9.0, 0.001
    said = " ".join(function_fit.comment(many, function_fit.c1(many), {})["order"])
    assert "Keeping the best of ten changes " in said and "medium against shallow on f1 from above to below" in said
    assert "Corrected for being 4 (Holm), the largest p of these is < 0.001" in said


def test_an_earlier_loss_beyond_all_of_ours_is_named() -> None:
    found = fit()
    losses = np.asarray(found["results"]["f1/relu/deep"]["end_loss"])

    def said(loss: str) -> str:
        return " ".join(function_fit.comment(found, function_fit.c1(found), {("f1", "deep"): loss})["order"])

    assert f"lies below all {len(losses)} of ours (lowest {wording.digits(losses.min(), 2)})" in said("1e-9")
    assert f"above all {len(losses)} of ours" in said("1e9")
    assert f"a probability of 1 in {len(losses) + 1}; this one is picked from 1." in said("1e9")
    assert "The earlier report's loss" not in said(str(float(np.median(losses))))
    few = fit(seeds=10)
    words = function_fit.comment(few, function_fit.c1(few), {("f1", "deep"): "1e-9"})["order"]
    assert "The earlier report's loss" not in " ".join(words)


def test_several_parts_are_corrected_after_holm() -> None:
    (said,) = function_fit._several({"parts": [{"all": {"p": p}} for p in (0.02, 0.03, 0.01)]})
    assert "the largest p of these is 0.040;" in said
    assert function_fit._several({"parts": [{"all": {"p": 0.02}}]}) == []


def test_more_than_half_dead() -> None:
    dead = fit()
    for function in ("f1", "f2"):
        results = dead["results"][f"{function}/relu/deep"]
        results["dead_at_birth"][:12] = results["dead_at_end"][:12] = True
    said = " ".join(function_fit.comment(dead, function_fit.c1(dead), {})["dead"])
    assert "and so is the median of the deep nets, most of which are dead." in said
    assert f"Of the deep ReLU nets 60{wording.PERCENT} are born dead: their output" in function_fit.answer(
        dead, function_fit.c1(dead)
    )
    for function in ("f1", "f2"):
        dead["results"][f"{function}/relu/deep"]["dead_at_birth"][:] = False
    assert "born dead" not in function_fit.answer(dead, function_fit.c1(dead))


def test_missing_count_of_test_images_is_said(tmp_path: Path) -> None:
    put(tmp_path, cnn("mnist_cnn", data=DATA | {"source": "images from a file"}))
    noise = build.gather(tmp_path, "paper")[0]["sections"]["mnist_cnn"]["comment"]["noise"]
    assert "does not count the test images" in noise[0]


@pytest.mark.parametrize("bug", [KeyError("x"), ValueError("x")])
def test_errors_of_this_code_are_not_blamed_on_the_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    def fails(found: dict) -> dict:
        raise bug

    put(tmp_path, fit())
    monkeypatch.setattr(build.legacy, "section", lambda name, found: fails(found))
    with pytest.raises(type(bug)):
        build.gather(tmp_path, "paper")


# ------------------------------------------------------------------------------------------- stamp and flags


def test_stamp_follows_histories_and_figures(tmp_path: Path) -> None:
    everything(tmp_path)
    report = tmp_path / "hw1.pdf"
    assert build.stamped(report) is None
    report.write_bytes(build.build(tmp_path, "paper").pdf)
    assert build.stamped(report) == build.stamp(tmp_path, "paper")
    put(tmp_path, cnn("mnist_cnn", seeds=2))
    changed = build.stamp(tmp_path, "paper")
    assert build.stamped(report) != changed
    (tmp_path / "figures" / "mnist_cnn.svg").unlink()
    assert build.stamp(tmp_path, "paper") not in (changed, build.stamped(report))
    report.write_bytes(b"not a PDF")
    assert build.stamped(report) is None


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


@pytest.mark.parametrize("experiment", ["hw1_1/function_fit", *image_nets.LAYERS])
def test_nets_are_described_as_the_scripts_build_them(experiment: str) -> None:
    """The layers in words name the widths that the script has, in its order."""
    text = (ROOT / f"{experiment}.py").read_text()
    described = image_nets.LAYERS.get(experiment, function_fit.LAYERS)
    if experiment.endswith("function_fit"):
        for net, widths in re.findall(r'"(\w+)": \(([\d, ]+)\)', text):
            assert described[net] == f"Dense {widths}"
        return
    body = text.split("hidden = {")[1].split("    }\n")[0]
    built = re.findall(r'"(\w+)": \[(.*?)\],\n(?=        "|$)', body, re.DOTALL)
    assert [net for net, _ in built] == ["shallow", "middle", "deep"]
    for net, layers in built:
        widths = re.findall(r"(?:convolution|Dense)\((\d+)", layers)
        assert re.findall(r"(?:Conv|Dense) (\d+)", described[net]) == [*widths, "10"], net


def test_few_seeds_of_unequal_number_are_not_paired_by_position() -> None:
    assert claims.lower([0.1, 0.1, 0.1], [0.2] * 3 + [0.05] * 80)["verdict"] == "unclear"
    assert claims.lower([0.1, 0.1, 0.1], [0.2] * 83)["verdict"] == "holds"
    assert claims.lower([0.3, 0.3], [0.2] * 83)["verdict"] == "does not hold"
    assert claims.lower([0.1], [0.2] * 83)["verdict"] == "unclear"


@pytest.mark.parametrize("experiment", build.experiments())
def test_what_a_setting_counts_stands_in_its_scripts_help(experiment: str) -> None:
    """The report names settings and values only: the remark behind each field, which --help shows, says the rest."""
    lines = (ROOT / f"{experiment}.py").read_text().splitlines()
    body = list(
        itertools.takewhile(lambda line: "__post_init__" not in line, lines[lines.index("class Settings:") + 1 :])
    )
    fields = [(before, line) for before, line in itertools.pairwise(["", *body]) if re.match(r"    \w+: ", line)]
    assert fields
    for before, line in fields:  # the values of a choice of words say what they are
        assert "Literal[" in line or re.search(r"  # \w", line) or before.startswith("    # "), line


def test_settings_are_shown_with_their_values(tmp_path: Path) -> None:
    put(tmp_path, fit(), cnn("mnist_cnn"))
    text = shown(tmp_path)
    for name, value in (
        ("epochs", "30,000"),
        ("learning rate of Adam", "0.001"),
        ("functions", "f1, f2"),
        ("images a batch", "128"),
    ):
        assert re.search(rf"{name}\s*{value}", text), name


@pytest.mark.parametrize("experiment", build.experiments())
def test_every_setting_has_a_readers_name(experiment: str) -> None:
    tree = ast.parse((ROOT / f"{experiment}.py").read_text())
    (fields,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings"]
    names = {field.target.id for field in fields if isinstance(field, ast.AnnAssign)}
    assert names and names == set(setting_names.NAMES[experiment])


def test_settings_are_written_as_a_reader_does() -> None:
    found = {
        "experiment": "hw1_3/sharpness",
        "settings": {"lanczos_tolerance": 1e-06, "stop_loss": 0.01, "batch_sizes": [1024, 32], "old_one": ["sgd/late"]},
    }
    assert setting_names.settings_of(found) == [
        ["residual, of largest eigenvalue", "1e\N{MINUS SIGN}6"],
        ["equal training loss", "0.01 nats"],
        ["images a batch", "32; 1,024"],
        ["old one", "SGD late"],
    ]
    assert setting_names.numbered("seeds", [0]) == "no. 0"


def test_the_turn_of_a_test_loss_is_told_with_what_accuracy_does() -> None:
    found = cnn("mnist_cnn", seeds=1)
    results = found["results"]["deep/seed-0"]
    results["test_loss"] = [0.4, 0.2, 0.3]
    results["test_accuracy"] = [0.8, 0.9, 0.901]
    lowest, sure = image_nets._turn(found)
    assert "deep 0.200 at epoch 2. Its rise" in lowest
    assert f"deep 50{wording.PERCENT}; test accuracy changes by 0.00 to 0.10 points meanwhile." in lowest
    assert "wrong answers that grow surer" in sure
    results["test_accuracy"] = [0.8, 0.9, 0.89]
    assert len(image_nets._turn(found)) == 1
    found["results"] = {}
    assert image_nets._turn(found) == []


def test_test_accuracies_stand_beside_the_earlier_reports() -> None:
    found = cnn("cifar10_cnn", seeds=1)
    found["data"] = found["data"] | {"name": "CIFAR-10 (JPEG copy)"}
    found["results"]["deep/seed-0"]["test_accuracy"][-1] = 0.838
    apart, why = image_nets._beside(found)
    assert "points: test accuracy shallow" in apart and "deep 3.00; running accuracy shallow" in apart
    assert "Ours are a JPEG copy" in why
    found["results"]["shallow/seed-0"]["running_accuracy"][-1] = 0.1
    for net in ("middle", "deep"):
        earlier = float(image_nets.EARLIER["hw1_1/cifar10_cnn"][net]["running_accuracy"])
        found["results"][f"{net}/seed-0"]["running_accuracy"][-1] = earlier / 100 - 0.01
    assert "why shallow alone is so far off" in image_nets._beside(found)[2]
    assert image_nets._beside(found | {"scale": "quick"}) == []


def test_the_worst_in_training_is_named_and_a_net_that_diverged_is_the_worst() -> None:
    found = cnn("mnist_cnn")
    said = image_nets._last_in_training(found, "shallow")[0]
    assert "shallow has the highest loss (3 of 3 seeds) and the lowest accuracy (3 of 3 seeds)" in said
    assert "(0 of 3 seeds)" in image_nets._last_in_training(found, "deep")[0]
    for seed in range(3):
        found["results"][f"deep/seed-{seed}"]["test_accuracy"][-1] = float("nan")
        found["results"][f"deep/seed-{seed}"]["train_loss"][-1] = float("nan")
    assert "deep has the highest loss (3 of 3 seeds)" in image_nets._last_in_training(found, "deep")[0]
    assert image_nets.c3(found)["parts"][2]["verdict"] == claims.FAILS  # not shallow, but deep, has the lowest


def test_what_was_not_done_is_named() -> None:
    nothing = {name: {"state": "complete", "words": "complete", "history": None} for name in build.experiments()}
    partial = {"state": "partial", "words": "partial: 1 of 2 units", "other_code": True}
    partial |= {"history": {"settings": {"widest_seeds": [0]}}}
    said = " ".join(histories.not_done(nothing | {"hw1_3/param_count": partial}))
    assert "Not complete: hw1_3/param_count (partial: 1 of 2 units)." in said
    assert "Those marked \N{DAGGER} were not measured again" in said
    assert "Not complete" not in " ".join(histories.not_done(nothing))


def test_figures_and_verdicts_share_their_thresholds() -> None:
    from hw1_2 import plot_grad_norm, plot_param_pca
    from hw1_3 import plot_interpolation
    from report import param_pca

    assert (plot_param_pca.TIMES, plot_param_pca.NORMAL_95) == (claims.C4_TIMES, param_pca.NORMAL_95)
    for name, bounds in claims.C5_PARTS.items():
        assert plot_grad_norm.CORRELATIONS[name][1:] == bounds
    assert plot_interpolation.TENTH == claims.C10_BARRIER
