"""What the tests of faults share: a small project with its driver, how its commands end, things that are no files."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import history

from conftest import ROOT, copy_of_scripts, usual_signals

PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"
NOTES = r"hw1_1/tiny: |its figures: |scale |report: |the history that was there is kept as "  # on stderr
PLOT = '''"""Draws the walks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, settings


def draw(kept):
    figure, panels = figures.grid(1, 1, 1.0)
    panels[0, 0].plot([unit["loss"][-1] for unit in kept["results"].values()])
    return figure


FIGURES = {"tiny": draw}
if __name__ == "__main__":
    with settings.one_message():
        drawing = figures.start(__file__, __doc__, FIGURES)
        for name in drawing.due:
            drawing.save(name, FIGURES[name](drawing.history))
'''


def with_driver(project: Path) -> list[str]:
    """Give the project a plot script and the driver, without data; the command that trains and draws at quick scale."""
    driver = (ROOT / "run_all.sh").read_text()
    driver = re.sub(r'experiments=".*?"', 'experiments="hw1_1/tiny"', driver, flags=re.DOTALL)
    (project / "run_all.sh").write_text(driver)
    shutil.copy(ROOT / "requirements.txt", project)
    (project / "common" / "data.py").write_text("print('data')\n")
    (project / "hw1_1" / "plot_tiny.py").write_text(PLOT)
    return ["sh", str(project / "run_all.sh"), "--no-venv", "--only", "hw1_1/tiny", "--scale", "quick"]


def copy_with_report(folder: Path) -> Path:
    """A copy of the code with the report's, without what was measured."""
    root = copy_of_scripts(folder / "the project")
    shutil.copytree(ROOT / "report", root / "report", ignore=shutil.ignore_patterns("__pycache__", "*.pdf"))
    shutil.copy(ROOT / "run_all.sh", root)  # which lists the experiments
    return root


def call(*command: Any, before: Callable[[], None] | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run a command to its end, Python scripts by their path alone; `before` is done in the new process.

    env: variables that differ from those here, None for one that is to be missing.
    """
    words = [str(word) for word in command]
    if words[0].endswith(".py"):
        words.insert(0, sys.executable)
    around = {**os.environ, "HW1_DATA_DIR": None, "PYTHONUNBUFFERED": None, "PYTHON": sys.executable}
    around |= options.pop("env", {})
    pipes = {} if "capture_output" in options else {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    is_main = threading.current_thread() is threading.main_thread()  # others may not set signals
    with usual_signals() if is_main else contextlib.nullcontext():
        return subprocess.run(
            words,
            **({**pipes, "text": True, "errors": "replace", "cwd": "/", "timeout": 300} | options),
            env={name: value for name, value in around.items() if value is not None},
            preexec_fn=before,
        )


def refused(done: subprocess.CompletedProcess, *words: str) -> None:
    """A command that must fail ended with one message, which has all of these words."""
    errors = [line for line in done.stderr.splitlines() if not re.match(NOTES, line)]
    assert done.returncode == 1, done.stderr
    assert len(errors) == 1 and errors[0].startswith("error: ") and errors[0].isprintable(), done.stderr
    for word in words:
        assert word in errors[0], done.stderr


def went_well(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stdout + done.stderr
    return done


def results(project: Path) -> dict[str, Any]:
    path = project / PLACE
    return history.read(path)["results"] if path.exists() else {}


def left_over(folder: Path) -> list[Path]:
    """Temporary files of writers that did not finish."""
    return list(folder.rglob(".*.tmp"))


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


@contextlib.contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """These folders and all that is in them without permission to write."""
    paths = [path for folder in folders for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    before = {path: path.stat().st_mode for path in paths}
    try:
        for path, mode in before.items():
            path.chmod(mode & ~0o222)
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened, contextlib.chdir(path.parent):  # its path must be short
        opened.bind(path.name)


def _sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)  # reading it would take an hour


NO_FILES: dict[str, Callable[[Path], Any]] = {  # what may lie under a file's name and is no file of a sensible size
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": _socket,
    "terabyte": _sparse,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "itself": lambda path: path.symlink_to(path.name),
}
