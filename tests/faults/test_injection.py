"""Faults injected at the first, second, third ... call into the system until none is left, as SQLite tests its own.

A call is one that opens, reads, writes, flushes, closes, locks, renames or removes a file, or makes or lists a folder
of the tree under test. It fails for want of space or with an input/output error, or Ctrl-C comes just before or just
after it, or the process is killed there. Then each file must be the old or the new one, and the next run must mend all.
"""

import builtins
import contextlib
import errno
import fcntl
import functools
import gc
import io
import itertools
import os
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import backend, figures, files, history, provenance, settings

import pytest
import tiny_experiment
from conftest import ROOT, quick_run
from trees import left_over
from trial_runs import made_up_history

KINDS = ("ENOSPC", "EIO", "interrupt", "kill")
READING = (os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK, "r", "rb")


# ------------------------------------------------------------------------------------------ the injection


class Faults:
    """Lets the call number `at` go wrong, of those that concern a file below `root`."""

    def __init__(self, root: Path, kind: str, at: int):
        self.root, self.kind, self.at = str(root), kind, at
        self.calls = 0
        self.read = False  # whether it was a read that failed

    @property
    def struck(self) -> bool:
        return self.calls >= self.at

    def before(self, path: Any, reads: bool = False, named: bool = False) -> None:
        """A call is about to be made. named: an error of it tells the path, as those of open do and of write do not."""
        if not (reads and self.kind == "ENOSPC"):  # reading needs no space
            self._count(path, named, reads)

    def after(self, path: Any) -> None:
        """A call was made: Ctrl-C may come now; for a kill this is no other moment than just before the next call."""
        if self.kind == "interrupt":
            self._count(path)

    def _count(self, path: Any, named: bool = False, reads: bool = False) -> None:
        if not str(path).startswith(self.root):
            return
        self.calls += 1
        if self.calls != self.at:
            return
        self.read = reads
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "interrupt":
            raise KeyboardInterrupt
        number = getattr(errno, self.kind)
        raise OSError(number, os.strerror(number), *([str(path)] if named else []))

    @contextlib.contextmanager
    def injected(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("mkdir", "replace", "unlink"):
                patch.setattr(os, name, self._around(getattr(os, name)))
            patch.setattr(os, "scandir", self._around(os.scandir, reads=True))
            patch.setattr(os, "fsync", self._around(os.fsync))
            patch.setattr(fcntl, "flock", self._around(fcntl.flock, reads=True))
            patch.setattr(os, "open", self._opening(os.open, os.close))
            for module in (builtins, io):  # pathlib uses the second
                patch.setattr(module, "open", self._opening(builtins.open, lambda file: file.close()))
            yield

    def _around(self, function: Callable, reads: bool = False) -> Callable:
        def faulty(first: Any, *others: Any, **options: Any) -> Any:
            self.before(path_of(first), reads, named=isinstance(first, (str, os.PathLike)))
            result = function(first, *others, **options)
            if not reads:
                self.after(path_of(first))
            return result

        return faulty

    def _opening(self, function: Callable, close: Callable) -> Callable:
        def faulty(place: Any, mode: Any = "r", *others: Any, **options: Any) -> Any:
            path = path_of(place)
            self.before(path, reads=mode in READING, named=True)
            opened = function(place, mode, *others, **options)
            try:
                self.after(path)
            except KeyboardInterrupt:
                close(opened)
                raise
            ours = not isinstance(opened, int) and path.startswith(self.root)
            return FaultyFile(opened, path, self) if ours else opened

        return faulty


class FaultyFile:
    """An open file of which reading, writing, flushing and closing may go wrong."""

    def __init__(self, file: Any, path: str, faults: Faults):
        self._file, self._path, self._faults = file, path, faults
        self._written = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "FaultyFile":
        return self

    def __exit__(self, *about: Any) -> None:
        self.close()

    def read(self, *size: int) -> Any:
        self._faults.before(self._path, reads=True)
        return self._file.read(*size)

    def write(self, content: Any) -> int:
        calls, self._written = self._faults.calls, True
        try:
            self._faults.before(self._path)
        except (OSError, KeyboardInterrupt):
            self._file.write(content[: len(content) // 2])  # a part of it arrived
            raise
        written = self._file.write(content)
        if calls != self._faults.calls:
            self._file.flush()  # so that a kill leaves a part of the file
        return written

    def flush(self) -> None:
        self._faults.before(self._path)
        self._file.flush()

    def close(self) -> None:
        try:
            if not self._file.closed:
                self._faults.before(self._path, reads=not self._written)
        finally:
            self._file.close()


def path_of(file: Any) -> str:
    """The path behind a path, a descriptor or an open file."""
    if isinstance(file, (str, os.PathLike)):
        return os.fspath(file)
    descriptor = file if isinstance(file, int) else file.fileno()
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/self/fd/{descriptor}")
    return str(getattr(file, "name", ""))


def strike(root: Path, kind: str, at: int, work: Callable[[], None]) -> bool:
    """Do `work` with this fault. Whether there was a call of that number; errors are those that become one message."""
    faults = Faults(root, kind, at)
    if kind == "kill":
        return _killed(faults, work)
    try:
        with faults.injected():
            work()
    except KeyboardInterrupt:
        assert kind == "interrupt"
    except settings.Problem as problem:
        assert str(root) in str(problem)
    except OSError as error:
        assert error.errno == getattr(errno, kind)
        assert faults.read or str(root) in str(error.filename), "the message names no file"
    return faults.struck


def _killed(faults: Faults, work: Callable[[], None]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 where threads run: the child needs none
        child = os.fork()
    if child == 0:
        code = 1
        try:
            with faults.injected():
                work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def everywhere(root: Path, reset: Callable, work: Callable, judge: Callable[[str], None]) -> int:
    """Each kind of fault at each call of `work`, from a fresh start, judged each time; the number of cases."""
    cases = 0
    for kind in KINDS:
        for at in itertools.count(1):
            reset()
            if not strike(root, kind, at, work):
                break
            try:
                judge(kind)
            except BaseException as error:
                error.add_note(f"after {kind} at call {at}")
                raise
            cases += 1
        assert at > 5, "the calls are not those that this test knows"
    return cases


def age(paths: list[Path]) -> None:
    for path in paths:
        os.utime(path, (time.time() - 2 * files.STALE_SECONDS,) * 2)


def copied(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


# ------------------------------------------------------------------------------------ history and checkpoints


@pytest.fixture(autouse=True)
def obedient_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power fails here, so nothing waits for the disk; that `fsync` is called can be seen by its faults."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Run]:
    """A run of the tiny experiment whose repository is tmp_path/tree; what is slow and touches no file is left out."""
    tree = tmp_path / "tree"
    (tree / "hw1_1").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    script = Path(shutil.copy(ROOT / "tests" / "tiny_experiment.py", tree / "hw1_1" / "tiny.py"))
    for module in (history, provenance, settings):
        monkeypatch.setattr(module, "ROOT", tree)
    monkeypatch.setattr(tiny_experiment, "ROOT", tmp_path / "elsewhere")
    monkeypatch.setattr(history, "commit", lambda: "")
    monkeypatch.setattr(history, "code_hash", lambda script: "")
    monkeypatch.setattr(backend, "environment", lambda: {"device": "CPU"})
    gc.freeze()  # a unit ends with a garbage collection, which would walk all of pytest each time
    yield quick_run(script, tiny_experiment.Settings(epochs=1, seeds=(0, 1)))
    gc.unfreeze()


def measure(run: settings.Run, finished: list[str] | None = None) -> None:
    """What the script's `main` does; `finished` takes the units that were published."""
    kept = history.start(run, tiny_experiment.REVISION, [f"walk/seed-{seed}" for seed in run.settings.seeds])
    for unit in kept.missing():
        kept.keep(unit, tiny_experiment.train(run.settings, unit, kept.checkpoint(unit)))
        if finished is not None:
            finished.append(unit)


def results_of(path: Path) -> dict[str, Any]:
    return history.read(path)["results"] if path.exists() else {}


@pytest.mark.parametrize("before", ["nothing", "one unit", "another identity", "complete, forced"])
def test_a_fault_anywhere_in_a_training_loses_no_history_and_the_next_run_completes_it(run, before, record_property):
    tree, start, path = run.script.parents[1], run.script.parents[2] / "start", run.history
    if before != "one unit":
        run = replace(run, settings=replace(run.settings, seeds=(0,)))
    measure(run)
    expected = results_of(path)
    shutil.rmtree(tree / "out")
    if before == "one unit":
        measure(replace(run, unit=("walk/seed-0",)))
    elif before == "another identity":
        measure(replace(run, settings=replace(run.settings, learning_rate=0.1)))
    elif before == "complete, forced":
        measure(run)
    (tree / "out").mkdir(exist_ok=True)
    shutil.copytree(tree / "out", start)
    old = path.read_bytes() if path.exists() else None
    precious = before == "another identity"  # to be kept aside
    begun = {} if precious else results_of(path)
    faulty = replace(run, force="forced" in before)
    finished: list[str] = []

    def reset() -> None:
        copied(start, tree / "out")
        finished.clear()

    def require_nothing_lost() -> None:
        """What was there and what was published is in the history, or whole in out/replaced."""
        aside = list((tree / "out" / "replaced").glob("*.pkl"))
        contents = [each.read_bytes() for each in aside]
        assert old in contents or not precious
        ours = [each for each, content in zip(aside, contents, strict=True) if not precious or content != old]
        assert {*begun, *finished} <= set(results_of(path)).union(*map(results_of, ours))

    def judge(kind: str) -> None:
        present = path.read_bytes() if path.exists() else None
        for aside in (tree / "out" / "replaced").glob("*.pkl"):
            assert aside.read_bytes() == old or results_of(aside)
        if present != old:
            now = results_of(path)
            assert {unit: expected[unit] for unit in now} == now
            require_nothing_lost()
        assert kind == "kill" or not left_over(tree)
        measure(faulty if present == old else run)
        assert results_of(path) == expected
        assert history.read(path)["complete"]
        require_nothing_lost()
        assert not list((tree / "out" / "checkpoints").rglob("*.state"))
        if left_over(tree):  # only of the history itself, whose writer may still be at work for all one knows
            assert {each.parent for each in left_over(tree)} == {path.parent}
            age(left_over(tree))
            measure(run)
            assert not left_over(tree)

    record_property("cases", everywhere(tree, reset, lambda: measure(faulty, finished), judge))


# ------------------------------------------------------------------------------------------------- figures


class Drawn:
    """Stands for a matplotlib figure: is drawn once for each format and stamp, to save time."""

    def __init__(self, faults_at: str):
        self.faults_at = faults_at

    def savefig(self, buffer: Any, *, format: str, metadata: dict[str, str | None]) -> None:
        Path(self.faults_at).touch()  # a call that may fail, as those within matplotlib may
        buffer.write(rendered(format, tuple(metadata.items())))

    def set_layout_engine(self, layout: str) -> None:
        assert layout == "none"


@functools.cache
def rendered(kind: str, metadata: tuple[tuple[str, str | None], ...]) -> bytes:
    figures.use_style()
    figure, _ = figures.grid(1, 1, 1.0)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=dict(metadata))
    return buffer.getvalue()


def test_a_fault_between_two_figures_is_seen_and_the_next_run_redraws(tmp_path, monkeypatch, record_property):
    tree, start = tmp_path / "tree", tmp_path / "start"
    script, path = tree / "hw1_1" / "plot_tiny.py", tree / "hw1_1" / "history" / "tiny.pkl"
    path.parent.mkdir(parents=True)
    script.write_text("FIGURES = {}\n")
    names, folder = ("tiny_loss", "tiny_weights"), tree / "figures"
    monkeypatch.setattr(figures, "use_style", functools.cache(figures.use_style))
    monkeypatch.setattr(provenance, "code_hash", functools.cache(provenance.code_hash))

    def put(loss: float) -> None:
        path.write_bytes(history.encode(made_up_history("hw1_1/tiny", {"walk": {"summary": {"loss": loss}}})))

    def draw(*flags: str) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["plot_tiny.py", "--history", str(path), *flags])
            try:
                drawing = figures.start(str(script), "", names)
            except SystemExit as leaving:
                return leaving.code
            for name in drawing.due:
                drawing.save(name, Drawn(str(tree / "scratch")))
        return 0

    def drawn() -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in folder.glob("[!.]*")}

    put(1.0)
    draw()
    put(2.0)
    shutil.copytree(tree, start)
    old = drawn()
    draw()
    new = drawn()
    assert len(new) == 4

    def judge(kind: str) -> None:
        assert kind == "kill" or not left_over(tree)
        now = drawn()
        assert all(content in (old.get(name), new[name]) for name, content in now.items())
        assert draw("--check") == (0 if now == new else 1)
        age(left_over(tree))
        draw()
        assert drawn() == new
        assert draw("--check") == 0
        if left_over(tree):
            draw("--force")
        assert not left_over(tree)

    record_property("cases", everywhere(tree, lambda: copied(start, tree), draw, judge))
