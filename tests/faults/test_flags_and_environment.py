"""Wrong flags and odd surroundings: the same results, or one clear message and nothing written; never a traceback."""

import fcntl
import importlib
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from common import gpu, history, settings

import numpy as np
import permissions
import pytest
import tiny_experiment
import trial_runs
from conftest import ROOT
from trees import PLACE, call, files_in, read_only, refused, went_well

TRAINING = [path.parents[1] / f"{path.stem}.py" for path in sorted(ROOT.glob("hw1_*/history/*.pkl"))]  # published
PLOTTING = sorted(ROOT.glob("hw1_*/plot_*.py"))

# Flags.


def wrong_values(hint: Any) -> Iterator[list[str]]:
    """Values that no setting of this type may have."""
    bounds = [extra for extra in get_args(hint)[1:] if isinstance(extra, settings.Range)]
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(kind) is tuple:
        yield from (["nonsense"], [""], ["-1"], ["1.5"], ["nan"], [])
        item = get_args(kind)[0]
        yield [str(get_args(item)[0] if get_args(item) else 3)] * 2
    elif kind in (int, float):
        yield from ([""], ["many"], ["nan"], ["inf"], ["-inf"], ["0x10"], ["1,5"], [], ["9" * 5000])
        for bound in bounds:
            yield [f"{int(bound.low) - 1}"]
            yield [f"{max(1, int(bound.high))}{'0' * 31}"]
        if kind is int:
            yield from (["1.5"], ["1e3"], ["1e400"])
    else:
        yield ["nonsense"]


def test_a_value_that_no_setting_may_have_is_refused_by_its_flag(tmp_path, monkeypatch, capsys, record_property):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "listed", lambda: (False, "no GPU"))
    random = np.random.default_rng(7)
    cases = 0
    for script in [None, *TRAINING]:
        module = importlib.import_module(f"{script.parent.name}.{script.stem}") if script else tiny_experiment
        trials = []
        for name, hint in get_type_hints(type(module.PAPER), include_extras=True).items():
            flag = f"--{name.replace('_', '-')}"
            near = [(flag, [flag[:-1], "1"]), (flag, [f"{flag}x", "1"])]
            trials += [(flag, [flag, *values]) for values in wrong_values(hint)] + near
        for other in ("--data-dir", "--scale"):
            trials += [(other, [other, ""]), (other, [other]), (other, [f"{other}=quick", f"{other}=quick"])]
        for other in ("--check", "--force", "--list"):
            trials += [(other, [other, other]), (other, [f"{other}x"]), (other[:-1], [other[:-1]])]
        trials += [("--unit", ["--unit"]), ("-q", ["-q"]), ("extra", ["extra"]), ("--no-check", ["--no-check"])]
        chosen = random.choice(len(trials), min(12, len(trials)), replace=False) if script else range(len(trials))
        for number in chosen:
            flag, arguments = trials[number]
            monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
            with pytest.raises(SystemExit) as leaving:
                settings.parse(str(ROOT / "hw1_1" / "script.py"), "A question.", module.PAPER, module.QUICK)
            shown = capsys.readouterr()
            said = "".join(shown.err.replace("│", " ").split())
            assert leaving.value.code == 2 and not shown.out, (script, arguments, leaving.value.code)
            assert flag[:-1] in said and "Traceback" not in said, (script, arguments, shown.err)
            cases += 1
    assert not list(tmp_path.iterdir())
    record_property("cases", cases)


def test_a_repeated_flag_is_refused_but_units_may_be_many(project, record_property):
    script = project / "hw1_1" / "tiny.py"
    for flags in ("--epochs 3 --epochs=4", "--learning_rate 1 --learning-rate 1", "--scale quick --scale paper"):
        done = call(script, *flags.split())
        assert done.returncode == 2 and done.stdout == "", done
        assert done.stderr.splitlines()[-1].endswith("is given twice (see --help)")
    assert not (project / "out").exists() and not (project / "trained").exists()
    went_well(call(script, "--scale", "quick", "--unit", "walk/seed-2", "--unit=walk/seed-0"))
    assert (project / "trained").read_text().split() == ["walk/seed-0", "walk/seed-2"]
    record_property("cases", 4)


def test_every_other_command_refuses_a_wrong_flag_in_one_message(checkout, record_property):
    for folder in ("report", "tests"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__", "faults"))
    wrong = ["--scale huge", "--history /dev/zero", "--chek", "extra", "--scale quick --history x", "--history"]
    commands = [(path.relative_to(ROOT), wrong[number % len(wrong)]) for number, path in enumerate(PLOTTING)]
    commands += [("report/build.py", flags) for flags in ("--scale huge", "extra")]
    commands += [("tests/bench/bench.py", flags) for flags in ("--only nothing", "--json /nowhere/x")]
    commands += [("common.history", flags) for flags in ("", "--cvs x", "/dev/zero", "common")]
    commands += [("common.data", flags) for flags in ("--scale huge", "--data-dir /nowhere", "--data-dir")]
    before = files_in(checkout)
    for script, flags in commands:
        start = [checkout / script] if str(script).endswith(".py") else [sys.executable, "-m", script]
        done = call(*start, *flags.split(), cwd=checkout)
        case = (str(script), flags, done.stderr)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr, case
        assert done.stdout == "" or "bench" in str(script), case
        words = flags.split() or ["FILE"]
        assert words[-1] in done.stderr or words[0] in done.stderr, case
    assert files_in(checkout) == before
    record_property("cases", len(commands))


# Surroundings, by the tiny experiment.


@pytest.fixture
def walk(project):
    """walk(command, folder, **environment): results and output of the tiny experiment, each time run afresh."""
    script = str(project / "hw1_1" / "tiny.py")

    def walked(command: list[str] = (sys.executable,), folder: Path | str = "/", **changed: str | None) -> Any:
        done = went_well(call(*command, script, "--scale", "quick", cwd=folder, env=changed))
        results = history.read(project / PLACE)["results"]
        shutil.rmtree(project / "out")
        return results, done.stdout, done.stderr

    return walked


def test_environment_options_and_limits_move_no_number_and_bring_no_word(walk, tmp_path, record_property):
    expected = walk()
    other = tmp_path / "other"
    for name in ("common/__init__.py", "history.py", "settings.py", "hw1_1/__init__.py"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_text("raise SystemExit('the wrong module')")
    for name in ("random.py", "json.py", "numpy.py", "tyro.py", "sitecustomize.py"):  # in the working folder only
        (tmp_path / name).write_text("raise SystemExit('the wrong module')")
    (tmp_path / "locked").mkdir(mode=0o500)
    locked, nowhere = str(tmp_path / "locked"), str(tmp_path / "nowhere")
    values: dict[str, list[str | None]] = {  # the first of each together, then the second, as long as there are some
        "HOME": [None, "", "/nonexistent", "/dev/null", "~", locked],
        "KERAS_BACKEND": ["jax", "torch", "nonsense", ""],
        "CUDA_VISIBLE_DEVICES": ["", "-1", "nonsense"],
        "MPLBACKEND": ["TkAgg", "nonsense", ""],
        "PYTHONPATH": [str(other), "/nonexistent", ""],
        "LC_ALL": ["POSIX", "C", "nonsense", "tr_TR.UTF-8"],
        "PYTHONIOENCODING": ["ascii", "latin-1:strict", "utf-8:strict"],
        "PYTHONUTF8": ["0", "1"],
        "TMPDIR": ["/nonexistent", locked, ""],
        "PATH": ["/nonexistent", "", None],
        "COLUMNS": ["20", "nonsense", "0", "-5"],
        "TERM": ["dumb", None, "nonsense"],
        "FORCE_COLOR": [None, "1"],
        "OMP_NUM_THREADS": ["1", "nonsense", "0"],
        "TZ": ["nonsense", "Pacific/Kiritimati"],
        "TF_ENABLE_ONEDNN_OPTS": ["0", "nonsense"],
        "TF_CPP_MIN_LOG_LEVEL": ["0", "nonsense"],
        "TF_DETERMINISTIC_OPS": ["1", "nonsense"],
        "PYTHONHASHSEED": ["7", "0"],
        "PYTHONWARNINGS": ["error", "always"],
        "PYTHONSAFEPATH": ["1"],
        "PYTHONOPTIMIZE": ["2", "1"],
        "HW1_DATA_DIR": ["", "/nonexistent"],  # the tiny experiment reads no data
        "GIT_DIR": [nowhere, "/"],
        "GIT_TRACE": ["1", nowhere],
    }
    for turn in range(6):
        environment = {name: choices[turn] for name, choices in values.items() if turn < len(choices)}
        assert walk(folder=tmp_path, **environment) == expected, environment
    options = ["-O", "-OO", "-I", "-E -s", "-B", "-u", "-X dev -W error", "-X utf8=0", "-P"]
    for flags in options:
        assert walk([sys.executable, *flags.split()], folder=tmp_path) == expected, flags
    limits = ["ulimit -n 24", "ulimit -s 1024", "umask 077", "umask 000", "nice -n 5 true", "trap '' HUP INT"]
    for limit in limits:
        assert walk(["bash", "-c", f'{limit}; exec "$0" "$@"', sys.executable]) == expected, limit
    record_property("cases", sum(map(len, values.values())) + len(options) + len(limits))


def test_a_closed_stream_costs_only_what_it_would_have_shown(project, record_property):
    script = project / "hw1_1" / "tiny.py"
    expected = None
    closings = ["", ">&-", "2>&-", "<&- >&- 2>&-", "| head -n 1", "| head -n 0", "2>&1 | head -n 1", "2>&1 >&-"]
    for closing in closings:
        line = f'set -o pipefail; "$0" "$1" --scale quick {closing}'
        done = call("bash", "-c", line, sys.executable, script)
        assert done.returncode == 0 or "head" in closing, (closing, done.stderr)
        assert "Traceback" not in done.stderr + done.stdout and "Exception" not in done.stderr, (closing, done.stderr)
        if "2>&1 | head" not in closing:  # whose reader may be gone before the first unit
            results = history.read(project / PLACE)["results"]
            expected = expected or results
            assert results == expected, closing
        shutil.rmtree(project / "out", ignore_errors=True)
    for flags, code in {"--epoch 3": 2, "--check": 1, "--list": 0, "--help": 0}.items():
        line = f'"$0" "$1" --scale quick {flags} <&- >&- 2>&-'
        assert call("bash", "-c", line, sys.executable, script).returncode == code, flags
    record_property("cases", len(closings) + 4)


PLACES = ["a 'b' \"c\" $HOME `x` $(y) !x #hash ;&|", "line\nbreak", "hölle ☃", "-dash", "~", ":a", "a" * 200]
PLACES += ["star*[a]?{b} back\\slash %s %(x)s", " spaces \x1b[31m", "bad\udcff"]


def test_the_repository_may_lie_anywhere(project, tmp_path, record_property):
    def run_in(root: Path, *flags: str, **changed: str | None) -> subprocess.CompletedProcess:
        return call(root / "hw1_1" / "tiny.py", "--scale", "quick", *flags, env=changed, text=False, errors=None)

    assert run_in(project).returncode == 0
    expected = history.read(project / PLACE)["results"]
    shutil.rmtree(project / "out")
    for place in PLACES:
        root = tmp_path / place
        shutil.copytree(project, root)
        listed = run_in(root, "--list")
        assert listed.returncode == 0 and listed.stdout.count(b"\n") == 3, (place, listed)
        if "\udcff" not in place:  # a locale of UTF-8 shows such a byte, but cannot print it
            command = listed.stdout.splitlines()[1]
            assert subprocess.run(["bash", "-c", command], capture_output=True, cwd="/").returncode == 0, command
            assert history.read(root / PLACE)["results"] == {"walk/seed-1": expected["walk/seed-1"]}
        if not place.isascii():
            for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
                done = run_in(root, "--force", **environment)
                assert done.returncode == 0 and b"Traceback" not in done.stderr, (place, done)
                assert history.read(root / PLACE)["results"] == expected
        shutil.rmtree(root)
    record_property("cases", len(PLACES))


def test_the_commit_is_recorded_or_the_reason_is_said(project, walk, tmp_path, record_property):
    expected, output, errors = walk()
    if shutil.which("git") is None:
        pytest.skip("there is no git here")

    def git(*words: str) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "safe.directory=*"]
        went_well(call("git", "-C", project, *names, *words))

    def commit(said: str = "", **changed: str | None) -> str:
        done = call(project / "hw1_1" / "tiny.py", "--scale", "quick", env=changed)
        notes = [line for line in done.stderr.splitlines(keepends=True) if line.startswith("note: ")]
        assert (done.returncode, done.stdout) == (0, output)
        assert done.stderr.replace("".join(notes), "") == errors and len(notes) == bool(said), done.stderr
        assert said in "".join(notes)
        kept = history.read(project / PLACE)
        assert kept["results"] == expected
        shutil.rmtree(project / "out")
        return kept["code"]["commit"]

    assert commit(PATH="/nonexistent") == ""
    assert commit(GIT_CEILING_DIRECTORIES=str(tmp_path)) == ""
    git("init", "-q")
    assert commit("Needed a single revision") == ""
    git("add", "common")
    git("commit", "-qm", "first")
    assert re.fullmatch("[0-9a-f]{12}[+]", commit())  # tiny.py is not in it
    git("add", "hw1_1")
    git("commit", "-qm", "second")
    clean = commit()
    assert re.fullmatch("[0-9a-f]{12}", clean)
    call("git", "init", "-q", tmp_path / "elsewhere")
    assert commit(GIT_DIR=str(tmp_path / "elsewhere" / ".git"), GIT_WORK_TREE="/") == clean  # as a hook sets them
    if os.geteuid() == 0:  # a checkout of another user, which git refuses
        for path in (project, project / ".git"):
            os.chown(path, 65534, 65534)
        assert call("git", "-C", project, "status").returncode == 128
        assert commit() == clean
    (project / ".git" / "HEAD").write_text("damaged")
    assert commit("not a git repository") == ""
    record_property("cases", 8)


def test_a_link_to_the_repository_and_a_checkout_that_is_read_only(project, tmp_path, record_property):
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "tiny link.py").symlink_to(project / "hw1_1" / "tiny.py")
    went_well(call(tmp_path / "link" / "hw1_1" / "tiny.py", "--scale", "quick"))
    assert "up to date" in call(tmp_path / "tiny link.py", "--scale", "quick").stderr
    permissions.must_count(tmp_path)
    shutil.rmtree(project / "out")
    with read_only(project):
        script = project / "hw1_1" / "tiny.py"
        done = call(script, "--scale", "quick", before=permissions.ordinary)
        refused(done, "Permission denied; check the permissions", str(project / "out"))
        for flags, code in (("--check", 1), ("--list", 0), ("--help", 0), ("--epoch", 2)):
            done = call(script, "--scale", "quick", flags, before=permissions.ordinary)
            assert done.returncode == code and "Traceback" not in done.stderr, (flags, done.stderr)
    record_property("cases", 7)


def test_clocks_that_go_wrong_lose_nothing(project, record_property):
    script, path = project / "hw1_1" / "tiny.py", project / PLACE
    moments = [-(2**31), 10**10]
    for number, moment in enumerate(moments):
        went_well(call(script, "--scale", "quick"))
        expected = history.read(path)["results"]
        temporary = path.with_name(f".{path.name}.1.tmp")
        temporary.touch()
        for file in [*files_in(project / "out"), temporary]:
            os.utime(file, (moment, moment))
        assert "up to date" in went_well(call(script, "--scale", "quick")).stderr
        script.write_text(re.sub(r"REVISION = \d+", f"REVISION = {number + 2}", script.read_text()))
        went_well(call(script, "--scale", "quick"))  # another history goes there, the old one is put aside
        assert len(list((project / "out" / "replaced").glob("*.pkl"))) == 1
        assert history.read(path)["results"] == expected
        shutil.rmtree(project / "out")
    record_property("cases", 3 * len(moments))


def on_a_terminal(command: list[Any], width: int, **environment: str | None) -> bytes:
    """What a command shows on a terminal of this width, to which its stderr goes."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    around = {**os.environ, "COLUMNS": None, "LINES": None, "TERM": "xterm", **environment}
    around = {name: value for name, value in around.items() if value is not None}
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=theirs, env=around)
    os.close(theirs)
    shown = b""
    try:
        while piece := os.read(ours, 4096):
            shown += piece
    except OSError:  # its end is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0 and b"Traceback" not in shown, (environment, width, shown)
    return shown


def test_progress_fits_any_terminal(record_property):
    code = "from common import progress\nwith progress.shown('deep/seed-0 [red]', 5) as tell:\n"
    code += "    for done in range(6): tell(done, loss=0.123456, accuracy=float('nan'))"
    terminals = [{}, {"TERM": "dumb"}, {"TERM": None, "NO_COLOR": "1"}, {"TERM": "nonsense", "COLUMNS": "20"}]
    terminals += [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}]
    for environment in terminals:
        for width in (40, 1, 0):
            shown = on_a_terminal([sys.executable, "-c", code], width, **environment)
            if width == 40 and not environment:
                lines = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode("utf-8", "replace")
                assert all(len(line) <= 40 for line in re.split("[\r\n]+", lines)), shown
    record_property("cases", 3 * len(terminals))


# Surroundings that Keras, TensorFlow and matplotlib would heed.


def hostile(folder: Path, keras_json: str) -> dict[str, str | None]:
    """An environment that asks for everything that the scripts must not do."""
    (folder / "keras").mkdir(parents=True)
    (folder / "keras" / "keras.json").write_text(keras_json)
    (folder / "matplotlibrc").write_text("figure.dpi: 31\naxes.facecolor: red\nbackend: TkAgg\nfont.size: 31\n")
    around = {"KERAS_HOME": str(folder / "keras"), "MATPLOTLIBRC": str(folder / "matplotlibrc")}
    around |= {"MPLCONFIGDIR": str(folder), "PYTHONPATH": str(folder), "HOME": "/nonexistent", "DISPLAY": None}
    around |= {"KERAS_BACKEND": "jax", "MPLBACKEND": "nonsense", "CUDA_VISIBLE_DEVICES": "nonsense", "COLUMNS": "20"}
    around |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "TERM": "dumb"}
    return around | {"SOURCE_DATE_EPOCH": "1", "TF_CPP_MIN_LOG_LEVEL": None, "TZ": "Pacific/Kiritimati"}


def test_training_and_figures_have_the_same_bits_in_a_hostile_environment(checkout, tmp_path, record_property):
    flags = "--scale quick --epochs 1 --batch-size 16 --probe-images 20 --nets shallow --data-dir"
    train = [checkout / "hw1_1" / "mnist_cnn.py", *flags.split(), checkout / "data"]
    done = call(*train)
    path = trial_runs.history_path(done)
    plot = [checkout / "hw1_1" / "plot_mnist_cnn.py", "--history", path, "--force"]
    went_well(call(*plot))
    expected = history.read(path)["results"], path.read_bytes()
    drawn = {each.name: each.read_bytes() for each in (path.parents[2] / "figures").iterdir()}
    assert {"mnist_cnn.svg", "mnist_cnn.png"} <= set(drawn)
    other = '{"floatx": "float16", "image_data_format": "channels_first", "backend": "torch", "epsilon": 0.1}'
    surrounding = [hostile(tmp_path / "a", other), hostile(tmp_path / "b", '{"floatx": ')]
    surrounding[1] |= {
        "CUDA_VISIBLE_DEVICES": "",
        "TMPDIR": "/nonexistent",
        "KERAS_BACKEND": None,
        "MPLBACKEND": "TkAgg",
    }
    for environment in surrounding:
        shutil.rmtree(checkout / "out")
        again = went_well(call(*train, cwd=environment["PYTHONPATH"], env=environment))
        trial_runs.assert_same_bits(history.read(path)["results"], expected[0])
        assert again.stdout == done.stdout
        path.write_bytes(expected[1])  # which differs by when it was measured
        went_well(call(*plot, cwd=environment["PYTHONPATH"], env=environment))
        assert {each.name: each.read_bytes() for each in (path.parents[2] / "figures").iterdir()} == drawn
    record_property("cases", 2 * len(surrounding))


def test_a_variable_that_keras_refuses_is_one_message_and_a_keras_json_is_not_read(tmp_path, record_property):
    code = "from common import backend, settings\nwith settings.one_message():\n    backend.start()"
    (tmp_path / "keras.json").write_text('{"floatx": "float8"}')
    done = call(sys.executable, "-c", code, cwd=ROOT, env={"KERAS_HOME": str(tmp_path)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    refused(call(sys.executable, "-c", code, cwd=ROOT, env={"KERAS_MAX_EPOCHS": "many"}), "KERAS_")
    record_property("cases", 2)
