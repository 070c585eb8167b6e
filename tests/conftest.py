"""What the tests share: the project on the import path, copies of its code, tiny runs of its experiments."""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: its threads wait by spinning, on a busy machine long
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # what is compiled here runs for seconds only
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

pytest.register_assert_rewrite("trial_runs")

from common import settings, signals
from common.checkpoint import Checkpoint

import trial_runs

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


def copy_of_scripts(folder: Path) -> Path:
    """Put the code of `common` and of all experiments there, so that nothing is written into the repository."""
    for source in [ROOT / "common", *ROOT.glob("hw1_*")]:
        shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "history"))
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the scripts in a folder with a space in its name, with easy digits and pictures in `data`."""
    return trial_runs.with_data(copy_of_scripts(tmp_path_factory.mktemp("a checkout")))


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], trial_runs.TinyRun]:
    """tiny_run("hw1_2/grad_norm"): that experiment at the size of `trial_runs.TINY`, run once for all its tests."""
    folder = trial_runs.with_data(copy_of_scripts(tmp_path_factory.mktemp("tiny runs")))
    return functools.cache(lambda experiment: trial_runs.run_tiny(folder, experiment))


@pytest.fixture(scope="session")
def digits() -> SimpleNamespace:
    """240 easy digits for training and 80 for the test, as `common.data` loads them."""
    return trial_runs.dataset(trial_runs.stripes(320), 240)


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
    """A folder with the code of `common` and hw1_1/tiny.py, an experiment of milliseconds."""
    root = tmp_path / "the project"  # the space is part of the test
    shutil.copytree(ROOT / "common", root / "common", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "hw1_1").mkdir()
    shutil.copy(ROOT / "tests" / "tiny_experiment.py", root / "hw1_1" / "tiny.py")
    return root


@pytest.fixture
def tiny(project: Path) -> Any:
    """tiny(*flags, **environment) starts the tiny experiment of `project`, as a Popen; at quick scale by default."""
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


def wait_for(folder: Path, pattern: str, count: int = 1) -> None:
    """Return once as many paths in the folder match."""
    ends = time.monotonic() + 60
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < ends, f"waited in vain for {pattern}"
        time.sleep(0.01)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file runs in one process; the tests of test_experiments.py in that of their experiment's own file."""
    for item in items:
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        group = parameters.get("experiment", str(item.path.with_suffix(""))).rpartition("/")[2].removeprefix("test_")
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A table of the faults that were tried (tests/faults): kind, what, cases, outcome.

    A test that tries many cases in a loop gives their number by `record_property("cases", number)`.
    """
    rows: dict[tuple[str, str], dict[str, int]] = {}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            file, _, name = report.nodeid.partition("::")
            if "/faults/" in file and (report.when == "call" or outcome != "passed"):
                kind, what = Path(file).stem.removeprefix("test_"), name.partition("@")[0].partition("[")[0]
                what = what.removeprefix("test_").replace("_", " ")
                row = rows.setdefault((kind.replace("_", " "), what), {})
                properties = dict(getattr(report, "user_properties", ()))  # a file that cannot be collected has none
                row[outcome] = row.get(outcome, 0) + properties.get("cases", 1)
    if not rows:
        return
    terminalreporter.section("faults that were tried")
    wide = max(len(kind) for kind, _ in rows), max(len(what) for _, what in rows)
    for (kind, what), outcomes in sorted(rows.items()):
        told = ", ".join(outcomes) if len(outcomes) == 1 else ", ".join(f"{n} {word}" for word, n in outcomes.items())
        terminalreporter.line(f"{kind:<{wide[0]}}  {what:<{wide[1]}}  {sum(outcomes.values()):>5}  {told}")
