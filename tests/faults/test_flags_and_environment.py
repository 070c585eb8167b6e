"""Wrong flags and odd surroundings: the same results, or one clear message and nothing written; never a traceback."""

import fcntl
import importlib.util
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from common import gpu, history, settings

import numpy as np
import permissions
import pytest
import trial_runs
from conftest import ROOT

TRAINING = sorted(path.with_name(path.name.removeprefix("plot_")) for path in ROOT.glob("hw1_*/plot_*.py"))
PLOTTING = sorted(ROOT.glob("hw1_*/plot_*.py"))
HISTORY = Path("out", "quick", "hw1_1", "history", "tiny.pkl")


def surroundings(**changed: str | None) -> dict[str, str]:
    """This process's environment with changes; None takes a variable away."""
    around = {**os.environ, "HW1_DATA_DIR": None, **changed}
    return {name: value for name, value in around.items() if value is not None}


def call(
    command: list[Any],
    folder: Path | str = "/",
    timeout: int = 200,
    before: Callable[[], None] | None = None,
    **changed: str | None,
):
    """Runs a command to its end; `before` is done in the new process."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=folder,
        env=surroundings(**changed),
        timeout=timeout,
        preexec_fn=before,
    )


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


# Flags.


def module_of(script: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(script.parent))
    spec = importlib.util.spec_from_file_location(f"flags_of_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


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
            yield [f"{int(bound.high) * 10}{'0' * 30}"]
        if kind is int:
            yield from (["1.5"], ["1e3"], ["1e400"])
    else:
        yield ["nonsense"]


def test_a_value_that_no_setting_may_have_is_refused_by_its_flag(tmp_path, monkeypatch, capsys, record_property):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "listed", lambda: (False, "no GPU"))
    random = np.random.default_rng(7)
    cases = 0
    for script in [ROOT / "tests" / "tiny_experiment.py", *TRAINING]:
        module = module_of(script, monkeypatch)
        tiny = script.stem == "tiny_experiment"
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
        chosen = range(len(trials)) if tiny else random.choice(len(trials), min(12, len(trials)), replace=False)
        for number in chosen:
            flag, arguments = trials[number]
            monkeypatch.setattr(sys, "argv", [script.name, *arguments])
            with pytest.raises(SystemExit) as leaving:
                settings.parse(str(script), "A question.", module.PAPER, module.QUICK)
            shown = capsys.readouterr()
            told = "".join(shown.err.replace("│", " ").split())
            assert leaving.value.code == 2 and not shown.out, (script.name, arguments, leaving.value.code)
            assert flag[:-1] in told and "Traceback" not in told, (script.name, arguments, shown.err)
            cases += 1
    assert not list(tmp_path.iterdir())
    record_property("cases", cases)


def test_a_repeated_flag_is_refused_but_units_may_be_many(project, record_property):
    script = project / "hw1_1" / "tiny.py"
    repeated = ["--seeds 1 --seeds 2", "--epochs 3 --epochs=4", "--learning_rate 1 --learning-rate 1"]
    for flags in [*repeated, "--scale quick --scale paper", "--data-dir a --data-dir b", "--force --force"]:
        done = call([sys.executable, script, *flags.split()])
        assert done.returncode == 2 and done.stdout == "", done
        assert done.stderr.splitlines()[-1].endswith("is given twice (see --help)")
    assert not (project / "out").exists() and not (project / "trained").exists()
    units = ["--unit", "walk/seed-2", "--unit=walk/seed-0"]
    assert call([sys.executable, script, "--scale", "quick", *units]).returncode == 0
    assert (project / "trained").read_text().split() == ["walk/seed-0", "walk/seed-2"]
    record_property("cases", 7)


def test_every_command_refuses_a_wrong_flag_in_one_message(checkout, tmp_path, record_property):
    for folder in ("report", "tests"):
        shutil.copytree(ROOT / folder, checkout / folder, ignore=shutil.ignore_patterns("__pycache__", "faults"))
    (tmp_path / "a file").touch()
    wrong = [
        "--epoch 3",
        "--seeds -1",
        "--scale huge",
        "--data-dir /nowhere",
        "--unit nothing",
        "--data-dir",
        "--scal quick",
    ]
    commands = [(path.relative_to(ROOT), wrong[number % len(wrong)]) for number, path in enumerate(TRAINING)]
    wrong = ["--scale huge", "--history /dev/zero", "--chek", "extra", "--scale quick --history x", "--history"]
    commands += [(path.relative_to(ROOT), wrong[number % len(wrong)]) for number, path in enumerate(PLOTTING)]
    commands += [("report/build.py", flags) for flags in ("--scale huge", "--chek", "extra")]
    commands += [
        ("tests/bench/bench.py", flags) for flags in ("--only nothing", "--onl x", "--only", "--json /nowhere/x")
    ]
    commands += [("common.history", flags) for flags in ("", "--cvs x", "nowhere.pkl", "/dev/zero", "/", "common")]
    commands += [("common.data", flags) for flags in ("--scale huge", "--data-dir /nowhere", "--dat x", "--data-dir")]
    before = files_in(checkout)
    for script, flags in commands:
        start = [checkout / script] if str(script).endswith(".py") else ["-m", script]
        done = call([sys.executable, *start, *flags.split()], folder=checkout)
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
    """walk(prefix, **environment) runs the tiny experiment and gives its results; the next call starts afresh."""
    script = str(project / "hw1_1" / "tiny.py")

    def walked(command: list[str] = (sys.executable,), folder: Path | str = "/", **changed: str | None) -> Any:
        done = call([*command, script, "--scale", "quick"], folder=folder, **changed)
        assert done.returncode == 0 and "Traceback" not in done.stderr, (command, changed, done.stderr)
        results = history.read(project / HISTORY)["results"]
        shutil.rmtree(project / "out")
        return results, done

    return walked


def test_the_environment_moves_no_number_and_brings_no_word(walk, tmp_path, record_property):
    expected, plain = walk()
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
        "DISPLAY": [None, ":99"],
        "PYTHONPATH": [str(other), "/nonexistent", ""],
        "LC_ALL": ["POSIX", "C", "nonsense", "tr_TR.UTF-8"],
        "PYTHONIOENCODING": ["ascii", "latin-1:strict", "utf-8:strict"],
        "PYTHONUTF8": ["0", "1"],
        "PYTHONCOERCECLOCALE": ["0"],
        "TMPDIR": ["/nonexistent", locked, ""],
        "PATH": ["/nonexistent", "", None],
        "COLUMNS": ["20", "nonsense", "0", "-5"],
        "TERM": ["dumb", None, "nonsense"],
        "NO_COLOR": ["1", None],
        "FORCE_COLOR": [None, "1"],
        "OMP_NUM_THREADS": ["1", "nonsense", "0"],
        "TZ": ["nonsense", "Pacific/Kiritimati"],
        "TF_ENABLE_ONEDNN_OPTS": ["0", "nonsense"],
        "TF_CPP_MIN_LOG_LEVEL": ["0", "nonsense"],
        "TF_DETERMINISTIC_OPS": ["1", "nonsense"],
        "PYTHONHASHSEED": ["7", "0"],
        "PYTHONUNBUFFERED": ["1"],
        "PYTHONWARNINGS": ["error", "always"],
        "PYTHONSAFEPATH": ["1"],
        "PYTHONOPTIMIZE": ["2", "1"],
        "HW1_DATA_DIR": ["", "/nonexistent"],  # the tiny experiment reads no data
        "GIT_DIR": [nowhere, "/"],
        "GIT_TRACE": ["1", nowhere],
    }
    environments = [
        {name: choices[turn] for name, choices in values.items() if turn < len(choices)} for turn in range(6)
    ]
    for environment in environments:
        results, done = walk(folder=tmp_path, **environment)
        assert results == expected and (done.stdout, done.stderr) == (plain.stdout, plain.stderr), environment
    options = [["-O"], ["-OO"], ["-I"], ["-E", "-s"], ["-B"], ["-u"], ["-W", "error"], ["-X", "dev", "-W", "error"]]
    for flags in [*options, ["-X", "utf8=0"], ["-P"]]:
        results, done = walk([sys.executable, *flags], folder=tmp_path)
        assert results == expected and (done.stdout, done.stderr) == (plain.stdout, plain.stderr), flags
    record_property("cases", sum(map(len, values.values())) + len(options) + 2)


def test_limits_of_the_machine_move_no_number(walk, record_property):
    expected, plain = walk()
    limits = [
        "ulimit -n 24",
        "ulimit -c 0",
        "ulimit -s 1024",
        "umask 077",
        "umask 000",
        "nice -n 5 true",
        "trap '' HUP INT",
    ]
    if shutil.which("taskset"):
        limits.append(f"taskset -p -c {min(os.sched_getaffinity(0))} $$ >/dev/null")
    for limit in limits:
        results, done = walk(["bash", "-c", f'{limit}; exec "$0" "$@"', sys.executable])
        assert results == expected and (done.stdout, done.stderr) == (plain.stdout, plain.stderr), limit
    record_property("cases", len(limits))


def test_a_closed_stream_costs_only_what_it_would_have_shown(project, record_property):
    script = project / "hw1_1" / "tiny.py"
    expected = None
    closings = ["", ">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-", "| head -n 1", "| head -n 0", "2>&1 | head -n 1"]
    for closing in [*closings, ">/dev/null", "</dev/zero", "2>&1 >&-"]:
        line = f'set -o pipefail; "$0" "$1" --scale quick {closing}'
        done = call(["bash", "-c", line, sys.executable, script])
        reader_gone = "head" in closing
        assert done.returncode == 0 or reader_gone, (closing, done.stderr)
        assert "Traceback" not in done.stderr + done.stdout and "Exception" not in done.stderr, (closing, done.stderr)
        if "2>&1 | head" not in closing:  # whose reader may be gone before the first unit
            results = history.read(project / HISTORY)["results"]
            expected = expected or results
            assert results == expected, closing
        shutil.rmtree(project / "out", ignore_errors=True)
    refusals = {"--epoch 3": (2,), "--check": (1,), "--list": (0,), "--help": (0,), "--unit x": (2,)}
    for flags, codes in refusals.items():
        for closing in (">&-", "2>&-", "<&- >&- 2>&-"):
            line = f'"$0" "$1" --scale quick {flags} {closing}'
            done = call(["bash", "-c", line, sys.executable, script])
            assert done.returncode in codes and "Traceback" not in done.stderr, (flags, closing, done.stderr)
    for closing in (">&-", "2>&-", "| head -n 1"):
        line = f'"$0" -m common.history {shlex.quote(str(ROOT / "hw1_1" / "history" / "mnist_cnn.pkl"))} {closing}'
        done = call(["bash", "-c", line, sys.executable], folder=project)
        assert done.returncode == 0 and "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr
    record_property("cases", len(closings) + 3 + 3 * len(refusals) + 3)


PLACES = [
    "a 'b' \"c\" $HOME `x` $(y) !x #hash ;&|",
    "line\nbreak",
    "hölle ☃",
    "-dash",
    "star*[a]?{b} back\\slash %s %(x)s",
]
PLACES += ["~", ":a", " spaces \x1b[31m", "a" * 200, "bad\udcff"]


def test_the_repository_may_lie_anywhere(project, tmp_path, record_property):
    def run_in(root: Path, *flags: str, **changed: str | None) -> subprocess.CompletedProcess:
        command = [sys.executable, root / "hw1_1" / "tiny.py", "--scale", "quick", *flags]
        return subprocess.run(command, capture_output=True, cwd="/", env=surroundings(**changed), timeout=200)

    assert run_in(project).returncode == 0
    expected = history.read(project / HISTORY)["results"]
    shutil.rmtree(project / "out")
    cases = 0
    for place in PLACES:
        root = tmp_path / place
        shutil.copytree(project, root)
        listed = run_in(root, "--list")
        assert listed.returncode == 0 and listed.stdout.count(b"\n") == 3, (place, listed)
        if "\udcff" not in place:  # a locale of UTF-8 shows such a byte, but cannot print it
            command = listed.stdout.splitlines()[1]
            assert subprocess.run(["bash", "-c", command], capture_output=True, cwd="/").returncode == 0, command
            assert history.read(root / HISTORY)["results"] == {"walk/seed-1": expected["walk/seed-1"]}
            cases += 1
        if not place.isascii():
            for environment in ({}, {"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
                done = run_in(root, "--force", **environment)
                assert done.returncode == 0 and b"Traceback" not in done.stderr, (place, done)
                assert history.read(root / HISTORY)["results"] == expected
                cases += 1
        shutil.rmtree(root)
    record_property("cases", cases + len(PLACES))


def test_the_commit_is_recorded_or_the_reason_is_said(project, walk, tmp_path, record_property):
    expected, plain = walk()
    if shutil.which("git") is None:
        pytest.skip("there is no git here")

    def git(*words: str) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "safe.directory=*"]
        assert call(["git", "-C", project, *names, *words]).returncode == 0

    def commit(said: str = "", **changed: str | None) -> str:
        done = call([sys.executable, project / "hw1_1" / "tiny.py", "--scale", "quick"], **changed)
        notes = [line for line in done.stderr.splitlines(keepends=True) if line.startswith("note: ")]
        assert (done.returncode, done.stdout) == (0, plain.stdout)
        assert done.stderr.replace("".join(notes), "") == plain.stderr and len(notes) == bool(said), done.stderr
        assert said in "".join(notes)
        kept = history.read(project / HISTORY)
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
    call(["git", "init", "-q", tmp_path / "elsewhere"])
    assert commit(GIT_DIR=str(tmp_path / "elsewhere" / ".git"), GIT_WORK_TREE="/") == clean  # as a hook sets them
    if os.geteuid() == 0:  # a checkout of another user, which git refuses
        for path in (project, project / ".git"):
            os.chown(path, 65534, 65534)
        assert call(["git", "-C", project, "status"]).returncode == 128
        assert commit() == clean
    (project / ".git" / "HEAD").write_text("damaged")
    assert commit("not a git repository") == ""
    record_property("cases", 8)


def test_a_link_to_the_repository_and_a_checkout_that_is_read_only(project, tmp_path, record_property):
    permissions.must_count(tmp_path)
    (tmp_path / "link").symlink_to(project)
    (tmp_path / "tiny link.py").symlink_to(project / "hw1_1" / "tiny.py")
    first = call([sys.executable, tmp_path / "link" / "hw1_1" / "tiny.py", "--scale", "quick"])
    second = call([sys.executable, project / "hw1_1" / "tiny.py", "--scale", "quick"])
    assert first.returncode == 0 and "up to date" in second.stderr
    shutil.rmtree(project / "out")
    folders = [project, *(path for path in project.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    (project / "trained").touch() if os.geteuid() == 0 else None
    try:
        script = str(project / "hw1_1" / "tiny.py")
        done = call([sys.executable, script, "--scale", "quick"], before=permissions.ordinary)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 2, done.stderr
        assert "Permission denied; check the permissions" in done.stderr and str(project / "out") in done.stderr
        for flags, code in (("--check", 1), ("--list", 0), ("--help", 0), ("--epoch", 2)):
            done = call([sys.executable, script, "--scale", "quick", flags], before=permissions.ordinary)
            assert done.returncode == code and "Traceback" not in done.stderr, (flags, done.stderr)
    finally:
        for folder in folders:
            folder.chmod(0o755)
    record_property("cases", 7)


def test_clocks_that_go_wrong_lose_nothing(project, record_property):
    script, path = project / "hw1_1" / "tiny.py", project / HISTORY
    expected = None
    moments = [0, -(2**31), 10**10]
    for number, moment in enumerate(moments):
        first = call([sys.executable, script, "--scale", "quick"])
        assert first.returncode == 0, first.stderr
        expected = expected or history.read(path)["results"]
        assert history.read(path)["results"] == expected
        temporary = path.with_name(f".{path.name}.1.tmp")
        temporary.touch()
        for file in [*files_in(project / "out"), temporary]:
            os.utime(file, (moment, moment))
        again = call([sys.executable, script, "--scale", "quick"])
        assert again.returncode == 0 and "up to date" in again.stderr, (moment, again.stderr)
        text = script.read_text()
        script.write_text(re.sub(r"REVISION = \d+", f"REVISION = {number + 2}", text))
        other = call(
            [sys.executable, script, "--scale", "quick"]
        )  # another history goes there, the old one is put aside
        assert other.returncode == 0 and "Traceback" not in other.stderr, (moment, other.stderr)
        assert len(list((project / "out" / "replaced").glob("*.pkl"))) == 1
        assert history.read(path)["results"] == expected
        shutil.rmtree(project / "out")
    record_property("cases", 3 * len(moments))


def test_progress_fits_any_terminal(record_property):
    code = "from common import progress\nwith progress.shown('deep/seed-0 [red]', 5) as tell:\n"
    code += "    for done in range(6): tell(done, loss=0.123456, accuracy=float('nan'))"
    terminals = [{}, {"TERM": "dumb"}, {"TERM": None, "NO_COLOR": "1"}, {"TERM": "nonsense", "COLUMNS": "20"}]
    terminals += [{"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}, {"COLUMNS": "nonsense"}]
    cases = 0
    for environment in terminals:
        for width in (40, 1, 0, 1000):
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=theirs,
                env=surroundings(**{"COLUMNS": None, "LINES": None, "TERM": "xterm"} | environment),
            )
            os.close(theirs)
            shown = b""
            while True:
                try:
                    piece = os.read(ours, 4096)
                except OSError:  # its end is closed
                    break
                if not piece:
                    break
                shown += piece
            os.close(ours)
            assert process.communicate(timeout=60)[0] == b"" and process.returncode == 0, (environment, width, shown)
            assert b"Traceback" not in shown
            if width == 40 and not {"TERM", "LC_ALL"} & set(environment):
                lines = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode("utf-8", "replace")
                assert all(len(line) <= 40 for line in re.split("[\r\n]+", lines)), (environment, shown)
            cases += 1
    record_property("cases", cases)


# Surroundings that Keras, TensorFlow and matplotlib would heed.


def hostile(folder: Path, keras_json: str) -> dict[str, str | None]:
    """An environment that asks for everything that the scripts must not do."""
    (folder / "keras").mkdir(parents=True)
    (folder / "keras" / "keras.json").write_text(keras_json)
    (folder / "matplotlibrc").write_text("figure.dpi: 31\naxes.facecolor: red\nbackend: TkAgg\nfont.size: 31\n")
    (folder / "mpl").mkdir()
    shutil.copy(folder / "matplotlibrc", folder / "mpl" / "matplotlibrc")
    return {
        "KERAS_HOME": str(folder / "keras"),
        "KERAS_BACKEND": "jax",
        "CUDA_VISIBLE_DEVICES": "nonsense",
        "MPLBACKEND": "nonsense",
        "MATPLOTLIBRC": str(folder / "matplotlibrc"),
        "MPLCONFIGDIR": str(folder / "mpl"),
        "DISPLAY": None,
        "HOME": "/nonexistent",
        "LC_ALL": "POSIX",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONPATH": str(folder),
        "COLUMNS": "20",
        "TERM": "dumb",
        "SOURCE_DATE_EPOCH": "1",
        "TF_CPP_MIN_LOG_LEVEL": None,
        "TZ": "Pacific/Kiritimati",
    }


def test_a_real_training_gives_the_same_bits_in_a_hostile_environment(checkout, tmp_path, record_property):
    trial_runs.with_digits(checkout, trial_runs.stripes(60), trial_runs.stripes(30, seed=1))
    flags = ["--scale", "quick", "--epochs", "1", "--batch-size", "16", "--probe-images", "20", "--nets", "shallow"]
    command = [sys.executable, checkout / "hw1_1" / "mnist_cnn.py", *flags, "--data-dir", checkout / "data"]
    done = call(command)
    path = trial_runs.history_path(done)
    expected = history.read(path)["results"]
    other = '{"floatx": "float16", "image_data_format": "channels_first", "backend": "torch", "epsilon": 0.1}'
    surrounding = [hostile(tmp_path / "a", other), hostile(tmp_path / "b", '{"floatx": ')]
    surrounding[1] |= {
        "CUDA_VISIBLE_DEVICES": "",
        "TMPDIR": "/nonexistent",
        "KERAS_BACKEND": None,
    }
    for environment in surrounding:
        shutil.rmtree(checkout / "out")
        again = call(command, folder=environment["PYTHONPATH"], **environment)
        assert again.returncode == 0 and "Traceback" not in again.stderr, again.stderr
        assert history.read(path)["results"] == expected
        assert again.stdout == done.stdout
    record_property("cases", len(surrounding))


def test_a_variable_that_keras_refuses_is_one_message_and_a_keras_json_is_not_read(tmp_path, record_property):
    code = "from common import backend, settings\nwith settings.one_message():\n    backend.start()"
    (tmp_path / "keras.json").write_text('{"floatx": "float8"}')
    done = call([sys.executable, "-c", code], folder=ROOT, KERAS_HOME=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = call([sys.executable, "-c", code], folder=ROOT, KERAS_MAX_EPOCHS="many")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "KERAS_" in done.stderr
    record_property("cases", 2)


def test_figures_have_the_same_bytes_in_a_hostile_environment(checkout, tmp_path, record_property):
    (checkout / "hw1_1" / "history").mkdir(exist_ok=True)
    shutil.copy(ROOT / "hw1_1" / "history" / "mnist_cnn.pkl", checkout / "hw1_1" / "history")
    command = [sys.executable, checkout / "hw1_1" / "plot_mnist_cnn.py", "--scale", "paper", "--force"]
    done = call(command)
    assert done.returncode == 0, done.stderr
    expected = {path.name: path.read_bytes() for path in (checkout / "figures").iterdir()}
    assert {"mnist_cnn.svg", "mnist_cnn.png"} <= set(expected)
    surrounding = [hostile(tmp_path / "a", "{}"), hostile(tmp_path / "b", "{}"), hostile(tmp_path / "c", "{}")]
    surrounding[0] |= {"MPLBACKEND": "TkAgg"}
    surrounding[1] |= {"MPLBACKEND": "", "MATPLOTLIBRC": str(tmp_path / "nowhere")}
    surrounding[2] |= {"MATPLOTLIBRC": None, "LC_ALL": "nonsense", "PYTHONIOENCODING": None}
    for environment in surrounding:
        shutil.rmtree(checkout / "figures")
        again = call(command, folder=environment["PYTHONPATH"], **environment)
        assert again.returncode == 0 and "Traceback" not in again.stderr, again.stderr
        assert {path.name: path.read_bytes() for path in (checkout / "figures").iterdir()} == expected
        assert again.stdout == done.stdout
    record_property("cases", len(surrounding))
