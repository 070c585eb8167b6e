"""The plot scripts on made-up histories: what is drawn and said, the same bytes, and when a figure is due."""

import importlib.util
import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from common import figure_files, figures, history, settings

import numpy as np
import pytest
from conftest import ROOT
from trial_runs import made_up_history

NETS = ("shallow", "middle", "deep")
SCRIPTS = ("function_fit", "mnist_cnn", "cifar10_cnn")


def a_history(experiment, results, planned, scale="paper", data="MNIST"):
    about = {"settings": {"epochs": 5}, "data": {"name": data, "fingerprint": "made up"}, "scale": scale}
    return made_up_history(experiment, results, units=planned, **about)


def classifiers(name="mnist_cnn", epochs=12, seeds=3, lacking=(), **about):
    """Made-up curves of three CNNs, as mnist_cnn.py and cifar10_cnn.py keep them."""
    random = np.random.default_rng(1)
    planned = [f"{net}/seed-{seed}" for seed in range(seeds) for net in NETS]
    results = {}
    for unit in planned:
        if unit not in lacking:
            falling = np.exp(-np.arange(epochs) / (2 + NETS.index(unit.split("/")[0]))) * random.uniform(0.8, 1)
            curves = {f"{part}_loss": (falling + 0.001).tolist() for part in ("running", "train", "test")}
            curves |= {f"{part}_accuracy": (1 - falling / 2).tolist() for part in ("running", "train", "test")}
            curves["train_accuracy"][-1] = 1.0
            work = {"multiply_adds": 100 * (1 + NETS.index(unit.split("/")[0]))}
            results[unit] = {"summary": {"test loss": curves["test_loss"][-1]}, **work, **curves}
    return a_history(f"hw1_1/{name}", results, planned, **about)


def function_fits(seeds=10, lacking=(), dead=0.5, **about):
    """Made-up losses and curves, as function_fit.py keeps them; a share of the deep ReLU nets is dead."""
    random = np.random.default_rng(2)
    epochs = [0, 1, 3, 10, 30, 100]
    planned = [
        f"{function}/{activation}/{net}"
        for function, activation, net in itertools.product(
            ("f1", "f2"), ("relu", "tanh"), ("shallow", "medium", "deep")
        )
    ]
    inputs = np.linspace(-1, 1, 31)
    results = {}
    for unit in planned:
        if unit in lacking:
            continue
        loss = 0.4 / (1 + np.outer(random.uniform(0.1, 2, seeds), epochs))
        is_dead = np.arange(seeds) < dead * seeds * unit.endswith("relu/deep")
        loss[is_dead] = 0.29
        order = np.argsort(loss[:, -1])
        shown = {"best": order[0], "median": order[seeds // 2]}
        results[unit] = {
            "epochs": epochs,
            "loss": loss,
            "end_loss": loss[:, -1],
            "dead_at_birth": is_dead,
            "curve_inputs": inputs,
            "curve_target": np.cos(10 * inputs**3),
            "curves": {name: np.cos(10 * inputs**3) * random.uniform(0.5, 1) for name in shown},
            "curve_seeds": shown,
            "summary": {"end loss": loss[:, -1]},
        }
    return a_history("hw1_1/function_fit", results, planned, data="computed", **about)


def made_up(name, **about):
    return function_fits(**about) if name == "function_fit" else classifiers(name, **about)


def script(name):
    """A plot script as a module."""
    specification = importlib.util.spec_from_file_location(f"plot_{name}", ROOT / "hw1_1" / f"plot_{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def drawn(name, kept):
    """All figures of a script, by name."""
    figures.use_style()
    return {figure: draw(kept) for figure, draw in script(name).FIGURES.items()}


def put(tree, kept):
    """Write the history into a tree; its path."""
    path = settings.history_path(tree, kept["experiment"])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(history.encode(kept))
    return path


def small_figure(kept):
    """Stands for a figure where only its files matter, as it takes a tenth of the time."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), layout="none")
    figure.subplots().plot([len(kept["results"]), 2])
    return figure


def call(monkeypatch, capsys, name, *arguments, draw=small_figure):
    """Run a script's `main` here: exit code, stdout, stderr. A Problem is raised to the caller."""
    monkeypatch.setattr(sys, "argv", [f"plot_{name}.py", *map(str, arguments)])
    module = script(name)
    if draw:
        module.FIGURES = {name: draw}
    code = 0
    try:
        module.main()
    except SystemExit as stop:
        code = stop.code
    return code, *capsys.readouterr()


def words(figure):
    """All that is written in a figure."""
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


CASES = {
    "whole": {},
    "quick": {"scale": "quick", "seeds": 1},
    "many seeds": {"seeds": 9},
    "partial": {"lacking": ("deep/seed-1", "deep/seed-2", "f1/tanh/deep", "f2/relu/shallow")},
    "a net alone": {"seeds": 2, "lacking": [f"{net}/seed-{i}" for net in ("shallow", "deep") for i in (0, 1)]},
}


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize("case", CASES)
def test_panels_hold_data_axes_have_names_and_no_words_overlap(name, case):
    for title, figure in drawn(name, made_up(name, **CASES[case])).items():
        pixels = np.asarray(canvas(figure).buffer_rgba())
        assert pixels[..., :3].std() > 5
        for axes in figure.axes:
            assert any(np.isfinite(line.get_ydata()).any() for line in axes.lines), title
            for axis in (axes.xaxis, axes.yaxis):
                numbered = any(label.get_visible() and label.get_text() for label in axis.get_ticklabels())
                assert axis.label.get_text() or not numbered, f"{title}: {axes.get_title('left')} {axis.axis_name}"
        assert any(axes.get_ylabel() for axes in figure.axes) and any(axes.get_xlabel() for axes in figure.axes)
        assert_apart(figure, title)


def canvas(figure):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made = FigureCanvasAgg(figure)
    made.draw()
    return made


def assert_apart(figure, title):
    """No two of titles, axis names, labels in the panels and keys overlap, and all lie on the paper."""
    shown = [text for axes in figure.axes for text in (axes.title, axes._left_title, *axes.texts)]
    shown += [axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    shown += figure.legends + figure.texts
    boxes = {}
    for artist in shown:
        text = artist.get_text() if hasattr(artist, "get_text") else "key"
        if text:
            boxes[f"{text} {len(boxes)}"] = artist.get_window_extent()
    for (one, first), (two, second) in itertools.combinations(boxes.items(), 2):
        across = min(first.x1, second.x1) - max(first.x0, second.x0)
        along = min(first.y1, second.y1) - max(first.y0, second.y0)
        assert min(across, along) < 1.5, f"{title}: {one!r} and {two!r} overlap"
    for text, box in boxes.items():
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < figure.bbox.x1 + 1 and box.y1 < figure.bbox.y1 + 1, text


def test_the_dead_are_counted_from_the_history():
    shown = drawn("function_fit", function_fits(seeds=20, dead=0.35))
    assert any("7 of 20 deep" in text for text in words(shown["function_fit_loss"]))
    assert any("7 of 20" in text for text in words(shown["function_fit_end_loss"]))
    alive = drawn("function_fit", function_fits(seeds=20, dead=0))
    assert not any("20 deep" in text for text in words(alive["function_fit_loss"]))
    for figure in drawn("function_fit", function_fits(dead=1)).values():
        figure.draw_without_rendering()


@pytest.mark.parametrize("name", SCRIPTS[:2])
def test_same_history_same_bytes_and_small_files(name):
    kept = made_up(name)
    first, second = drawn(name, kept), drawn(name, kept)
    for figure, suffix in itertools.product(first, figures.SUFFIXES):
        content = figures.encode(first[figure], suffix, "history x")
        assert content == figures.encode(second[figure], suffix, "history x")
        assert b"2026-11" not in content and len(content) < 400_000
        if suffix == ".svg":
            ElementTree.fromstring(content)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        (classifiers(), ""),
        (classifiers(scale="quick"), "quick scale"),
        (classifiers(scale="quick", data="sample"), "quick scale; sample data"),
        (classifiers(scale="changed", data="unverified"), "changed settings; data: unverified"),
        (classifiers(lacking=[f"{net}/seed-2" for net in NETS]), "6 of 9 units measured"),
        (classifiers(lacking=("deep/seed-2",)), "8 of 9 units measured"),
        (classifiers(seeds=1, lacking=("deep/seed-0",)), "2 of 3 units measured"),
        (classifiers(data="CIFAR-10"), ""),
    ],
)
def test_caveats_are_said_only_where_needed(kept, said):
    assert figures.caveats(kept, NETS) == said
    figure = drawn("mnist_cnn", kept)["mnist_cnn"]
    assert figure.get_suptitle() == said


@pytest.mark.parametrize(
    ("lacking", "said"),
    [("none", ""), ("f2/tanh/deep", "11 of 12 units measured"), ("f2", "6 of 12 units measured")],
)
def test_missing_trainings_of_function_fit_are_said(lacking, said):
    groups = script("function_fit").GROUPS
    kept = function_fits(lacking=[group for group in groups if group.startswith(lacking)])
    assert figures.caveats(kept, groups) == said


@pytest.mark.parametrize(
    ("limits", "labels", "minor"),
    [
        ((0.9, 6), ["1", "2", "5"], True),
        ((0.004, 3), ["0.01", "0.1", "1"], True),
        ((0.004, 300), ["0.01", "1", "100"], False),
        ((3e-4, 0.5), ["0.001", "0.01", "0.1"], True),
        ((5e-5, 0.5), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹"], True),
        ((5e-7, 2), ["10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"], False),
        ((1e-21, 2), ["10⁻²⁰", "10⁻¹⁶", "10⁻¹²", "10⁻⁸", "10⁻⁴", "10⁰"], False),
        ((1.5e-4, 6e-4), ["2 \N{MULTIPLICATION SIGN} 10⁻⁴", "5 \N{MULTIPLICATION SIGN} 10⁻⁴"], True),
        ((2e3, 5e6), ["10⁴", "10⁵", "10⁶"], True),
    ],
)
def test_a_log_axis_has_few_ticks_and_one_kind_of_label(limits, labels, minor):
    figures.use_style()
    figure, panels = figures.grid(1, 1, 2)
    axis = panels[0, 0].yaxis
    panels[0, 0].set(yscale="log", ylim=limits)
    figures.log_ticks(axis)
    figure.draw_without_rendering()
    low, high = limits
    shown = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert [tick.label1.get_text() for tick in shown] == labels
    assert any(low <= place <= high for place in axis.get_minorticklocs()) == minor


def test_names_are_moved_apart_no_further_than_needed():
    random = np.random.default_rng(3)
    assert figures.apart([0.5, 0.2, 0.9], 0.1) == pytest.approx([0.5, 0.2, 0.9])
    assert figures.apart([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])
    assert figures.apart([1.0, 1.0, 1.0], 0.1) == pytest.approx([0.8, 0.9, 1.0])
    for _ in range(200):
        heights, gap = random.uniform(-0.1, 1.1, 5), random.uniform(0, 0.2)
        moved = np.array(figures.apart(heights, gap))
        assert (np.diff(np.sort(moved)) >= gap - 1e-9).all() and moved.min() >= 0 and moved.max() <= 1 + 1e-9
        assert (moved[np.argsort(heights)] == np.sort(moved)).all()


def test_states_of_check_and_what_is_redrawn(tmp_path, monkeypatch, capsys):
    path = put(tmp_path, classifiers(seeds=1))
    source = ("--history", path)
    svg, png = (tmp_path / "figures" / f"mnist_cnn{suffix}" for suffix in figures.SUFFIXES)

    def run(*flags):
        return call(monkeypatch, capsys, "mnist_cnn", *source, *flags)

    assert run("--check")[:2] == (1, "due: mnist_cnn.svg is not drawn yet\n")
    code, out, err = run()
    assert (code, out) == (0, f"{svg}\n{png}\n") and str(path) in err
    whole = svg.read_bytes(), png.read_bytes()
    assert run("--check")[:2] == (0, "up to date (measured 2026-11-24)\n")
    code, out, err = run()
    assert (code, out) == (0, "") and "up to date" in err
    assert run("--force")[1] == f"{svg}\n{png}\n"

    for file, intact in zip((svg, png), whole, strict=True):
        middle = len(intact) // 2
        for damaged in (b"", b"not a figure", intact[:middle], intact[:middle] + b"x" + intact[middle + 1 :]):
            file.write_bytes(damaged)
            code, out, _ = run("--check")
            assert code == 1 and out.startswith(f"due: {file.name} is damaged"), damaged[:20]
        assert run()[0] == 0
        assert (svg.read_bytes(), png.read_bytes()) == whole

    put(tmp_path, classifiers(seeds=2))
    assert run("--check")[:2] == (1, "due: mnist_cnn.svg was drawn from another history\n")
    path.write_bytes(path.read_bytes()[:-100])
    code, out, _ = run("--check")
    assert code == 1 and out.startswith("unreadable: ") and out.count("\n") == 1


def test_a_changed_sheet_or_matplotlib_makes_figures_due(tmp_path, monkeypatch, capsys):
    path = put(tmp_path, classifiers(seeds=1))
    call(monkeypatch, capsys, "mnist_cnn", "--history", path)
    with monkeypatch.context() as context:
        context.setattr(figure_files.importlib.metadata, "version", lambda name: "0")
        answer = call(context, capsys, "mnist_cnn", "--history", path, "--check")
        assert answer[:2] == (1, "due: mnist_cnn.svg is by another matplotlib\n")
    sheet = tmp_path / "other.mplstyle"
    sheet.write_text(figure_files.SHEET.read_text() + "lines.linewidth: 9\n")
    monkeypatch.setattr(figure_files, "SHEET", sheet)
    answer = call(monkeypatch, capsys, "mnist_cnn", "--history", path, "--check")
    assert answer[:2] == (1, "due: mnist_cnn.svg is by other code\n")


def test_paper_history_is_preferred_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    assert call(monkeypatch, capsys, "mnist_cnn", "--check")[:2] == (1, "due: nothing measured yet\n")
    with pytest.raises(settings.Problem, match=r"no history: run hw1_1/mnist_cnn\.py first"):
        call(monkeypatch, capsys, "mnist_cnn")
    put(tmp_path / "out" / "quick", classifiers(scale="quick", seeds=1))
    _, out, err = call(monkeypatch, capsys, "mnist_cnn")
    assert "quick history, as there is no paper history" in err
    assert out.startswith(str(tmp_path / "out" / "quick" / "figures"))
    put(tmp_path, classifiers(seeds=1))
    _, out, err = call(monkeypatch, capsys, "mnist_cnn")
    assert "the paper history" in err and out.startswith(str(tmp_path / "figures"))
    assert call(monkeypatch, capsys, "mnist_cnn", "--scale", "quick", "--check")[0] == 0


def test_histories_that_cannot_be_drawn_are_named(tmp_path, monkeypatch, capsys):
    lacking = classifiers()
    del lacking["results"]["deep/seed-1"]["test_loss"]
    uneven = classifiers()
    uneven["results"]["deep/seed-1"]["test_loss"].pop()
    foreign = classifiers("cifar10_cnn")
    foreign_path = put(tmp_path / "foreign", foreign)
    misnamed = foreign_path.rename(foreign_path.with_name("mnist_cnn.pkl"))
    nothing = classifiers(lacking=[f"{net}/seed-{seed}" for net in NETS for seed in range(3)])
    cases = {
        put(tmp_path / "lacking", lacking): "test_loss in deep/seed-1",
        put(tmp_path / "uneven", uneven): "differs in length",
        misnamed: "is of hw1_1/cifar10_cnn",
        put(tmp_path / "nothing", nothing): "nothing in this history is measured",
        tmp_path / "here.pkl": "TREE/hw1_x/history",
    }
    for path, message in cases.items():
        with pytest.raises(settings.Problem, match=message):
            call(monkeypatch, capsys, "mnist_cnn", "--history", path, draw=None)


def test_as_a_command_it_needs_no_tensorflow_and_for_check_no_matplotlib(tmp_path):
    def run(*arguments):
        """The plot script as its own process, where importing a trap, or heeding a user's matplotlibrc, would fail."""
        command = [sys.executable, str(ROOT / "hw1_1" / "plot_mnist_cnn.py"), *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(traps), "MPLBACKEND": "no such thing"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)

    traps = tmp_path / "traps"
    traps.mkdir()
    (tmp_path / "matplotlibrc").write_bytes(b"lines.linewidth: 40\nfont.size: 30\nno.such.key: \xff\xfe\n")
    (traps / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    path, svg = put(tmp_path, classifiers(seeds=1)), tmp_path / "figures" / "mnist_cnn.svg"
    done = run("--history", path)
    assert done.returncode == 0 and done.stderr == f"hw1_1/mnist_cnn: drawing {path}\n"
    figure = drawn("mnist_cnn", history.read(path))["mnist_cnn"]
    assert svg.read_bytes() == figures.encode(figure, ".svg", figures.stamp_of(svg))
    (traps / "matplotlib.py").write_text("raise SystemExit('matplotlib was imported')")
    checked = run("--history", path, "--check")
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "up to date (measured 2026-11-24)\n", "")
    failed = run("--history", tmp_path / "x" / "history" / "no.pkl")
    assert failed.returncode == 1 and "no history" in failed.stderr and "Traceback" not in failed.stderr
    assert run("--scale", "big").returncode == run("--scale", "quick", "--history", path).returncode == 2
