"""The driver with stand-ins for the scripts: options, exit codes, what runs, signals, and how .venv is made."""

import importlib.util
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, usual_signals

from report import build

EXPERIMENTS = list(build.experiments())
FIRST, SECOND = EXPERIMENTS[:2]
DRIVER = ("run_all.sh", "common/environment.sh", "tests/run.sh")
MODULES = "__init__ children driver environment gpu requirements signals"
DRIVER += tuple(f"common/{name}.py" for name in MODULES.split())

# Stands for every script. It notes how it was called, and NAME.behaviour beside it may hold a statement to run instead.
SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path

file = Path(__file__).resolve()
root, options = file.parents[1], sys.argv[1:]
scale = options[options.index("--scale") + 1]
place = root if scale == "paper" else root / "out" / scale
name = file.stem.removeprefix("plot_")
result = {
    name: place / file.parent.name / "history" / (name + ".pkl"),
    "plot_" + name: place / "figures" / (name + ".svg"),
    "build": place / "report" / "hw1.pdf",
    "data": place / "data",
}[file.stem]
if "--check" in options:
    print("up to date (measured 2026-11-24)" if result.exists() else "due: no history")
    sys.exit(not result.exists())
if "--list" in options:
    print(f"cd '{root}' && '{sys.executable}' '{file}' --scale {scale} --unit 'deep/seed 0'")
    sys.exit()
with open(root / "calls", "a") as calls:
    calls.write(file.parent.name + "/" + file.stem + " " + " ".join(options) + "\\n")
print("half way", file=sys.stderr, flush=True)
behaviour = file.with_suffix(".behaviour")
if behaviour.exists():
    exec(behaviour.read_text())
result.parent.mkdir(parents=True, exist_ok=True)
result.write_text("result")
print("the result of", file.stem)
"""
SLOW = """
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
(root / "processes").write_text(f"{os.getpid()} {helper.pid}")
time.sleep(60)
"""
# What the driver asks for the device at paper scale, in a tree that has not the rest of `common`.
BACKEND = "import os, sys\ndef start():\n    print('on a stand-in', os.environ['HW1_SCALE'], file=sys.stderr)\n"
SETTINGS = "import contextlib\none_message = contextlib.nullcontext\n"

PACKAGING = Path(importlib.util.find_spec("packaging").origin).parent
# Stands for uv: makes real environments, in which it installs names and versions, and `packaging`, without a network.
FAKE_UV = f"""#!{sys.executable}
import os, pathlib, re, shutil, subprocess, sys, time
if sys.argv[1] == "venv":
    sys.exit(subprocess.run([sys.argv[3], "-m", "venv", "--without-pip", sys.argv[4]]).returncode)
with open(os.environ["UV_CALLS"], "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
time.sleep(float(os.environ.get("UV_SECONDS", 0)))
if "UV_BREAKS" in os.environ:
    sys.exit(os.environ["UV_BREAKS"])
[packages] = (pathlib.Path(sys.argv[4]).parents[1] / "lib").glob("*/site-packages")
shutil.copytree({str(PACKAGING)!r}, packages / "packaging", dirs_exist_ok=True)
for name, version in re.findall(r"(?m)^([\\w-]+)>=([\\d.]+)", open(sys.argv[6]).read()):
    for old in packages.glob(f"{{name}}-*.dist-info"):
        shutil.rmtree(old)
    about = packages / f"{{name}}-{{version}}.dist-info"
    about.mkdir(exist_ok=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {{name}}\\nVersion: {{version}}\\n")
"""


@pytest.fixture
def house(tmp_path):
    """A copy of the driver among stand-ins, in a folder whose name has a space, quotes and a letter beyond ASCII."""
    root = tmp_path / "a 'house' é"
    for name in (*DRIVER, "requirements.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    for name in ("common/data", "report/build", *EXPERIMENTS, *map(fit, EXPERIMENTS)):
        (root / name).parent.mkdir(exist_ok=True)
        (root / f"{name}.py").write_text(SCRIPT)
    (root / "common/backend.py").write_text(BACKEND)
    (root / "common/settings.py").write_text(SETTINGS)
    return root


def environment(**more: str) -> dict[str, str]:
    """This process's environment without what would steer the driver, and with this Python."""
    steering = ("HW1_DATA_DIR", "HW1_SCALE", "CUDA_VISIBLE_DEVICES")
    return {name: text for name, text in os.environ.items() if name not in steering} | {
        "PYTHON": sys.executable,
        **more,
    }


def drive(house, *options: str, expect: int = 0, venv: bool = False, start=("bash", "run_all.sh"), **more: str):
    """Runs the driver from another folder; returns the finished process, whose exit code was as expected."""
    command = [*start[:-1], str(house / start[-1]), *([] if venv else ["--no-venv"]), *options]
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


def program(path: Path, text: str) -> Path:
    """Writes an executable file."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def before(path: Path, *others: Path) -> str:
    """A PATH in which the folders of these programs come first."""
    return os.pathsep.join([*(str(each.parent) for each in (path, *others)), os.environ["PATH"]])


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


# --------------------------------------------------------------------------------------------- what runs


def test_a_run_has_all_steps_in_order_and_a_second_run_has_none(house):
    first = drive(house, "--scale", "quick")
    expected = ["common/data --scale quick"]
    expected += [f"{name} --scale quick" for name in EXPERIMENTS]
    expected += [f"{fit(name)} --scale quick" for name in EXPERIMENTS]
    assert calls(house) == [*expected, "report/build --scale quick"]
    assert "scale quick: as asked" in first.stderr
    assert f"out/quick/{FIRST.replace('/', '/history/')}.pkl" in row(first, FIRST)
    assert "done" in row(first, f"{FIRST}, figures") and "done" in row(first, "report")
    log = (house / "out/logs/quick" / f"{FIRST}.log").read_text()
    for text in (log, first.stdout):
        assert "half way" in text and "the result of" in text
    end = r"Report: out/quick/report/hw1.pdf; figures: out/quick/figures; [\d.]+ minutes"
    assert re.fullmatch(end, first.stdout.splitlines()[-1])

    second = drive(house, "--scale=quick")
    assert calls(house) == ["common/data --scale quick"]
    assert "kept, measured 2026-11-24" in row(second, FIRST) and "kept" in row(second, "report")

    drive(house, "--scale", "quick", "--force", "--only", FIRST)
    forced = [f"{FIRST} --scale quick --force", f"{fit(FIRST)} --scale quick --force"]
    assert calls(house) == ["common/data --scale quick", *forced]


@pytest.mark.parametrize(
    ("only", "chosen"),
    [("hw1_1/", [name for name in EXPERIMENTS if name.startswith("hw1_1/")]), (f"{FIRST}.py", [FIRST]), ("report", [])],
)
def test_only_some_experiments_or_the_report(house, only, chosen):
    drive(house, "--scale", "quick", "--only", only)
    ran = [line.split()[0] for line in calls(house)]
    assert ran == (["common/data", *chosen, *map(fit, chosen)] if chosen else ["report/build"])


def test_quick_scale_also_draws_the_committed_runs(house):
    history = house / f"{FIRST.replace('/', '/history/')}.pkl"
    history.parent.mkdir(parents=True)
    history.write_text("committed")
    done = drive(house, "--scale", "quick", "--figures-only")
    paper = [f"{fit(FIRST)} --scale paper", "report/build --scale paper"]
    assert calls(house) == ["report/build --scale quick", *paper]
    assert "not run, no history" in row(done, f"{FIRST}, figures")
    assert "figures/" in row(done, f"{FIRST}, figures of the committed runs")
    assert "done" in row(done, "report of the committed runs")
    drive(house, "--scale", "paper", "--only", FIRST)
    assert calls(house) == ["common/data --scale paper"]


WRONG = ["--frobnicate", "--scal quick", "--scale", "--scale huge", "--scale=", "--scale quick --scale paper", "extra"]
WRONG += ["--only", "--only hw1_9", "--only=", "--only ../common", "--only hw1_1/mnist", "--only --check", "-x", "-"]
WRONG += ["--data-dir", "--data-dir nowhere", "--data-dir /etc/hostname", "--data-dir / --data-dir /", "--help=me"]
WRONG += ["--check=1", "--no-venv=1", "--check extra", "---check", "--CHECK", "--only hw1_1 --only nothing"]


@pytest.mark.parametrize("options", WRONG)
def test_a_wrong_option_is_one_line_before_anything_is_made(house, options):
    done = drive(house, *options.split(), expect=2, venv=True)
    assert done.stderr.startswith("error: ") and done.stderr.endswith("(see ./run_all.sh --help)\n")
    assert done.stderr.count("\n") == 1 and not done.stdout
    assert not (house / "out").exists() and not (house / ".venv").exists()


# macOS has bash 3.2 only. POSIX shells, which know none of what came to bash later, stand for it.
@pytest.mark.parametrize("shell", ["", "bash", "bash --posix", "sh", "dash", "mksh", "yash", "busybox sh"])
def test_it_starts_from_any_shell_and_help_names_every_option_and_experiment(house, shell):
    start = (*shell.split(), "run_all.sh")
    if shutil.which(start[0]) is None and len(start) > 1:
        pytest.skip(f"there is no {start[0]} here")
    text = drive(house, "--help", start=start).stdout
    options = ["--scale", "--only", "--figures-only", "--force", "--check", "--list", "--data-dir", "--no-venv"]
    for word in [*options, *EXPERIMENTS]:
        assert word in text
    assert drive(house, "--check", "--scale", "quick", start=start, expect=1).stdout.count("due: ") > len(EXPERIMENTS)
    assert "The test command" in drive(house, "--help", start=(*start[:-1], "tests/run.sh"), venv=True).stdout


# ------------------------------------------------------------------------------------- --check and --list


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
    first = listed.splitlines()[0]
    subprocess.run(["bash", "-c", first], cwd="/", check=True, capture_output=True)
    assert calls(house) == [f"common/data --scale quick --data-dir {house.parent / 'some data'}"]


@pytest.mark.parametrize("flag", ["--check", "--list"])
def test_one_process_answers_for_all_scripts_without_the_large_packages(tmp_path, flag):
    """The real scripts of this repository."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "large = {'tensorflow', 'keras', 'matplotlib', 'typst', 'pandas', 'scipy', 'sklearn'}\n"
        f"notes = open({str(tmp_path / 'notes')!r}, 'a')\n"
        "atexit.register(lambda: print(sys.orig_argv[1:3], *sorted(large & set(sys.modules)), sep=' | ', file=notes))\n"
    )
    command = ["bash", str(ROOT / "run_all.sh"), "--no-venv", "--scale", "paper", flag]
    done = subprocess.run(
        command, env=environment(PYTHONPATH=str(tmp_path)), capture_output=True, text=True, timeout=100
    )
    assert done.returncode in (0, 1) and "cannot tell" not in done.stdout + done.stderr
    notes = (tmp_path / "notes").read_text()
    assert notes.count("--query") == 1 and notes.count("\n") == 3 and " | " not in notes, notes


# ------------------------------------------------------------------------------------ failures and signals


@pytest.mark.parametrize(("number", "words"), [(9, "memory"), (4, "AVX"), (11, "native code")])
def test_the_end_by_a_signal_is_explained_in_the_log_too(house, number, words):
    (house / f"{FIRST}.behaviour").write_text(f"os.kill(os.getpid(), {number})")
    done = drive(house, "--scale", "quick", "--only", FIRST, expect=1)
    log = (house / f"out/logs/quick/{FIRST}.log").read_text()
    for text in (log, done.stdout):
        assert re.search(rf"error: {FIRST}: .*{words}", text)
    assert f"failed (exit {128 + number}), see " in row(done, FIRST)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "XCPU"])
def test_a_signal_stops_everything_within_two_seconds(house, name):
    (house / f"{SECOND}.behaviour").write_text(SLOW)
    command = ["bash", str(house / "run_all.sh"), "--no-venv", "--scale", "quick"]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with usual_signals(), subprocess.Popen(command, env=environment(), **streams) as driver:
        wait_until((house / "processes").exists)
        wait_until(lambda: len((house / "processes").read_text().split()) == 2)
        started = time.monotonic()
        driver.send_signal(getattr(signal, f"SIG{name}"))
        output, _ = driver.communicate(timeout=20)
        assert time.monotonic() - started < 2
    assert driver.returncode == (130 if name == "INT" else 143)
    wait_until(lambda: not any(map(alive, (house / "processes").read_text().split())))
    rows = subprocess.CompletedProcess(command, driver.returncode, stdout=output)
    assert "done" in row(rows, FIRST) and "stopped" in row(rows, SECOND) and "not run" in row(rows, "report")


# ---------------------------------------------------------------------------------------------------- GPU

LISTS_A_GPU = "#!/bin/sh\necho 'GPU 0: a card'\n"


def test_the_scale_follows_the_gpu_and_the_device_is_named_before_the_first_training(house):
    fake = program(house.parent / "bin" / "nvidia-smi", LISTS_A_GPU)
    only = ("--only", FIRST, "--only", SECOND)
    done = drive(house, *only, PATH=before(fake))
    assert "scale paper: nvidia-smi lists a GPU" in done.stderr
    assert done.stderr.count("on a stand-in paper, by the GPU") == 1
    assert drive(house, "--scale", "paper", "--force", *only).stderr.count("on a stand-in paper\n") == 1
    assert "stand-in" not in drive(house, "--scale", "quick", *only).stderr


def test_a_driver_of_nvidia_that_hangs_is_said_after_ten_seconds(house):
    process = house.parent / "process"
    fake = program(house.parent / "bin" / "nvidia-smi", "#!/bin/sh\ntrap '' TERM\necho $$ >$SELF\nsleep 600\n")
    begun = time.monotonic()
    done = drive(house, "--check", expect=1, PATH=before(fake), SELF=str(process))
    assert "scale quick: nvidia-smi gave no answer in 10 seconds" in done.stderr
    wait_until(lambda: not alive(process.read_text().strip()))
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize("hidden", [None, "-1"])
def test_a_gpu_that_tensorflow_cannot_use_stops_a_run_and_a_script_unless_paper_was_asked_for(house, hidden):
    """The real backend, on a machine of which nvidia-smi lists a GPU, which this one hides or has not."""
    fake = program(house.parent / "bin" / "nvidia-smi", LISTS_A_GPU)
    shutil.rmtree(house / "common")
    shutil.copytree(ROOT / "common", house / "common")
    (house / "common/data.py").write_text(SCRIPT)
    more = {"PATH": before(fake)} | ({} if hidden is None else {"CUDA_VISIBLE_DEVICES": hidden})
    if hidden is None:
        code = "from common import lazy; print(lazy.tf.config.list_physical_devices('GPU'))"
        seen = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout
        if "GPU" in seen:
            pytest.skip("TensorFlow has a GPU here")
    done = drive(house, "--only", FIRST, expect=1, **more)
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "TensorFlow finds none" in error and "--scale paper" in error and "CPU" in error
    assert (hidden is None) != ("CUDA_VISIBLE_DEVICES is '-1'" in error)
    assert calls(house) == ["common/data --scale paper"]
    if hidden:
        done = drive(house, "--only", FIRST, "--scale", "paper", **more)
        assert "paper scale: training on CPU" in done.stderr
        script = (
            "import sys; sys.argv = ['x']\nfrom common import backend, settings\nfrom hw1_2 import minimal_ratio as m\n"
        )
        script += "settings.parse('hw1_2/minimal_ratio.py', '', m.PAPER, m.QUICK)\nbackend.start()"
        alone = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, env=environment(**more), capture_output=True, text=True
        )
        assert alone.returncode == 1 and "TensorFlow finds none" in alone.stderr


# ------------------------------------------------------------------------------------------- environments


@pytest.mark.parametrize("venv", [True, False])
def test_another_python_gives_one_message(house, tmp_path, venv):
    for name in ("python3.13", "python3.12", "python3.11", "python3", "python"):
        program(tmp_path / "bin" / name, f"#!/bin/sh\necho /opt/{name}; exit 1\n")
    done = drive(house, expect=1, venv=venv, PYTHON="", PATH=f"{tmp_path / 'bin'}:/usr/bin:/bin")
    assert done.stderr.startswith("error: Python 3.11 to 3.13 is needed") and done.stderr.count("\n") == 1
    assert not (house / ".venv").exists()


def test_no_venv_says_what_is_missing_and_proposes_nothing_that_the_system_refuses(house):
    with open(house / "requirements.txt", "a") as requirements:
        requirements.write("no-such-distribution>=1,<2\n")
    pythons = [sys.executable, *filter(os.path.exists, ["/usr/bin/python3"])]  # of Debian: it refuses pip
    for python in pythons:
        done = drive(house, "--scale", "quick", expect=1, PYTHON=python)
        assert "no-such-distribution>=1,<2: bash run_all.sh makes " in done.stderr and "pip" not in done.stderr


def test_check_never_makes_an_environment(house):
    done = drive(house, "--check", "--scale", "quick", expect=1, venv=True)
    assert done.stderr.count("error") == 1 and "./run_all.sh makes it" in done.stderr
    assert not (house / ".venv").exists() and not (house / "out").exists()


@pytest.fixture
def uv(house):
    """uv(**environment) runs the driver with a stand-in for uv: how often it installed, and the finished process."""
    (house / "requirements.txt").write_text("one>=1.5,<2\ntwo>=2.1 # a comment\n")
    fake = program(house.parent / "tools" / "uv", FAKE_UV)
    installed = house.parent / "installed"

    def made(
        *options: str, expect: int = 0, path: str = "", **others: str
    ) -> tuple[list[str], subprocess.CompletedProcess]:
        more = {"UV_CALLS": str(installed), "PATH": f"{path}:{before(fake)}", **others}
        done = drive(house, "--only", "report", "--scale", "quick", *options, venv=True, expect=expect, **more)
        lines = installed.read_text().splitlines() if installed.exists() else []
        installed.unlink(missing_ok=True)
        return lines, done

    return made


def test_list_makes_the_environment_that_its_commands_need(house, uv):
    lines, done = uv("--list", "--only", FIRST)
    assert len(lines) == 1 and len(done.stdout.splitlines()) == 2


def test_the_environment_is_made_once_and_again_when_it_must(house, uv):
    lines, done = uv(expect=1, UV_BREAKS="no route")
    assert len(lines) == 1 and "no route" in done.stderr and "is the network there?" in done.stderr
    (house / ".venv" / "left over").touch()
    assert len(uv()[0]) == 1 and not (house / ".venv" / "left over").exists()  # the half-made one is remade
    assert not uv()[0]
    (house / ".venv" / "kept").touch()
    (house / "requirements.txt").write_text("one>=1.7,<2\ntwo>=2.1\n")
    assert len(uv()[0]) == 1 and (house / ".venv" / "kept").exists()  # other requirements only install again
    for each in house.glob(".venv/lib/*/site-packages/one-*"):  # as by pip uninstall
        shutil.rmtree(each)
    assert len(uv()[0]) == 1
    (house / ".venv/bin/python").unlink()
    assert len(uv()[0]) == 1 and not (house / ".venv" / "kept").exists()
    gpu = program(house.parent / "bin" / "nvidia-smi", LISTS_A_GPU).parent
    assert not uv("--check", path=str(gpu), expect=1)[0]
    assert uv(path=str(gpu))[0][0].endswith("requirements.txt tensorflow[and-cuda]")
    assert not uv()[0]  # also serves a machine without


def test_two_runs_make_one_environment(house, uv):
    path = f"{house.parent / 'tools'}:{os.environ['PATH']}"
    around = environment(UV_CALLS=str(house.parent / "installed"), UV_SECONDS="1", PATH=path)
    command = ["bash", str(house / "run_all.sh"), "--only", "report", "--scale", "quick"]
    runs = [subprocess.Popen(command, env=around, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [run.communicate(timeout=40)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len((house.parent / "installed").read_text().splitlines()) == 1
    assert sum("waiting for the process that makes .venv" in each for each in said) == 2


def test_a_signal_while_the_environment_is_made_ends_the_installer(house, uv):
    path = f"{house.parent / 'tools'}:{os.environ['PATH']}"
    around = environment(UV_CALLS=str(house.parent / "installed"), UV_SECONDS="600", PATH=path)
    with (
        usual_signals(),
        subprocess.Popen(["bash", str(house / "run_all.sh"), "--scale", "quick"], env=around) as driver,
    ):
        wait_until((house.parent / "installed").exists)
        driver.send_signal(signal.SIGUSR1)
        assert driver.wait(10) == 143
    left = subprocess.run(["pgrep", "-f", f"{house.parent}/tools/uv"], capture_output=True, text=True).stdout
    assert not any(map(alive, left.split()))


# By real venv and pip, without uv and without a network.


def make_really(house, expect: int = 1, **more: str) -> str:
    """The last line of errors of a run that makes .venv."""
    base = {
        "PYTHON": sys._base_executable,
        "PATH": "/usr/bin:/bin",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    done = drive(house, "--only", "report", "--scale", "quick", venv=True, expect=expect, **base | more)
    return done.stderr.splitlines()[-1]


def test_a_path_or_a_disk_that_can_have_no_environment_is_named(house):
    user = subprocess.run(
        [sys._base_executable, "-m", "site", "--user-site"],
        env=environment(PYTHONUSERBASE=str(house.parent)),
        capture_output=True,
        text=True,
    ).stdout.strip()
    Path(user).mkdir(parents=True)
    (Path(user) / "usercustomize.py").write_text(
        "import os\nos.symlink = lambda *_: (_ for _ in ()).throw(OSError(1, 'symlink'))\n"
    )
    assert "on a disk with symbolic links: move the folder" in make_really(house, PYTHONUSERBASE=str(house.parent))
    assert "needs a path without colons" in make_really(house.rename(house.parent / "a:b"))


def test_what_pip_was_told_elsewhere_never_passes_for_an_environment(house):
    wheels = house.parent / "wheels"
    wheels.mkdir()
    for name in ("one", "packaging"):
        with zipfile.ZipFile(wheels / f"{name}-24.5-py3-none-any.whl", "w") as wheel:
            about = f"{name}-24.5.dist-info"
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 24.5\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            files = PACKAGING.glob("*.py") if name == "packaging" else []
            for file in files:
                wheel.write(file, f"packaging/{file.name}")
            wheel.writestr(f"{about}/RECORD", "")
    (house / "requirements.txt").write_text("packaging>=20\none>=1\n")
    settings, constraint = house.parent / "pip.conf", house.parent / "constraint"
    settings.write_text(f"[global]\ntarget = {house.parent}/elsewhere\n")
    constraint.write_text("one==1.0\n")
    links = {"PIP_FIND_LINKS": str(wheels)}
    said = make_really(house, PIP_CONSTRAINT=str(constraint), **links)
    assert "does a constraint contradict requirements.txt?" in said
    said = make_really(house, PIP_CONFIG_FILE=str(settings), **links)
    assert ".venv lacks packaging>=20, one>=1: remove target" in said and not calls(house)
    make_really(house, expect=0, PIP_TARGET=str(house.parent / "target"), **links)
    assert calls(house) and list(house.glob(".venv/lib/*/site-packages/one-24.5.dist-info"))
    assert not (house.parent / "target").exists()


# ------------------------------------------------------------------------------------------ other commands


def test_run_sh_ends_with_the_result_of_pytest(house):
    (house / "tests" / "test_one.py").write_text("def test_one():\n    assert 1 == 2\n")
    start = ("bash", "tests/run.sh")
    done = drive(house, "-p", "no:cacheprovider", start=start, expect=1)
    assert re.match(r"1 failed in [\d.]+s", done.stdout.splitlines()[-1])
    done = drive(house, "--collect-only", str(house / "tests/test_one.py"), start=start)
    assert "1 test collected" in done.stdout
    done = drive(house, "tests/nowhere.py", "-p", "no:cacheprovider", start=start, expect=4)
    assert "nowhere" in done.stderr


def test_git_changes_no_byte_of_what_it_keeps():
    names = ["run_all.sh", "hw1_1/x.py", "hw1_1/history/x.pkl", "report/hw1.pdf", "figures/x.png", "figures/x.svg"]
    command = ["git", "-C", ROOT, "-c", "safe.directory=*", "check-attr", "text", "eol", "--", *names]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in names:
        assert f"{name}: text: unset" in said or f"{name}: eol: lf" in said
