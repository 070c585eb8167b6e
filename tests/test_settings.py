"""Flags, ranges, scales and places; messages and exit codes; the hash of the code; random streams."""

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from common import gpu, provenance, seeds, settings

import pytest
from conftest import ROOT, usual_signals


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 20  # passes
    learning_rate: settings.Positive = 0.1  # of Adam
    dropout: settings.Share = 0.25  # share dropped
    nets: tuple[Literal["shallow", "deep"], ...] = ("shallow", "deep")  # nets to train
    seeds: settings.Seeds = (0, 1, 2)  # one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=2)


@pytest.fixture
def parse(tmp_path, monkeypatch):
    """parse(*flags) as a script hw1_1/mnist_cnn.py does, with tmp_path as the repository, on a machine without GPU."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "listed", lambda: (False, "no GPU"))
    monkeypatch.delenv("HW1_DATA_DIR", raising=False)

    def called(*flags):
        monkeypatch.setattr(sys, "argv", ["mnist_cnn.py", *flags])
        return settings.parse(str(tmp_path / "hw1_1" / "mnist_cnn.py"), "A question.", PAPER, QUICK)

    return called


def refused(parse, capsys, *flags) -> str:
    """What is printed on stderr when flags are refused with exit code 2, on one line, without the frame."""
    with pytest.raises(SystemExit) as leaving:
        parse(*flags)
    assert leaving.value.code == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert "Traceback" not in printed.err
    return " ".join(printed.err.replace("│", " ").split())


def test_scales_and_places(parse, tmp_path, capsys):
    quick, paper = parse(), parse("--scale", "paper")
    assert (quick.scale, quick.settings, quick.root) == ("quick", QUICK, tmp_path / "out" / "quick")
    assert "quick scale (no GPU" in capsys.readouterr().err
    assert (paper.scale, paper.settings, paper.root) == ("paper", PAPER, tmp_path)
    assert quick.history == tmp_path / "out" / "quick" / "hw1_1" / "history" / "mnist_cnn.pkl"
    assert paper.history == tmp_path / "hw1_1" / "history" / "mnist_cnn.pkl"
    assert parse("--scale=paper").scale == "paper"
    assert quick.checkpoints != paper.checkpoints


def test_a_gpu_makes_paper_the_default(parse, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "listed", lambda: (True, gpu.LISTED))
    assert parse().scale == "paper"
    assert "paper scale (nvidia-smi lists a GPU)" in capsys.readouterr().err
    assert parse("--scale", "quick").scale == "quick"


@pytest.mark.parametrize(
    ("listed", "found"), [("echo GPU 0: NVIDIA H100", True), ("echo no devices; exit 9", False), (None, False)]
)
def test_a_gpu_is_what_nvidia_smi_lists(tmp_path, monkeypatch, listed, found):
    monkeypatch.setenv("PATH", str(tmp_path))
    if listed is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{listed}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpu.listed.__wrapped__()[0] is found


def test_changed_settings_land_in_a_place_of_their_own(parse, tmp_path):
    first, second = parse("--epochs", "3"), parse("--scale", "paper", "--learning-rate", "0.2")
    for run in (first, second):
        assert run.scale == "changed"
        assert run.root.parent == tmp_path / "out" / "changed"
        assert run.root.name.startswith("mnist_cnn-")
        assert run.history == run.root / "hw1_1" / "history" / "mnist_cnn.pkl"
    assert first.root != second.root
    assert first.checkpoints != second.checkpoints
    assert parse("--epochs", "3").root == first.root
    assert parse("--epochs", "2").scale == "quick"  # the default, spelled out


def test_more_seeds_and_fewer_nets_change_no_identity(parse):
    assert parse("--scale", "paper", "--seeds", "0", "7", "--nets", "deep").scale == "paper"
    chosen = parse("--seeds", "3").settings
    assert settings.identity(chosen) == settings.identity(QUICK) == {"epochs": 2, "learning_rate": 0.1, "dropout": 0.25}


def test_the_data_folder_is_the_flag_or_the_variable(parse, tmp_path, monkeypatch):
    assert parse().data_dir is None
    monkeypatch.setenv("HW1_DATA_DIR", str(tmp_path / "a"))
    assert parse().data_dir == tmp_path / "a"
    assert parse("--data-dir", str(tmp_path / "b")).data_dir == tmp_path / "b"
    monkeypatch.chdir(tmp_path)
    assert parse("--data-dir", "c").data_dir == tmp_path / "c"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--epochs 0", "--epochs must lie from 1 to 1e+09, not 0"),
        ("--epochs many", "--epochs"),
        ("--learning-rate 0", "--learning-rate must lie above 0"),
        ("--learning-rate nan", "--learning-rate must lie above 0 to 1e+09, not nan"),
        ("--dropout 1", "--dropout must lie from 0 to below 1, not 1.0"),
        ("--seeds 0 1 0", "no value twice, not 0 1 0"),
        ("--seeds", "--seeds needs at least one value"),
        ("--nets depe", "invalid choice 'depe'"),
        ("--scale huge", "Expected one of ('quick', 'paper')"),
        ("--learning_rat 3", "Perhaps you meant: --learning-rate FLOAT"),
        ("extra", "extra"),
    ],
)
def test_a_wrong_flag_is_refused_by_name(parse, capsys, flags, message):
    assert message in refused(parse, capsys, *flags.split())


def test_help_shows_the_settings_with_the_defaults_of_the_scale(parse, capsys):
    for scale, epochs in (("quick", 2), ("paper", 20)):
        with pytest.raises(SystemExit) as leaving:
            parse("--scale", scale, "--help")
        assert not leaving.value.code
        shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
        assert f"--epochs INT passes (default: {epochs})" in shown
        assert "--force train again what the history holds already" in shown


def test_settings_from_code_are_checked_as_well():
    with pytest.raises(ValueError, match="--dropout must lie from 0"):
        Settings(dropout=float("nan"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        PAPER.epochs = 3


# ------------------------------------------------------------------------------------------- messages


def leave(code: str, **options) -> tuple[int, list[str]]:
    """Exit code and lines of stderr of `code`, run inside `one_message`."""
    script = f"import os, signal, sys\nfrom common import settings\nwith settings.one_message():\n    {code}\n"
    options = {"stdout": subprocess.PIPE} | options
    with usual_signals():
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE, text=True, **options
        )
    with process:
        errors = process.communicate()[1]
    return process.returncode, errors.splitlines()


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("pass", 0, None),
        ("raise settings.Problem('no data: get some')", 1, "error: no data: get some"),
        ("raise SystemExit(2)", 2, None),
        ("os.kill(os.getpid(), signal.SIGTERM)", 143, "terminated; what was finished is kept"),
        ("os.kill(os.getpid(), signal.SIGHUP)", 143, "terminated; what was finished is kept"),
        ("signal.raise_signal(signal.SIGINT)", 130, "interrupted; what was finished is kept"),
        ("open('/no/such/file')", 1, "error: /no/such/file: No such file or directory; check the"),
        (
            "raise PermissionError(13, 'Permission denied', 'x.pkl')",
            1,
            "error: x.pkl: Permission denied; check the perm",
        ),
        (
            "raise OSError(30, 'Read-only file system', 'x.pkl')",
            1,
            "error: x.pkl: Read-only file system; copy the proj",
        ),
        ("open('/dev/full', 'wb', 0).write(b'x')", 1, "error: No space left on device; free some disk space"),
    ],
)
def test_errors_and_signals_end_with_one_line(code, status, message):
    returned, lines = leave(code)
    assert returned == status
    if message is None:
        assert lines == []
    else:
        assert len(lines) == 1
        assert lines[0].startswith(message)


def test_a_defect_keeps_its_traceback():
    status, lines = leave("{}['missing']")
    assert status == 1
    assert lines[0].startswith("Traceback")


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(0)"])
def test_a_full_disk_or_a_reader_gone_is_noticed_at_the_end(ending):
    code = f"print('result'); {ending}"
    with open("/dev/full", "w") as full:
        status, lines = leave(code, stdout=full)
    assert (status, len(lines)) == (1, 1)
    assert "No space left on device; free some disk space" in lines[0]
    reading, writing = os.pipe()
    os.close(reading)
    assert leave(code, stdout=writing) == (1, [])
    os.close(writing)


# ------------------------------------------------------------------------------------ hash of the code


SCRIPT = '''"""Does it?"""
from common import history, numbers
from hw1_1 import helper

QUICK = 3

def train(rate: float = 0.5) -> float:
    """One training."""
    return rate * numbers.factor  # a comment

class Net:
    """A net."""
    name: str = f"{helper.limit!r:>{2 + 2}} nets" "of \\N{DEGREE SIGN}" f"{1e-3:.2f}{{}}"

    @property
    async def sizes(self, *rest, key=None, **more):
        match rest:
            case [1, *others] if (count := len(others)) > -1:
                return {**more, None: lambda x, /: x[::2, ...]}
        try:
            yield b"bytes", 10**20, 1j, not key
        except* (ValueError, OSError) as error:
            raise error from None
'''


@pytest.fixture
def code(tmp_path, monkeypatch):
    """A small project; code() gives the hash of its script, code(old=..., new=..., file=...) after an edit."""
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    for name, text in {
        "hw1_1/script.py": SCRIPT,
        "hw1_1/helper.py": "limit = 3\n",
        "hw1_1/stranger.py": "limit = 3\n",
        "common/numbers.py": "factor = 2\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def hashed(old: str = "", new: str = "", file: str = "hw1_1/script.py") -> str:
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new, 1))
        return provenance.code_hash(tmp_path / "hw1_1" / "script.py")

    return hashed


@pytest.mark.parametrize(
    ("old", "new", "file", "counts"),
    [
        ("Does it?", "Does it really?", "hw1_1/script.py", False),
        ('    """One training."""\n', "", "hw1_1/script.py", False),
        ("# a comment", "# another\n\n    # remark", "hw1_1/script.py", False),
        ("train(rate: float = 0.5)", "train(\n    rate: float = 0.50,\n)", "hw1_1/script.py", False),
        ("QUICK = 3", "QUICK = 4", "hw1_1/script.py", False),  # a history holds its settings
        ("limit = 3", "limit = 4", "hw1_1/stranger.py", False),
        ("factor = 2", "factor = 3", "common/numbers.py", False),  # a change that counts: REVISION
        ("0.5", "0.25", "hw1_1/script.py", True),
        ("rate *", "rate +", "hw1_1/script.py", True),
        ("return", "print(rate)\n    return", "hw1_1/script.py", True),
        ("limit = 3", "limit = 4", "hw1_1/helper.py", True),
    ],
)
def test_the_hash_of_the_code_follows_what_it_does_and_not_its_words(code, old, new, file, counts):
    assert (code() != code(old, new, file)) == counts


def test_the_hash_is_the_same_under_every_python(code):
    # written down, so that a Python that parses otherwise is noticed
    assert code() == "79f449a5ed3fb4f1e864b47941958b8d6b682eeb3b3f53fd8aef0f2d950cfaff"


# ------------------------------------------------------------------------------------- random streams


def test_random_streams_are_stable_and_distinct():
    assert [seeds.stream(0, "weights"), seeds.stream(0, "batches"), seeds.stream(1, "weights")] == [
        40613553,
        415847412,
        1071529779,
    ]
    streams = [
        seeds.stream(seed, *names)
        for seed in range(50)
        for names in [
            ("weights",),
            ("batches",),
            ("weights", "deep"),
            ("deep", "weights"),
            ("weights", 1),
            ("weights", "1"),
        ]
    ]
    assert len(set(streams)) == len(streams)
    assert all(0 <= each < 2**31 for each in streams)


def test_the_environment_is_set_before_tensorflow_and_the_users_choice_is_kept(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    settings.prepare_environment()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"


def test_a_plot_script_belongs_to_its_experiment():
    for name in ("mnist_cnn.py", "plot_mnist_cnn.py"):
        assert settings.experiment_of(Path("/anywhere/hw1_1") / name) == "hw1_1/mnist_cnn"
