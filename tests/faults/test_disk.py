"""Full disks and read-only folders, for real: one message names the thing, nothing is lost, the next run mends it."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import permissions
import pytest
from trees import PLACE, call, copy_with_report, left_over, read_only, refused, results, went_well, with_driver

PAGE = os.sysconf("SC_PAGE_SIZE")  # a small disk's space is counted in pages
QUICK = ("--scale", "quick")


@pytest.fixture
def house(project: Path) -> Path:
    """The tiny project with its driver and a folder `out`."""
    with_driver(project)
    (project / "out").mkdir()
    return project


@pytest.fixture
def small_disk(house: Path) -> Iterator[Path]:
    """A disk of 1 MB in the place of the folder `out`."""
    disk = house / "out"
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path, pages: int) -> Path:
    """Leave only this many pages of the disk free; the file that takes the others."""
    about = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(about.f_bavail * about.f_frsize - pages * PAGE))
    return disk / "filler"


def drive(house: Path, *options: str, **more: Any) -> subprocess.CompletedProcess:
    return call("sh", house / "run_all.sh", "--no-venv", *QUICK, "--only", "hw1_1/tiny", *options, **more)


# ------------------------------------------------------------------------------------------------ full disks


@pytest.mark.parametrize("forced", [(), ("--force",)])
def test_a_training_on_a_full_disk_names_the_file_and_the_next_run_ends_as_if_undisturbed(house, small_disk, forced):
    script, flags = house / "hw1_1" / "tiny.py", (*QUICK, "--seeds", "0", "1", *forced)
    went_well(call(script, *flags))
    expected = results(house)
    for pages in (0, 1, 3, 40):
        for each in small_disk.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()
        old = b"of nobody" * 100 if forced else None
        if old:
            (house / PLACE).parent.mkdir(parents=True)
            (house / PLACE).write_bytes(old)
        filler = fill(small_disk, pages)
        done = call(script, *flags)
        if done.returncode == 0:
            break
        refused(done, str(small_disk), "run the same command again")
        assert not left_over(house)
        if old and (house / PLACE).read_bytes() != old:
            assert [each.read_bytes() for each in (small_disk / "replaced").glob("*.pkl")] == [old]
        filler.unlink()
        went_well(call(script, *flags))
        assert results(house) == expected
        assert not list(small_disk.rglob("*.state"))
    assert done.returncode == 0 and pages, "it never fitted, or was never full"


@pytest.mark.parametrize("size", [300, 1000])
def test_a_training_whose_files_may_not_grow_names_the_file(house, size):
    command = (house / "hw1_1" / "tiny.py", *QUICK)
    done = call(*command, before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    refused(done, str(house / "out"), "run the same command again")
    assert not left_over(house)
    went_well(call(*command))
    assert len(results(house)) == 3


def test_a_report_on_a_full_disk_stays_due_and_the_next_run_makes_it(house, small_disk):
    script = copy_with_report(house.parent / "copy") / "report" / "build.py"
    (script.parents[1] / "out").symlink_to(small_disk)
    filler, report = fill(small_disk, 1), small_disk / "quick" / "report" / "hw1.pdf"
    refused(call(script, *QUICK), "out/quick/report/hw1.pdf: ", "No space left on device; free some disk space")
    assert not report.exists() and not left_over(small_disk)
    filler.unlink()
    went_well(call(script, *QUICK))
    assert report.read_bytes().startswith(b"%PDF-")


def test_the_driver_on_a_full_disk_names_its_log_and_the_next_run_does_all(house, small_disk, record_property):
    filler, words = fill(small_disk, 0), "out/logs/quick/data.log: No space left on device; free some disk space"
    refused(drive(house), words)
    filler.unlink()
    # A log that fills up midway: the step does its work, and fails for its log.
    (house / "common" / "data.py").write_text("for _ in range(9000): print('obtained', flush=False)\n")
    filler = fill(small_disk, 4)
    errors = drive(house).stderr
    assert f"error: {words}" in errors and "Traceback" not in errors
    filler.unlink()
    assert "error" not in went_well(drive(house)).stderr
    assert len(results(house)) == 3
    record_property("cases", 2)


def test_output_that_goes_nowhere_is_an_error_and_closed_output_is_none(house, record_property):
    tiny, plot = (house / "hw1_1" / "tiny.py", *QUICK), (house / "hw1_1" / "plot_tiny.py", *QUICK)
    driver = ("sh", house / "run_all.sh", "--no-venv", *QUICK, "--only", "hw1_1/tiny")
    commands = [tiny, (*tiny, "--check"), (*tiny, "--force", "--list"), (*plot, "--force"), (*plot, "--check")]
    commands += [(sys.executable, "-m", "common.history", PLACE)]
    went_well(drive(house))
    for command in [*commands, driver, (*driver, "--check"), (*driver, "--force", "--list")]:
        with open("/dev/full", "w") as full:
            refused(call(*command, stdout=full, cwd=house), "standard output", "free some disk space")
    for command in commands:  # the shell's own programs do complain of closed output
        for descriptor in (1, 2):
            done = call(*command, before=lambda which=descriptor: os.close(which), cwd=house)
            went_well(done)
    record_property("cases", len(commands) * 3 + 3)


# ------------------------------------------------------------------------------------------ read-only folders


def as_user(*command: Any, **options: Any) -> subprocess.CompletedProcess:
    return call(*command, before=permissions.ordinary, **options)


@pytest.fixture
def as_user_counts(tmp_path: Path) -> None:
    permissions.must_count(tmp_path)


def test_a_folder_without_write_permission_is_named_before_anything_is_trained(house, as_user_counts, record_property):
    script, out = house / "hw1_1" / "tiny.py", house / "out"
    went_well(call(script, *QUICK, "--unit", "walk/seed-0"))
    went_well(call(house / "hw1_1" / "plot_tiny.py", *QUICK))
    old, trained = (house / PLACE).read_bytes(), (house / "trained").read_bytes()
    names = {path.relative_to(out) for path in out.rglob("*")}
    for folder in ((house / PLACE).parent, out / "checkpoints", out, house):
        with read_only(folder):
            refused(as_user(script, *QUICK), str(folder), "Permission denied; check the permissions")
        assert (house / PLACE).read_bytes() == old
        assert (house / "trained").read_bytes() == trained, "trained what could not be published"
        assert {path.relative_to(out) for path in out.rglob("*")} == names
    (house / PLACE).chmod(0)
    refused(as_user(script, *QUICK), str(house / PLACE), "Permission denied; check its permissions")
    refused(as_user(script, *QUICK, "--force"), str(house / PLACE), "Permission denied; check the permissions")
    (house / PLACE).chmod(0o644)
    assert (house / "trained").read_bytes() == trained
    went_well(as_user(script, *QUICK))
    assert len(results(house)) == 3
    record_property("cases", 6)


def test_figures_report_and_driver_name_what_they_may_not_write(house, as_user_counts, record_property):
    went_well(call(house / "hw1_1" / "tiny.py", *QUICK))
    root = copy_with_report(house.parent / "copy")
    for script, place in ((house / "hw1_1" / "plot_tiny.py", "figures/tiny.svg"), (root / "report" / "build.py",
                                                                                   "report/hw1.pdf")):  # fmt: skip
        went_well(call(script, *QUICK))
        file = script.parents[1] / "out" / "quick" / place
        old = file.read_bytes()
        with read_only(file.parent):
            done = as_user(script, *QUICK, "--force")
            refused(done, str(file), "Permission denied; check the permissions of the file and its folder")
        assert file.read_bytes() == old
        shutil.rmtree(file.parent)
        with read_only(file.parents[1]):
            refused(as_user(script, *QUICK), str(file.parent), "Permission denied; check the permissions")
        went_well(as_user(script, *QUICK))
        assert file.read_bytes() == old
    shutil.rmtree(house / "out")
    (house / "out").mkdir()
    for folder in (house, house / "out"):
        with read_only(folder):
            refused(as_user("sh", house / "run_all.sh", "--no-venv", *QUICK), "out/logs", "may write in")
            refused(as_user("sh", house / "run_all.sh", *QUICK), str(house / "out"), "permissions")
        assert not list((house / "out").iterdir())
    record_property("cases", 8)


def test_all_that_only_reads_works_in_a_read_only_checkout(house, as_user_counts, record_property):
    tiny, plot = (house / "hw1_1" / "tiny.py", *QUICK), (house / "hw1_1" / "plot_tiny.py", *QUICK)
    went_well(call(*tiny))
    went_well(call(*plot))
    commands = [tiny, (*tiny, "--check"), (*tiny, "--force", "--list"), (*tiny, "--help"), plot, (*plot, "--check")]
    commands += [(sys.executable, "-m", "common.history", PLACE, *flags) for flags in ((), ("--csv",))]
    driver = ("sh", house / "run_all.sh", "--no-venv", *QUICK, "--only", "hw1_1/tiny")
    with read_only(house):
        for command in [*commands, (*driver, "--check"), (*driver, "--list"), (*driver, "--help")]:
            done = went_well(as_user(*command, cwd=house))
            assert "error" not in done.stderr and "denied" not in done.stderr, done.stderr
    record_property("cases", len(commands) + 3)
