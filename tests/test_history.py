"""The history pickle: round trip, due or not, damage, hostile files, several processes, signals, full disks."""

import copy
import io
import math
import pickle
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from common import files, history, plain_pickle, provenance, settings, tables

import numpy as np
import pytest
import trial_runs
from conftest import ROOT, quick_run, wait_for

UNITS = ("deep/seed-0", "deep/seed-1", "shallow/seed-0")
PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"


@dataclass(frozen=True)
class Settings:
    epochs: int = 2
    learning_rate: float = 0.1
    seeds: tuple[int, ...] = (0, 1)


@dataclass(frozen=True)
class Dataset:
    name: str = "MNIST"
    fingerprint: str = "f" * 64
    source: str = "a folder"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of a script at quick scale whose repository is tmp_path."""
    for module in (history, provenance, settings):
        monkeypatch.setattr(module, "ROOT", tmp_path)
    script = tmp_path / "hw1_1" / "tiny.py"
    script.parent.mkdir()
    script.write_text("REVISION = 1\n")
    return quick_run(script, Settings())


def train(run: settings.Run, value: float = 1.0, revision: int = 1, units=UNITS, dataset=None) -> list[str]:
    """Train what is missing, as a script's `main` does; returns the units trained."""
    kept, trained = history.start(run, revision, units, dataset), []
    for unit in kept.missing():
        kept.keep(unit, {"loss": np.array([[3, 2], [2, value]]), "summary": {"loss": np.float32(value)}})
        trained.append(unit)
    return trained


def state(run: settings.Run, revision: int = 1, units=UNITS, dataset=None) -> tuple[str, bool]:
    """What --check says, and whether it exits with 0."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as leaving:
        patch.setattr(sys, "stdout", printed)
        history.start(replace(run, mode="check"), revision, units, dataset)
    line = printed.getvalue()
    assert line.count("\n") == 1
    return line.rstrip("\n"), leaving.value.code == 0


# ------------------------------------------------------------------------------------------ one history


def test_what_is_kept_comes_back_with_and_without_this_project(run):
    train(run, 0.1 + 0.2)
    read = history.read(run.history)
    assert read["results"]["deep/seed-1"]["loss"] == [[3.0, 2.0], [2.0, 0.1 + 0.2]]
    assert list(read["units"]) == list(UNITS)
    assert (read["complete"], read["scale"], read["experiment"]) == (True, "quick", "hw1_1/tiny")
    assert read["settings"] == {"epochs": 2, "learning_rate": 0.1, "seeds": [0, 1]}
    code = "import pickle, sys; print(repr(pickle.load(open(sys.argv[1], 'rb'))))"
    alone = subprocess.run(
        [sys.executable, "-I", "-c", code, run.history], capture_output=True, text=True, cwd="/", check=True
    )
    assert alone.stdout.strip() == repr(read)


def test_a_complete_history_is_not_trained_again(run, capsys):
    assert state(run) == ("due: nothing measured yet", False)
    assert train(run) == list(UNITS)
    before = run.history.read_bytes()
    line, fine = state(run)
    assert line.startswith("up to date (measured 20")
    assert fine
    assert train(run) == []
    assert run.history.read_bytes() == before
    assert "hw1_1/tiny: up to date (measured 20" in capsys.readouterr().err


def test_each_reason_for_which_a_history_is_due(run):
    train(run, dataset=Dataset())
    assert state(run, dataset=Dataset())[1]
    assert state(run, dataset=Dataset(source="another folder"))[1]

    @dataclass(frozen=True)
    class More(Settings):
        dropout: float = 0.5

    reasons = [
        state(replace(run, settings=Settings(epochs=3)), dataset=Dataset()),
        state(replace(run, settings=More()), dataset=Dataset()),
        state(run, dataset=Dataset("sample", "e" * 64)),
        state(run, revision=2, dataset=Dataset()),
        state(replace(run, experiment="hw1_1/other", root=run.root / "x"), dataset=Dataset()),
    ]
    assert reasons == [
        ("due: epochs is 3 here and was 2", False),
        ("due: dropout is 0.5 here and was not recorded", False),
        ("due: measured on MNIST, here is sample", False),
        ("due: made by revision 1, this is 2", False),
        ("due: nothing measured yet", False),
    ]
    other = replace(run, experiment="hw1_1/other")
    for changed in (other, replace(run, scale="paper", root=run.root)):
        changed.history.parent.mkdir(parents=True, exist_ok=True)
        if changed.history != run.history:
            changed.history.write_bytes(run.history.read_bytes())
        assert state(changed, dataset=Dataset()) == ("due: it is of another experiment or scale", False)


def test_a_history_of_another_identity_is_put_aside_and_replaced(run, tmp_path, capsys):
    train(run)
    before = run.history.read_bytes()
    assert train(replace(run, settings=Settings(epochs=3))) == list(UNITS)
    [aside] = (tmp_path / "out" / "replaced").iterdir()
    assert aside.read_bytes() == before
    assert str(aside) in capsys.readouterr().err
    assert history.read(run.history)["settings"]["epochs"] == 3


def test_one_unit_makes_a_partial_history_and_the_rest_completes_it(run):
    assert train(replace(run, unit=("deep/seed-1",))) == ["deep/seed-1"]
    assert state(run) == ("partial: 1 of 3 units", False)
    assert not history.read(run.history)["complete"]
    assert train(run) == ["deep/seed-0", "shallow/seed-0"]
    assert state(run)[1]


def test_an_unknown_unit_is_refused_with_the_known_ones(run, capsys):
    with pytest.raises(SystemExit) as leaving:
        train(replace(run, unit=("deep/seed-9",)))
    assert leaving.value.code == 2
    assert f"no unit 'deep/seed-9'; the units are: {', '.join(UNITS)}" in capsys.readouterr().err


@pytest.mark.parametrize(("force", "resumed"), [(False, {"epoch": 7}), (True, {})])
def test_force_starts_an_interrupted_unit_again(run, force, resumed):
    interrupted = history.start(run, 1, UNITS)
    interrupted.checkpoint(UNITS[0]).restore([np.ones(3)], {"epoch": 7})
    interrupted.checkpoint(UNITS[0]).reached("", 1, now=True)
    kept = history.start(replace(run, force=force), 1, UNITS)
    assert next(kept.missing()) == UNITS[0]
    assert kept.checkpoint(UNITS[0]).restore([np.zeros(3)], {}) == resumed


def test_force_trains_again_and_only_what_is_asked_for(run):
    train(run, 1.0)
    assert train(replace(run, force=True, unit=("deep/seed-0",)), 2.0) == ["deep/seed-0"]
    summaries = {unit: result["summary"]["loss"] for unit, result in history.read(run.history)["results"].items()}
    assert summaries == {"deep/seed-0": 2.0, "deep/seed-1": 1.0, "shallow/seed-0": 1.0}
    assert train(replace(run, force=True), 3.0) == list(UNITS)
    assert history.read(run.history)["complete"]


@pytest.mark.parametrize(("scale", "flag"), [("quick", "--scale quick"), ("changed", "--history {}")])
def test_a_run_ends_with_the_command_that_draws_it(run, capsys, scale, flag):
    run = replace(run, scale=scale)
    train(run)
    history.start(run, 1, UNITS).report()
    assert "its figures" not in capsys.readouterr().err  # nothing draws it
    plot = run.script.with_name("plot_tiny.py")
    plot.write_text("")
    history.start(run, 1, UNITS).report()
    command = f"its figures: {sys.executable} {plot} {flag.format(run.history)}\n"
    assert capsys.readouterr().err.endswith(command)


def test_more_seeds_extend_a_history_and_fewer_lose_nothing(run):
    train(run)
    more = replace(run, settings=Settings(seeds=(0, 1, 2)))
    units = (*UNITS, "deep/seed-2")
    assert state(more, units=units) == ("partial: 3 of 4 units", False)
    assert train(more, units=units) == ["deep/seed-2"]
    assert state(run)[1]
    assert train(replace(run, settings=Settings(seeds=(5,))), units=("deep/seed-5",)) == ["deep/seed-5"]
    extended = history.read(run.history)
    assert set(extended["results"]) == {*units, "deep/seed-5"}
    assert extended["settings"]["seeds"] == [0, 1, 2, 5]


def test_other_code_is_noted_and_trains_nothing(run):
    train(run)
    run.script.write_text("REVISION = 1\nsomething = 2\n")
    line, fine = state(run)
    assert fine
    assert line.endswith("; made by other code")
    assert train(run) == []
    train(replace(run, force=True, unit=UNITS[:1]))  # one unit by this code, two by other code
    assert state(run)[0].endswith("; made by other code")
    train(replace(run, force=True))
    assert "code" not in state(run)[0]


def test_an_unreadable_history_stops_a_run_unless_forced(run, tmp_path):
    train(run)
    run.history.write_bytes(b"damaged")
    line, fine = state(run)
    assert line.startswith(f"unreadable: {run.history}: not a usable history: it has no checksum line")
    assert not fine
    with pytest.raises(history.UnreadableError, match="measure it again"):
        train(run)
    assert run.history.read_bytes() == b"damaged"
    assert train(replace(run, force=True)) == list(UNITS)
    assert state(run)[1]
    assert [each.read_bytes() for each in (tmp_path / "out" / "replaced").iterdir()] == [b"damaged"]


@pytest.mark.parametrize(
    ("results", "words"),
    [
        (None, "its results are a NoneType"),
        ({"loss": [1]}, "no 'summary'"),
        ({"summary": None}, "no 'summary'"),
        ({"summary": {"loss": "low"}}, "'summary/loss'"),
        ({"loss": [[1, 2], [3]], "summary": {}}, "'loss' has rows that differ in length"),
        ({"of": {"nets": {1}}, "summary": {}}, "'of/nets' holds a set"),
        ({"weights": np.array([set()], object), "summary": {}}, "'weights' holds a set"),
        ({"loss": np.zeros(900_000), "summary": {}}, "would take 8"),
        ({"summary": dict.fromkeys(map(str, range(300)), 1.0)}, "too many"),
    ],
)
def test_a_mistake_in_what_train_returns_is_named_and_costs_no_training(run, results, words):
    experiment = history.start(run, 1, UNITS)
    experiment.checkpoint(UNITS[0]).restore([], {"loss": [0.5]})
    experiment.checkpoint(UNITS[0]).reached("", 1, now=True)
    with pytest.raises(settings.Problem) as problem:
        experiment.keep(UNITS[0], results)
    assert words in str(problem.value) and UNITS[0] in str(problem.value) and "finished training" in str(problem.value)
    assert not run.history.exists()
    run.script.write_text("REVISION = 1\nmended = True\n")
    mended = history.start(run, 1, UNITS)
    assert mended.checkpoint(UNITS[0]).restore([], {}) == {"loss": [0.5]}
    mended.keep(UNITS[0], {"summary": {"loss": 0.5}})
    record = history.read(run.history)["units"][UNITS[0]]
    assert record["code"] == mended.code["hash"] and record["begun_by_code"] == [experiment.code["hash"]]
    assert not list((run.checkpoints).glob("*.state"))


def test_a_result_that_is_not_finite_is_kept_and_said(run, capsys):
    results = {"loss": [1.0, float("nan")], "other": {"a": [[float("inf")]]}, "fine": 1, "summary": {"loss": 1.0}}
    history.start(run, 1, UNITS).keep(UNITS[0], results)
    assert f"note: {UNITS[0]}: NaN or infinite numbers in loss, other\n" in capsys.readouterr().err
    assert history.read(run.history)["results"][UNITS[0]]["other"] == {"a": [[float("inf")]]}


def test_one_training_may_give_several_units(run):
    stages = {"sgd": ("sgd/early", "sgd/late"), "adam": ("adam/late",)}

    def results(names: tuple[str, ...], value: float) -> dict:
        return {name: {"summary": {"loss": value}} for name in names}

    experiment = history.start(run, 1, stages)
    assert list(experiment.missing()) == ["sgd", "adam"]
    for training, units in stages.items():
        experiment.keep(training, results(units, 1.0))
    assert state(run, units=stages)[1] and len(history.read(run.history)["results"]) == 3
    more = stages | {"sgd": (*stages["sgd"], "sgd/last")}
    assert state(run, units=more) == ("partial: 3 of 4 units", False)
    extended = history.start(replace(run, unit=("sgd/last",)), 1, more)
    assert list(extended.missing()) == ["sgd"]
    extended.keep("sgd", results(more["sgd"], 2.0))
    measured = history.read(run.history)["results"]
    assert [measured[unit]["summary"]["loss"] for unit in more["sgd"]] == [1.0, 1.0, 2.0]  # what was there stays
    with pytest.raises(settings.Problem, match="sgd/last: its results are a NoneType"):
        extended.keep("sgd", results(stages["sgd"], 2.0))


@pytest.mark.parametrize(
    ("arms", "units", "title"),
    [
        ({"nets": ["deep"]}, ["deep/seed-0"], "net"),
        ({"batch_sizes": [32, 64]}, ["batch-0032", "batch-0064"], "batch size"),
        ({"learning_rates": [0.1, 1e-3]}, ["0.1/seed-0", "0.001/seed-0"], "learning rate"),
        ({"functions": ["f1"], "nets": ["deep"], "seeds": [1]}, ["f1/deep/seed-1"], "function / net"),
        ({"arms": ["sgd/early"]}, ["sgd/early"], "arm"),
        ({"seeds": [0]}, ["walk/seed-0"], "unit"),
    ],
)
def test_tables_say_what_their_first_column_holds(arms, units, title):
    made_up = trial_runs.made_up_history(
        "hw1_1/tiny", {unit: {"summary": {"loss": 1.0}} for unit in units}, settings=arms
    )
    assert tables.table(made_up).index.name == title


def test_curves_come_one_row_an_epoch(run):
    experiment = history.start(run, 1, UNITS)
    curves = {"loss": [3.0, 2.0, 1.0], "both": [[1, 2, 3], [4, 5, 6]], "other": [9], "words": ["a", "b", "c"]}
    experiment.keep(UNITS[0], curves | {"summary": {}})
    experiment.keep(UNITS[1], curves | {"epochs": [0, 10, 20], "summary": {}})
    header, *rows = command_line("--csv", "--by-epoch", str(run.history)).stdout.splitlines()
    assert header == "experiment,scale,unit,epoch,loss,both 0,both 1"
    assert rows[1] == "hw1_1/tiny,quick,deep/seed-0,2,2.0,2,5" and rows[5] == "hw1_1/tiny,quick,deep/seed-1,20,1.0,3,6"
    assert command_line("--by-epoch", str(run.history)).returncode == 2


def test_numpy_values_become_plain_ones():
    values = {"a": np.float32(0.5), "b": (1, np.bool_(True)), 3: np.arange(4).reshape(2, 2), "c": None}
    assert repr(plain_pickle.plain(values)) == repr({"a": 0.5, "b": [1, True], "3": [[0, 1], [2, 3]], "c": None})


# ------------------------------------------------------------------------------------------ wrong fields

UNIT = "units/deep/seed-0"
RESULTS = "results/deep/seed-0"
GONE = object()
WRONG = [  # a field and a value that it may not have
    ("another", 1), ("schema", 2), ("schema", "1"), ("complete", False), ("complete", 1), ("wall_seconds", math.nan),
    ("wall_seconds", 2**70), ("settings/learning_rate", math.nan), ("settings/seeds", (1, 2)), ("settings/3", 1),
    ("data/fingerprint", None), ("data/name", GONE), ("code/hash", GONE), ("code/revision", "1"), ("results", {}),
    ("results/stranger", {"summary": {}}), (RESULTS, []), (f"{RESULTS}/summary", GONE),
    (f"{RESULTS}/summary/loss", "low"), (f"{RESULTS}/summary/loss", [1, None]), (f"{RESULTS}/summary/loss", [[1]]),
    (f"{RESULTS}/loss", [[1, 2], [3]]), (f"{RESULTS}/loss", [[[1], [2, 3]]]), (f"{RESULTS}/loss", 2**64),
    ("units/stranger", {}), (UNIT, None), (UNIT, {}), (f"{UNIT}/measured", 5), (f"{UNIT}/wall_seconds", "long"),
    (f"{UNIT}/code", GONE),
]  # fmt: skip


def test_wrong_fields_and_types_are_refused(run, tmp_path):
    train(run, units=UNITS[:1])
    whole, path = history.read(run.history), tmp_path / "history.pkl"
    for field, value in [*WRONG, *((name, each) for name in whole for each in (GONE, None, (), b""))]:
        copied = copy.deepcopy(whole)
        *outer, name = field.replace(UNITS[0], "UNIT").split("/")
        inner = copied
        for each in outer:
            inner = inner[each.replace("UNIT", UNITS[0])]
        name = 3 if name == "3" else name.replace("UNIT", UNITS[0])
        inner[name] = value
        if value is GONE:
            del inner[name]
        path.write_bytes(files.with_checksum(pickle.dumps(copied, 4)))
        with pytest.raises(history.UnreadableError, match="not a usable history: ") as refusal:
            history.read(path)
        assert str(refusal.value).startswith(f"{path}: "), field
    path.write_bytes(files.with_checksum(pickle.dumps(whole, 4)))
    assert history.read(path) == whole


# ---------------------------------------------------------------------------------- the command line


def command_line(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "common.history", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_line_shows_what_a_history_holds(run):
    for value, unit in ((1.0, UNITS[0]), (3.0, UNITS[1])):
        train(replace(run, unit=(unit,)), value, dataset=Dataset())
    shown = command_line(str(run.history))
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in ("hw1_1/tiny", "quick", "2 of 3", "epochs 2", "seeds 0 1", "MNIST", "revision 1"):
        assert words in shown.stdout
    assert "loss 2 x 2" in shown.stdout
    assert "2 [1, 3]" in shown.stdout


def test_the_command_line_gives_the_table_as_csv(run):
    for value, unit in ((1.0, UNITS[0]), (4.0, UNITS[1])):
        train(replace(run, unit=(unit,)), value)
    shown = command_line("--csv", str(run.history), str(run.history))
    header, *rows = shown.stdout.splitlines()
    assert header == "experiment,scale,unit,loss median,loss min,loss max,loss n"
    assert rows == ["hw1_1/tiny,quick,deep,2.5,1.0,4.0,2"] * 2
    refused = command_line(str(run.history.with_name("gone")))
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert refused.stderr.startswith(f"error: {run.history.with_name('gone')}: ")
    assert command_line().returncode == command_line("--unknown", "x").returncode == 2


def test_the_table_of_nets_that_are_all_dead(run):
    kept = history.start(run, 1, UNITS)
    kept.keep(UNITS[0], {"summary": {"loss": [], "share": [True, False], "other": [float("nan"), float("inf")]}})
    read = history.read(run.history)
    assert history.table(read).loc["deep", ["loss", "share"]].tolist() == ["none", "0.5 [0, 1]"]
    assert history.table(read, numeric=True).loc["deep", "loss n"] == 0


# --------------------------------------------------------------------------------------------- as a script


def test_check_and_list_of_a_script(project, tiny):
    empty = tiny("--check")
    assert empty.communicate()[0] == "due: nothing measured yet\n"
    assert empty.returncode == 1
    listing = tiny(
        "--list", "--unit", "walk/seed-2", "--unit=walk/seed-1", "--seeds", "1", "2", "3", "--data-dir", "a b"
    )
    commands = listing.communicate()[0].splitlines()
    assert listing.returncode == 0
    assert [shlex.split(command)[-1] for command in commands] == ["walk/seed-1", "walk/seed-2"]
    assert shlex.split(commands[0]) == [
        *(sys.executable, str(project / "hw1_1" / "tiny.py"), "--seeds", "1", "2", "3"),
        *("--data-dir", "/a b", "--scale", "quick", "--unit", "walk/seed-1"),
    ]
    for command in commands:
        subprocess.run(command, shell=True, check=True, capture_output=True, cwd=project.parent)
    assert (project / "trained").read_text().split() == ["walk/seed-1", "walk/seed-2"]
    partial = tiny("--check", "--seeds", "1", "2", "3")
    assert partial.communicate()[0] == "partial: 2 of 3 units\n"
    last = tiny("--seeds", "1", "2", "3")
    output = last.communicate()[0]
    assert last.returncode == 0
    assert output.splitlines()[-1] == f"history: {project / PLACE}"
    whole = tiny("--check", "--seeds", "1", "2", "3")
    assert whole.communicate()[0].startswith("up to date (measured ")
    assert whole.returncode == 0
    assert tiny("--list", "--seeds", "1", "2", "3").communicate()[0] == ""


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")],
)
def test_a_signal_ends_a_run_at_once_and_nothing_is_lost(project, tiny, number, code, word):
    process = tiny(TINY_HANGS="walk/seed-1")
    wait_for(project / "out" / "checkpoints", "**/*seed-1.state")
    started = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - started < 2
    assert process.returncode == code
    announced, message = errors.splitlines()
    assert announced.startswith("hw1_1/tiny: quick scale")
    assert message.startswith(word)
    assert list(history.read(project / PLACE)["results"]) == ["walk/seed-0"]
    last = tiny()
    assert last.wait(60) == 0
    assert history.read(project / PLACE)["complete"]
    assert (project / "trained").read_text().split() == ["walk/seed-0", "walk/seed-1", "walk/seed-1", "walk/seed-2"]


def test_nohup_keeps_a_run_alive(project, tiny):
    process = tiny(TINY_HANGS="walk/seed-1", ignoring=(signal.SIGHUP,))
    wait_for(project / "out" / "checkpoints", "**/*seed-1.state")
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
