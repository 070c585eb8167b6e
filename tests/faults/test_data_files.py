"""Data files that are damaged, wrong or hostile, by the hundred.

Each is refused by one message that names the file and the remedy, or read as what it holds: no traceback, no code that
runs, no memory beyond what the arrays take, nothing that waits for ever.
"""

import contextlib
import gzip
import io
import os
import pickle
import resource
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from common import data, data_files
from common.data_files import CIFAR10, IDX_FILES, MNIST, NAMES
from common.settings import Problem

import made_data
import numpy as np
import permissions
import pytest
from made_data import few, put
from trees import NO_FILES, call, files_in

SECONDS = 20  # more than any file may take, on a busy machine
DIGITS, COLOURED = few(MNIST, 5, 1), few(CIFAR10, 5, 1)
KINDS = {  # of file: the set, all files, the one that is damaged
    "npz": (MNIST, {"mnist.npz": made_data.npz(DIGITS, np.savez)}, "mnist.npz"),
    "npz, packed": (CIFAR10, {"cifar10.npz": made_data.npz(COLOURED)}, "cifar10.npz"),
    "idx": (MNIST, made_data.idx_files(DIGITS, "", bytes), "train-images-idx3-ubyte"),
    "idx, packed": (MNIST, made_data.idx_files(DIGITS), "t10k-labels-idx1-ubyte.gz"),
    "batches": (CIFAR10, made_data.batches(COLOURED), "data_batch_3"),
}


@pytest.fixture(autouse=True)
def own_notes(tmp_path, monkeypatch):
    """No notes of other tests; the batches made here pass for the published ones."""
    monkeypatch.setattr(data_files, "BATCHES", made_data.md5_of_batches(COLOURED))
    monkeypatch.setattr(data, "NOTES", tmp_path / "notes" / "data.json")


def judged(known: data_files.Known, folder: Path, name: str) -> str:
    """The fingerprint of what a folder holds, or nothing where it was refused in one message as promised."""
    begun = time.monotonic()
    try:
        return data_files.fingerprint(next(data_files.sources(known, folder)).read())
    except Problem as problem:
        message = str(problem)
        assert str(folder / name) in message or f"{folder} is damaged" in message, message
        assert "--data-dir" in message or "copy or download it again" in message, message
        assert message.isprintable() and len(message) < 800, message
        return ""
    finally:
        assert time.monotonic() - begun < SECONDS


@contextlib.contextmanager
def little_memory(megabytes: float) -> Iterator[None]:
    """Whatever is refused in here must not have been loaded first."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert taken < megabytes, f"{taken:.0f} MB"


# Damage.


def damaged(whole: bytes) -> Iterator[bytes]:
    """The content cut, with bits flipped, fields set to extremes, holes, and more at its end."""
    random = np.random.default_rng(18)
    edges = np.r_[0 : min(200, len(whole)), max(0, len(whole) - 600) : len(whole)]  # where headers and directories are
    for case in range(100):
        changed = np.frombuffer(whole, np.uint8).copy()
        places = random.integers(0, len(whole), 1 + case % 4) if case % 2 else random.choice(edges, 1)
        changed[places] ^= (1 << random.integers(0, 8, len(places))).astype(np.uint8)
        yield changed.tobytes()
    for place in sorted(set(random.choice(edges, 30).tolist())):
        for width, value in ((2, 0), (2, 0xFFFF), (4, 0x7FFFFFFF), (4, 0xFFFFFFFF), (8, 2**63)):
            yield whole[:place] + value.to_bytes(width, "little") + whole[place + width :]
    for length in range(0, len(whole), max(1, len(whole) // 40)):
        yield whole[:length]
        yield whole[length + 1 :]
        yield whole[:length] + bytes(len(whole) - length)
    yield whole + b"\0"


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_or_read_as_what_it_holds(tmp_path, kind, record_property):
    known, contents, name = KINDS[kind]
    arrays = DIGITS if known is MNIST else COLOURED
    folder = put(tmp_path / "data", contents)
    assert judged(known, folder, name) == data_files.fingerprint(arrays)
    cases = 0
    for content in damaged(contents[name]):
        (folder / name).write_bytes(content)
        answer = judged(known, folder, name)
        if "npz" in kind or "packed" in kind:  # which have checksums of what they hold
            assert answer in ("", data_files.fingerprint(arrays)), cases
        cases += 1
    record_property("cases", cases)


# Contents that are not those of the set.


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def with_header(text: str, body: bytes = b"", version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    """A .npy file whose header is this text; length: what it claims to be long, else the truth."""
    header = text.encode("utf-8")
    count = struct.pack("<H" if version == (1, 0) else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes(version) + count + header + body


def members(**changed: bytes) -> dict[str, bytes]:
    """The members of a right file, some of them replaced. changed: name of the array to the bytes of its .npy."""
    return {f"{name}.npy": changed.get(name, npy(array)) for name, array in DIGITS.items()}


def hostile_headers(mark: Path) -> Iterator[bytes]:
    """Array files with headers that name code, claim what no memory holds, or are hard to parse."""
    good = {"descr": "'|u1'", "fortran_order": "False", "shape": "(5, 28, 28)"}

    def header(**changed: str) -> str:
        return "{" + ", ".join(f"'{name}': {value}" for name, value in (good | changed).items()) + "}\n"

    code = f"__import__('os').mkdir({str(mark)!r})"
    numbers = (2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, -1, 10**9)
    shapes = [f"({number}, 28, 28)" for number in numbers] + [f"(5, {number}, 28)" for number in numbers]
    shapes += ["5", "[5, 28, 28]", "(5.0, 28, 28)", "{}", "()", "(5, (28, 28))", "(1e400,)", code, f"({code},)"]
    kinds = ["'|O'", "'u1, O'", "'|u999999999'", "''", "[]", "[('a', '|u1')]", "('|u1', (2000000000,))", code]
    texts = [header(shape=shape) for shape in shapes] + [header(descr=kind) for kind in kinds]
    texts += [header(fortran_order="'yes'"), header(more="1"), header()[:-20], code, "", "\n", "None", "\0" * 60]
    texts += ["(" * 3000, "-" * 3000 + "1", "9" * 3900, "1+" * 1900 + "1", header() + " " * 100_000]
    body = bytes(5 * 28 * 28)
    for version in ((1, 0), (2, 0), (3, 0)):
        for text in texts:
            if version != (1, 0) or len(text) <= 65_535:
                yield with_header(text, body, version)
    yield from (with_header(header(), body, (2, 0), length) for length in (0, 10, 2**20, 2**31, 2**32 - 1))
    yield from (with_header(header(), body, version=version) for version in ((9, 9), (0, 0)))
    yield from (with_header(header(), body[:-1]), b"", b"\x93", b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff" + body)


def hostile_npz(mark: Path) -> Iterator[bytes]:
    evil, whole, zeros = pickle.dumps(Evil(mark)), members(), bytes(40_000_000)
    objects = np.empty(5, object)
    objects[:] = Evil(mark)
    yield from (zipped({}), zipped({"mnist.npz": zipped(whole)}), zipped({f"{name}.pkl": evil for name in NAMES}))
    for name in ("../x_train.npy", "X_TRAIN.NPY", "\x1b[2J\x1b]0;title\x07.npy", "\n.npy", "n" * 60_000):
        yield zipped({each.replace("x_train.npy", name): content for each, content in whole.items()})
    pickled = with_header("{'descr': '|O', 'fortran_order': False, 'shape': (5, ), }\n", evil)
    for name in NAMES:
        yield zipped({each: content for each, content in whole.items() if each != f"{name}.npy"})
        yield from (zipped(members(**{name: content})) for content in (evil, npy(objects), pickled, zipped(whole)))
    for header in hostile_headers(mark):
        yield zipped(members(x_train=header))
        yield zipped(members(y_test=header))
    rows = with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (51000, 28, 28)}\n", bytes(51_000 * 784))
    yield zipped(members(x_train=rows))
    yield from (zipped({f"{name}.npy": zeros for name in NAMES}), zipped({str(n): b"" for n in range(20_000)}))
    yield zipped({f"{name}.npy": bytes(60_000_000) for name in NAMES})  # more than any set has
    for flags in (0x01, 0x41, 0x20):  # encrypted, strongly encrypted, a patch of another file
        content = bytearray(zipped(whole))
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = content.find(signature)
            while place >= 0:
                content[place + offset] |= flags
                place = content.find(signature, place + 1)
        yield bytes(content)


def foreign(mark: Path) -> Iterator[bytes]:
    """What else may lie under a data file's name."""
    yield from (b"", b"\0", b"PK", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" * 1000, bytes(100_000), b"\xff" * 100_000)
    yield from (pickle.dumps(Evil(mark)), pickle.dumps(DIGITS), b"<!DOCTYPE html><title>404 Not Found</title>")
    yield from (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"\x1f\x8b" + bytes(100))
    yield from (gzip.compress(b""), gzip.compress(bytes(10**8)), "μ".encode("utf-16"))


def hostile_idx() -> Iterator[bytes]:
    for shape in ((2**32 - 1, 28, 28), (5, 2**32 - 1, 28), (0, 28, 28), (4, 28, 28), (200_001, 28, 28)):
        for body in (bytes(5 * 784), b""):
            yield bytes((0, 0, 8, 3)) + struct.pack(">3I", *shape) + body
    whole = made_data.idx(DIGITS["x_train"])
    yield from (bytes((0, 0, kind, 3)) + whole[4:] for kind in (0, 9, 11, 13, 14))
    yield from (gzip.compress(gzip.compress(whole)), whole + b"\0", gzip.compress(whole + bytes(10**8)))


def hostile_batches(mark: Path) -> Iterator[bytes]:
    """Pickles that would run code, or are good batches, but not those that were published."""
    whole = made_data.batch(COLOURED["x_train"][:1], COLOURED["y_train"][:1])
    yield from (pickle.dumps({"data": Evil(mark), "labels": [1]}, protocol) for protocol in range(6))
    yield from (whole, whole.replace(b"cnumpy\nndarray\n", b"cos\nsystem\n"), whole + b"\0")


@pytest.mark.parametrize("kind", ["npz", "idx", "batches"])
def test_a_foreign_or_hostile_file_is_refused_unread_and_runs_nothing(tmp_path, monkeypatch, kind, record_property):
    mark = tmp_path / "code-ran"
    monkeypatch.chdir(tmp_path)
    known, contents, name = KINDS[kind]
    hostile = {"npz": hostile_npz(mark), "idx": hostile_idx(), "batches": hostile_batches(mark)}[kind]
    folder, cases, harmless = put(tmp_path / "data", contents), 0, []
    with little_memory(400):
        for content in (*foreign(mark), *hostile):
            (folder / name).write_bytes(content)
            if judged(known, folder, name):
                harmless.append(content)
            cases += 1
    assert not harmless
    assert not mark.exists() and sorted(os.listdir(tmp_path)) == ["data"]
    record_property("cases", cases)


def test_a_directory_that_claims_the_whole_file_is_not_read(tmp_path):
    claimed, path = 300_000_000, tmp_path / "mnist.npz"
    with open(path, "wb") as file:  # of holes, small on the disk
        file.truncate(claimed)
        file.seek(claimed)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, claimed, 0, 0))
    with little_memory(20):
        assert not judged(MNIST, tmp_path, "mnist.npz")


# What is no file.


@pytest.mark.parametrize("name", ["mnist.npz", *IDX_FILES, "cifar10.npz", "cifar-10-python.tar.gz", "data_batch_1"])
def test_what_is_no_regular_file_is_refused_at_once_in_a_folder_and_passed_over_in_the_cache(
    tmp_path, monkeypatch, name, record_property
):
    known = MNIST if "mnist" in name or "idx" in name else CIFAR10
    contents = made_data.idx_files(DIGITS, "", bytes) if "idx" in name else {}
    monkeypatch.setattr(data, "_cache_folders", lambda: [tmp_path / "data"])
    for make in NO_FILES.values():
        folder = tmp_path / "data"
        folder.mkdir()
        put(folder, {other: content for other, content in contents.items() if other != name})
        make(folder / name)
        begun = time.monotonic()
        for place in (folder, None):
            run = SimpleNamespace(base="quick", data_dir=place)
            ask = data.mnist if known is MNIST else data.cifar10
            if place:
                with pytest.raises((Problem, OSError)) as refusal:
                    ask(run)
                assert str(folder) in str(refusal.value)
            else:
                assert ask(run).is_sample
        assert time.monotonic() - begun < SECONDS
        shutil.rmtree(folder)
    record_property("cases", len(NO_FILES))


# As a user meets them.


def test_permissions_that_are_missing_are_told_in_one_message(checkout, tmp_path, record_property):
    permissions.must_count(tmp_path)
    folder = put(tmp_path / "data", KINDS["npz"][1] | KINDS["npz, packed"][1])
    command = (sys.executable, "-m", "common.data", "--scale", "quick")
    about = {"cwd": checkout, "before": permissions.ordinary}
    for denied, mode in ((folder / "mnist.npz", 0), (folder / "cifar10.npz", 0o200), (folder, 0), (folder, 0o600)):
        before = denied.stat().st_mode
        denied.chmod(mode)
        done = call(*command, "--data-dir", folder, **about)
        denied.chmod(before)
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
        assert str(denied) in done.stderr and "permission" in done.stderr
    (tmp_path / "locked").mkdir(mode=0o500)
    homes = (None, "", "/nonexistent", str(tmp_path / "locked"), "relative", "/dev/null")
    for number, home in enumerate(homes):
        around = {"HOME": home, "KERAS_HOME": None} if number % 2 else {"KERAS_HOME": home}
        done = call(*command, env=around, **about)
        assert (done.returncode, done.stderr) == (0, ""), around
        assert all(line.startswith(("sample: ", "MNIST: ", "CIFAR-10: ")) for line in done.stdout.splitlines())
    record_property("cases", 4 + len(homes))


def test_every_script_refuses_a_bad_file_before_anything_is_written(checkout, tmp_path, record_property):
    readers = [path for path in sorted(checkout.glob("hw1_*/*.py")) if "data.mnist(" in path.read_text()]
    readers += [path for path in sorted(checkout.glob("hw1_*/*.py")) if "data.cifar10(" in path.read_text()]
    assert len(readers) > 5
    before = files_in(checkout)
    damage = [lambda content: content[: len(content) // 2], lambda content: b"", lambda content: b"<html>404</html>"]
    for number, script in enumerate(readers):
        folder = tmp_path / str(number)
        for kind in ("npz", "npz, packed"):
            put(folder, {name: damage[number % 3](content) for name, content in KINDS[kind][1].items()})
        done = call(script, "--scale", "quick", "--data-dir", folder, *(["--check"] if number % 2 else []))
        message = done.stderr.splitlines()[-1]
        assert done.returncode == 1 and done.stdout == "", script
        assert message.startswith(f"error: {folder}") and len(done.stderr.splitlines()) == 2, done.stderr
    assert before == files_in(checkout)
    record_property("cases", len(readers))
