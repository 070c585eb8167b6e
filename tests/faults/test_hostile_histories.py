"""Hostile and damaged histories and checkpoints: nothing in them runs, each is refused in one message, none hangs."""

import base64
import contextlib
import copy
import gzip
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
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from tiny_experiment import Variable
from trial_runs import made_up_history

from common import checkpoint, figures, files, history, history_file, plain_pickle, settings

PLACE = Path("out") / "quick" / "hw1_1" / "history" / "tiny.pkl"
REAL = ROOT / "hw1_1" / "history" / "cifar10_cnn.pkl"  # the smallest of the committed ones
COMMITTED = sorted(ROOT.glob("hw1_*/history/*.pkl"))
SECONDS = 60  # for one small file, far above what it takes: nothing may hang
MOST_MEMORY = 600  # megabytes that reading any file may take beside those of the process


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Fail instead of hanging."""

    def fail(*arguments: Any) -> None:
        pytest.fail("took more than five minutes")

    handler = signal.signal(signal.SIGALRM, fail)
    signal.alarm(300)
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
        "a line": b"\n",
        "page": b"<!DOCTYPE html><html><body>404: Not Found</body></html>\n",
        "gzip": gzip.compress(whole),
        "gzip, sealed": sealed(gzip.compress(whole)),
        "npy": array.getvalue(),
        "npy, sealed": sealed(array.getvalue()),
        "npz": arrays.getvalue(),
        "npz, sealed": sealed(arrays.getvalue()),
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "lfs pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n",
        "json": json.dumps(real()).encode(),
        "json, sealed": sealed(json.dumps(real()).encode()),
        "sqlite": b"SQLite format 3\0" + bytes(84),
        "merge conflict": b"<<<<<<< HEAD\n" + whole + b"=======\n" + whole + b">>>>>>> other\n",
        "LF to CRLF": whole.replace(b"\n", b"\r\n"),
        "CR to LF": whole.replace(b"\r", b"\n").replace(b"\n", b"\n\n"),
        "checksum line with CRLF": whole[:-1] + b"\r\n",
        "UTF-16": whole.decode("latin-1").encode("utf-16"),
        "UTF-8 of Latin-1": whole.decode("latin-1").encode(),
        "byte order mark": b"\xef\xbb\xbf" + whole,
        "base64": base64.b64encode(whole),
        "zeros": bytes(len(whole)),
        "tail of zeros": whole[:-200] + bytes(200),
        "without checksum": body,
        "checksum alone": checksum,
        "wrong checksum": body + checksum[:-2] + (b"0" if checksum[-2:-1] != b"0" else b"1") + b"\n",
        "checksum in capitals": body + files.TRAILER + checksum[len(files.TRAILER) :].upper(),
        "checksum twice": whole + checksum,
        "sealed twice": sealed(whole),
        "byte after it": whole + b"\n",
        "byte before it": b"\n" + whole,
        "two in a row": whole + whole,
        "two under one checksum": sealed(body + body),
        "three under one checksum": sealed(b"N." + body + body),
    }


def test_a_real_history_cut_flipped_or_of_another_kind_is_refused(tmp_path, record_property):
    whole, chance, path = REAL.read_bytes(), random.Random(1), tmp_path / "history.pkl"
    assert outcome_of(whole, path) == ""
    damaged = [whole[:length] for length in range(len(whole))]
    flips = 5000
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
    record_property("cases", len(whole) + flips + len(foreign) + 4)


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


def opcode_bodies() -> Iterator[tuple[Any, bytes]]:
    """Every opcode on every stack with every argument, at the end of a pickle and within one."""
    for opcode, stack in itertools.product(pickletools.opcodes, STACKS.values()):
        for argument in arguments_of(opcode):
            piece = opcode.code.encode("latin-1") + argument
            yield opcode, b"\x80\x04" + stack + piece + b"."
            yield opcode, b"\x80\x04" + stack + piece + piece + b"."
            yield opcode, b"\x80\x04\x95" + (len(stack + piece) + 1).to_bytes(8, "little") + stack + piece + b"."
            yield opcode, stack + piece + b"."


def test_no_opcode_in_any_place_builds_more_than_plain_data(tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    cases = admitted = 0
    for opcode, body in opcode_bodies():
        cases += 1
        started = time.monotonic()
        try:
            plain_pickle.check(plain_pickle.loads(sealed(body)))
            assert {each.name for each, _, _ in pickletools.genops(body)} <= plain_pickle.OPCODES | {"PROTO", "STOP"}
            admitted += 1
        except ValueError as refusal:
            assert str(refusal)
        assert time.monotonic() - started < SECONDS, body[:100]
    assert 10 < admitted < cases / 2  # some are plain data
    assert not (tmp_path / "canary").exists()
    record_property("cases", cases)


def test_of_all_protocols_only_the_fourth_is_read_and_gives_the_same(tmp_path, record_property):
    cases = 0
    for path in COMMITTED:
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
    start, deep = b"\x80\x04", 100_000
    yield "a list of nothing", start + b"](" + b"N" * FULL + b"e."
    yield "memoized without end", start + b"]" + b"\x94" * FULL + b"."
    yield "marks", start + b"(" * FULL + b"."
    yield "values without a list", start + b"N" * FULL + b"."
    yield "short texts", start + b"](" + b"\x8c\x02xy" * (FULL // 4) + b"e."
    yield "one text", start + b"X" + FULL.to_bytes(4, "little") + b"x" * FULL + b"."
    yield (
        "one text of wide characters",
        start + b"X" + FULL.to_bytes(4, "little") + b"\xf0\x9f\x98\x80" * (FULL // 4) + b".",
    )
    yield "one text, often", start + b"](X" + b"\0\0\x10\0" + b"x" * 2**20 + b"\x94" + b"h\0" * 2_000_000 + b"e."
    yield "numbers", start + b"](" + b"Jabcd" * (FULL // 5) + b"e."
    yield "floats", start + b"](" + (b"G" + b"\x3f" * 8) * (FULL // 9) + b"e."
    yield "long integers", start + b"](" + (b"\x8a\xff" + b"\x7f" * 255) * (FULL // 257) + b"e."
    yield "names", start + b"}(" + b"".join(b"\x8c\x04%04xN" % n for n in range(2**16)) * 15 + b"u."
    yield "many names", start + b"}(" + b"".join(b"\x8c\x06%06xN" % n for n in range(FULL // 9)) + b"u."
    yield "empty frames", start + (b"\x95" + bytes(8)) * (FULL // 9) + b"N."
    yield "empty lists", start + b"](" + b"]" * FULL + b"e."
    yield "empty dicts", start + b"](" + b"}" * FULL + b"e."
    yield "lists just below the limit", start + b"](" + b"]" * (plain_pickle.MOST_CONTAINERS - 1) + b"e."
    yield "values just below the limit", start + b"](" + b"N" * (plain_pickle.MOST_OPCODES - 5) + b"e."
    yield "nested", start + b"]" * deep + b"a" * (deep - 1) + b"."
    yield "nested dicts", start + b"}\x8c\x01a" * 90_000 + b"N" + b"s" * 90_000 + b"."
    yield "a list in itself", start + b"]\x94h\0a."
    yield "a list in itself, often", start + b"]\x94(" + b"h\0" * 2_000_000 + b"e."
    yield "a dict in itself", start + b"}\x94\x8c\x01ah\0s."
    yield "two lists in each other", start + b"]\x94]\x94h\0ah\1h\1\x94h\0h\1aa."
    laughs = b"".join(b"](" + b"h%c" % row * 10 + b"e\x94" for row in range(60))
    yield "a billion laughs", start + b"]\x94" + laughs + b"."
    yield (
        "a billion laughs in dicts",
        start
        + b"}\x94"
        + b"".join(
            b"}(" + b"".join(b"\x8c\x01%ch%c" % (97 + n, row) for n in range(10)) + b"u\x94" for row in range(60)
        )
        + b".",
    )
    yield "a digit a million times", start + b"I" + b"9" * 1_000_000 + b"\n."
    yield "a long a million times", start + b"L" + b"9" * 1_000_000 + b"L\n."
    yield "an integer of a million bytes", start + b"\x8b" + (10**6).to_bytes(4, "little") + b"\x7f" * 10**6 + b"."
    yield "far memo", start + b"]r\xff\xff\xff\x7f."
    yield "far memo as text", start + b"]p2147483647\n."
    yield "far memo read", start + b"]j\xff\xff\xff\xff."
    yield "frame without end", start + b"\x95" + (2**60).to_bytes(8, "little") + b"N."
    yield "frame too short", start + b"\x95" + (1).to_bytes(8, "little") + b"]\x94."
    yield "frame too long", start + b"\x95" + (9).to_bytes(8, "little") + b"]\x94."
    yield "frame in a frame", start + b"\x95" + (12).to_bytes(8, "little") + b"\x95" + (2).to_bytes(8, "little") + b"N."
    yield "protocol in the middle", start + b"]" + start + b"."
    yield "several ends", start + b"N..."
    yield "an end in the middle", start + b"N.N."
    yield "duplicated without end", start + b"]" + b"2" * FULL + b"."
    yield "dropped without end", start + b"N" + b"N0" * (FULL // 2) + b"."
    yield "tables of many columns", start + b"](" + (b"](" + b"N" * 160_000 + b"e") * 30 + b"e."


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
        print(f"{names[path]:30} {megabytes:5.0f} {seconds:5.1f} {said[len(path) + 25 : len(path) + 100]}")
        assert said.startswith(f"{path}: not a usable history: "), (names[path], said)
        assert megabytes < MOST_MEMORY, (names[path], megabytes)
        assert seconds < 40, (names[path], seconds)
    record_property("cases", len(told))
