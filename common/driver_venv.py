"""Makes .venv from requirements.txt, or checks the Python that is there; and runs children that end with us.

    python common/driver_venv.py [--no-venv] -m pytest ...    runs the rest with the Python of .venv, or with this one

Standard library only. .venv is ready once every requirement was found in it, whatever the installer said.
"""

import contextlib
import fcntl
import functools
import json
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
from common import gpu

VENV, REQUIREMENTS = ROOT / ".venv", ROOT / "requirements.txt"
PYTHON, CUDA = str(VENV / "bin" / "python"), VENV / "with-cuda"
BEGUN = ROOT / "out" / "environment.begun"  # .venv is half made
LOG = ROOT / "out" / "logs" / "environment.log"
REMEDIES = {  # by an installer's words; the first that fits
    "PATH separator": "a .venv cannot lie in a folder whose path has a colon: move this folder",
    "No space left|Disk quota": "free some disk space, then run again",
    "ensurepip|No module named '?(venv|pip)": "on Debian and Ubuntu install python3-venv, or put uv on the PATH",
    "lib64|symlink|symbolic link": "a .venv needs a disk that has symbolic links: move this folder to one",
    r"\(constraint\)|onflict|No solution": "does a constraint contradict requirements.txt? see `pip config list`",
    "onnection|timed out|name resolution|unreachable|no route": "is the network there? then run again",
    "No matching distribution": "the package index lacks what this Python needs: see `pip config list`",
}
LOOK = """if True:
    import importlib.metadata, json, sys
    missing, others = [], {}
    for line in filter(None, (line.partition("#")[0].strip() for line in open(sys.argv[1]))):
        try:
            from packaging.requirements import Requirement
            version = importlib.metadata.version(Requirement(line).name)
            if not Requirement(line).specifier.contains(version, prereleases=True):
                others[line] = version
        except ModuleNotFoundError:
            missing.append(line)
    print(json.dumps([sys.version_info[:2], sys.prefix, missing, others]))
"""
SPARED = ("KILL", "STOP", "CHLD", "CONT", "TSTP", "TTIN", "TTOU", "URG", "WINCH", "SEGV", "BUS", "FPE", "ILL")
ENDING = signal.valid_signals() - {getattr(signal, f"SIG{name}") for name in SPARED}  # harmless, or not to be handled


class Stopped(SystemExit):
    """A signal came; ends the driver with 130 or 143."""


def handle_signals() -> None:
    """Have every signal that would end this process raise Stopped, those that are ignored (nohup) excepted."""
    for number in ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(number: int, frame: object) -> None:
    for each in ENDING:
        signal.signal(each, signal.SIG_IGN)  # a second signal must not break the leaving
    raise Stopped(130 if number == signal.SIGINT else 143)


def run(command: list[str], sink: Callable[[bytes], object], stderr: int | None = subprocess.STDOUT) -> int:
    """Run a command as a process group, `sink` getting what it prints; its exit code, 128 + n where signal n ended it.

    stderr: None for the terminal, which progress bars need. On a signal to us the group gets TERM, and soon KILL.
    """
    admit = functools.partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, ENDING)
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # none may come before the child is known
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


def look(python: str, *options: str) -> tuple[list[int], str, list[str], dict[str, str]]:
    """A Python's version and prefix, the requirements that it lacks, and those of which it has another version."""
    try:
        done = subprocess.run([python, *options, "-c", LOOK, str(REQUIREMENTS)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [0, 0], "/", [], {}
    return json.loads(done.stdout)


def prepare(venv: bool, change: bool = True) -> str:
    """Path of a Python that has what requirements.txt asks for; makes .venv if need be and `change` allows it."""
    if venv:
        cuda = gpu.listed()[0]
        if state(cuda) != "ready":
            if not change:
                sys.exit("error: there is no .venv that fits requirements.txt: ./run_all.sh makes it; or use --no-venv")
            make(cuda)
        return PYTHON
    _, _, missing, others = look(sys.executable)
    missing = [line for line in missing if not re.match("pytest|ruff|ipykernel", line)]  # only the tests need those
    if missing:
        remedy = "leave --no-venv out, which makes .venv, or install that there"
        sys.exit(f"error: {sys.executable} lacks {', '.join(missing)}: {remedy}")
    for line, version in others.items():
        print(f"note: {line} is asked for, {version} is here: numbers or figures may differ", file=sys.stderr)
    return sys.executable


def state(cuda: bool) -> str:
    """Ready, broken (half made, moved, not running, or another Python), or outdated (lacks packages)."""
    version, prefix, missing, others = look(PYTHON, "-I")
    if BEGUN.exists() or not [3, 11] <= version <= [3, 13] or not os.path.samefile(prefix, VENV):
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
        words = f"requirements.txt{' with CUDA' * cuda} into .venv by {'uv' if uv else 'pip'}"
        print(f"installing {words}, minutes: {LOG.relative_to(ROOT)}", file=sys.stderr)
        for name in ("TARGET", "PREFIX", "ROOT", "DRY_RUN", "NO_DEPS"):  # a user's settings that lead elsewhere
            os.environ.pop(f"PIP_{name}", None)
        os.environ["PIP_USER"] = "0"
        pip = [uv, "pip", "install", "--python", PYTHON] if uv else [PYTHON, "-m", "pip", "install"]
        install([*pip, "-r", str(REQUIREMENTS), *["tensorflow[and-cuda]"] * cuda])
        _, _, missing, others = look(PYTHON, "-I")
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
