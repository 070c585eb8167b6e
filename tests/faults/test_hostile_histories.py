"""Hostile and damaged histories and checkpoints: nothing in them runs, each is refused in one message, none hangs."""

import base64
import copy
import gzip
import importlib
import io
import itertools
import json
import math
import os
import pickle
import pickletools
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import checkpoint, figures, files, history, history_file, plain_pickle, settings

import numpy as np
import pytest
from conftest import ROOT
from tiny_experiment import Variable
from trees import NO_FILES, PLACE, call, files_in, refused, went_well

from report import build

REAL = ROOT / "hw1_1" / "history" / "cifar10_cnn.pkl"  # the smallest of the committed ones
SECONDS = 60  # for one small file, far above what it takes: nothing may hang
MOST_MEMORY = 600  # megabytes that reading any file may take beside those of the process


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Fail instead of hanging."""

    def fail(*arguments: Any) -> None:
        pytest.fail("took more than ten minutes")

    handler = signal.signal(signal.SIGALRM, fail)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, handler)


sealed = files.with_checksum


def packed(value: Any) -> bytes:
    """The bytes of a file that holds `value`, whether or not that is a history."""
    return sealed(pickle.dumps(value, 4))


def outcome(path: Path) -> str:
    """Empty where `read` returns a history that its readers can show, else its one message. Raises on anything else."""
    try:
        found = history.read(path)
    except history.UnreadableError as refusal:
        message = str(refusal)
        assert message.isprintable() and len(message) < 1500 + len(str(path))
        assert message.startswith(f"{path}: ") and ("restore it" in message or "check its permissions" in message)
        return message
    history_file._check_fields(found)
    plain_pickle.check(found)
    return ""


def outcome_of(content: bytes, path: Path) -> str:
    path.write_bytes(content)
    return outcome(path)


def printable(*command: Any) -> subprocess.CompletedProcess:
    """A command of the project that shows a terminal no control characters."""
    done = call(*command, cwd=ROOT, errors="strict")
    assert all(line.isprintable() for line in (done.stdout + done.stderr).split("\n")), done
    return done


def small() -> dict[str, Any]:
    """A copy of a real history, of two units."""
    kept = history.read(REAL)
    units = list(kept["results"])[:2]
    for part in ("units", "results"):
        kept[part] = {unit: kept[part][unit] for unit in units}
    return kept | {"complete": True}


# ----------------------------------------------------------------------------------- damaged and foreign


def foreign_contents() -> dict[str, bytes]:
    """What else may lie under a history's name, among it histories that a tool has converted."""
    whole = REAL.read_bytes()
    body, arrays = files.checked(whole), io.BytesIO()
    np.savez(arrays, results=np.arange(9))
    checksum = whole[len(body) :]
    return {
        "empty": b"",
        "page": b"<!DOCTYPE html><html><body>404: Not Found</body></html>\n",
        "npz, sealed": sealed(arrays.getvalue()),
        "gzip, sealed": sealed(gzip.compress(whole)),
        "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
        "json, sealed": sealed(json.dumps(small()).encode()),
        "merge conflict": b"<<<<<<< HEAD\n" + whole + b"=======\n" + whole + b">>>>>>> other\n",
        "LF to CRLF": whole.replace(b"\n", b"\r\n"),
        "base64": base64.b64encode(whole),
        "tail of zeros": whole[:-200] + bytes(200),
        "without checksum": body,
        "wrong checksum": body + checksum[:-2] + (b"0" if checksum[-2:-1] != b"0" else b"1") + b"\n",
        "checksum in capitals": body + files.TRAILER + checksum[len(files.TRAILER) :].upper(),
        "checksum twice": whole + checksum,
        "byte before it": b"\n" + whole,
        "two under one checksum": sealed(body + body),
    }


def test_a_real_history_cut_flipped_or_of_another_kind_is_refused(tmp_path, record_property):
    whole, chance, path = REAL.read_bytes(), random.Random(1), tmp_path / "history.pkl"
    assert outcome_of(whole, path) == ""
    damaged = [whole[:length] for length in (*range(0, len(whole), 200), *range(len(whole) - 200, len(whole)))]
    for _ in range(500):
        flipped = bytearray(whole)
        for place in chance.sample(range(len(whole)), chance.choice((1, 1, 2, 30))):
            flipped[place] ^= 1 << chance.randrange(8)
        damaged.append(bytes(flipped))
    for number, content in enumerate(damaged):
        with pytest.raises(ValueError, match="checksum"):
            plain_pickle.loads(content)
        assert number % 40 or "checksum" in outcome_of(content, path)
    foreign = foreign_contents()
    for name, content in foreign.items():
        assert "not a usable history" in outcome_of(content, path), name
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert (outcome_of(sealed(pickle.dumps(small(), protocol)), path) == "") == (protocol == 4), protocol
    record_property("cases", len(damaged) + len(foreign) + 6)


# -------------------------------------------------------------------------- opcodes with a right checksum

ARGUMENTS = (  # of any opcode: none, numbers, names of code, lengths that no file has
    b"", b"\x00" * 9, b"\xff" * 9, b"\x01", b"\x02\0\0\0os", b"\x02os", (2).to_bytes(8, "little") + b"os",
    (2**60).to_bytes(8, "little") + b"os", b"\xff\xff\xff\x7fos", b"os\nsystem\n", b"'os'\n", b"\\ud800\n", b"1.5\n",
    b"01\n", b"-5L\n", b"9" * 100_000 + b"\n", b"x\n", b"\x03\xed\xa0\x80", b"\x0ctouch canary",
    b"\xff" + b"\x7f" * 255,
)  # fmt: skip
STACKS = {  # what may lie on the stack before an opcode
    "nothing": b"",
    "a value": b"N",
    "a list and a value": b"]\x94N",
    "two texts": b"\x8c\x02os\x94\x8c\x06system\x94",
    "a name and a tuple": b"\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch canary\x85",
    "a name, a tuple and a dict": b"\x8c\x02os\x8c\x06system\x93)}",
    "a global and a tuple": b"cos\nsystem\n\x8c\x0ctouch canary\x85",
    "a list, a mark and a value": b"](N",
    "a dict, a mark, a name and a value": b"}(\x8c\x01aN",
    "a mark, a global and a text": b"(cos\nsystem\n\x8c\x0ctouch canary",
    "a dict, a name and a value": b"}\x8c\x01aN",
}


def opcode_bodies() -> Iterator[bytes]:
    """Every opcode on every stack with every argument, at the end of a pickle and within one."""
    for opcode, stack, argument in itertools.product(pickletools.opcodes, STACKS.values(), ARGUMENTS):
        if bool(argument) == bool(opcode.arg):
            piece = opcode.code.encode("latin-1") + argument
            yield b"\x80\x04" + stack + piece + b"."
            yield b"\x80\x04\x95" + (len(stack + piece) + 1).to_bytes(8, "little") + stack + piece + b"."
            yield stack + piece + piece + b"."


def altered_bodies(count: int) -> Iterator[bytes]:
    """A real history's pickle with bytes replaced, taken out, or opcodes put in."""
    whole, chance = pickle.dumps(small(), 4), random.Random(7)
    pieces = [bytes((code,)) for code in range(256)] + [b"cos\nsystem\n", b"\x93", b"\x85R", b"h\0", b"]\x94"]
    for _ in range(count):
        body = bytearray(whole)
        for _ in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(2, len(body) - 1)
            body[place : place + chance.randrange(9) // 2] = chance.choice(pieces)
        yield bytes(body)


def test_no_opcode_in_any_place_builds_more_than_plain_data_or_causes_an_event(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    cases, admitted, reading, events = 0, 0, [], []
    sys.addaudithook(lambda event, arguments: events.append((event, arguments)) if reading else None)
    for body in (*opcode_bodies(), *altered_bodies(500)):
        cases += 1
        started, content = time.monotonic(), sealed(body)
        reading.append(body)  # no import, no open file, no process from here
        try:
            loaded = plain_pickle.loads(content)
            reading.clear()
            plain_pickle.check(loaded)
            assert {each.name for each, _, _ in pickletools.genops(body)} <= plain_pickle.OPCODES | {"PROTO", "STOP"}
            admitted += 1
        except ValueError as refusal:
            reading.clear()
            assert str(refusal)
        assert not [event for event in events if event[0] != "builtins.id"], body[:100]
        assert time.monotonic() - started < SECONDS, body[:100]
    assert 10 < admitted < cases / 2  # some are plain data
    assert not (tmp_path / "canary").exists()
    record_property("cases", cases)


# ------------------------------------------------------------------------------------------------- bombs

FULL = 4_900_000  # bytes that fill a file


def bombs() -> dict[str, bytes]:
    """Bodies that would take all memory or all time, each below the largest size."""
    text = b"](X" + b"\0\0\x10\0" + b"x" * 2**20 + b"\x94"
    return {
        "a list of nothing": b"](" + b"N" * FULL + b"e",
        "memoized without end": b"]" + b"\x94" * FULL,
        "marks": b"(" * FULL,
        "short texts": b"](" + b"\x8c\x02xy" * (FULL // 4) + b"e",
        "one text, often": text + b"h\0" * 1_800_000 + b"e",
        "one wide text, often": text.replace(b"xx", b"\xc3\xa4") + b"h\0" * 1_800_000 + b"e",
        "long integers": b"](" + (b"\x8a\xff" + b"\x7f" * 255) * (FULL // 257) + b"e",
        "many names": b"}(" + b"".join(b"\x8c\x06%06xN" % n for n in range(FULL // 9)) + b"u",
        "empty lists": b"](" + b"]" * FULL + b"e",
        "lists just below the limit": b"](" + b"]" * (plain_pickle.MOST_CONTAINERS - 1) + b"e",
        "values just below the limit": b"](" + b"N" * (FULL - 5) + b"e",
        "nested": b"]" * 100_000 + b"a" * 99_999,
        "a dict in itself": b"}\x94\x8c\x01ah\0s",
        "two lists in each other": b"]\x94]\x94h\0ah\1h\1\x94h\0h\1aa",
        "a billion laughs": b"]\x94" + b"".join(b"](" + b"h%c" % row * 10 + b"e\x94" for row in range(60)),
        "far memo": b"]r\xff\xff\xff\x7f",
        "frame without end": b"\x95" + (2**60).to_bytes(8, "little") + b"N",
        "tables of many columns": b"](" + (b"](" + b"N" * 160_000 + b"e") * 30 + b"e",
    }


READER = """
import json, os, resource, sys, time
from pathlib import Path
from common import history
for name in sys.stdin.read().split():
    process = os.fork()
    if process == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        started = time.process_time()
        try:
            history.read(Path(name))
            said = "read"
        except history.UnreadableError as refusal:
            said = str(refusal)
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps([name, said[:2000], taken / 1024, time.process_time() - started]), flush=True)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        print(json.dumps([name, "died", 0, 0]), flush=True)
"""


def test_bombs_take_little_memory_and_time(tmp_path, record_property):
    names = {}
    for number, (name, body) in enumerate(bombs().items()):
        assert len(body) < plain_pickle.LARGEST, name
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(sealed(b"\x80\x04" + body + b"."))
        names[str(path)] = name
    done = went_well(call(sys.executable, "-c", READER, cwd=ROOT, input="\n".join(names)))
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(names)
    for path, said, megabytes, seconds in outcomes:
        assert said.startswith(f"{path}: not a usable history: "), (names[path], said)
        assert megabytes < MOST_MEMORY and seconds < 40, (names[path], megabytes, seconds)
    record_property("cases", len(outcomes))


# -------------------------------------------------------------------------------------- fields and types

OTHERS = (None, True, 0, -1, 2**64, 0.5, math.nan, math.inf, "", "x", [], [1], [[1], [1, 2]], [None], {}, {"a": 1})


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of every field, and of the first item of every list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, item in items:
        yield (*path, name)
        yield from places(item, (*path, name))


def altered(whole: bytes, path: tuple, change: Callable[[Any, Any], None]) -> dict[str, Any]:
    """A history in which `change` was called with the container of the field at `path` and the field's name."""
    copied = pickle.loads(whole)
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    change(inner, path[-1])
    return copied


def test_every_field_of_every_other_type_is_refused_or_can_be_shown(tmp_path, record_property):
    whole, path = pickle.dumps(small(), 4), tmp_path / "history.pkl"
    cases = shown = 0
    for place in places(pickle.loads(whole)):
        changed = [altered(whole, place, lambda inner, name, to=to: inner.__setitem__(name, to)) for to in OTHERS]
        changed.append(altered(whole, place, lambda inner, name: inner.__delitem__(name)))
        if isinstance(place[-1], str):
            changed.append(altered(whole, place, lambda inner, name: inner.__setitem__(name + "2", inner[name])))
            changed.append(altered(whole, place, lambda inner, name: inner.__setitem__(5, inner[name])))
        for each in changed:
            cases += 1
            if outcome_of(packed(each), path) == "":
                shown += 1
                if shown % 20 == 0:  # a table takes a while
                    assert all(line.isprintable() for line in history.describe(each).split("\n"))
    assert shown > 100
    record_property("cases", cases)


# ----------------------------------------------------------------------------------------- texts in files

TEXTS = (
    "\x1b[2J\x1b]0;title\x07", "\r\n= Heading", "\u202eright to left", "\u2066\u200b", "\x00\x9b31m",
    "$\\frac", "$x^2$", "\\$", "_x_ *y*", '#panic("x")', '#read("/etc/passwd")', "@lu2019 <here>", "</svg><script>",
    "&amp; <b>", "../../x", "/etc/x", "a/b/seed-../..", "--force", "`id`; $(id)", "%s {0} {x!r}", "=1+1",
    "\U0001f600\u05d0\u4e2d", "n" * 100_000,
)  # fmt: skip


def with_text(text: str) -> dict[str, Any]:
    """A history of a classifier with `text` wherever a text may stand, so that plots and report can show it."""
    kept = small()
    kept["settings"] |= {text: text, "list": [text, text]}
    kept["data"] = {"name": text, "fingerprint": text, "source": text, text: text}
    kept["environment"] = {text: text}
    kept["code"] = {"revision": 1, "hash": text, "commit": text}
    for record in kept["units"].values():
        record |= {"code": text, "device": text, text: text}
    for results in kept["results"].values():
        results[text] = {text: text}
        results["summary"][text] = 1.0
    return kept


@pytest.mark.filterwarnings("ignore:Glyph")  # that a font lacks
def test_texts_are_shown_literally_in_terminal_figure_and_report(tmp_path, record_property):
    figures.use_style()
    plot = importlib.import_module("hw1_1.plot_cifar10_cnn")
    path = settings.history_path(tmp_path, "hw1_1/cifar10_cnn")
    path.parent.mkdir(parents=True)
    for text in TEXTS:
        kept = with_text(text)
        assert outcome_of(packed(kept), path) == ""
        for shown in (history.describe(kept), history.table(kept).to_csv()):
            assert all(line.isprintable() for line in shown.split("\n")) and len(shown) < 100_000
        if "$" in text or "\x1b" in text:  # others are no markup for matplotlib
            for draw in plot.FIGURES.values():
                figures.encode(draw(kept), ".svg", f"history x; measured {history.measured_on(kept)}")
    for text in ("\udcff", "x\ud800"):  # no Unicode, which JSON and a terminal refuse
        assert "codec can't encode" in outcome_of(packed(with_text(text)), path)
    for text in ("".join(TEXTS[:5]), "".join(TEXTS[6:22])):
        path.write_bytes(packed(with_text(text)))
        assert build.build(tmp_path, "paper").pdf.startswith(b"%PDF-")
        for flags in ((), ("--csv",)):
            went_well(printable(sys.executable, "-m", "common.history", path, path, *flags))
    for text in ("".join(TEXTS[:6]), TEXTS[-1]):
        path.write_bytes(packed(small() | {"experiment": text}))
        done = printable("hw1_1/plot_cifar10_cnn.py", "--history", path)
        assert done.returncode == 1 and len(done.stderr) < 6000
        assert f"{path}: this history is of " in done.stderr.splitlines()[-1]
    record_property("cases", 2 * len(TEXTS) + 8)


def test_names_in_a_history_never_become_paths(project, tmp_path, record_property):
    script = project / "hw1_1" / "tiny.py"
    went_well(call(script, "--scale", "quick", "--seeds", "0"))
    own = history.read(project / PLACE)
    names = ("../../../x", "/tmp/canary/x", "..", "a\x00b", "-rf", "~/x", "walk/../../x", "n" * 5000)
    before = set(files_in(tmp_path))
    kept = copy.deepcopy(own)
    for name in names:
        for part in ("units", "results"):
            kept[part][name] = copy.deepcopy(own[part]["walk/seed-0"])
        kept["settings"][name] = [name]  # a list selects units, so the history stays of this identity
    (project / PLACE).write_bytes(packed(kept))
    went_well(call(script, "--scale", "quick", "--seeds", "0", "1"))
    assert set(history.read(project / PLACE)["results"]) == {"walk/seed-0", "walk/seed-1", *names}
    for experiment in ("../../etc/x", "/etc/x", "hw1_1/../../x"):
        (project / PLACE).write_bytes(packed(own | {"experiment": experiment}))
        went_well(call(script, "--scale", "quick", "--seeds", "0"))
    aside = list((project / "out" / "replaced").iterdir())
    assert aside and all(path.name.startswith("tiny-") for path in aside)
    new = {path.relative_to(project / "out").parts[0] for path in set(files_in(tmp_path)) - before}
    assert new <= {"checkpoints", "replaced"}
    record_property("cases", len(names) + 3)


def odd_files(folder: Path) -> dict[str, Path]:
    """Things under a history's name that are no usable history."""
    folder.mkdir()
    for name, make in NO_FILES.items():
        make(folder / f"{name}.pkl")
    (folder / "damaged.pkl").write_bytes(REAL.read_bytes()[:-9])
    return {path.stem: path for path in folder.iterdir()}


def test_odd_files_are_refused_by_every_command_in_one_message(project, tmp_path, record_property):
    plot = Path(shutil.copy(ROOT / "hw1_1" / "plot_cifar10_cnn.py", project / "hw1_1"))
    plotted = (project / PLACE).with_name("cifar10_cnn.pkl")
    plotted.parent.mkdir(parents=True)
    odd = odd_files(tmp_path / "odd")
    for name, path in odd.items():
        assert outcome(path), name
        refused(printable(sys.executable, "-m", "common.history", path), f"{path}: ")
        for place in (project / PLACE, plotted):
            place.unlink(missing_ok=True)
            place.symlink_to(path)
        checked = printable(project / "hw1_1" / "tiny.py", "--scale", "quick", "--check")
        assert checked.returncode == 1
        assert checked.stdout.startswith(f"unreadable: {project / PLACE}: ") and checked.stdout.count("\n") == 1
        done = printable(plot, "--scale", "quick")
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {plotted}: "), name
    (tmp_path / "nowhere.pkl").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "nowhere.pkl", tmp_path / "gone"):
        refused(printable(sys.executable, "-m", "common.history", path), f"error: {path}: ")
    record_property("cases", 4 * len(odd) + 2)


# ------------------------------------------------------------------------------------------ checkpoints

IDENTITY = {"experiment": "hw1_1/tiny", "unit": "walk/seed-0", "settings": {"learning_rate": 0.1}}


def blank() -> list[Variable]:
    return [Variable(np.zeros((3, 4), np.float32)), Variable(np.zeros((), np.int64)), Variable(np.zeros(1, np.uint64))]


class Trap:
    def __reduce__(self):
        return os.system, ("touch canary",)


def hostile_checkpoints() -> dict[str, bytes]:
    """Files that `save` does not write."""
    about = {"identity": IDENTITY, "seconds": 1.0, "codes": [""], "done": {"": 1}, "results": {"loss": [1.0]}}
    values, trap = [each.value + 1 for each in blank()], np.array([Trap()], object)

    def file(about: Any, *arrays: np.ndarray) -> bytes:
        content = io.BytesIO()
        np.savez(content, about, *arrays)
        return content.getvalue()

    line = np.frombuffer(json.dumps(about).encode(), np.uint8)
    return {
        "code for results": file(trap, *values),
        "code for a variable": file(line, trap, *values[1:]),
        "a pickle": pickle.dumps(Trap()),
        "deep": file(np.frombuffer(b"[" * 10**6, np.uint8), *values),
        "no text": file(np.arange(9.0), *values),
        "too few": file(line, *values[1:]),
        "too many": file(line, *values, values[0]),
        "another type": file(line, values[0].astype(float), *values[1:]),
        "another shape": file(line, values[0].T, *values[1:]),
        "of another run": file(np.frombuffer(json.dumps(about | {"identity": {}}).encode(), np.uint8), *values),
        "no array": b"PK\x05\x06" + bytes(18),
        "too large": bytes(10**8),
    }


def test_hostile_checkpoints_start_afresh_and_run_nothing(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    hostile = {name: tmp_path / name for name in hostile_checkpoints()}
    for name, content in hostile_checkpoints().items():
        hostile[name].write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    odd = odd_files(tmp_path / "odd")
    for name, each in (hostile | odd).items():
        kept, variables = checkpoint.Checkpoint(each, IDENTITY), blank()
        assert kept.restore(variables, {}) == {} and kept.done == {}, name
        assert not any(each.value.any() for each in variables), name  # none of them, not the first ones
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST_MEMORY
    assert not (tmp_path / "canary").exists()
    record_property("cases", len(hostile) + len(odd))


def test_a_run_with_an_odd_checkpoint_ends_like_one_without(project, tmp_path, record_property):
    command = (project / "hw1_1" / "tiny.py", "--scale", "quick", "--seeds", "0")
    went_well(call(*command))
    results = history.read(project / PLACE)["results"]
    folder = project / "out" / "checkpoints" / "quick" / "hw1_1" / "tiny"
    odd = {name: path for name, path in odd_files(tmp_path / "odd").items() if name != "folder"}
    for path in odd.values():
        (project / PLACE).unlink()
        (folder / "walk-seed-0.state").symlink_to(path)
        went_well(call(*command))
        assert history.read(project / PLACE)["results"] == results
        assert not list(folder.glob("*.state"))
    record_property("cases", len(odd))
