"""Makes .venv from requirements.txt, or checks the Python that is there; runs children that end with us.

python common/driver_venv.py [--no-venv] -m pytest ...    runs the rest with the Python of .venv, or with this one
"""

import contextlib
import fcntl
import os
import re
import select
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
    "ensurepip|No module named '?(venv|pip)": "on Debian and Ubuntu install python3-venv, or put uv on the PATH",
    "PATH separator|lib64|symlink": ".venv needs a path without colons, on a disk with symbolic links: move the folder",
    r"\(constraint\)|onflict|No solution": "does a constraint contradict requirements.txt? see `pip config list`",
    "onnection|timed out|name resolution|unreachable|no route": "is the network there? then run again",
    "No matching distribution": "the package index lacks what this Python needs: see `pip config list`",
}


def handle_signals() -> None:
    """Have every signal that would end this process raise SystemExit, those that are ignored (nohup) excepted."""
    for number in signals.ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    for each in signals.ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second signal must not break the leaving
    raise SystemExit(130 if number == signal.SIGINT else 143)


def run(command: list[str], sink: Callable[[bytes], object], stderr: int | None = subprocess.STDOUT) -> int:
    """Run a command as a process group, `sink` getting what it prints; its exit code, 128 + n where signal n ended it.

    stderr: None for the terminal, which progress bars need. On a signal to us the group gets TERM, and soon KILL.
    """
    block, admit = (signal.SIG_BLOCK, signals.ENDING), (signal.SIG_UNBLOCK, signals.ENDING)
    more = {"stdin": subprocess.DEVNULL, "preexec_fn": lambda: signal.pthread_sigmask(*admit), "bufsize": 0}
    signal.pthread_sigmask(*block)  # but for the waits, or a child or a piece of its output could be lost
    child = subprocess.Popen(command, process_group=0, stdout=subprocess.PIPE, stderr=stderr, **more)
    try:
        piece = b"none yet"
        while piece:
            signal.pthread_sigmask(*admit)
            select.select([child.stdout], [], [])
            signal.pthread_sigmask(*block)
            piece = child.stdout.read(65536)
            sink(piece)
        signal.pthread_sigmask(*admit)
        return child.wait() if child.wait() >= 0 else 128 - child.returncode
    except SystemExit:
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
    if state() != "ready":
        if not change:
            sys.exit("error: there is no .venv that fits requirements.txt: ./run_all.sh makes it; or use --no-venv")
        make()
    return PYTHON


def state() -> str:
    """Ready (all requirements were found in it), outdated (not all), or broken (half made, or it does not run)."""
    version, missing, others = requirements.compared_by(PYTHON)
    if BEGUN.exists() or not [3, 11] <= version <= [3, 13]:
        return "broken"
    return "outdated" if missing or others or (gpu.listed()[0] and not CUDA.exists()) else "ready"


def make() -> None:
    """Make or renew .venv, one process at a time."""
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.with_name("environment.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for the process that makes .venv", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        now, uv, cuda = state(), shutil.which("uv"), gpu.listed()[0]
        if now == "ready":
            return
        LOG.write_text("")
        BEGUN.touch()
        if now == "broken":
            shutil.rmtree(VENV) if VENV.is_dir() and not VENV.is_symlink() else VENV.unlink(missing_ok=True)
            install([*([uv, "venv", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]), str(VENV)])
        print(f"making .venv by {'uv' if uv else 'pip'}{', with CUDA' * cuda}, minutes: {LOG}", file=sys.stderr)
        for name in ("TARGET", "PREFIX", "ROOT", "DRY_RUN", "NO_DEPS"):  # what would lead elsewhere
            os.environ.pop(f"PIP_{name}", None)
        pip = [uv, "pip", "install", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install", "--no-user"]
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
    sys.exit(f"error: the Python environment could not be made ({LOG}): {remedy}")


if __name__ == "__main__":
    handle_signals()
    python = prepare("--no-venv" not in sys.argv)
    os.execv(python, [python, *(argument for argument in sys.argv[1:] if argument != "--no-venv")])
