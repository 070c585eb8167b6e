"""Several processes in one checkout: they share the work, none loses another's, and readers see whole files only."""

import os
import re
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
from conftest import ROOT
from test_driver import SCRIPT, calls, environment, house, row
from test_history import begin, wait_for

assert house  # a fixture
PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"
PLOT = '''"""Draws the walks."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import figures, reading, settings


def draw(kept):
    figure, panels = figures.grid(1, 1, 2)
    for unit in kept["results"]:
        panels[0, 0].plot(reading.field(kept, unit, "loss"))
    return figure


if __name__ == "__main__":
    with settings.one_message():
        drawing = figures.start(__file__, __doc__, ("tiny",))
        for name in drawing.due:
            drawing.save(name, draw(drawing.history))
'''


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


def at_once(commands: list[list[str]], **more: str) -> list[subprocess.CompletedProcess]:
    """Start all, then wait for all; each ends with 0 and without a traceback."""
    started = [
        subprocess.Popen(
            command, env=environment(**more), cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    try:
        texts = [finished(process) for process in started]
    finally:
        for process in started:
            with process:
                process.kill()
    return [subprocess.CompletedProcess(command, 0, *text) for command, text in zip(commands, texts, strict=True)]


def with_driver(project: Path, seeds: int = 3) -> list[str]:
    """Put the driver around the tiny experiment, its data and report being stand-ins; the command that starts it."""
    driver = (ROOT / "run_all.sh").read_text()
    (project / "run_all.sh").write_text(re.sub(r"(?<=experiments=\().*?(?=\))", "hw1_1/tiny", driver, flags=re.DOTALL))
    shutil.copy(ROOT / "requirements.txt", project)
    (project / "report").mkdir()
    for stand_in in ("common/data.py", "report/build.py"):
        (project / stand_in).write_text(SCRIPT)
    (project / "hw1_1/plot_tiny.py").write_text(PLOT)
    script = project / "hw1_1/tiny.py"
    script.write_text(script.read_text().replace("(0, 1, 2)", str(tuple(range(seeds)))))
    return ["bash", str(project / "run_all.sh"), "--no-venv"]


# ------------------------------------------------------------------------------------------- whole drivers


def test_two_drivers_in_one_checkout_share_the_work_and_both_end_well(house, project, record_property):
    command = ["bash", str(house / "run_all.sh"), "--no-venv", "--scale", "quick", "--only", "hw1_2"]
    for done in at_once([command] * 2):  # stand-ins
        assert re.search("  (done|kept, .*)  ", row(done, "hw1_2/error_surface, figures"))
    assert {line.split()[0] for line in calls(house)} >= {"hw1_2/param_pca", "hw1_2/plot_error_surface"}

    tiny = with_driver(project)
    at_once([[*tiny, "--scale", "quick"]])
    alone = results(project / PLACE)
    for scales in (["quick"] * 2, ["quick", "paper"]):
        shutil.rmtree(project / "out")
        trained(project)
        both = at_once([[*tiny, "--scale", scale] for scale in scales], TINY_SECONDS="0.1")
        for done in both:
            assert re.search("  (done|kept, .*)  ", row(done, "hw1_1/tiny"))
            assert re.search("  (done|kept, .*)  ", row(done, "hw1_1/tiny, figures"))
        assert trained(project) == {unit: len(set(scales)) for unit in alone}
        assert results(project / PLACE) == alone
        assert b"<svg" in (project / "out/quick/figures/tiny.svg").read_bytes()[:500]
    assert len(results(project / "hw1_1/history/tiny.pkl")["walk/seed-0"]["loss"]) == 8  # of the paper scale
    again = at_once([[*tiny, "--scale", "quick"]])[0]
    assert "kept, measured " in row(again, "hw1_1/tiny") and not trained(project)
    record_property("cases", 3)


def test_listed_commands_run_four_at_once_from_an_empty_tree(project, record_property):
    seeds = 8
    command = with_driver(project, seeds)
    parallel = "bash \"$1\" --no-venv --scale quick --list | tr '\\n' '\\0' | xargs -0 -n1 -P4 bash -c"
    at_once([["bash", "-c", parallel, "bash", command[1]]], TINY_SECONDS="0.05")
    units = [f"walk/seed-{seed}" for seed in range(seeds)]
    assert trained(project) == dict.fromkeys(units, 1)
    assert set(results(project / PLACE)) == set(units)
    assert "kept, " in row(at_once([[*command, "--scale", "quick"]])[0], "hw1_1/tiny")
    assert not trained(project)
    record_property("cases", seeds)


def test_a_real_script_fills_one_history_by_its_listed_commands_at_once(checkout, tmp_path, record_property):
    (checkout / "data").mkdir()
    flags = ["--scale", "quick", "--iterations", "40", "--window", "10", "--window-start", "20", "--seeds", "2"]
    flags += ["--fixed-examples", "100", "--fixed-every", "20", "--arms", "mnist/adam", "f1/adam"]
    script = str(checkout / "hw1_2/grad_norm.py")
    empty = {"KERAS_HOME": str(tmp_path / "keras"), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    listed = at_once([[sys.executable, script, *flags, "--list"]], **empty)[0].stdout
    assert len(listed.splitlines()) == 2
    parallel = "tr '\\n' '\\0' | xargs -0 -n1 -P2 bash -c"
    command = ["bash", "-c", parallel]
    done = subprocess.run(command, input=listed, env=environment(**empty), capture_output=True, text=True, timeout=400)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    [path] = (checkout / "out/changed").glob("grad_norm-*/hw1_2/history/grad_norm.pkl")
    both = results(path)
    assert set(both) == {"mnist/adam", "f1/adam"}
    path.unlink()
    at_once([[sys.executable, script, *flags]], **empty)
    assert repr(results(path)) == repr(both)  # NaN is itself in words only
    record_property("cases", 2)


# ------------------------------------------------------------------------------ one script, several processes


def test_the_same_and_other_settings_at_once_give_what_each_alone_gives(project, tiny, tmp_path, record_property):
    different = [
        ("--seeds", "0", "1", "2", "3", "4", "5"),
        ("--epochs", "6"),
        ("--learning-rate", "0.25"),
        ("--epochs", "6", "--learning-rate", "0.25"),
        ("--scale", "paper"),
    ]
    for flags in different:
        finished(tiny(*flags))
    found = sorted(path.relative_to(project) for path in project.rglob("history/*.pkl"))
    assert len(found) == len(different)
    alone = {path: results(project / path) for path in found}
    count = trained(project)
    for path in found:
        (project / path).unlink()
    shutil.rmtree(project / "out")
    calls_at_once = [*different, *different, (), (), ("--unit", "walk/seed-1"), ("--unit", "walk/seed-2", "--force")]
    started = [tiny(*flags, TINY_WAITS=str(tmp_path), TINY_SECONDS="0.01") for flags in calls_at_once]
    begin(tmp_path, len(started))
    for process in started:
        finished(process)
    assert {path: results(project / path) for path in found} == alone
    assert {path.relative_to(project) for path in project.rglob("history/*.pkl")} == set(found)
    again = trained(project)
    assert again - count <= Counter(["walk/seed-2"]) and not count - again  # the forced one, where it was there already
    assert not list(project.rglob(".*.tmp")) and not (project / "out/replaced").exists()
    record_property("cases", len(calls_at_once))


def test_force_beside_a_run_leaves_a_whole_history(project, tiny, tmp_path, record_property):
    finished(tiny())
    alone = results(project / PLACE)
    beside = ([(), ("--force",)], [("--force",)] * 3, [("--force", "--unit", "walk/seed-1"), (), ("--force",), ()])
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


def test_a_reader_never_sees_anything_but_whole_files(project, tiny, tmp_path, record_property):
    with_driver(project)
    seeds = [str(seed) for seed in range(30)]
    finished(tiny("--unit", "walk/seed-0", "--seeds", *seeds))
    over, seen, looks = threading.Event(), [], Counter()

    def look(name: str, once: Callable[[], Any]) -> None:
        while not over.is_set():
            try:
                seen.append(once())
                looks[name] += 1
            except Exception as error:
                seen.append(error)
                return

    def command(*words: str) -> int:
        ran = subprocess.run(
            [sys.executable, *words], env=environment(), cwd=project, capture_output=True, text=True, timeout=60
        )
        assert ran.returncode == 0 or ran.stdout.startswith(("due: ", "partial: ")), ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.returncode

    place = str(project / PLACE)
    readers = {
        "read": lambda: len(history.read(Path(place))["results"]),
        "show": lambda: command("-m", "common.history", place),
        "check of the script": lambda: command("hw1_1/tiny.py", "--scale", "quick", "--check"),
        "check of the plot": lambda: command("hw1_1/plot_tiny.py", "--scale", "quick", "--check"),
    }
    threads = [threading.Thread(target=look, args=reader) for reader in readers.items()]
    for thread in threads:
        thread.start()
    try:
        for _ in range(8):
            writers = [
                tiny("--force", "--seeds", *seeds, *(f"--unit=walk/seed-{seed}" for seed in seeds[part::3]))
                for part in range(3)
            ]
            for process in writers:
                finished(process)
            if min(looks[name] for name in readers) >= 3:
                break
    finally:
        over.set()
        for thread in threads:
            thread.join(90)
    assert not [each for each in seen if not isinstance(each, int)]
    assert min(looks[name] for name in readers) >= 3
    assert set(results(project / PLACE)) == {f"walk/seed-{seed}" for seed in seeds}
    record_property("cases", sum(looks.values()))


@pytest.mark.parametrize(
    "moment", ["trained walk/seed-0 1", "saved walk/seed-0 2", "saved walk/seed-0 3", "kept walk/seed-0"]
)
def test_what_a_killed_process_held_is_finished_by_those_who_wait(project, tiny, tmp_path, moment):
    finished(tiny())
    alone = results(project / PLACE)
    shutil.rmtree(project / "out")
    trained(project)
    dying = tiny("--unit", "walk/seed-0", TINY_DIES=moment, TINY_WAITS=str(tmp_path), TINY_SECONDS="0.5")
    begin(tmp_path, 1)
    wait_for(project / "out/checkpoints", "**/walk-seed-0.lock")
    waiting = [tiny("--unit", "walk/seed-0"), tiny("--unit", "walk/seed-0"), tiny()]
    dying.wait(60)
    assert dying.returncode == -9
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


# ------------------------------------------------------------------------------------------------- locks


def test_a_lock_that_is_left_or_cannot_be_used_is_harmless_or_named(project, tiny, tmp_path, record_property):
    finished(tiny("--unit", "walk/seed-0"))
    precious = tmp_path / "precious"
    harmless: dict[str, Callable[[Path], Any]] = {
        "left behind": lambda lock: lock.write_text("12345"),
        "a pipe": os.mkfifo,
        "leads to a file": lambda lock: (precious.write_text("kept"), lock.symlink_to(precious)),
        "leads nowhere": lambda lock: lock.symlink_to(tmp_path / "made"),
    }
    named: dict[str, Callable[[Path], Any]] = {
        "a folder": Path.mkdir,
        "leads to itself": lambda lock: lock.symlink_to(lock),
    }
    if os.getuid():  # root may open it
        named["read-only"] = lambda lock: lock.touch(0o400)
    checkpoints = project / "out/checkpoints/quick/hw1_1/tiny"
    locks = (project / PLACE.parent / ".tiny.pkl.lock", checkpoints / "walk-seed-1.lock")
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


# ------------------------------------------------------------------------------------ another identity


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
    whole = (project / PLACE).read_bytes()
    other = history.encode(history.read(project / PLACE) | {"data": {"name": "MNIST", "fingerprint": "ab"}})
    contents = {"empty": b"", "damaged": b"damaged", "truncated": whole[:-9], "of other data": other}
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


# ------------------------------------------------------------------------------------ figures and report


def test_plots_and_reports_at_once_make_the_files_that_each_alone_makes(tmp_path, record_property):
    root = tmp_path / "the project"
    for folder in ("common", "report", "hw1_1", "hw1_2", "hw1_3"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "history", "*.pdf"))
    shutil.copy(ROOT / "run_all.sh", root)  # which lists the experiments
    path = settings.history_path(root, "hw1_1/mnist_cnn")
    path.parent.mkdir()
    shutil.copy(settings.history_path(ROOT, "hw1_1/mnist_cnn"), path)
    plot = [sys.executable, str(root / "hw1_1/plot_mnist_cnn.py"), "--scale", "paper", "--force"]
    report = [sys.executable, str(root / "report/build.py"), "--scale", "paper", "--force"]
    made = [*(root / "figures" / f"mnist_cnn{suffix}" for suffix in (".svg", ".png")), root / "report/hw1.pdf"]
    at_once([plot])
    at_once([report])
    alone = [each.read_bytes() for each in made]
    at_once([plot, plot, report, report])
    assert [each.read_bytes() for each in made] == alone
    assert not list(root.rglob(".*.tmp"))
    shutil.rmtree(root / "figures")
    at_once([plot, report, plot, report])
    assert [each.read_bytes() for each in made[:2]] == alone[:2]
    at_once([[*report[:-1]]])
    assert made[2].read_bytes() == alone[2]
    record_property("cases", 8)
