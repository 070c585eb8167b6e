"""Makes .venv from requirements.txt, or checks the Python that is there; and runs children that end with us.

    python common/driver_venv.py [--no-venv] -m pytest ...    runs the rest with the Python of .venv, or with this one

Standard library only. .venv is ready once every requirement was found in it, whatever the installer said.
"""

import contextlib
import fcntl
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from common import gpu, requirements, signals

VENV = ROOT / ".venv"
PYTHON, CUDA = str(VENV / "bin" / "python"), VENV / "with-cuda"
BEGUN = ROOT / "out" / "environment.begun"  # .venv is half made
LOG = ROOT / "out" / "logs" / "environment.log"
REMEDIES = {  # by an installer's words; the first that fits
    "PATH separator": "a .venv cannot lie in a folder whose path has a colon: move this folder",
    "ensurepip|No module named '?(venv|pip)": "on Debian and Ubuntu install python3-venv, or put uv on the PATH",
    "lib64|symlink|symbolic link": "a .venv needs a disk that has symbolic links: move this folder to one",
    r"\(constraint\)|onflict|No solution": "does a constraint contradict requirements.txt? see `pip config list`",
    "onnection|timed out|name resolution|unreachable|no route": "is the network there? then run again",
    "No matching distribution": "the package index lacks what this Python needs: see `pip config list`",
}


class Stopped(SystemExit):
    """A signal came; ends the driver with 130 or 143."""


def handle_signals() -> None:
    """Have every signal that would end this process raise Stopped, those that are ignored (nohup) excepted."""
    for number in signals.ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    for each in signals.ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second signal must not break the leaving
    raise Stopped(130 if number == signal.SIGINT else 143)


def run(command: list[str], sink: Callable[[bytes], object], stderr: int | None = subprocess.STDOUT) -> int:
    """Run a command as a process group, `sink` getting what it prints; its exit code, 128 + n where signal n ended it.

    stderr: None for the terminal, which progress bars need. On a signal to us the group gets TERM, and soon KILL.
    """
    admit = functools.partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, signals.ENDING)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals.ENDING)  # none may come before the child is known
    child = subprocess.Popen(command, bufsize=0, process_group=0, preexec_fn=admit, **streams)
    try:
        admit()
        while piece := child.stdout.read(65536):
            sink(piece)
        return child.wait() if child.wait() >= 0 else 128 - child.returncode
    except Stopped:
        os.set_blocking(child.stdout.fileno(), False)
        last = time.monotonic() + 1.5  # a script of ours takes one second at most
        with contextlib.suppress(ProcessLookupError):  # nobody is left
            os.killpg(child.pid, signal.SIGTERM)
            while time.monotonic() < last:
                time.sleep(0.02)
                sink(child.stdout.read(65536) or b"")
                child.poll()
                os.killpg(child.pid, 0)
            os.killpg(child.pid, signal.SIGKILL)  # what is finished was published, so nothing is lost
        child.wait()
        sink(child.stdout.read() or b"")
        raise


def prepare(venv: bool, change: bool = True) -> str:
    """Path of a Python that has what requirements.txt asks for; makes .venv if need be and `change` allows it."""
    if not venv:
        requirements.insist()
        return sys.executable
    cuda = gpu.listed()[0]
    if state(cuda) != "ready":
        if not change:
            sys.exit("error: there is no .venv that fits requirements.txt: ./run_all.sh makes it; or use --no-venv")
        make(cuda)
    return PYTHON


def state(cuda: bool) -> str:
    """Ready, broken (half made, not running, or another Python), or outdated (lacks packages)."""
    version, missing, others = requirements.compared_by(PYTHON)
    if BEGUN.exists() or not [3, 11] <= version <= [3, 13]:
        return "broken"
    return "outdated" if missing or others or (cuda and not CUDA.exists()) else "ready"


def make(cuda: bool) -> None:
    """Make or renew .venv, one process at a time."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.with_name("environment.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for the process that makes .venv", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        now, uv = state(cuda), shutil.which("uv")
        if now == "ready":
            return
        LOG.write_text("")
        BEGUN.touch()
        if now == "broken":
            shutil.rmtree(VENV) if VENV.is_dir() and not VENV.is_symlink() else VENV.unlink(missing_ok=True)
            install([*([uv, "venv", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]), str(VENV)])
        tool = ("uv" if uv else "pip") + ", with CUDA" * cuda
        print(f"making .venv by {tool}, minutes: {LOG.relative_to(ROOT)}", file=sys.stderr)
        for name in ("TARGET", "PREFIX", "ROOT", "DRY_RUN", "NO_DEPS"):  # a user's settings that lead elsewhere
            os.environ.pop(f"PIP_{name}", None)
        os.environ["PIP_USER"] = "0"
        pip = [uv, "pip", "install", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install"]
        install([*pip, "-r", str(requirements.FILE), *["tensorflow[and-cuda]"] * cuda])
        _, missing, others = requirements.compared_by(PYTHON)
        if missing or others:
            words = f"reported success, but .venv lacks {', '.join([*missing, *others])}"
            sys.exit(f"error: pip {words}: remove target, prefix and the like from its settings (`pip config list`)")
        CUDA.touch() if cuda else None
        BEGUN.unlink()


def install(command: list[str]) -> None:
    """Run a part of the installation; its output goes to a log, of which a failure shows the end and a remedy."""
    with LOG.open("ab", buffering=0) as log:
        if run(command, log.write) == 0:
            return
    said = LOG.read_text(errors="replace")
    remedy = next((remedy for words, remedy in REMEDIES.items() if re.search(words, said)), "see the lines above")
    print(*said.splitlines()[-15:], sep="\n", file=sys.stderr)
    sys.exit(f"error: the Python environment could not be made ({LOG.relative_to(ROOT)}): {remedy}")


if __name__ == "__main__":
    handle_signals()
    python = prepare("--no-venv" not in sys.argv)
    os.execv(python, [python, *(argument for argument in sys.argv[1:] if argument != "--no-venv")])
