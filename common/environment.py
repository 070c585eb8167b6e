"""Makes .venv from requirements.txt, or with --no-venv checks the Python that is there. Standard library only.

python common/environment.py [--no-venv] -m pytest ...    runs pytest with the Python of .venv, or this one
"""

import fcntl
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from common import children, gpu, requirements

VENV = ROOT / ".venv"
PYTHON, CUDA = str(VENV / "bin" / "python"), VENV / "with-cuda"
BEGUN = ROOT / "out" / "environment.begun"  # exists while .venv is incomplete
LOG = ROOT / "out" / "logs" / "environment.log"
REMEDIES = {  # by patterns in the installer's output; the first that matches
    "ensurepip|No module named '?(venv|pip)": "on Debian and Ubuntu install python3-venv, or put uv on the PATH",
    "PATH separator|lib64|symlink": ".venv needs a path without colons, on a disk with symbolic links: move the folder",
    r"\(constraint\)|onflict|No solution": "does a constraint contradict requirements.txt? see `pip config list`",
    "onnection|timed out|name resolution|unreachable|no route": "is the network there? then run again",
    "No matching distribution": "the package index lacks what this Python needs: see `pip config list`",
}


def prepare(venv: bool, change: bool = True) -> str:
    """Path of a Python that has what requirements.txt asks for. Makes .venv where needed, if `change` allows it."""
    if not venv:
        requirements.insist()
        return sys.executable
    if state() != "ready":
        make() if change else sys.exit("error: no .venv fits requirements.txt: ./run_all.sh makes it; or use --no-venv")
    return PYTHON


def state() -> str:
    """Of .venv: ready, outdated (a requirement is missing or of another version) or broken (incomplete, unusable)."""
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
        for name in ("TARGET", "PREFIX", "ROOT", "DRY_RUN", "NO_DEPS"):  # would install elsewhere, or less
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
    """Run one step of the installation, its output in the log; on failure, exit with the log's end and a remedy."""
    with LOG.open("ab", buffering=0) as log:
        if children.run(command, log.write) == 0:
            return
    said = LOG.read_text(errors="replace")
    remedy = next((remedy for words, remedy in REMEDIES.items() if re.search(words, said)), "see the lines above")
    print(*said.splitlines()[-15:], sep="\n", file=sys.stderr)
    sys.exit(f"error: the Python environment could not be made ({LOG}): {remedy}")


if __name__ == "__main__":
    children.handle_signals()
    python = prepare("--no-venv" not in sys.argv)
    os.execv(python, [python, *(argument for argument in sys.argv[1:] if argument != "--no-venv")])
