"""What the tests share: the project on the import path, and a copy of its code in which a tiny experiment runs."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads wait by spinning, on a busy machine long
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # what is compiled here runs for seconds only
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

pytest.register_assert_rewrite("trial_runs")

from common import settings, signals
from common.checkpoint import Checkpoint

settings.prepare_environment()


@contextlib.contextmanager
def usual_signals(ignoring: tuple[int, ...] = ()) -> Iterator[None]:
    """What a process started here does on signals: nothing on `ignoring`, the usual on others.

    A shell's background job and `nohup` ignore some, and so do the processes that the tests start there.
    """
    before = {}
    for number in signals.ENDING:
        before[number] = signal.signal(number, signal.SIG_IGN if number in ignoring else signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code in a folder with a space in its name, so that nothing is written into this one."""
    copy = tmp_path_factory.mktemp("a checkout")
    for folder in [ROOT / "common", *ROOT.glob("hw1_*")]:
        shutil.copytree(folder, copy / folder.name, ignore=shutil.ignore_patterns("__pycache__", "history"))
    return copy


def quick_run(script: Path, chosen: Any) -> settings.Run:
    """A run of hw1_1/tiny at quick scale, as `settings.parse` gives it without a flag."""
    return settings.Run(
        experiment="hw1_1/tiny",
        script=script,
        settings=chosen,
        base="quick",
        scale="quick",
        root=settings.tree("quick"),
        data_dir=None,
        force=False,
        unit=(),
        mode="train",
        arguments=(),
    )


class Nowhere(Checkpoint):
    """A checkpoint that keeps nothing."""

    def save(self, *_: Any, **__: Any) -> None:
        pass

    def reached(self, *_: Any, **__: Any) -> None:
        pass


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """For trainings that no test interrupts."""
    return Nowhere(tmp_path_factory.mktemp("none") / "none.npz", {})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the code of `common` and hw1_1/tiny.py, so that no test writes into the repository."""
    root = tmp_path / "the project"  # the space is part of the test
    shutil.copytree(ROOT / "common", root / "common", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "hw1_1").mkdir()
    shutil.copy(ROOT / "tests" / "tiny_experiment.py", root / "hw1_1" / "tiny.py")
    return root


@pytest.fixture
def tiny(project: Path) -> Any:
    """tiny(*flags, **environment) starts the tiny experiment of `project`, as a Popen; at quick scale if not told."""
    started = []

    def start(
        *flags: str, stdout: Any = subprocess.PIPE, ignoring: tuple[int, ...] = (), **environment: str
    ) -> subprocess.Popen:
        inherited = {name: value for name, value in os.environ.items() if name != "HW1_DATA_DIR"}
        scale = () if "--scale" in flags else ("--scale", "quick")
        with usual_signals(ignoring):
            process = subprocess.Popen(
                [sys.executable, project / "hw1_1" / "tiny.py", *scale, *flags],
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                env=inherited | environment,
                cwd="/",
            )
        started.append(process)
        return process

    yield start
    for process in started:
        with process:  # closes its pipes
            process.kill()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A table of the faults that were tried (tests/faults): kind, what, cases, outcome.

    A test that tries many cases in a loop says how many by `record_property("cases", number)`.
    """
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            file, _, name = report.nodeid.partition("::")
            if "/faults/" in file and (report.when == "call" or outcome != "passed"):
                kind, what = Path(file).stem.removeprefix("test_"), name.partition("[")[0].removeprefix("test_")
                row = rows.setdefault((kind.replace("_", " "), what.replace("_", " ")), {})
                properties = dict(getattr(report, "user_properties", ()))  # a file that cannot be collected has none
                row[outcome] = row.get(outcome, 0) + properties.get("cases", 1)
    if not rows:
        return
    terminalreporter.section("faults that were tried")
    wide = max(len(kind) for kind, _ in rows), max(len(what) for _, what in rows)
    for (kind, what), outcomes in sorted(rows.items()):
        told = ", ".join(outcomes) if len(outcomes) == 1 else ", ".join(f"{n} {word}" for word, n in outcomes.items())
        terminalreporter.line(f"{kind:<{wide[0]}}  {what:<{wide[1]}}  {sum(outcomes.values()):>5}  {told}")
