"""Hostile and damaged histories and checkpoints: nothing in them runs, each is refused in one message, none hangs."""

import base64
import contextlib
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
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from common import checkpoint, figures, files, history, history_file, plain_pickle, settings

import numpy as np
import pytest
from conftest import ROOT
from tiny_experiment import Variable

PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"
REAL = ROOT / "hw1_1" / "history" / "cifar10_cnn.pkl"  # the smallest of the committed ones
COMMITTED = sorted(ROOT.glob("hw1_*/history/*.pkl"))
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


def sealed(body: bytes) -> bytes:
    return files.with_checksum(body)


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


def command(*arguments: Any, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    """A command of the project; it must end without a traceback and show a terminal no control characters."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        timeout=SECONDS,
        env={name: value for name, value in os.environ.items() if name != "HW1_DATA_DIR"} | environment,
    )
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()  # strictly UTF-8
    assert "Traceback" not in done.stderr, done.stderr
    for line in (done.stdout + done.stderr).split("\n"):
        assert line.isprintable(), line
    return done


def refused(done: subprocess.CompletedProcess, path: Path) -> None:
    """The command ended with 1 and one error message, which names the file and a remedy."""
    assert (done.returncode, done.stdout) == (1, ""), done.stdout
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {path}: ") and ("restore it" in last or "check " in last or "remove" in last), last
    assert done.stderr.count("error: ") == 1


def real() -> dict[str, Any]:
    """A copy of a small history that was measured."""
    return history.read(REAL)


# ----------------------------------------------------------------------------------- damaged and foreign


def foreign_contents() -> dict[str, bytes]:
    """What else may lie under a history's name, among it histories that a tool has converted."""
    whole = REAL.read_bytes()
    body = files.checked(whole)
    array, arrays = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(9))
    np.savez(arrays, results=np.arange(9))
    checksum = whole[len(body) :]
    return {
        "empty": b"",
        "page": b"<!DOCTYPE html><html><body>404: Not Found</body></html>\n",
        "gzip, sealed": sealed(gzip.compress(whole)),
        "npy, sealed": sealed(array.getvalue()),
        "npz, sealed": sealed(arrays.getvalue()),
        "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
        "json, sealed": sealed(json.dumps(real()).encode()),
        "merge conflict": b"<<<<<<< HEAD\n" + whole + b"=======\n" + whole + b">>>>>>> other\n",
        "LF to CRLF": whole.replace(b"\n", b"\r\n"),
        "UTF-16": whole.decode("latin-1").encode("utf-16"),
        "base64": base64.b64encode(whole),
        "tail of zeros": whole[:-200] + bytes(200),
        "without checksum": body,
        "checksum alone": checksum,
        "wrong checksum": body + checksum[:-2] + (b"0" if checksum[-2:-1] != b"0" else b"1") + b"\n",
        "checksum in capitals": body + files.TRAILER + checksum[len(files.TRAILER) :].upper(),
        "checksum twice": whole + checksum,
        "byte after it": whole + b"\n",
        "byte before it": b"\n" + whole,
        "two in a row": whole + whole,
        "two under one checksum": sealed(body + body),
    }


def test_a_real_history_cut_flipped_or_of_another_kind_is_refused(tmp_path, record_property):
    whole, chance, path = REAL.read_bytes(), random.Random(1), tmp_path / "history.pkl"
    assert outcome_of(whole, path) == ""
    cuts = (*range(0, len(whole), 50), *range(len(whole) - 200, len(whole)))
    damaged = [whole[:length] for length in cuts]
    flips = 2000
    for _ in range(flips):
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
    for name in ("empty", "page", "npz, sealed", "two in a row"):
        path.write_bytes(foreign[name])
        refused(command("-m", "common.history", path), path)
    record_property("cases", len(damaged) + len(foreign) + 4)


# -------------------------------------------------------------------------- opcodes with a right checksum


def arguments_of(opcode: Any) -> list[bytes]:
    """Encoded arguments of an opcode: small ones, code's names, and lengths that no file has."""
    kind = opcode.arg.name if opcode.arg else ""
    text = b"touch canary"
    return {
        "": [b""],
        "uint1": [b"\x00", b"\x01", b"\xff"],
        "uint2": [b"\x00\x00", b"\xff\xff"],
        "int4": [(n % 2**32).to_bytes(4, "little") for n in (0, 1, -1, 2**31 - 1, -(2**31))],
        "uint4": [n.to_bytes(4, "little") for n in (0, 1, 2**31, 2**32 - 1)],
        "uint8": [n.to_bytes(8, "little") for n in (0, 1, 2**31, 2**60, 2**64 - 1)],
        "stringnl": [b"'os'\n", b"os\n", b"'a\\x00'\n", b"'\\ud800'\n"],
        "stringnl_noescape": [b"os\n", b"\n", b"\xff\n"],
        "stringnl_noescape_pair": [b"os\nsystem\n", b"builtins\neval\n", b"os.path\njoin.__globals__\n", b"\n\n"],
        "decimalnl_short": [b"0\n", b"01\n", b"-1\n", b"9" * 100_000 + b"\n", b"1_0\n", b"x\n"],
        "decimalnl_long": [b"0L\n", b"-5L\n", b"9" * 100_000 + b"L\n"],
        "floatnl": [b"1.5\n", b"nan\n", b"1e999\n", b"x\n"],
        "float8": [struct.pack(">d", number) for number in (0.5, math.nan, math.inf)],
        "string1": [b"\x02os", b"\x00", b"\xffos"],
        "string4": [b"\x02\0\0\0os", b"\xff\xff\xff\xffos", b"\xff\xff\xff\x7fos"],
        "bytes1": [b"\x02os", b"\x00", b"\xffos"],
        "bytes4": [b"\x02\0\0\0os", b"\xff\xff\xff\xffos"],
        "bytes8": [(2).to_bytes(8, "little") + b"os", (2**60).to_bytes(8, "little") + b"os", b"\xff" * 8],
        "bytearray8": [(2).to_bytes(8, "little") + b"os", (2**60).to_bytes(8, "little") + b"os", b"\xff" * 8],
        "unicodestringnl": [b"os\n", b"\\ud800\n", b"\\x\n"],
        "unicodestring1": [b"\x02os", b"\x00", b"\xffos", b"\x03\xed\xa0\x80", b"\x01\xff", b"\x0c" + text],
        "unicodestring4": [b"\x02\0\0\0os", b"\xff\xff\xff\xffos"],
        "unicodestring8": [(2).to_bytes(8, "little") + b"os", (2**60).to_bytes(8, "little") + b"os", b"\xff" * 8],
        "long1": [b"\x00", b"\x01\xff", b"\xff" + b"\x7f" * 255, b"\xff\x01"],
        "long4": [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\xff\xff\xff\x7f", b"\x02\0\0\0\1\1"],
    }[kind]


STACKS = {  # what may lie on the stack before an opcode
    "nothing": b"",
    "a value": b"N",
    "a list": b"]\x94",
    "a dict": b"}\x94",
    "two texts": b"\x8c\x02os\x94\x8c\x06system\x94",
    "a name and a tuple": b"\x8c\x02os\x8c\x06system\x93\x8c\x0ctouch canary\x85",
    "a name, a tuple and a dict": b"\x8c\x02os\x8c\x06system\x93)}",
    "a global and a tuple": b"cos\nsystem\n\x8c\x0ctouch canary\x85",
    "a mark": b"(",
    "a list, a mark and a value": b"](N",
    "a dict, a mark, a name and a value": b"}(\x8c\x01aN",
    "a mark, a global and a text": b"(cos\nsystem\n\x8c\x0ctouch canary",
    "a dict, a name and a value": b"}\x8c\x01aN",
    "a list and a value": b"]N",
    "memo 0 and a list": b"N\x94]",
}


def opcode_bodies() -> Iterator[bytes]:
    """Every opcode on every stack with every argument, at the end of a pickle and within one."""
    for opcode, stack in itertools.product(pickletools.opcodes, STACKS.values()):
        for argument in arguments_of(opcode):
            piece = opcode.code.encode("latin-1") + argument
            yield b"\x80\x04" + stack + piece + b"."
            yield b"\x80\x04" + stack + piece + piece + b"."
            yield b"\x80\x04\x95" + (len(stack + piece) + 1).to_bytes(8, "little") + stack + piece + b"."
            yield stack + piece + b"."


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
    for body in (*opcode_bodies(), *altered_bodies(1500)):
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


def test_of_all_protocols_only_the_fourth_is_read_and_gives_the_same(tmp_path, record_property):
    cases = 0
    for path in sorted(COMMITTED, key=lambda each: each.stat().st_size)[:8]:
        original = history.read(path)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            message = outcome_of(sealed(pickle.dumps(original, protocol)), tmp_path / "history.pkl")
            assert (message == "") == (protocol == 4), (path, protocol)
            cases += 1
        assert outcome_of(packed(original), tmp_path / "history.pkl") == ""
        assert repr(history.read(tmp_path / "history.pkl")) == repr(original)  # NaN is not equal to itself
    record_property("cases", cases)


# ------------------------------------------------------------------------------------------------- bombs

FULL = 15_900_000  # bytes that fill a file


def bombs() -> Iterator[tuple[str, bytes]]:
    """Bodies that would take all memory or all time, each below the largest size."""
    text = b"](X" + b"\0\0\x10\0" + b"x" * 2**20 + b"\x94"
    bodies = {
        "a list of nothing": b"](" + b"N" * FULL + b"e",
        "memoized without end": b"]" + b"\x94" * FULL,
        "marks": b"(" * FULL,
        "short texts": b"](" + b"\x8c\x02xy" * (FULL // 4) + b"e",
        "one text": b"X" + FULL.to_bytes(4, "little") + b"x" * FULL,
        "one text, often": text + b"h\0" * 2_000_000 + b"e",
        "one wide text, often": text.replace(b"xx", b"\xc3\xa4") + b"h\0" * 2_000_000 + b"e",
        "long integers": b"](" + (b"\x8a\xff" + b"\x7f" * 255) * (FULL // 257) + b"e",
        "many names": b"}(" + b"".join(b"\x8c\x06%06xN" % n for n in range(FULL // 9)) + b"u",
        "empty frames": (b"\x95" + bytes(8)) * (FULL // 9) + b"N",
        "empty lists": b"](" + b"]" * FULL + b"e",
        "lists just below the limit": b"](" + b"]" * (plain_pickle.MOST_CONTAINERS - 1) + b"e",
        "values just below the limit": b"](" + b"N" * (plain_pickle.MOST_OPCODES - 5) + b"e",
        "nested": b"]" * 100_000 + b"a" * 99_999,
        "nested dicts": b"}\x8c\x01a" * 90_000 + b"N" + b"s" * 90_000,
        "a dict in itself": b"}\x94\x8c\x01ah\0s",
        "two lists in each other": b"]\x94]\x94h\0ah\1h\1\x94h\0h\1aa",
        "a billion laughs": b"]\x94" + b"".join(b"](" + b"h%c" % row * 10 + b"e\x94" for row in range(60)),
        "far memo": b"]r\xff\xff\xff\x7f",
        "far memo read": b"]j\xff\xff\xff\xff",
        "frame without end": b"\x95" + (2**60).to_bytes(8, "little") + b"N",
        "frame in a frame": b"\x95" + (12).to_bytes(8, "little") + b"\x95" + (2).to_bytes(8, "little") + b"N",
        "protocol in the middle": b"]\x80\x04",
        "several ends": b"N..",
        "tables of many columns": b"](" + (b"](" + b"N" * 160_000 + b"e") * 30 + b"e",
    }
    yield from ((name, b"\x80\x04" + body + b".") for name, body in bodies.items())


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
        except BaseException as other:
            said = f"raised {other!r}"
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(json.dumps([name, said[:2000], taken / 1024, time.process_time() - started]), flush=True)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        print(json.dumps([name, "died", 0, 0]), flush=True)
"""


def test_bombs_take_little_memory_and_time(tmp_path, record_property):
    names = {}
    reader = subprocess.Popen(
        [sys.executable, "-c", READER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for number, (name, body) in enumerate(bombs()):
        assert len(body) < plain_pickle.LARGEST_READ, name
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(sealed(body))
        names[str(path)] = name
    output, _ = reader.communicate("\n".join(names))
    told = [json.loads(line) for line in output.splitlines()]
    assert len(told) == len(names)
    for path, said, megabytes, seconds in told:
        assert said.startswith(f"{path}: not a usable history: "), (names[path], said)
        assert megabytes < MOST_MEMORY, (names[path], megabytes)
        assert seconds < 40, (names[path], seconds)
    record_property("cases", len(told))


# -------------------------------------------------------------------------------------- fields and types

OTHERS = (
    None,
    True,
    0,
    -1,
    2**62,
    2**64,
    0.5,
    math.nan,
    math.inf,
    "",
    "x",
    [],
    [1],
    [[1], [1, 2]],
    [None],
    {},
    {"a": 1},
)


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


def small() -> dict[str, Any]:
    """A real history, of two units."""
    kept = real()
    units = list(kept["results"])[:2]
    for part in ("units", "results"):
        kept[part] = {unit: kept[part][unit] for unit in units}
    return kept | {"complete": True}


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
                if shown % 7 == 0:  # a table takes a while
                    assert all(line.isprintable() for line in history.describe(each).split("\n"))
    assert shown > 100
    record_property("cases", cases)


# ----------------------------------------------------------------------------------------- texts in files

TEXTS = (
    "\x1b[2J\x1b]0;title\x07", "\r\n= Heading", "\u202eright to left", "\u2066\u200b", "\x00\x9b31m",
    "$\\frac", "$x^2$", "\\$", "_x_ *y*", '#panic("x")', '#read("/etc/passwd")', "@lu2019 <here>", "</svg><script>",
    "&amp; <b>", "../../x", "/etc/x", "..", "a/b/seed-../..", "-", "--force", "`id`; $(id)", "%s {0} {x!r}", "=1+1",
    "\U0001f600\u05d0\u4e2d", "n" * 400_000,
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
    from report import build

    figures.use_style()
    plot = importlib.import_module("hw1_1.plot_cifar10_cnn")
    path = settings.history_path(tmp_path, "hw1_1/cifar10_cnn")
    path.parent.mkdir(parents=True)
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9pt" height="9pt"/>'
    cases = 0
    for text in TEXTS:
        kept = with_text(text)
        path.write_bytes(packed(kept))
        assert outcome(path) == ""
        for shown in (history.describe(kept), history.table(kept).to_csv()):
            assert all(line.isprintable() for line in shown.split("\n")) and len(shown) < 100_000
        if "$" in text or "\x1b" in text:  # others are no markup for matplotlib
            for draw in plot.FIGURES.values():
                figures.encode(draw(kept), ".svg", f"history x; measured {history.measured_on(kept)}")
        numbers, _ = build.gather(tmp_path, "paper")
        assert numbers["sections"]["cifar10_cnn"]["state"] == "complete"
        json.dumps(numbers, allow_nan=False).encode()
        cases += 4
    for text in ("\udcff", "x\ud800"):  # no Unicode, which JSON and a terminal refuse
        assert "codec can't encode" in outcome_of(packed(with_text(text)), path)
        cases += 1
    for text in ("".join(TEXTS[:5]), "".join(TEXTS[6:25])):
        path.write_bytes(packed(with_text(text)))
        (tmp_path / "figures").mkdir(exist_ok=True)
        (tmp_path / "figures" / "cifar10_cnn.svg").write_bytes(drawing)
        assert build.build(tmp_path, "paper").pdf.startswith(b"%PDF-")
        for flags in ((), ("--csv",)):
            assert command("-m", "common.history", path, path, *flags).returncode == 0
        cases += 3
    record_property("cases", cases)


def test_a_foreign_name_is_one_line_of_an_error_message(tmp_path, record_property):
    path = settings.history_path(tmp_path, "hw1_1/cifar10_cnn")
    path.parent.mkdir(parents=True)
    texts = ("".join(TEXTS[:6]), TEXTS[-1])
    for text in texts:
        path.write_bytes(packed(small() | {"experiment": text}))
        done = command("hw1_1/plot_cifar10_cnn.py", "--history", path)
        assert done.returncode == 1 and len(done.stderr) < 6000
        assert f"{path}: this history is of " in done.stderr.splitlines()[-1]
        path.write_bytes(packed(small() | {"scale": text}))
        assert command("-m", "common.history", path).returncode == 0
    record_property("cases", 2 * len(texts))


def tree_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_names_in_a_history_never_become_paths(project, tiny, tmp_path, record_property):
    assert tiny("--seeds", "0").wait(SECONDS) == 0
    own = history.read(project / PLACE)
    names = ("../../../x", "/tmp/canary/x", "..", "a\x00b", "-rf", "~/x", "walk/../../x", "n" * 5000)
    before = tree_of(tmp_path)
    kept = copy.deepcopy(own)
    for name in names:
        for part in ("units", "results"):
            kept[part][name] = copy.deepcopy(own[part]["walk/seed-0"])
        kept["settings"][name] = [name]  # a list selects units, so the history stays of this identity
    (project / PLACE).write_bytes(packed(kept))
    process = tiny("--seeds", "0", "1")
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert set(history.read(project / PLACE)["results"]) == {"walk/seed-0", "walk/seed-1", *names}
    new = tree_of(tmp_path) - before
    assert all(name.startswith("the project/out/checkpoints/quick/hw1_1/tiny") for name in new), new
    for experiment in ("../../etc/x", "/etc/x", "hw1_1/../../x"):
        (project / PLACE).write_bytes(packed(own | {"experiment": experiment}))
        assert tiny("--seeds", "0").wait(SECONDS) == 0
    new = tree_of(tmp_path) - before
    inside = ("the project/out/checkpoints/", "the project/out/replaced")
    assert all(name.startswith(inside) for name in new), new
    aside = list((project / "out" / "replaced").iterdir())
    assert aside and all(path.name.startswith("tiny-") for path in aside)
    record_property("cases", len(names) + 3)


# -------------------------------------------------------------------------------------------- as files


def odd_files(folder: Path) -> dict[str, Path]:
    """Things under a history's name that are no usable history."""
    folder.mkdir()
    paths = {
        name: folder / f"{name}.pkl" for name in ("large", "folder", "fifo", "socket", "zero", "itself", "damaged")
    }
    paths["large"].touch()
    os.truncate(paths["large"], 17_000_000)
    paths["folder"].mkdir()
    os.mkfifo(paths["fifo"])
    with socket.socket(socket.AF_UNIX) as listener, contextlib.chdir(folder):  # a socket's path must be short
        listener.bind(paths["socket"].name)
    paths["zero"].symlink_to("/dev/zero")
    paths["itself"].symlink_to(paths["itself"].name)
    paths["damaged"].write_bytes(REAL.read_bytes()[:-9])
    return paths


def test_odd_files_are_refused_by_every_command_in_one_message(project, tiny, tmp_path, record_property):
    assert tiny().wait(SECONDS) == 0
    cases = 0
    plot = Path(shutil.copy(ROOT / "hw1_1" / "plot_cifar10_cnn.py", project / "hw1_1"))
    plotted = (project / PLACE).with_name("cifar10_cnn.pkl")
    for name, path in odd_files(tmp_path / "odd").items():
        assert outcome(path), name
        refused(command("-m", "common.history", path), path)
        for place in (project / PLACE, plotted):
            place.unlink(missing_ok=True)
            place.symlink_to(path)
        checked = command(project / "hw1_1" / "tiny.py", "--scale", "quick", "--check")
        assert checked.returncode == 1
        assert checked.stdout.startswith(f"unreadable: {project / PLACE}: ") and checked.stdout.count("\n") == 1
        done = command(plot, "--scale", "quick")
        assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {plotted}: "), name
        cases += 4
    (tmp_path / "nowhere.pkl").symlink_to(tmp_path / "gone")
    for path in (tmp_path / "nowhere.pkl", tmp_path / "gone", tmp_path / "damaged" / "x"):
        done = command("-m", "common.history", path)
        assert done.returncode == 1 and done.stderr.startswith(f"error: {path}: ") and done.stderr.count("\n") == 1
        cases += 1
    record_property("cases", cases)


def test_the_report_names_every_unusable_history(tmp_path, record_property):
    from report import build

    copied = tmp_path / "a checkout"
    for folder in ("common", "report", *(path.name for path in ROOT.glob("hw1_*"))):
        shutil.copytree(
            ROOT / folder, copied / folder, ignore=shutil.ignore_patterns("__pycache__", "history", "*.pdf")
        )
    shutil.copy(ROOT / "run_all.sh", copied)  # which lists the experiments
    kinds = list(odd_files(tmp_path / "odd").values())
    contents = [packed(real() | {"scale": "quick", "results": {}}), packed([]), gzip.compress(b"x"), b"", sealed(b"(.")]
    for number, content in enumerate(contents):
        (tmp_path / str(number)).write_bytes(content)
        kinds.append(tmp_path / str(number))
    for experiment, path in zip(build.experiments(), kinds, strict=True):
        place = settings.history_path(copied / "out" / "quick", experiment)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(path)
    done = command(copied / "report" / "build.py", "--scale", "quick")
    assert done.returncode == 0, done.stderr
    assert (copied / "out" / "quick" / "report" / "hw1.pdf").read_bytes().startswith(b"%PDF-")
    states = build.gather(copied / "out" / "quick", "quick")[0]["histories"]
    for about in states:
        assert about["words"].startswith("unreadable: "), about["experiment"]
    record_property("cases", len(kinds))


def with_gaps(value: Any, chance: random.Random) -> Any:
    """The value with one number of fifty that is none, or infinite."""
    if isinstance(value, dict):
        return {name: with_gaps(item, chance) for name, item in value.items()}
    if isinstance(value, list):
        return [with_gaps(item, chance) for item in value]
    return chance.choice([math.nan, math.inf, -math.inf]) if type(value) is float and chance.random() < 0.02 else value


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of sums with such numbers
def test_numbers_in_results_that_are_none_or_infinite_are_gaps(tmp_path, record_property):
    from report import build

    chance = random.Random(12)
    for path in COMMITTED:
        spoiled = history.read(path)
        spoiled["results"] = with_gaps(spoiled["results"], chance)
        place = tmp_path / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(history_file.encode(spoiled))
        script = path.parents[1] / f"plot_{path.stem}.py"
        drawn = command(script, "--history", place)
        assert drawn.returncode == 0, f"{script}: {drawn.stderr[-500:]}"
    assert build.build(tmp_path, "paper").pdf.startswith(b"%PDF-")
    record_property("cases", len(COMMITTED) + 1)


def test_a_file_that_may_not_be_read_is_named(tmp_path):
    path = tmp_path / "history.pkl"
    path.write_bytes(REAL.read_bytes())
    path.chmod(0)
    code = f"import os; os.geteuid() or (os.setegid(65534), os.seteuid(65534)); open({str(path)!r})"
    tried = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if "PermissionError" not in tried.stderr:
        pytest.skip("this user may read everything")
    code = (
        "import sys; from pathlib import Path; from common import history, settings; import os\n"
        "os.geteuid() or (os.setegid(65534), os.seteuid(65534))\n"
        "with settings.one_message(): history.read(Path(sys.argv[1]))"
    )
    done = command("-c", code, path)
    refused(done, path)
    assert "Permission denied; check its permissions" in done.stderr or "restore it" in done.stderr


def test_a_file_that_changes_while_it_is_read_is_whole_or_refused(tmp_path, record_property):
    path, wholes = tmp_path / "history.pkl", [each.read_bytes() for each in COMMITTED[:3]]
    path.write_bytes(wholes[0])
    stopping = threading.Event()

    def write() -> None:
        chance = random.Random(3)
        while not stopping.is_set():
            whole = chance.choice(wholes)
            if chance.random() < 0.3:
                files.write_atomically(path, whole)
                continue
            with open(path, "wb") as file:  # as an editor, or a copy over the network
                for start in range(0, len(whole), 50_000):
                    file.write(whole[start : start + 50_000])
                    file.flush()
                file.write(b"more" * chance.randrange(2))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        outcomes = [outcome(path) for _ in range(40)]
    finally:
        stopping.set()
        writer.join()
    assert all("checksum" in each or each == "" for each in outcomes)
    record_property("cases", len(outcomes))


# ------------------------------------------------------------------------------------------ checkpoints

IDENTITY = {"experiment": "hw1_1/tiny", "unit": "walk/seed-0", "settings": {"learning_rate": 0.1}}


def blank() -> list[Variable]:
    return [Variable(np.zeros((3, 4), np.float32)), Variable(np.zeros((), np.int64)), Variable(np.zeros(1, np.uint64))]


class Trap:
    def __reduce__(self):
        return os.system, ("touch canary",)


def hostile_checkpoints() -> dict[str, bytes]:
    """Files with a right checksum, most with the right identity, none as `save` writes it."""
    values = b"".join((each.value + 1).tobytes() for each in blank())
    kinds = [["<f4", [3, 4]], ["<i8", []], ["<u8", [1]]]

    def about(content: bytes = values, **other: Any) -> bytes:
        fields = {"identity": IDENTITY, "seconds": 1.0, "codes": [""], "done": {"": 1}, "variables": kinds}
        return json.dumps(fields | {"results": {"loss": [1.0]}} | other).encode() + b"\n" + content

    whole, names = about(), ("identity", "seconds", "codes", "done", "variables", "results")
    fields = json.loads(whole[: whole.index(b"\n")])
    lines = {
        "a list": b"[]", "a number": b"5", "nothing": b" ", "a text": b'"x"', "no fields": b"{}",
        "deep": b"[" * 10**6, "deep and closed": b"[" * 9999 + b"]" * 9999, "deep objects": b'{"a":' * 10**6,
        "a long number": b"9" * 10**6, "not UTF-8": b"\xff\xfe{}", "UTF-16": '{"identity": 1}'.encode("utf-16"),
        "many lists": b"[" + b"[]," * 2_000_000 + b"[]]",
        **{f"no {name}": json.dumps({key: fields[key] for key in names if key != name}).encode() for name in names},
    }  # fmt: skip
    bodies = {f"about: {name}": line + b"\n" + values for name, line in lines.items()}
    for name, odd in {
        "identity": [{}, None], "seconds": [None, "x", True, -1, math.nan, math.inf, []],
        "results": [None, 5, "x", [1], True], "done": [None, [], {"": "x"}, {"": None}, {"": math.inf}],
        "variables": [None, [], kinds[:2], [["<f8", [3, 4]], *kinds[1:]], [["<f4", [4, 3]], *kinds[1:]]],
    }.items():  # fmt: skip
        bodies |= {f"{name} {value!r}": about(**{name: value}) for value in odd}
    bodies |= {
        "too short": about(values[:-1]),
        "too long": about(values + b"x"),
        "no variables": about(b""),
        "no line": values.replace(b"\n", b" "),
        "a pickle": pickle.dumps(Trap()),
        "nothing": b"",
        "too large": bytes(checkpoint.LARGEST_RESULTS + 10_000),
    }
    chance = random.Random(5)
    for number in range(2000):  # the file itself, altered under a right checksum
        altered = bytearray(whole)
        for place in chance.sample(range(len(whole)), chance.choice((1, 2, 8))):
            altered[place] = chance.randrange(256)
        bodies[f"altered {number}"] = bytes(altered)
    return bodies


def test_hostile_checkpoints_with_a_right_checksum_start_afresh(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "walk.state"
    bodies = hostile_checkpoints()
    saved = checkpoint.Checkpoint(path, IDENTITY)
    saved.restore(blank(), {"loss": [1.0]})
    saved.reached("", 1, now=True)
    assert checkpoint.Checkpoint(path, IDENTITY).restore(blank(), {}) == {"loss": [1.0]}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, body in bodies.items():
        path.write_bytes(sealed(body))
        kept, variables = checkpoint.Checkpoint(path, IDENTITY), blank()
        results = kept.restore(variables, {})
        if name.startswith("altered") and results:  # other numbers, whole all the same
            assert isinstance(results, dict), name
            continue
        assert results == {} and kept.done == {} and kept._seconds_before == 0, name
        assert not any(each.value.any() for each in variables), name  # none of them, not the first ones
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MOST_MEMORY
    assert not (tmp_path / "canary").exists()
    odd = odd_files(tmp_path / "odd")
    for name, each in odd.items():
        assert checkpoint.Checkpoint(each, IDENTITY).restore(blank(), {}) == {}, name
    record_property("cases", len(bodies) + len(odd))


def test_a_run_with_an_odd_checkpoint_ends_like_one_without(project, tiny, tmp_path, record_property):
    assert tiny("--seeds", "0").wait(SECONDS) == 0
    results = history.read(project / PLACE)["results"]
    folder = project / "out" / "checkpoints" / "quick" / "hw1_1" / "tiny"
    odd = {name: path for name, path in odd_files(tmp_path / "odd").items() if name != "folder"}
    for name, path in odd.items():
        (project / PLACE).unlink()
        (folder / "walk-seed-0.state").symlink_to(path)
        process = tiny("--seeds", "0")
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, (name, errors)
        assert history.read(project / PLACE)["results"] == results
        assert not list(folder.glob("*.state"))
    record_property("cases", len(odd))
