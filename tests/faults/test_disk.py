"""Full disks and read-only folders, for real: one message names the thing, nothing is lost, the next run mends it."""

import contextlib
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import history

import permissions
import pytest
from conftest import ROOT, usual_signals

PAGE = os.sysconf("SC_PAGE_SIZE")  # a small disk's space is counted in pages
PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"
NOTES = r"hw1_1/tiny: |its figures: |scale |report: |the history that was there is kept as "  # on stderr
PLOT = '''
"""Draw the tiny experiment."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, settings


def draw(history):
    figure, panels = figures.grid(1, 1, 1.0, 1.0)
    panels[0, 0].plot([unit["loss"][-1] for unit in history["results"].values()])
    return figure


FIGURES = {"tiny": draw}
if __name__ == "__main__":
    with settings.one_message():
        drawing = figures.start(__file__, __doc__, FIGURES)
        for name in drawing.due:
            drawing.save(name, FIGURES[name](drawing.history))
'''


@pytest.fixture
def house(project: Path) -> Path:
    """The copy of the project with its driver, whose one experiment is the tiny one; its data are obtained at once."""
    driver = (ROOT / "run_all.sh").read_text()
    driver = re.sub(r'experiments=".*?"', 'experiments="hw1_1/tiny"', driver, flags=re.DOTALL)
    (project / "run_all.sh").write_text(driver)
    shutil.copy(ROOT / "requirements.txt", project)
    (project / "common" / "data.py").write_text("print('data')\n")
    (project / "hw1_1" / "plot_tiny.py").write_text(PLOT)
    return project


@pytest.fixture
def small_disk(house: Path) -> Iterator[Path]:
    """A disk of 1 MB in the place of the folder `out`."""
    disk = house / "out"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, pages: int) -> None:
    """Leave so many pages of the disk free."""
    about = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(about.f_bavail * about.f_frsize - pages * PAGE))


def empty(disk: Path) -> None:
    for each in disk.iterdir():
        shutil.rmtree(each) if each.is_dir() else each.unlink()


def limited(size: int) -> Callable[[], None]:
    """No file that this process writes may be larger."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def call(*command: Any, before: Callable[[], None] | None = None, **options: Any) -> subprocess.CompletedProcess:
    """Run a command of the project, Python scripts by their path alone; `before` is done in the new process."""
    words = [str(word) for word in command]
    if words[0].endswith(".py"):
        words.insert(0, sys.executable)
    kept = {name: text for name, text in os.environ.items() if name not in ("HW1_DATA_DIR", "PYTHONUNBUFFERED")}
    environment = kept | {"PYTHON": sys.executable} | options.pop("env", {})
    with usual_signals():
        return subprocess.run(
            words,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": "/"} | options),
            text=True,
            env=environment,
            preexec_fn=before,
            timeout=120,
        )


def refused(done: subprocess.CompletedProcess, *words: str) -> str:
    """The one message with which a command that must fail ended, which has all of these words."""
    errors = [line for line in done.stderr.splitlines() if not re.match(NOTES, line)]
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(errors) == 1 and errors[0].startswith("error: "), done.stderr
    for word in words:
        assert word in errors[0]
    return errors[0]


def went_well(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def results(project: Path) -> dict[str, Any]:
    path = project / PLACE
    return history.read(path)["results"] if path.exists() else {}


def left_over(folder: Path) -> list[Path]:
    return list(folder.rglob(".*.tmp"))


# ------------------------------------------------------------------------------------------------ full disks


def train_until_it_fits(house: Path, shortages: list, tried: Callable, mended: Callable) -> int:
    """Train with ever more room, from nothing, from one unit and from a history of another identity; the cases.

    tried(shortage, *flags) trains in that little room; mended() gives room again.
    """
    script, flags = house / "hw1_1" / "tiny.py", ("--scale", "quick", "--seeds", "0", "1")
    went_well(call(script, *flags))
    expected, cases = results(house), 0
    for begun in ((), ("--unit", "walk/seed-0"), None):
        for shortage in shortages:
            empty(house / "out")
            (house / "trained").unlink(missing_ok=True)  # the tiny experiment's own notes must not be too long
            if begun:
                went_well(call(script, *flags, *begun))
            elif begun is None:
                (house / PLACE).parent.mkdir(parents=True)
                (house / PLACE).write_bytes(b"of nobody" * 100)
            old = (house / PLACE).read_bytes() if begun != () else None
            forced = ("--force",) if begun is None else ()
            done = tried(shortage, script, *flags, *forced)
            cases += 1
            if done.returncode == 0:
                break
            refused(done, str(house / "out"), "run the same command again")
            assert not left_over(house)
            aside = [each.read_bytes() for each in (house / "out" / "replaced").glob("*.pkl")]
            if old and (house / PLACE).read_bytes() != old:
                assert begun is not None or aside == [old]
                assert set(results(house)) >= ({"walk/seed-0"} if begun else set())
            mended()
            went_well(call(script, *flags, *forced))
            assert results(house) == expected
            assert not list((house / "out").rglob("*.state"))
        else:
            raise AssertionError("it never fitted")
    return cases


def test_a_training_on_a_full_disk_names_the_file_and_the_next_run_ends_as_if_undisturbed(
    house, small_disk, record_property
):
    def tried(pages: int, *command: Any) -> subprocess.CompletedProcess:
        fill(small_disk, pages)
        return call(*command)

    cases = train_until_it_fits(house, [0, 1, 2, 3, 8], tried, (small_disk / "filler").unlink)
    record_property("cases", cases)


def test_a_training_whose_files_may_not_grow_names_the_file_and_the_next_run_ends_as_if_undisturbed(
    house, record_property
):
    def tried(size: int, *command: Any) -> subprocess.CompletedProcess:
        return call(*command, before=limited(size))

    (house / "out").mkdir()
    record_property("cases", train_until_it_fits(house, [300, 1000, 1500, 100_000], tried, lambda: None))


def test_figures_on_a_full_disk_stay_due_and_the_next_run_draws_them(house, small_disk, record_property):
    script, plot = house / "hw1_1" / "tiny.py", house / "hw1_1" / "plot_tiny.py"
    cases, folder = 0, small_disk / "quick" / "figures"

    def files() -> dict[str, bytes]:
        return {path.suffix: path.read_bytes() for path in folder.iterdir()}

    went_well(call(script, "--scale", "quick", "--seeds", "0", "1"))
    went_well(call(plot, "--scale", "quick"))
    first = files()
    went_well(call(script, "--scale", "quick"))
    went_well(call(plot, "--scale", "quick"))
    second, states = files(), set()
    for old in ({}, first):
        shutil.rmtree(folder)
        folder.mkdir()
        for suffix, content in old.items():
            (folder / f"tiny{suffix}").write_bytes(content)
        for pages in (0, 1, 2, 3, 4, 5, 60):
            fill(small_disk, pages)
            done = call(plot, "--scale", "quick")
            cases += 1
            (small_disk / "filler").unlink()
            if done.returncode == 0:
                break
            refused(done, str(folder / "tiny."), "No space left on device; free some disk space")
            now = files()
            assert all(content in (old.get(suffix), second[suffix]) for suffix, content in now.items())
            states.add(now.get(".svg") == second[".svg"])
            assert call(plot, "--scale", "quick", "--check").stdout.startswith("due: tiny.")
        assert done.returncode == 0 and files() == second
    assert states == {True, False}, "the disk was never full between the two"
    went_well(call(plot, "--scale", "quick", "--check"))
    record_property("cases", cases)


def with_report(house: Path) -> Path:
    """The report's code beside the tiny experiment; its script."""
    shutil.copy(ROOT / "common" / "data.py", house / "common")
    for folder in ("report", "hw1_1", "hw1_2", "hw1_3"):
        ignored = shutil.ignore_patterns("__pycache__", "history", "*.pdf")
        shutil.copytree(ROOT / folder, house / folder, ignore=ignored, dirs_exist_ok=True)
    return house / "report" / "build.py"


def test_a_report_on_a_full_disk_stays_due_and_the_next_run_builds_it(house, small_disk, record_property):
    script, report = with_report(house), small_disk / "quick" / "report" / "hw1.pdf"
    went_well(call(script, "--scale", "quick"))
    whole = report.read_bytes()
    for old, pages in ((None, 0), (b"older", 1)):
        report.unlink()
        if old:
            report.write_bytes(old)
        fill(small_disk, pages)
        refused(call(script, "--scale", "quick"), str(report), "No space left on device; free some disk space")
        assert (report.read_bytes() if report.exists() else None) == old
        assert not left_over(small_disk)
        (small_disk / "filler").unlink()
        went_well(call(script, "--scale", "quick"))
        assert report.read_bytes() == whole
    record_property("cases", 2)


def drive(house: Path, *options: str, **more: Any) -> subprocess.CompletedProcess:
    return call("bash", house / "run_all.sh", "--no-venv", "--scale", "quick", "--only", "hw1_1/tiny", *options, **more)


def test_the_driver_on_a_full_disk_names_its_log_and_the_next_run_does_all(house, small_disk, record_property):
    fill(small_disk, 0)
    refused(drive(house), "out/logs/quick/data.log: No space left on device; free some disk space")
    (small_disk / "filler").unlink()
    # A log that fills up midway: the step does its work, and fails for its log.
    (house / "common" / "data.py").write_text("for _ in range(9000): print('obtained', flush=False)\n")
    fill(small_disk, 4)
    errors = drive(house).stderr
    assert "error: out/logs/quick/data.log: No space left on device; free some disk space" in errors
    assert "Traceback" not in errors
    (small_disk / "filler").unlink()
    done = went_well(drive(house))
    assert done.stderr.count("error") == 0
    assert set(results(house)) == {"walk/seed-0", "walk/seed-1", "walk/seed-2"}
    record_property("cases", 2)


def test_output_that_goes_nowhere_is_an_error_and_closed_output_is_none(house, record_property):
    tiny, plot = house / "hw1_1" / "tiny.py", house / "hw1_1" / "plot_tiny.py"
    commands = [
        ("bash", house / "run_all.sh", "--no-venv", "--scale", "quick", "--only", "hw1_1/tiny"),  # first it trains
        (tiny, "--scale", "quick"),
        (tiny, "--scale", "quick", "--check"),
        (tiny, "--scale", "quick", "--force", "--list"),
        (plot, "--scale", "quick", "--force"),
        (plot, "--scale", "quick", "--check"),
        (sys.executable, "-m", "common.history", PLACE),
        ("bash", house / "run_all.sh", "--no-venv", "--scale", "quick", "--only", "hw1_1/tiny"),  # all is there
        ("bash", house / "run_all.sh", "--no-venv", "--scale", "quick", "--only", "hw1_1/tiny", "--check"),
        ("bash", house / "run_all.sh", "--no-venv", "--scale", "quick", "--only", "hw1_1/tiny", "--list"),
    ]
    for number, command in enumerate(commands):
        with open("/dev/full", "w") as full:
            message = refused(call(*command, stdout=full, cwd=house), "standard output", "free some disk space")
        assert message
        if number == 0:
            went_well(drive(house))
    for number, command in enumerate(commands[1:7]):  # the shell's own programs do complain of closed output
        for descriptor in (1, 2):
            done = call(*command, before=lambda which=descriptor: os.close(which), cwd=house)
            assert done.returncode == 0, (number, descriptor, done.stderr)
            assert "Traceback" not in done.stdout + done.stderr
    went_well(call(tiny, "--scale", "quick", "--check"))
    record_property("cases", len(commands) + 2 * 6)


# ------------------------------------------------------------------------------------------ read-only folders


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


def as_user(*command: Any, **options: Any) -> subprocess.CompletedProcess:
    return call(*command, before=permissions.ordinary, **options)


@pytest.fixture
def as_user_counts(tmp_path: Path) -> None:
    permissions.must_count(tmp_path)


def test_a_folder_without_write_permission_is_named_before_anything_is_trained(house, as_user_counts, record_property):
    script, flags, out = house / "hw1_1" / "tiny.py", ("--scale", "quick"), house / "out"
    went_well(call(script, *flags, "--unit", "walk/seed-0"))
    went_well(call(house / "hw1_1" / "plot_tiny.py", *flags))
    old, trained = (house / PLACE).read_bytes(), (house / "trained").read_bytes()
    names = {path.relative_to(out) for path in out.rglob("*")}
    checkpoints = out / "checkpoints"
    for folder in ((house / PLACE).parent, checkpoints, out, house):
        with read_only(folder):
            refused(as_user(script, *flags), str(folder), "Permission denied; check the permissions")
        assert (house / PLACE).read_bytes() == old
        assert (house / "trained").read_bytes() == trained, "trained what could not be published"
        assert {path.relative_to(out) for path in out.rglob("*")} == names
    (house / PLACE).chmod(0)
    refused(as_user(script, *flags), str(house / PLACE), "Permission denied; check its permissions")
    refused(as_user(script, *flags, "--force"), str(house / PLACE), "Permission denied; check the permissions")
    (house / PLACE).chmod(0o644)
    assert (house / "trained").read_bytes() == trained
    went_well(as_user(script, *flags))
    assert len(results(house)) == 3
    record_property("cases", 6)


def test_figures_and_report_without_write_permission_are_named_and_stay(house, as_user_counts, record_property):
    plot, flags, quick = house / "hw1_1" / "plot_tiny.py", ("--scale", "quick"), house / "out" / "quick"
    went_well(call(house / "hw1_1" / "tiny.py", *flags))
    went_well(call(plot, *flags))
    report = with_report(house)
    went_well(call(report, *flags))
    for script, folder, file in ((plot, quick / "figures", "tiny.svg"), (report, quick / "report", "hw1.pdf")):
        old = (folder / file).read_bytes()
        with read_only(folder):
            done = as_user(script, *flags, "--force")
            refused(done, str(folder / file), "Permission denied; check the permissions of the file and its folder")
        assert (folder / file).read_bytes() == old
        went_well(as_user(script, *flags, "--force"))
        assert (folder / file).read_bytes() == old
        shutil.rmtree(folder)
        with read_only(quick):
            refused(as_user(script, *flags), str(folder), "Permission denied; check the permissions")
        went_well(as_user(script, *flags))
        assert (folder / file).read_bytes() == old
    record_property("cases", 4)


def test_the_driver_in_a_read_only_checkout_says_so_once_and_makes_no_environment(
    house, as_user_counts, record_property
):
    folders = [house, house / "out"]
    (house / "out").mkdir()
    for folder in folders:
        with read_only(folder):
            refused(as_user("bash", house / "run_all.sh", "--no-venv", "--scale", "quick"), "out/logs", "may write in")
            refused(as_user("bash", house / "run_all.sh", "--scale", "quick"), str(house / "out"), "permissions")
        assert not list((house / "out").iterdir())
    record_property("cases", 4)


def test_all_that_only_reads_works_in_a_read_only_checkout(house, as_user_counts, record_property):
    tiny, plot, flags = house / "hw1_1" / "tiny.py", house / "hw1_1" / "plot_tiny.py", ("--scale", "quick")
    went_well(call(tiny, *flags))
    went_well(call(plot, *flags))
    report = with_report(house)
    went_well(call(report, *flags))
    commands = [
        (tiny, *flags),
        (tiny, *flags, "--check"),
        (tiny, *flags, "--force", "--list"),
        (tiny, "--help"),
        (plot, *flags),
        (plot, *flags, "--check"),
        (report, *flags),
        (report, *flags, "--check"),
        (sys.executable, "-m", "common.history", PLACE),
        (sys.executable, "-m", "common.history", PLACE, "--csv"),
        ("bash", house / "run_all.sh", "--no-venv", *flags, "--only", "hw1_1/tiny", "--check"),
        ("bash", house / "run_all.sh", "--no-venv", *flags, "--only", "hw1_1/tiny", "--list"),
        ("bash", house / "run_all.sh", "--help"),
    ]
    with read_only(house):
        for command in commands:
            done = went_well(as_user(*command, cwd=house))
            assert "error" not in done.stderr and "denied" not in done.stderr, done.stderr
    record_property("cases", len(commands))
