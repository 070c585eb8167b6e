"""The driver with stand-ins for the scripts: options, exit codes, what runs, signals, and how .venv is made."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import usual_signals

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = re.search(r"experiments=\((.*?)\)", (ROOT / "run_all.sh").read_text(), re.DOTALL)[1].split()
FIRST, SECOND = EXPERIMENTS[:2]

# Stands for every script. It notes how it was called, and NAME.behaviour beside it may say "fail" or "slow".
SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path

file = Path(__file__).resolve()
root, options = file.parents[1], sys.argv[1:]
scale = options[options.index("--scale") + 1]
place = root if scale == "paper" else root / "out" / scale
name = file.stem.removeprefix("plot_")
result = {
    "build": place / "report" / "hw1.pdf",
    "data": place / "data",
    name: place / file.parent.name / "history" / (name + ".pkl"),
    "plot_" + name: place / "figures" / (name + ".svg"),
}[file.stem]
behaviour = file.with_suffix(".behaviour")
behaviour = behaviour.read_text() if behaviour.exists() else ""
if "--check" in options:
    print("up to date (measured 2026-11-24)" if result.exists() else "due: no history")
    sys.exit(not result.exists())
if "--list" in options:
    print(f"cd '{root}' && '{sys.executable}' '{file}' --scale {scale} --unit 'deep/seed 0'")
    sys.exit()
with open(root / "calls", "a") as calls:
    calls.write(file.parent.name + "/" + file.stem + " " + " ".join(options) + "\\n")
print("half way", file=sys.stderr)
if behaviour == "slow":
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (root / "processes").write_text(f"{os.getpid()} {helper.pid}")
    time.sleep(60)
if behaviour == "fail":
    sys.exit("error: it broke")
result.parent.mkdir(parents=True, exist_ok=True)
result.write_text("result")
print("the result of", file.stem)
"""

FAKE_UV = """#!/bin/bash
case "$1 $2" in
    "venv --python") "$3" -m venv --without-pip "$4" ;;
    "pip install")
        echo "$@" >> "$UV_CALLS"
        sleep "${UV_SECONDS:-0}"
        [[ -z ${UV_BREAKS-} ]] || { echo no route; exit 1; } ;;
esac
"""


@pytest.fixture
def house(tmp_path):
    """A copy of the driver among stand-ins, in a folder with a space in its name."""
    root = tmp_path / "a house"
    for name in ("run_all.sh", "common/environment.sh", "requirements.txt", "tests/run.sh"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    scripts = ["common/data.py", "report/build.py"]
    for name in EXPERIMENTS:
        folder, file = name.split("/")
        scripts += [f"{folder}/{file}.py", f"{folder}/plot_{file}.py"]
    for name in scripts:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(SCRIPT)
    return root


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the driver, and with this Python."""
    kept = {name: text for name, text in os.environ.items() if name not in ("HW1_DATA_DIR", "UV_BREAKS")}
    return {**kept, "PYTHON": sys.executable, **more}


def drive(house, *options: str, expect: int = 0, venv: bool = False, script: str = "run_all.sh", **more: str):
    """Runs the driver from another folder; returns the finished process, whose exit code was as expected."""
    command = ["bash", str(house / script), *([] if venv else ["--no-venv"]), *options]
    with usual_signals():
        done = subprocess.run(
            command, cwd=house.parent, env=environment(**more), capture_output=True, text=True, timeout=50
        )
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def calls(house) -> list[str]:
    """What ran so far, one script with its options each; forgotten afterwards."""
    path = house / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def row(done: subprocess.CompletedProcess, title: str) -> str:
    """The last line of the output that begins with this title: its row of the table."""
    return [line for line in done.stdout.splitlines() if line.startswith(title + "  ")][-1]


def fit(name: str) -> str:
    """Where the plot script of an experiment lies, as the stand-in notes it."""
    return name.replace("/", "/plot_")


def test_a_run_has_all_steps_in_order_and_a_second_run_has_none(house):
    first = drive(house, "--scale", "quick")
    expected = ["common/data --scale quick"]
    expected += [f"{name} --scale quick" for name in EXPERIMENTS]
    expected += [f"{fit(name)} --scale quick" for name in EXPERIMENTS]
    assert calls(house) == [*expected, "report/build --scale quick"]
    assert "scale quick: as asked" in first.stderr
    assert f"out/quick/{FIRST.replace('/', '/history/')}.pkl" in row(first, FIRST)
    assert "done" in row(first, f"{FIRST}, figures") and "done" in row(first, "report")
    log = house / "out/logs/quick" / f"{FIRST}.log"
    assert "half way" in log.read_text() and "the result of" in log.read_text()
    assert "half way" in first.stdout and "the result of" in first.stdout

    second = drive(house, "--scale=quick")
    assert calls(house) == ["common/data --scale quick"]
    assert "kept, measured on 2026-11-24; --force retrains" in row(second, FIRST)
    assert "kept" in row(second, "report")

    drive(house, "--scale", "quick", "--force", "--only", FIRST)
    forced = [f"{FIRST} --scale quick --force", f"{fit(FIRST)} --scale quick --force"]
    assert calls(house) == ["common/data --scale quick", *forced]


def test_quick_scale_also_draws_the_committed_runs(house):
    history = house / f"{FIRST.replace('/', '/history/')}.pkl"
    history.parent.mkdir(parents=True)
    history.write_text("committed")
    done = drive(house, "--scale", "quick", "--figures-only")
    assert calls(house) == [
        "report/build --scale quick",
        f"{fit(FIRST)} --scale paper",
        "report/build --scale paper",
    ]
    assert "not run, no history" in row(done, f"{FIRST}, figures")
    assert "figures/" in row(done, f"{FIRST}, figures of the committed run")
    assert "done" in row(done, "report of the committed runs")
    drive(house, "--scale", "paper", "--only", FIRST)
    assert calls(house) == ["common/data --scale paper"]


@pytest.mark.parametrize("only", [["hw1_1"], ["hw1_1/"], [FIRST, f"{FIRST}.py"], ["report"]])
def test_only(house, only):
    drive(house, "--scale", "quick", *(word for name in only for word in ("--only", name)))
    trained = [line.split()[0] for line in calls(house)]
    if only == ["report"]:
        assert trained == ["report/build"]
    else:
        chosen = [FIRST] if FIRST in only else [name for name in EXPERIMENTS if name.startswith("hw1_1/")]
        assert trained == ["common/data", *chosen, *map(fit, chosen)]


def test_a_failed_step_does_not_stop_the_others(house):
    (house / f"{FIRST}.behaviour").write_text("fail")
    done = drive(house, "--scale", "quick", expect=1)
    log = f"out/logs/quick/{FIRST}.log"
    assert f"failed (exit 1), see {log}" in row(done, FIRST)
    assert "error: it broke" in (house / log).read_text()
    assert "done" in row(done, SECOND) and "done" in row(done, "report")
    assert "not run, no history" in row(done, f"{FIRST}, figures")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--frobnicate"], "unknown option --frobnicate; known: --scale --only"),
        (["--only", "hw1_9"], f"unknown name hw1_9; known: {FIRST}"),
        (["--scale", "huge"], "known: quick, paper"),
        (["--scale"], "--scale needs a value"),
        (["--data-dir", "nowhere"], "the data folder nowhere does not exist"),
    ],
)
def test_usage_errors_are_one_line(house, options, message):
    done = drive(house, *options, expect=2)
    assert message in done.stderr and done.stderr.count("\n") == 1 and not done.stdout


def test_help_names_every_option_and_experiment(house):
    text = drive(house, "--help").stdout
    for word in ["--scale", "--only", "--force", "--check", "--list", "--data-dir", "--no-venv", *EXPERIMENTS]:
        assert word in text


def test_check_changes_nothing_and_says_what_is_due(house):
    done = drive(house, "--scale", "quick", "--check", expect=1)
    assert len(done.stdout.splitlines()) == 2 * len(EXPERIMENTS) + 1
    assert re.search(rf"^{FIRST} +due: no history$", done.stdout, re.MULTILINE)
    assert not calls(house) and not (house / "out").exists()
    drive(house, "--scale", "quick")
    done = drive(house, "--scale", "quick", "--check")
    assert re.search(rf"^{FIRST}, figures +up to date", done.stdout, re.MULTILINE)


def test_listed_commands_run_from_anywhere(house):
    (house.parent / "some data").mkdir()
    listed = drive(house, "--scale", "quick", "--list", "--data-dir", "some data").stdout
    assert len(listed.splitlines()) == 1 + len(EXPERIMENTS)
    for line in listed.splitlines():
        subprocess.run(["bash", "-c", line], cwd="/", check=True, capture_output=True)
    data, *units = calls(house)
    assert data == f"common/data --scale quick --data-dir {house.parent / 'some data'}"
    assert units == [f"{name} --scale quick --unit deep/seed 0" for name in EXPERIMENTS]


def test_the_scale_follows_the_gpu(house, tmp_path):
    fake = program(tmp_path / "bin" / "nvidia-smi", "#!/bin/bash\necho 'GPU 0: a card'\n")
    done = drive(house, "--check", expect=1, PATH=f"{fake.parent}:{os.environ['PATH']}")
    assert "scale paper: nvidia-smi lists a GPU" in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)])
def test_a_signal_stops_everything_within_two_seconds(house, number, code):
    (house / f"{SECOND}.behaviour").write_text("slow")
    command = ["bash", str(house / "run_all.sh"), "--no-venv", "--scale", "quick"]
    with usual_signals():
        driver = subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    with driver:  # closes its pipe, whatever fails
        wait_until((house / "processes").exists)
        wait_until(lambda: len((house / "processes").read_text().split()) == 2)
        started = time.monotonic()
        driver.send_signal(number)
        output, _ = driver.communicate(timeout=20)
        assert time.monotonic() - started < 2
    assert driver.returncode == code
    wait_until(lambda: not any(map(alive, (house / "processes").read_text().split())))
    rows = subprocess.CompletedProcess(command, code, stdout=output)
    assert "done" in row(rows, FIRST) and "stopped" in row(rows, SECOND) and "not run" in row(rows, "report")


def wait_until(true, seconds: float = 20) -> None:
    """Returns as soon as `true()` holds; fails after the given time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(process: str) -> bool:
    """Whether a process runs; one that ended and was not yet collected does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def program(path: Path, text: str) -> Path:
    """Writes an executable file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize("venv", [True, False])
def test_another_python_gives_one_message(house, tmp_path, venv):
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        program(tmp_path / "bin" / name, f"#!/bin/bash\necho 3.9 /opt/{name}\n")
    done = drive(house, expect=1, venv=venv, PYTHON="", PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert done.stderr.startswith("error: Python 3.11 to 3.13 is needed") and done.stderr.count("\n") == 1
    assert "python3 is 3.9" in done.stderr and not (house / ".venv").exists()


def test_no_venv_says_what_is_missing(house):
    with open(house / "requirements.txt", "a") as requirements:
        requirements.write("no-such-distribution>=1,<2\n")
    done = drive(house, expect=1)
    assert "lacks no-such-distribution" in done.stderr and "pip install 'no-such-distribution>=1,<2'" in done.stderr


@pytest.mark.parametrize("option", ["--check", "--list"])
def test_asking_never_makes_an_environment(house, option):
    done = drive(house, option, expect=1, venv=True)
    assert done.stderr.count("\n") == 1 and "bash run_all.sh" in done.stderr
    assert not (house / ".venv").exists() and not (house / "out").exists()


def test_the_environment_is_made_once_and_again_when_it_must(house, tmp_path):
    uv = program(tmp_path / "bin" / "uv", FAKE_UV)
    installed = tmp_path / "installed"
    more = {"UV_CALLS": str(installed), "PATH": f"{uv.parent}:{os.environ['PATH']}"}

    def made(expect: int = 0, **others: str) -> tuple[int, subprocess.CompletedProcess]:
        done = drive(house, "--only", "report", "--scale", "quick", venv=True, expect=expect, **more, **others)
        count = len(installed.read_text().splitlines()) if installed.exists() else 0
        installed.unlink(missing_ok=True)
        return count, done

    count, done = made(expect=1, UV_BREAKS="1")
    assert count == 1 and "no route" in done.stderr and "is the network there?" in done.stderr
    (house / ".venv" / "left over").touch()
    assert made()[0] == 1 and not (house / ".venv" / "left over").exists()  # the half-made one is remade
    assert made()[0] == 0
    (house / ".venv" / "kept").touch()
    with open(house / "requirements.txt", "a") as requirements:
        requirements.write("# another\n")
    assert made()[0] == 1 and (house / ".venv" / "kept").exists()  # other requirements only install again
    (house / ".venv/bin/python").unlink()
    assert made()[0] == 1 and not (house / ".venv" / "kept").exists()
    program(uv.parent / "nvidia-smi", "#!/bin/bash\necho 'GPU 0: a card'\n")
    drive(house, "--check", "--scale", "quick", venv=True, expect=1, **more)
    assert not installed.exists()
    drive(house, "--only", "report", "--scale", "quick", venv=True, **more)
    assert "tensorflow[and-cuda]>=" in installed.read_text()


def test_two_runs_make_one_environment(house, tmp_path):
    uv = program(tmp_path / "bin" / "uv", FAKE_UV)
    lock = house / "out" / "environment.lock"
    lock.mkdir(parents=True)
    ended = subprocess.Popen(["true"])
    ended.wait()
    (lock / "holder").write_text(f"{os.uname().nodename} {ended.pid}\n")  # left by a run that was killed
    installed = tmp_path / "installed"
    path = f"{uv.parent}:{os.environ['PATH']}"
    command = ["bash", str(house / "run_all.sh"), "--only", "report", "--scale", "quick"]
    runs = [
        subprocess.Popen(command, env=environment(UV_CALLS=str(installed), UV_SECONDS="1", PATH=path)) for _ in range(3)
    ]
    assert [run.wait(timeout=30) for run in runs] == [0, 0, 0]
    assert len(installed.read_text().splitlines()) == 1
    assert not lock.exists()


def test_run_sh_ends_with_the_result_of_pytest(house):
    (house / "tests" / "test_one.py").write_text("def test_one():\n    assert 1 == 2\n")
    done = drive(house, "-p", "no:cacheprovider", script="tests/run.sh", expect=1)
    assert re.match(r"1 failed in [\d.]+s", done.stdout.splitlines()[-1])
    done = drive(house, "--collect-only", str(house / "tests/test_one.py"), script="tests/run.sh")
    assert "1 test collected" in done.stdout
