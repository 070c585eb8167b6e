"""Runs that are killed, interrupted, terminated and suspended at chosen moments: nothing lost, nothing left, one line.

The moments are chosen by seeded random numbers, by what a run is doing and not by the clock, so they are the same ones
each time. Most runs are forked from a process that has done the imports (`moments.py`).
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common import backend, history

import pytest
from conftest import ROOT, usual_signals
from moments import Runs, runs
from trial_runs import history_path, start

KILL, INT, TERM, HUP = signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP
STOPPING = (INT, TERM, HUP)
CODES = {INT: 130, TERM: 143, HUP: 143}
OTHERS = (signal.SIGUSR1, signal.SIGQUIT, signal.SIGXCPU, signal.SIGALRM, signal.SIGUSR2)  # of batch systems and limits
LIGHT = ("pandas", "common.history", "common.data")
SPEED = {"common.checkpoint.SAVE_SECONDS": 0.0, "common.training.CALL_SECONDS": 0.0}  # many saves, one step a call
TINY = ("hw1_1/tiny.py", "--scale", "quick")
MNIST = ("hw1_1/mnist_cnn.py", "--scale", "quick", "--epochs", "3", "--batch-size", "32", "--probe-images", "50")
MNIST += ("--nets", "shallow", "middle")
NETS = ("hw1_2/grad_norm.py", "--scale", "quick", "--window", "10", "--window-start", "20", "--fixed-examples", "50")
NETS += ("--seeds", "3", "--arms", "mnist/adam", "mnist/sgd")
STACKED = (*NETS, "--iterations", "40", "--fixed-every", "10")

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")


@pytest.fixture(scope="module")
def networks(checkout: Path) -> Iterator[Runs]:
    """Runs of mnist_cnn.py, which have TensorFlow already."""
    threads = f"threads={max(1, backend.cores() // 2)},2"
    with runs(checkout, threads, *LIGHT, "common.training", data=checkout / "data") as started:
        yield started


@pytest.fixture(scope="module")
def stacks(checkout: Path) -> Iterator[Runs]:
    """Runs of grad_norm.py, which have TensorFlow already."""
    with runs(checkout, "threads=1,2", *LIGHT, "common.training", data=checkout / "data") as started:
        yield started


@pytest.fixture(scope="module")
def uninterrupted(checkout: Path) -> dict[str, dict]:
    """Results of MNIST and STACKED as a user would get them: by processes of their own, at their own pace."""
    results = {}
    for script, *flags in (MNIST, STACKED):
        path = history_path(start(checkout, script, *flags))
        results[script] = history.read(path)["results"]
        path.unlink()
    return results


def chain(
    started: Runs, command: tuple, expected: dict | None, steps: Iterable[tuple[Any, tuple]], **more: Any
) -> list[dict[str, Any]]:
    """Run `command` again and again, each time with the next (moment, signals), and judge what is left each time.

    Where a run ends before its moment comes, its results are judged, all its files go, and the next run starts anew.
    Returns what came of the runs that were stopped; then a last run has ended well.
    """
    stopped = []
    for moment, signals in steps:
        for attempt in range(3):
            came_of_it = started.run(*command[:1], command[1:], moment=moment, signals=signals, **more)
            if came_of_it["came"]:
                break
            judge_whole(started.project, came_of_it, expected)
            assert attempt < 2, f"{moment} does not come"
        judge_stopped(came_of_it, moment, signals)
        judge_published(started.project, expected)
        stopped.append(came_of_it)
    judge_whole(started.project, started.run(*command[:1], command[1:], **more), expected)
    return stopped


def judge_stopped(came_of_it: dict[str, Any], moment: Any, signals: tuple) -> None:
    told = f"{moment} {signals}: {came_of_it}"
    assert not came_of_it["left"], told
    assert "Traceback" not in came_of_it["stderr"] and "Exception ignored" not in came_of_it["stderr"], told
    words = re.findall(r"(?m)^(?:interrupted|terminated); .*$", came_of_it["stderr"])
    if signals[0] == KILL:
        assert came_of_it["code"] == -KILL, told
        assert not words, told
    else:
        assert came_of_it["code"] == CODES[signals[0]], told
        assert came_of_it["seconds"] < 2, told
        assert came_of_it["stderr"].splitlines()[-1:] == words, told
        assert words[0].startswith("interrupted" if signals[0] == INT else "terminated"), told


def same(results: dict, others: dict) -> bool:
    return json.dumps(results, sort_keys=True) == json.dumps(others, sort_keys=True)  # NaN is not equal to itself


def judge_published(project: Path, expected: dict | None) -> None:
    """What is in a history is whole and as it would be without the stops."""
    for path in (project / "out").rglob("history/*.pkl"):
        for unit, results in history.read(path)["results"].items():
            assert expected is None or same(results, expected[unit]), unit


def judge_whole(project: Path, came_of_it: dict[str, Any], expected: dict | None) -> None:
    """A run that ended well: its results are the expected ones and its checkpoints have gone. Removes its files."""
    assert came_of_it["code"] == 0, came_of_it
    (path,) = (project / "out").rglob("history/*.pkl")
    kept = history.read(path)
    assert kept["complete"]
    assert expected is None or same(kept["results"], expected)
    assert not list((project / "out" / "checkpoints").rglob("*.state"))
    shutil.rmtree(project / "out")


@pytest.fixture
def light(project: Path) -> Iterator[tuple[Runs, dict, list[list]]]:
    """Runs of the tiny experiment; its results; and the lines of code that it comes by, each with a count up to 4."""
    with runs(project, *LIGHT) as started:
        whole = started.run(TINY[0], TINY[1:], moment=["line", 0])
        assert whole["code"] == 0, whole
        (path,) = (project / "out").rglob("history/*.pkl")
        results = history.read(path)["results"]
        shutil.rmtree(project / "out")
        yield started, results, [[kind, random.Random(kind).randint(1, min(n, 4))] for kind, n in whole["seen"].items()]


# ---------------------------------------------------------------------------------------- kills and signals


def test_signals_before_any_line_of_the_code_end_a_run_in_one_line_and_lose_nothing(light, record_property):
    started, results, lines = light
    generator = random.Random(3)
    steps = [(moment, tuple(generator.choices(STOPPING, k=3))) for moment in generator.sample(lines, 25)]
    record_property("cases", len(chain(started, TINY, results, steps)))


def test_a_training_with_dropout_killed_or_suspended_ends_with_the_same_results(
    networks, uninterrupted, record_property
):
    moments = [["trace", 1], ["step", 9], ["array", 7], ["before fsync", 2], ["after rename", 3], ["step", 2]]
    moments += [["load", 1], ["trained", 1], ["history", 1], ["before removal", 1], ["before rename", 4]]
    steps = [(moment, (KILL,)) for moment in moments]
    stopped = chain(networks, MNIST, uninterrupted[MNIST[0]], steps, patches=SPEED)
    assert sum(bool(each["resumed"]) for each in stopped) >= 4
    suspended = networks.run(MNIST[0], MNIST[1:], moment=["step", 13], signals=[signal.SIGTSTP], patches=SPEED)
    assert suspended["stopped"], suspended
    judge_whole(networks.project, suspended, uninterrupted[MNIST[0]])
    record_property("cases", len(stopped) + 1)


def test_signals_during_a_training_of_stacked_nets_end_it_in_one_line_and_lose_nothing(
    stacks, uninterrupted, record_property
):
    moments = [["data", 1], ["fingerprint", 1], ["trace", 1], ["step", 3], ["array", 30], ["before fsync", 4]]
    moments += [["before rename", 5], ["history", 1], ["after rename", 3], ["kept", 1]]
    steps = [(moment, (STOPPING[turn % 3],) * (1 + turn % 2)) for turn, moment in enumerate(moments)]
    record_property("cases", len(chain(stacks, STACKED, uninterrupted[STACKED[0]], steps, patches=SPEED)))


def test_signals_during_the_imports_of_a_script_end_it_in_one_line(checkout, record_property):
    checking = (*MNIST[1:], "--check")
    with runs(checkout, data=checkout / "data") as started:
        seen = list(started.run(MNIST[0], checking, moment=["import ", 0])["seen"])
        ours = [kind for kind in seen[seen.index("import common.backend") :] if kind != "import"]
        chosen = [([kind, 1], checking) for kind in ["import common.backend", *random.Random(4).sample(ours, 6)]]
        chosen += [(["import", place], MNIST[1:]) for place in (300, 1000)]  # of TensorFlow
        for number, (moment, flags) in enumerate(chosen):
            signals = (STOPPING[number % 3],) * (1 + number % 2)
            came_of_it = started.run(MNIST[0], flags, moment=moment, signals=signals)
            assert came_of_it["came"], moment
            judge_stopped(came_of_it, moment, signals)
    record_property("cases", len(chosen))


def test_signals_in_a_compiled_call_of_minutes_end_it_within_two_seconds(stacks, record_property):
    long = (*NETS, "--iterations", "200000", "--fixed-every", "200000")
    for number in STOPPING:
        patches = {"common.training.CALL_SECONDS": 1000.0}  # the eleventh call has all iterations after the window
        signals = (number, number)
        came_of_it = stacks.run(long[0], long[1:], moment=["call", 11], signals=signals, late=0.5, patches=patches)
        judge_stopped(came_of_it, "compiled", signals)
    record_property("cases", len(STOPPING))


# Code that would keep a signal from ending the script: it says "ready" and goes on for a minute, whatever is raised.
STUBBORN = {
    "except": "try:\n        ready()\n    except BaseException:\n        time.sleep(60)",
    "another error": "try:\n        ready()\n    except BaseException:\n        raise ImportError('no such thing')",
    "SystemExit": "try:\n        ready()\n    except BaseException:\n        sys.exit(7)",
    "OSError": "try:\n        ready()\n    except BaseException:\n        raise OSError(28, 'No space left on device')",
    "destructor": "thing = type('Thing', (), {'__del__': lambda self: ready()})()\n    del thing\n    time.sleep(60)",
    "native call": "say()\n    hashlib.pbkdf2_hmac('sha256', b'x', b'y', 10**9)",
    "full pipe": "say()\n    print('x' * 10**6)",
    "at exit": "atexit.register(ready)",
    "thread at exit": "threading.Thread(target=ready).start()",
}
PRELUDE = """
import atexit, hashlib, os, signal, sys, threading, time
from common import settings
def say():
    os.write(1, b"ready")
def ready():
    say()
    time.sleep(60)
with settings.one_message():
    """


@pytest.mark.parametrize(("turn", "case"), list(enumerate(STUBBORN)))
def test_a_signal_ends_a_script_whatever_its_code_makes_of_it(turn, case):
    for number in (STOPPING[turn % 3], OTHERS[turn % len(OTHERS)]):
        with usual_signals():
            script = subprocess.Popen(
                [sys.executable, "-c", PRELUDE + STUBBORN[case]],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with script:
            assert script.stdout.read(5) == b"ready"
            begun = time.monotonic()
            script.send_signal(number)
            try:
                script.wait(20)
            finally:
                script.kill()
            lasted = time.monotonic() - begun
            line = script.stderr.read().decode()
        assert lasted < 2
        assert script.returncode == CODES.get(number, 143), line
        by = "" if number in STOPPING else f" by {number.name}"
        assert re.fullmatch(f"(interrupted|terminated){by}; .*\n", line), line
