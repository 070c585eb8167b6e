"""The driver where something breaks: the rest is done, what is missing is named, nothing that it started is left."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import history

import pytest
from conftest import usual_signals
from moments import MARK, left_behind, left_for_good
from test_driver import EXPERIMENTS, SCRIPT, calls, drive, environment, fit, house, row, wait_until
from trees import call

assert house  # a fixture

# What a script does instead of its work, and the exit code that the table shows. None: the file is not there.
BREAKS: dict[str, tuple[str | None, int]] = {
    "traceback": ("raise ValueError", 1),
    "killed": ("os.kill(os.getpid(), 9)", 137),
    "interrupted": ("os.kill(os.getpid(), 2); time.sleep(60)", 130),
    "no Python": ("def (", 1),
    "not there": (None, 2),
}
SILENT = {  # the same when it is asked with --check or --list
    "nothing said, exit 0": ("sys.exit(0)", 0),
    "nothing said, exit 1": ("sys.exit(1)", 1),
    "an empty line, exit 0": ("print(); sys.exit(0)", 0),
    "gone at once": ("os._exit(0)", 0),
}
BROKEN_KINDS = {  # the script of one step of each kind, and the title of its row
    "common/data": "data",
    "hw1_2/grad_norm": "hw1_2/grad_norm",
    "hw1_2/plot_minimal_ratio": "hw1_2/minimal_ratio, figures",
    "report/build": "report",
}
SOME = ("--scale", "quick", "--only", "hw1_2/grad_norm", "--only", "hw1_2/minimal_ratio", "--only", "report")


def break_script(script: Path, statement: str | None, asked: bool = False) -> None:
    """Put this statement before the work of a stand-in, or before its answers to --check and --list."""
    if statement is None:
        script.unlink()
        return
    when = "if bool({'--check', '--list'} & set(sys.argv)) == " + f"{asked}:\n    {statement}\n"
    script.write_text("import os, sys, time\n" + (when if "def" not in statement else statement) + SCRIPT)


def repair(house: Path) -> None:
    for name in ["common/data", "report/build", *EXPERIMENTS, *map(fit, EXPERIMENTS)]:
        (house / f"{name}.py").write_text(SCRIPT)


def log_of(title: str, script: str) -> str:
    return f"out/logs/quick/{title if title in ('data', 'report') else script}.log"


@pytest.mark.parametrize("turn", range(len(BREAKS)))
def test_a_step_that_fails_stops_no_other_and_the_table_names_its_log(house, turn):
    expected = {}
    for place, (script, title) in enumerate(BROKEN_KINDS.items()):
        way, (statement, code) = list(BREAKS.items())[(turn + 2 * place) % len(BREAKS)]
        break_script(house / f"{script}.py", statement)
        expected[title] = (code if (way, title) != ("not there", "data") else 1, log_of(title, script))
    done = drive(house, *SOME, expect=1)
    for title, (code, log) in expected.items():
        assert f"failed (exit {code}), see {log}" in row(done, title)
        assert (house / log).read_text().startswith("$ ")
    assert "  done  " in row(done, "hw1_2/minimal_ratio")
    assert "not run, no history" in row(done, "hw1_2/grad_norm, figures")
    assert "Traceback" not in done.stderr
    calls(house)
    repair(house)
    drive(house, *SOME)
    again = [line.split()[0] for line in calls(house)]
    assert again == [
        "common/data",
        "hw1_2/grad_norm",
        "hw1_2/plot_grad_norm",
        "hw1_2/plot_minimal_ratio",
        "report/build",
    ]


def test_check_and_list_name_scripts_that_crash_or_say_nothing_and_show_the_others(house, record_property):
    ways = BREAKS | SILENT
    drive(house, "--scale", "quick")
    broken = dict(zip(EXPERIMENTS, ways, strict=False))
    for name, way in broken.items():
        break_script(house / f"{name}.py", ways[way][0], asked=True)
        break_script(house / f"{fit(name)}.py", ways[way][0], asked=True)
    break_script(house / "report/build.py", "sys.exit(0)", asked=True)
    checked = drive(house, "--scale", "quick", "--check", expect=1)
    assert len(checked.stdout.splitlines()) == 2 * len(EXPERIMENTS) + 1
    for name in EXPERIMENTS:
        for title in (name, f"{name}, figures"):
            [line] = [line for line in checked.stdout.splitlines() if line.startswith(title + "  ")]
            assert ("cannot tell: " if name in broken else "up to date") in line
    assert re.search(r"^report +cannot tell: no answer \(exit 0\)$", checked.stdout, re.MULTILINE)

    listed = drive(house, "--scale", "quick", "--list", expect=1)
    for name in EXPERIMENTS:
        commands = [line for line in listed.stdout.splitlines() if f"/{name}.py" in line]
        assert len(commands) == (name not in broken), name
    assert "ValueError" in listed.stderr and "SyntaxError" in listed.stderr

    calls(house)
    done = drive(house, "--scale", "quick", expect=1)  # one is not there, one is no Python
    ran = {line.split()[0] for line in calls(house)}
    whole = {name for name, way in broken.items() if way not in ("no Python", "not there")}
    assert ran == {"common/data", "report/build", *whole, *map(fit, whole)}
    assert "cannot tell" not in done.stdout
    record_property("cases", 2 * len(broken) * 2 + 1)


def test_logs_that_cannot_be_written_are_said_before_anything_runs(house, tmp_path, record_property):
    out, logs = house / "out", house / "out" / "logs"
    ways: dict[str, Callable[[], Any]] = {
        "out is a file": lambda: out.write_text("x"),
        "out leads nowhere": lambda: out.symlink_to(tmp_path / "gone" / "out"),
        "out leads to itself": lambda: out.symlink_to(out),
        "a log is a folder": lambda: (logs / "quick/data.log").mkdir(parents=True),
        "a log is a pipe": lambda: ((logs / "quick/hw1_2").mkdir(parents=True), os.mkfifo(logs / "quick/report.log")),
    }
    for way, prepare in ways.items():
        prepare()
        done = call("sh", house / "run_all.sh", "--no-venv", *SOME)
        assert (done.returncode, done.stdout) == (1, ""), way
        assert re.search(r"(?m)^error: /.*/out.* cannot be written: .*\n\Z", done.stderr), way
        assert not calls(house), way
        shutil.rmtree(out) if out.is_dir() and not out.is_symlink() else out.unlink()
    (tmp_path / "a large disk").mkdir()
    out.symlink_to(tmp_path / "a large disk")
    drive(house, *SOME)
    assert (logs / "quick/data.log").is_file() and len(calls(house)) == 6
    record_property("cases", len(ways) + 1)


# -------------------------------------------------------------------------------------------------- signals

INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
CODES = {INT: 130, TERM: 143, HUP: 143}


def started(house: Path, **more: str) -> subprocess.Popen:
    command = ["bash", str(house / "run_all.sh"), "--no-venv", "--scale", "quick", "--only", EXPERIMENTS[0]]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with usual_signals():
        return subprocess.Popen(command, env=environment(**more), cwd="/", start_new_session=True, **streams)


def test_signals_at_any_moment_stop_the_driver_and_all_that_it_started(house, record_property):
    generator, cases, late = random.Random(6), 0, 0
    begun = time.monotonic()
    drive(house, "--scale", "quick", "--only", EXPERIMENTS[0])
    whole = time.monotonic() - begun
    while cases < 12:
        shutil.rmtree(house / "out", ignore_errors=True)
        number, mark = generator.choice(list(CODES)), f"drive-{os.getpid()}-{cases}-{late}"
        with started(house, **{MARK: mark}) as driver:
            time.sleep(generator.uniform(0, whole))
            sent = time.monotonic()
            driver.send_signal(number)
            output, errors = driver.communicate(timeout=60)
            lasted = time.monotonic() - sent
        about = f"{number}: {driver.returncode}\n{output}\n{errors}"
        if driver.returncode == 0:
            late += 1
            assert late < 24
            continue
        assert driver.returncode in (CODES[number], -number), about  # -: before its first traps
        assert lasted < 2 and not left_for_good(mark), about
        assert driver.returncode < 0 or not re.search("Traceback|Terminated|Killed|line [0-9]+:", errors), about
        cases += 1
    drive(house, "--scale", "quick", "--only", EXPERIMENTS[0])
    record_property("cases", cases)


def marked(mark: str, number: int) -> None:
    """Send a signal to all processes whose environment holds the mark, as a batch system ends all of a job."""
    for process in left_behind(mark):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


@pytest.mark.parametrize(
    ("to_all", "slow"), [(False, False), (True, True)], ids=["the driver", "all of a job on a busy machine"]
)
def test_a_driver_with_a_real_training_is_stopped_by_signals_and_loses_nothing(
    house, project, tiny, to_all, slow, record_property
):
    assert tiny().wait(60) == 0
    (path,) = (project / "out").rglob("history/*.pkl")
    expected = history.read(path)["results"]
    shutil.copytree(project / "common", house / "common", dirs_exist_ok=True)
    (house / "common" / "data.py").write_text(SCRIPT)
    if slow:  # the script leaves half a second later
        leaving = house / "common" / "signals.py"
        before, after = leaving.read_text().split("    _speaking.acquire()\n")
        leaving.write_text(f"{before}    time.sleep(0.5)\n    _speaking.acquire()\n{after}")
    shutil.copy(project / "hw1_1" / "tiny.py", house / f"{EXPERIMENTS[0]}.py")
    plans = [(TERM,), (INT, INT), (HUP, TERM, INT), (INT, TERM)]
    for case, plan in enumerate(plans):
        mark = f"job-{os.getpid()}-{case}-{to_all}-{slow}"
        shutil.rmtree(house / "out" / "checkpoints", ignore_errors=True)
        with started(house, TINY_HANGS="walk/seed-1", **{MARK: mark}) as driver:
            saved = house / f"out/checkpoints/quick/{EXPERIMENTS[0]}/walk-seed-1.state"
            wait_until(lambda driver=driver, saved=saved: saved.exists() or driver.poll() is not None, 60)
            begun = time.monotonic()
            for number in plan:
                if to_all:
                    marked(mark, number)
                else:
                    driver.send_signal(number)
                time.sleep(0.03)
            output, errors = driver.communicate(timeout=20)  # long before the KILL of a batch system
            assert time.monotonic() - begun < 2
        assert driver.returncode == CODES[plan[0]], (plan, output, errors)
        assert not left_for_good(mark)
        assert not re.search("Traceback|Terminated|Killed|line [0-9]+:", output + errors), (output, errors)
        assert len(re.findall(r"(?m)^(?:interrupted|terminated); .*$", output)) == 1, output
        path = house / f"out/quick/{EXPERIMENTS[0].replace('/', '/history/')}.pkl"
        assert history.read(path)["results"] == {"walk/seed-0": expected["walk/seed-0"]}
    with started(house) as driver:
        assert driver.wait(60) == 0
    assert history.read(path)["results"] == expected
    record_property("cases", len(plans))
