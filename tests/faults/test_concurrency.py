"""Several processes in one checkout: they share the work, none loses another's, and readers see whole files only."""

import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import files, history, settings

import pytest
from conftest import ROOT, wait_for
from trees import PLACE, call, copy_with_report, left_over, went_well, with_driver


def results(path: Path) -> dict[str, Any]:
    """What a complete history holds of each unit."""
    kept = history.read(path)
    assert kept["complete"]
    return kept["results"]


def trained(project: Path) -> Counter:
    """How often each unit's training began since the last look."""
    path = project / "trained"
    lines = path.read_text().split() if path.exists() else []
    path.unlink(missing_ok=True)
    return Counter(lines)


def finished(process: subprocess.Popen, code: int = 0, seconds: float = 400) -> tuple[str, str]:
    """Output and errors of a process that ended with this code and without a traceback."""
    output, errors = process.communicate(timeout=seconds)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    return output, errors


def begin(folder: Path, processes: int) -> None:
    """Let processes that wait in `folder` begin, once all are there."""
    wait_for(folder, "ready *", processes)
    (folder / "go").touch()


def at_once(*commands: list, **environment: str) -> list[str]:
    """Run all commands at the same time; each ends well. What each printed."""
    outputs: dict[int, str] = {}

    def run(place: int, command: list) -> None:
        outputs[place] = went_well(call(*command, env=environment)).stdout

    threads = [threading.Thread(target=run, args=each) for each in enumerate(commands)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outputs) == len(commands)
    return [outputs[place] for place in range(len(commands))]


# ------------------------------------------------------------------------------------------- whole drivers


def test_two_drivers_in_one_checkout_share_the_work_and_both_end_well(project, record_property):
    quick = with_driver(project)
    at_once(quick)
    alone = results(project / PLACE)
    for scales in (["quick"] * 2, ["quick", "paper"]):
        shutil.rmtree(project / "out")
        trained(project)
        both = at_once(*([*quick[:-1], scale] for scale in scales), TINY_SECONDS="0.1")
        assert all("failed" not in shown for shown in both)
        assert trained(project) == {unit: len(set(scales)) for unit in alone}
        assert results(project / PLACE) == alone
        assert b"<svg" in (project / "out/quick/figures/tiny.svg").read_bytes()[:500]
    assert len(results(project / "hw1_1/history/tiny.pkl")["walk/seed-0"]["loss"]) == 8  # of the paper scale
    assert "kept, measured " in at_once(quick)[0] and not trained(project)
    record_property("cases", 2)


def test_listed_commands_run_four_at_once_from_an_empty_tree(project, record_property):
    command, seeds = with_driver(project), 8
    script = project / "hw1_1/tiny.py"
    script.write_text(script.read_text().replace("(0, 1, 2)", str(tuple(range(seeds)))))
    parallel = '"$@" --list | tr "\\n" "\\0" | xargs -0 -n1 -P4 bash -c'
    at_once(["bash", "-c", parallel, "bash", *command], TINY_SECONDS="0.05")
    units = [f"walk/seed-{seed}" for seed in range(seeds)]
    assert trained(project) == dict.fromkeys(units, 1)
    assert set(results(project / PLACE)) == set(units)
    assert "kept, " in at_once(command)[0] and not trained(project)
    record_property("cases", seeds)


def test_a_real_script_fills_one_history_by_its_listed_commands_at_once(checkout, tmp_path, record_property):
    flags = "--iterations 40 --window 10 --window-start 20 --seeds 2 --fixed-examples 100 --fixed-every 20"
    flags += " --arms mnist/adam f1/adam"
    command = [checkout / "hw1_2/grad_norm.py", "--scale", "quick", *flags.split()]
    empty = {"KERAS_HOME": str(tmp_path / "keras"), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    [listed] = at_once([*command, "--list"], **empty)
    units = listed.splitlines()
    assert len(units) == 2
    at_once(*(["bash", "-c", unit] for unit in units), **empty)
    [path] = (checkout / "out/changed").glob("grad_norm-*/hw1_2/history/grad_norm.pkl")
    both = results(path)
    assert set(both) == {"mnist/adam", "f1/adam"}
    path.unlink()
    at_once(command, **empty)
    assert repr(results(path)) == repr(both)  # NaN equals itself in words only
    record_property("cases", 2)


# ------------------------------------------------------------------------------ one script, several processes


def test_the_same_and_other_settings_at_once_give_what_each_alone_gives(project, tiny, tmp_path, record_property):
    different = [("--seeds", "0", "1", "2", "3", "4"), ("--epochs", "6"), ("--learning-rate", "0.25")]
    different += [("--scale", "paper")]
    for flags in different:
        finished(tiny(*flags))
    found = sorted(path.relative_to(project) for path in project.rglob("history/*.pkl"))
    assert len(found) == len(different)
    alone = {path: results(project / path) for path in found}
    count = trained(project)
    for path in found:
        (project / path).unlink()
    shutil.rmtree(project / "out")
    calls = [*different, *different, (), ("--unit", "walk/seed-1"), ("--unit", "walk/seed-2", "--force")]
    started = [tiny(*flags, TINY_WAITS=str(tmp_path), TINY_SECONDS="0.01") for flags in calls]
    begin(tmp_path, len(started))
    for process in started:
        finished(process)
    assert {path: results(project / path) for path in found} == alone
    assert {path.relative_to(project) for path in project.rglob("history/*.pkl")} == set(found)
    again = trained(project)
    assert again - count <= Counter(["walk/seed-2"]) and not count - again  # the forced one, where it was there already
    assert not left_over(project) and not (project / "out/replaced").exists()
    record_property("cases", len(calls))


def test_force_beside_a_run_leaves_a_whole_history(project, tiny, tmp_path, record_property):
    finished(tiny())
    alone = results(project / PLACE)
    beside = ([(), ("--force",)], [("--force", "--unit", "walk/seed-1"), ("--force",), ()])
    for turn, flags in enumerate(beside):
        for empty in (True, False):
            if empty:
                shutil.rmtree(project / "out")
            trained(project)
            folder = tmp_path / f"{turn} {empty}"
            folder.mkdir()
            started = [tiny(*each, TINY_WAITS=str(folder), TINY_SECONDS="0.02") for each in flags]
            begin(folder, len(started))
            for process in started:
                finished(process)
            assert results(project / PLACE) == alone
            forced = Counter(unit for each in flags if each for unit in ([each[-1]] if len(each) > 1 else alone))
            count = trained(project)
            assert not forced - count, "what was to be trained again was not"
            assert not count - forced - Counter(list(alone))
    record_property("cases", 2 * len(beside))


def test_a_reader_never_sees_anything_but_whole_files(project, tiny, record_property):
    with_driver(project)
    seeds = [str(seed) for seed in range(20)]
    finished(tiny("--unit", "walk/seed-0", "--seeds", *seeds))
    over, failures, looks = threading.Event(), [], Counter()
    place = project / PLACE

    def look(name: str, once: Callable[[], Any]) -> None:
        while not over.is_set() and not failures:
            try:
                once()
                looks[name] += 1
            except Exception as error:
                failures.append(error)

    def checked(script: str) -> None:
        ran = call(project / "hw1_1" / script, "--scale", "quick", "--check")
        assert ran.returncode == 0 or ran.stdout.startswith(("due: ", "partial: ")), ran.stdout + ran.stderr

    readers = {
        "read": lambda: history.read(place),
        "script": lambda: checked("tiny.py"),
        "plot": lambda: checked("plot_tiny.py"),
    }
    threads = [threading.Thread(target=look, args=reader) for reader in readers.items()]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            writers = [
                tiny("--force", "--seeds", *seeds, *(f"--unit=walk/seed-{seed}" for seed in seeds[part::2]))
                for part in range(2)
            ]
            for process in writers:
                finished(process)
            if min(looks[name] for name in readers) >= 3:
                break
    finally:
        over.set()
        for thread in threads:
            thread.join(90)
    assert not failures
    assert min(looks[name] for name in readers) >= 3
    assert set(results(place)) == {f"walk/seed-{seed}" for seed in seeds}
    record_property("cases", sum(looks.values()))


@pytest.mark.parametrize("moment", ["trained walk/seed-0 1", "saved walk/seed-0 3", "kept walk/seed-0"])
def test_what_a_killed_process_held_is_finished_by_those_who_wait(project, tiny, tmp_path, moment):
    finished(tiny())
    alone = results(project / PLACE)
    shutil.rmtree(project / "out")
    trained(project)
    dying = tiny("--unit", "walk/seed-0", TINY_DIES=moment, TINY_WAITS=str(tmp_path), TINY_SECONDS="0.5")
    begin(tmp_path, 1)
    wait_for(project / "out/checkpoints", "**/.walk-seed-0.state.lock")
    waiting = [tiny("--unit", "walk/seed-0"), tiny()]
    assert dying.wait(60) == -9
    for process in waiting:
        finished(process)
    assert results(project / PLACE) == alone
    assert trained(project)["walk/seed-0"] == (1 if moment.startswith("kept") else 2)


def test_a_process_that_waits_for_another_says_so(project, tiny):
    first = tiny(TINY_HANGS="walk/seed-0")
    wait_for(project / "out" / "checkpoints", "**/*.state")
    second = tiny("--unit", "walk/seed-0")
    said = [second.stderr.readline() for _ in range(2)]
    assert said[1] == "hw1_1/tiny: waiting for the process that trains walk/seed-0\n"
    first.kill()
    finished(second)


# ------------------------------------------------------------------------- locks, and other identities


def test_a_lock_that_is_left_or_cannot_be_used_is_harmless_or_named(project, tiny, tmp_path, record_property):
    finished(tiny("--unit", "walk/seed-0"))
    precious = tmp_path / "precious"
    harmless: dict[str, Callable[[Path], Any]] = {
        "left behind": lambda lock: lock.write_text("12345"),
        "a pipe": os.mkfifo,
        "leads to a file": lambda lock: (precious.write_text("kept"), lock.symlink_to(precious)),
    }
    named: dict[str, Callable[[Path], Any]] = {
        "a folder": Path.mkdir,
        "leads to itself": lambda lock: lock.symlink_to(lock),
    }
    checkpoints = project / "out/checkpoints/quick/hw1_1/tiny"
    locks = (project / PLACE.parent / ".tiny.pkl.lock", checkpoints / ".walk-seed-1.state.lock")
    whole = (project / PLACE).read_bytes()
    for lock in locks:
        for name, prepare in (harmless | named).items():
            lock.unlink(missing_ok=True)
            prepare(lock)
            _, errors = finished(tiny("--unit", "walk/seed-1"), code=name in named, seconds=60)
            if name in named:
                assert errors.splitlines()[-1].startswith(f"error: {lock}: "), errors
                assert (project / PLACE).read_bytes() == whole
            lock.rmdir() if lock.is_dir() else lock.unlink()
            (project / PLACE).write_bytes(whole)
            shutil.rmtree(checkpoints)
            checkpoints.mkdir()
    assert precious.read_text() == "kept"
    record_property("cases", 2 * len(harmless | named))


def test_histories_of_two_identities_in_turn_lose_no_unit(project, tiny, tmp_path, record_property):
    script = project / "hw1_1/tiny.py"
    text, seeds = script.read_text(), [str(seed) for seed in range(9)]
    started = []
    for revision in (1, 2):
        script.write_text(text.replace("REVISION = 1", f"REVISION = {revision}"))
        started.append(tiny("--seeds", *seeds, TINY_WAITS=str(tmp_path), TINY_SECONDS="0.01"))
        wait_for(tmp_path, "ready *", revision)  # so that it has read its script
    begin(tmp_path, 2)
    for process in started:
        finished(process)
    kept = [history.read(path) for path in ((project / PLACE), *(project / "out/replaced").iterdir())]
    measured = {(each["code"]["revision"], unit) for each in kept for unit in each["results"]}
    assert measured == {(revision, f"walk/seed-{seed}") for revision in (1, 2) for seed in seeds}
    record_property("cases", len(kept))


def test_a_history_that_is_replaced_during_a_run_is_named_or_put_aside(project, tiny, tmp_path, record_property):
    finished(tiny())
    other = history.encode(history.read(project / PLACE) | {"data": {"name": "MNIST", "fingerprint": "ab"}})
    contents = {"damaged": b"damaged", "of other data": other}
    for name, content in contents.items():
        for flags in ((), ("--force",)):
            shutil.rmtree(project / "out")
            folder = tmp_path / f"{name} {flags}"
            folder.mkdir()
            run = tiny(*flags, TINY_WAITS=str(folder))
            wait_for(folder, "ready *")
            files.write_atomically(project / PLACE, content)
            begin(folder, 1)
            refused = not flags and content is not other
            _, errors = finished(run, code=refused)
            if refused:
                assert "not a usable history" in errors.splitlines()[-1]
                assert (project / PLACE).read_bytes() == content
            else:
                assert [path.read_bytes() for path in (project / "out/replaced").glob("*.pkl")] == [content]
                assert len(results(project / PLACE)) == 3
    record_property("cases", 2 * len(contents))


def test_plots_and_reports_at_once_make_the_files_that_each_alone_makes(tmp_path, record_property):
    root = copy_with_report(tmp_path)
    path = settings.history_path(root, "hw1_1/mnist_cnn")
    path.parent.mkdir()
    shutil.copy(settings.history_path(ROOT, "hw1_1/mnist_cnn"), path)
    plot = [sys.executable, root / "hw1_1/plot_mnist_cnn.py", "--scale", "paper", "--force"]
    report = [sys.executable, root / "report/build.py", "--scale", "paper", "--force"]
    made = [*(root / "figures" / f"mnist_cnn{suffix}" for suffix in (".svg", ".png")), root / "report/hw1.pdf"]
    at_once(plot)
    at_once(report)
    alone = [each.read_bytes() for each in made]
    at_once(plot, plot, report, report)
    assert [each.read_bytes() for each in made] == alone
    assert not left_over(root)
    record_property("cases", 4)
