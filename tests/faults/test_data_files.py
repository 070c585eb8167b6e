"""Data files that are damaged, wrong or hostile, by the hundred.

Each is refused by one message that names the file and the remedy, or read as what it holds: no traceback, no code that
runs, no memory beyond what the arrays take, nothing that waits for ever.
"""

import contextlib
import dataclasses
import hashlib
import io
import os
import pickle
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

from common import data, data_files
from common.data_files import CIFAR10, MEMBERS, MNIST, Arrays, Known
from common.settings import Problem

import numpy as np
import permissions
import pytest

SETS = (MNIST, CIFAR10)
SECONDS = 20  # more than any file may take, on a busy machine


def few(known: Known, train: int = 3, test: int = 2) -> Arrays:
    """Arrays such as Keras's, of a few random images."""
    random = np.random.default_rng(5)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, *known.image), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8).reshape(-1, *known.label)
    return arrays


def saved(save: Callable, arrays: Arrays) -> bytes:
    """The bytes of the file that np.savez or np.savez_compressed makes."""
    content = io.BytesIO()
    save(content, **arrays)
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


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def members_of(known: Known, **changed: bytes) -> dict[str, bytes]:
    """The members of a right file, some of them replaced. changed: name of the array to the bytes of its .npy."""
    return {f"{name}.npy": changed.get(name, npy(array)) for name, array in few(known).items()}


def judged(known: Known, path: Path) -> str:
    """The fingerprint of what a file holds, or nothing where it was refused in one message as promised."""
    begun = time.monotonic()
    try:
        return data_files.fingerprint(data_files.read_npz(known, path))
    except Problem as problem:
        message = str(problem)
        assert str(path) in message and ("--data-dir" in message or "copy or download it again" in message), message
        assert message.isprintable() and len(message) < 700 and "()" not in message.replace("shape ()", ""), message
        return ""
    finally:
        assert time.monotonic() - begun < SECONDS


def refused(known: Known, path: Path, content: bytes, case: object) -> None:
    path.write_bytes(content)
    assert not judged(known, path), case


@contextlib.contextmanager
def little_memory(megabytes: float = 10) -> Iterator[None]:
    """Whatever is refused in here must not have been loaded first."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 1e6, f"{peak / 1e6:.0f} MB"


# Damage.


def test_flipped_bits_are_refused_or_change_nothing(tmp_path, record_property):
    random = np.random.default_rng(18)
    cases = harmless = 0
    for known in SETS:
        for save in (np.savez, np.savez_compressed):
            whole = np.frombuffer(saved(save, few(known)), np.uint8)
            expected = data_files.fingerprint(
                {**few(known), **{y: few(known)[y].ravel() for y in ("y_train", "y_test")}}
            )
            path = tmp_path / known.file
            path.write_bytes(whole.tobytes())
            assert judged(known, path) == expected
            edges = np.r_[0:200, len(whole) - 600 : len(whole)]  # where the headers and the directory are
            for case in range(300):
                damaged = whole.copy()
                places = random.integers(0, len(whole), 1 + case % 4) if case % 2 else random.choice(edges, 1)
                damaged[places] ^= (1 << random.integers(0, 8, len(places))).astype(np.uint8)
                path.write_bytes(damaged.tobytes())
                answer = judged(known, path)
                assert answer in ("", expected), (known.title, save.__name__, places)
                harmless += answer == expected
                cases += 1
    assert harmless < cases / 2
    record_property("cases", cases)


def test_a_file_cut_anywhere_is_refused(tmp_path, record_property):
    cases = 0
    for known in SETS:
        for save in (np.savez, np.savez_compressed):
            whole = saved(save, few(known, train=2))
            for length in range(0, len(whole), max(1, len(whole) // 300)):
                refused(known, tmp_path / known.file, whole[:length], length)
                refused(known, tmp_path / known.file, whole[length:], -length) if length else None
                cases += 1 + bool(length)
            for share in range(1, 10):  # as long as it should be, but a crash has left the end, or a hole, empty
                place = len(whole) * share // 10
                refused(known, tmp_path / known.file, whole[:place] + bytes(len(whole) - place), place)
                hole = whole[:place] + bytes(200) + whole[place + 200 :]
                refused(known, tmp_path / known.file, hole[: len(whole)], place)
                cases += 2
    record_property("cases", cases)


def test_any_field_of_the_zip_set_to_an_extreme_is_refused_or_changes_nothing(tmp_path, record_property):
    whole = saved(np.savez, few(MNIST, train=1, test=1))
    directory = whole.index(b"PK\x01\x02")
    path, cases = tmp_path / "mnist.npz", 0
    expected = data_files.fingerprint(few(MNIST, train=1, test=1))
    for start in [*range(0, 64, 2), *range(directory, len(whole) - 2, 2)]:
        for width, value in ((2, 0), (2, 0xFFFF), (4, 0x7FFFFFFF), (4, 0x80000000), (4, 0xFFFFFFFF), (8, 2**63)):
            changed = whole[:start] + value.to_bytes(width, "little") + whole[start + width :]
            path.write_bytes(changed)
            assert judged(MNIST, path) in ("", expected), (start, value)
            cases += 1
    record_property("cases", cases)


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path, monkeypatch, record_property):
    check, lengths = data_files._check_headers, range(0, 140_000, 5_000)
    for length in lengths:
        path = tmp_path / "mnist.npz"
        path.write_bytes(saved(np.savez, few(MNIST, train=200)))  # 157 kB

        def then_cut(known, archive, path=path, length=length):
            check(known, archive)
            os.truncate(path, length)

        monkeypatch.setattr(data_files, "_check_headers", then_cut)
        assert not judged(MNIST, path), length
    record_property("cases", len(lengths))


# Contents that are not those of the set.


def test_a_type_that_keras_does_not_use_is_refused(tmp_path, record_property):
    types = [np.dtype(name) for name in ("S3", "U3", "V2", "M8[s]", "m8[s]", *"?bhiqBHIQefdgFDO")]
    types += [np.dtype(">u2"), np.dtype(">i8"), np.dtype(">f4"), np.dtype([("pixel", "u1")]), np.dtype(("u1", (2,)))]
    cases = 0
    for known in SETS:
        expected = {**few(known), **{y: few(known)[y].ravel() for y in ("y_train", "y_test")}}
        for name in MEMBERS:
            for dtype in types:
                arrays = few(known)
                plain = dtype if dtype.kind in "?biuf" and dtype.subdtype is None else None
                arrays[name] = np.zeros(arrays[name].shape, dtype) if plain is None else arrays[name].astype(plain)
                path = tmp_path / known.file
                path.write_bytes(saved(np.savez, arrays))
                fine = dtype == np.uint8 or (name.startswith("y") and dtype.kind in "iu" and dtype.subdtype is None)
                answer = judged(known, path)
                assert answer == (data_files.fingerprint(expected) if fine else ""), (known.title, name, dtype)
                cases += 1
    record_property("cases", cases)


def test_a_shape_that_keras_does_not_use_is_refused(tmp_path, record_property):
    cases = 0
    for known, other in (SETS, SETS[::-1]):
        image, path = known.image, tmp_path / known.file
        channels = (*image[2:], *image[:2]) if len(image) == 3 else (1, *image)
        for part in ("train", "test"):
            count = len(few(known)[f"x_{part}"])
            images = [(), (0,), (0, *image), (count,), image, (count, int(np.prod(image))), (count, *image, 1)]
            images += [
                (1, count, *image),
                (count + 1, *image),
                (count - 1, *image),
                (*image, count),
                (count, *channels),
            ]
            images += [(count, *other.image), (count, *(size + 1 for size in image)), (count, 2, *image), (0, 0, 0)]
            labels = [(), (0,), (count, 10), (count, 2), (1, count), (count, 1, 1), (count + 1, *known.label)]
            labels += [(count - 1, *known.label), (count,) if known.label else (count, 1), (10,), (0, 10)]
            wrong = [(f"x_{part}", shape) for shape in images] + [(f"y_{part}", shape) for shape in labels]
            for name, shape in wrong:
                if shape != few(known)[name].shape:
                    arrays = few(known) | {name: np.zeros(shape, np.uint8)}
                    refused(known, path, saved(np.savez_compressed, arrays), (known.title, name, shape))
                    cases += 1
        for confused in (few(other), few(other) | {"x_test": np.zeros((2, *image), np.uint8)}):
            path.write_bytes(saved(np.savez, confused))
            with pytest.raises(Problem, match=f"looks like {other.title}"):
                data_files.read_npz(known, path)
            cases += 1
    record_property("cases", cases)


def test_labels_beyond_the_ten_classes_are_refused(tmp_path, record_property):
    cases = 0
    for known in SETS:
        for name in ("y_train", "y_test"):
            for code in "bhiqBHIQ":
                limits = np.iinfo(code)
                for order in "<>":
                    for value in (10, limits.max, limits.min, limits.max - 5, -1):
                        if limits.min <= value <= limits.max and value != 0:
                            arrays = few(known)
                            arrays[name] = arrays[name].astype(np.dtype(code).newbyteorder(order))
                            arrays[name][-1] = value
                            refused(known, tmp_path / known.file, saved(np.savez, arrays), (name, code, value))
                            cases += 1
    record_property("cases", cases)


class Evil:
    """What runs when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def test_members_other_than_the_four_arrays_are_refused_and_no_pickle_runs(tmp_path, record_property):
    mark = tmp_path / "code ran"
    evil = pickle.dumps(Evil(mark))
    objects = np.empty(3, object)
    objects[:] = Evil(mark)
    whole, path, cases = members_of(MNIST), tmp_path / "mnist.npz", 0

    def but(old: str, new: str) -> dict[str, bytes]:
        return {name.replace(old, new): content for name, content in whole.items()}

    wrong = [{}, {"x_train.npy": whole["x_train.npy"]}, whole | {"notes.npy": npy(np.zeros(1))}]
    wrong += [{name: content for name, content in whole.items() if name != f"{gone}.npy"} for gone in MEMBERS]
    names = [
        "../x_train.npy",
        "/x_train.npy",
        "./x_train.npy",
        "x_train",
        "X_TRAIN.NPY",
        "x_train.npy/",
        "x_train.npy ",
    ]
    names += [
        "data/x_train.npy",
        "x_train.npy\x01",
        "\x1b[2J\x1b]0;title\x07.npy",
        "\n.npy",
        "é.npy",
        "\u202ex.npy",
        "n" * 60_000,
    ]
    wrong += [but("x_train.npy", name) for name in names]
    wrong += [{f"a{number}.npy": b"" for number in range(3000)}, whole | {"inner.npz": zipped(whole)}]
    wrong += [{"mnist.npz": zipped(whole)}, {"arr_0.npy": evil}, {f"{name}.pkl": evil for name in MEMBERS}]
    archives = [zipped(members) for members in wrong]
    for name in MEMBERS:
        for content in (
            evil,
            b"",
            b"\x93",
            b"\x93NUMPY",
            npy(objects),
            npy(objects)[:-5],
            b"\x93NUMPY\x01\x00",
            zipped(whole),
        ):
            archives.append(zipped(members_of(MNIST, **{name: content})))
        pickled = with_header("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n", evil)
        archives.append(zipped(members_of(MNIST, **{name: pickled})))
    for content in archives:
        refused(MNIST, path, content, content[:200])
        cases += 1
    assert not mark.exists()
    record_property("cases", cases)


def test_files_that_are_no_npz_are_refused(tmp_path, record_property):
    mark = tmp_path / "code ran"
    arrays = few(MNIST)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x_train.npy"))
    contents = [b"", b"\0", b"PK", b"PK\x05\x06" + bytes(18), b"PK\x03\x04" * 1000, bytes(100_000), b"\xff" * 100_000]
    contents += [pickle.dumps(Evil(mark)), pickle.dumps(arrays), npy(arrays["x_train"]), tar.getvalue()]
    contents += [
        b"<!DOCTYPE html><title>404 Not Found</title>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    ]
    contents += [
        b"\x89HDF\r\n\x1a\n" + bytes(500),
        b"\x1f\x8b" + bytes(100),
        "μ".encode("utf-16"),
        b"\x93NUMPY" + bytes(90),
    ]
    for known in SETS:
        for content in contents:
            refused(known, tmp_path / known.file, content, content[:40])
    assert not mark.exists()
    record_property("cases", 2 * len(contents))


# Hostile files.


def test_a_hostile_array_header_is_refused_unread(tmp_path, record_property):
    mark = tmp_path / "code ran"
    good = {"descr": "'|u1'", "fortran_order": "False", "shape": "(3, 28, 28)"}

    def header(**changed: str) -> str:
        return "{" + ", ".join(f"'{name}': {value}" for name, value in (good | changed).items()) + "}\n"

    code = f"__import__('os').mkdir({str(mark)!r})"
    huge = [str(number) for number in (2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**30, -1, -3, 2**31 - 1, 10**9, 0)]
    texts = [header(shape=f"({number}, 28, 28)") for number in huge]
    texts += [header(shape=f"(3, {number}, 28)") for number in huge] + [header(shape=f"({'1, ' * 900})")]
    texts += [header(shape=shape) for shape in ("3", "[3, 28, 28]", "(3.0, 28, 28)", "(None, 28, 28)", "('3', 28, 28)")]
    texts += [
        header(shape=shape) for shape in ("{}", "()", "(3, (28, 28))", "(3, 28, 28", "(2j, 28, 28)", "(1e400, 28, 28)")
    ]
    texts += [header(shape=code), header(descr=code), f"({code}, 3)\n", code, "", "\n", "None", "[]", "{}", "\0" * 60]
    texts += [
        header(descr=kind) for kind in ("'|O'", "'O8'", "'u1, O'", "'|u999999999'", "''", "'x'", "[]", "[('a', '|u1')]")
    ]
    texts += [
        header(descr=kind)
        for kind in ("('|u1', (28,))", "('|u1', (2000000000,))", "'|V2000000000'", "[('', 'u1')] * 9")
    ]
    texts += [header(fortran_order=word) for word in ("0", "None", "'yes'")]
    texts += [
        header(more="1"),
        header()[:-20],
        "(" * 3000,
        "[" * 3000,
        "-" * 3000 + "1",
        "{" * 90 + "}" * 90,
        "9" * 3900,
    ]
    texts += [
        header() + " " * 5000,
        header() + " " * 100_000,
        header(descr="'" + "u" * 100_000 + "'"),
        "1+" * 1900 + "1",
    ]
    cases = 0
    for version in ((1, 0), (2, 0), (3, 0)):
        for text in texts:
            if version == (1, 0) and len(text) > 65_535:
                continue
            for name in ("x_train", "y_test"):
                member = with_header(text, bytes(3 * 28 * 28), version)
                with little_memory():
                    refused(
                        MNIST, tmp_path / "mnist.npz", zipped(members_of(MNIST, **{name: member})), (version, text[:99])
                    )
                cases += 1
    body = bytes(3 * 28 * 28)
    members = [with_header(header(), body, version=(9, 9)), with_header(header(), body, version=(0, 0))]
    members += [with_header(header(), body, (2, 0), length) for length in (0, 10, 2**20, 2**31, 2**32 - 1)]
    members += [with_header(header(), body + extra) for extra in (b"\0", bytes(10**6))]
    members += [with_header(header(), body[:-1]), with_header(header()), b"\x93NUMPY\x01\x00\xff\xff" + bytes(70_000)]
    for member in members:
        with little_memory():
            refused(MNIST, tmp_path / "mnist.npz", zipped(members_of(MNIST, x_train=member)), member[:80])
        cases += 1
    assert not mark.exists()
    record_property("cases", cases)


def test_the_same_arrays_in_another_order_or_archive_are_read(tmp_path, record_property):
    path, cases = tmp_path / "mnist.npz", 0
    expected = data_files.fingerprint(few(MNIST))
    columns = {name: np.asfortranarray(array) for name, array in few(MNIST).items()}
    whole = members_of(MNIST)
    second = with_header(whole["x_train.npy"][10:128].decode("latin-1"), whole["x_train.npy"][128:], (2, 0))
    contents = [saved(np.savez, columns), saved(np.savez_compressed, columns), zipped(whole, zipfile.ZIP_STORED)]
    contents += [zipped(dict(reversed(whole.items()))), zipped(members_of(MNIST, x_train=second))]
    contents += [b"#!/bin/sh\nexit\n" + zipped(whole)]  # something before the archive, as in a self-extracting one
    commented = io.BytesIO(zipped(whole))
    with zipfile.ZipFile(commented, "a") as archive:
        archive.comment = b"a comment " * 1000
    for content in [*contents, commented.getvalue()]:
        path.write_bytes(content)
        assert judged(MNIST, path) == expected
        cases += 1
    record_property("cases", cases)


def sparse_bomb(path: Path, claimed: int) -> None:
    """A file of holes, small on the disk, whose end says that the directory of the archive takes `claimed` bytes."""
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, claimed, 0, 0)
    with open(path, "wb") as file:
        file.truncate(claimed)
        file.seek(claimed)
        file.write(end)


def overlapping(members: dict[str, bytes]) -> bytes:
    """An archive whose directory names each member where the first one lies."""
    content = bytearray(zipped(members))
    place = content.index(b"PK\x01\x02")
    while place >= 0:
        content[place + 42 : place + 46] = bytes(4)
        place = content.find(b"PK\x01\x02", place + 1)
    return bytes(content)


def encrypted(members: dict[str, bytes], flags: int) -> bytes:
    """The archive with these bits set in the flags of each member, in its own header and in the directory."""
    content = bytearray(zipped(members))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(signature)
        while place >= 0:
            content[place + offset] |= flags
            place = content.find(signature, place + 1)
    return bytes(content)


def test_a_bomb_or_an_encrypted_archive_is_refused_unopened(tmp_path, record_property):
    zeros = bytes(40_000_000)
    large = zipped(members_of(MNIST, x_train=npy(few(MNIST)["x_train"]) + zeros))
    rows = with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (51000, 28, 28)}\n", bytes(51_000 * 784))
    contents = {
        "more than the shape": large,
        "rows without labels": zipped(members_of(MNIST, x_train=rows)),
        "all zeros": zipped({f"{name}.npy": zeros for name in MEMBERS}),
        "an archive inside": zipped(members_of(MNIST, x_train=zipped({"x_train.npy": zeros}))),
        "archives inside each other": zipped({"mnist.npz": zipped({"mnist.npz": large})}),
        "overlapping": overlapping(members_of(MNIST)),
        "overlapping, all of one size": overlapping({f"{name}.npy": npy(few(MNIST)["x_test"]) for name in MEMBERS}),
        "encrypted": encrypted(members_of(MNIST), 0x01),
        "strongly encrypted": encrypted(members_of(MNIST), 0x41),
        "patched data": encrypted(members_of(MNIST), 0x20),
        "bzip2": zipped(members_of(MNIST), zipfile.ZIP_BZIP2),
        "lzma": zipped(members_of(MNIST), zipfile.ZIP_LZMA),
        "many members": zipped({f"{number}": b"" for number in range(20_000)}),
    }
    for case, content in contents.items():
        with little_memory(30 if case == "many members" else 10):
            refused(MNIST, tmp_path / "mnist.npz", content, case)
    for claimed in (50_000_000, 300_000_000):
        sparse_bomb(tmp_path / "mnist.npz", claimed)
        with little_memory():
            assert not judged(MNIST, tmp_path / "mnist.npz")
    record_property("cases", len(contents) + 2)


def test_what_is_no_regular_file_is_refused_at_once_and_a_link_to_one_is_read(tmp_path, monkeypatch, record_property):
    monkeypatch.setattr(data, "NOTES", tmp_path / "notes" / "data.json")
    folder, cases = tmp_path / "data", 0
    (tmp_path / "real.npz").write_bytes(saved(np.savez, few(MNIST)))
    sockets = []

    def listening(path: Path) -> None:
        sockets.append(socket.socket(socket.AF_UNIX))
        monkeypatch.chdir(path.parent)  # the whole path may be too long for the name of a socket
        sockets[0].bind(path.name)

    wrong = [os.mkfifo, Path.mkdir, listening]
    for target in ("/dev/zero", "/dev/null", "/dev/full", "/dev/stdin", "/", "mnist.npz", "nowhere", "/proc/self/mem"):
        wrong.append(lambda path, target=target: path.symlink_to(target))
    for make in wrong:
        folder.mkdir()
        make(folder / "mnist.npz")
        begun = time.monotonic()
        with pytest.raises((Problem, OSError)) as refusal:
            data.mnist(SimpleNamespace(base="quick", scale="quick", data_dir=folder))
        assert str(folder / "mnist.npz") in str(refusal.value)
        assert time.monotonic() - begun < SECONDS
        shutil.rmtree(folder)
        cases += 1
    for each in sockets:
        each.close()
    for links in (1, 5):
        folder.mkdir()
        target = tmp_path / "real.npz"
        for number in range(links - 1):
            (folder / f"link {number}").symlink_to(target)
            target = folder / f"link {number}"
        (folder / "mnist.npz").symlink_to(target)
        found = data.mnist(SimpleNamespace(base="quick", scale="quick", data_dir=folder))
        assert found.fingerprint == data_files.fingerprint(few(MNIST))
        shutil.rmtree(folder)
        cases += 1
    record_property("cases", cases)


# Keras's cache and the download.


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keras's cache in an empty folder, and a small archive that passes for the real one.

    A stand-in for Keras "downloads" it, or half of it where `cache.fails` holds an exception.
    """
    content = saved(np.savez_compressed, few(MNIST))
    made = SimpleNamespace(folder=tmp_path / "keras" / "datasets", content=content, downloads=0, fails=None)
    known = dataclasses.replace(MNIST, archive_sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(data, "MNIST", known)
    monkeypatch.setattr(data, "NOTES", tmp_path / "notes" / "data.json")
    monkeypatch.setattr(data, "_cache_folders", lambda: [made.folder, tmp_path / "spare" / "datasets"])

    def load() -> None:
        made.downloads += 1
        folder = made.folder if os.access(made.folder, os.W_OK) else tmp_path / "spare" / "datasets"
        if made.fails is not None:
            (folder / "mnist.npz").write_bytes(content[: len(content) // 2])  # as Keras leaves it
            raise made.fails
        (folder / "mnist.npz").write_bytes(content)

    keras, datasets = ModuleType("keras"), ModuleType("keras.datasets")
    datasets.mnist = SimpleNamespace(load_data=load)
    keras.datasets = datasets
    monkeypatch.setitem(sys.modules, "keras", keras)
    monkeypatch.setitem(sys.modules, "keras.datasets", datasets)
    return made


def run(base: str) -> SimpleNamespace:
    return SimpleNamespace(base=base, scale=base, data_dir=None)


def test_what_is_wrong_in_the_cache_is_never_read_and_is_downloaded_again(cache, tmp_path, record_property):
    whole, mark = cache.content, tmp_path / "code ran"
    wrong = [whole[: len(whole) * share // 10] for share in range(10)]
    wrong += [
        bytes([byte ^ 1 for byte in whole[:9]]) + whole[9:],
        whole + b"\0",
        bytes(len(whole)),
        pickle.dumps(Evil(mark)),
    ]
    wrong += [saved(np.savez_compressed, few(MNIST, train=4)), b"<html>log in to use this network</html>"]
    for content in wrong:
        cache.folder.mkdir(parents=True)
        (cache.folder / "mnist.npz").write_bytes(content)
        (cache.folder / "mnist.npz.download").write_bytes(whole)  # temporary names of Keras and of others
        (cache.folder / ".mnist.npz.123.tmp").write_bytes(whole[:50])
        assert data.mnist(run("quick")).is_sample
        before = cache.downloads
        assert len(data.mnist(run("paper")).train_labels) == 3 and cache.downloads == before + 1
        assert data.mnist(run("quick")).name == "MNIST"
        shutil.rmtree(cache.folder)
    assert not mark.exists()
    record_property("cases", len(wrong))


def test_a_download_cut_off_leaves_nothing_that_is_taken_for_the_set(cache, record_property):
    failures = [
        OSError("connection reset"),
        TimeoutError(),
        Exception("URL fetch failure"),
        EOFError(),
        ValueError("bad hash"),
    ]
    for failure in failures:
        cache.fails = failure
        with pytest.raises(Problem, match=r"MNIST could not be downloaded.*--data-dir"):
            _ = data.mnist(run("paper")).train_images
        assert (cache.folder / "mnist.npz").stat().st_size < len(cache.content)
        assert data.mnist(run("quick")).is_sample
        cache.fails = None
        assert len(data.mnist(run("paper")).train_labels) == 3
        shutil.rmtree(cache.folder)
    cache.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _ = data.mnist(run("paper")).train_images
    cache.fails = None
    assert len(data.mnist(run("paper")).train_labels) == 3
    record_property("cases", len(failures) + 1)


def test_an_odd_cache_folder_costs_one_message_or_nothing(cache, tmp_path, record_property):
    def sparse(path: Path) -> None:
        with open(path, "wb") as file:
            file.truncate(2**40)  # hashing it would take an hour

    def loop(path: Path) -> None:
        path.symlink_to(path.name)

    kinds = [os.mkfifo, Path.mkdir, sparse, loop, lambda path: path.symlink_to("/dev/zero"), lambda path: path.touch(0)]
    for make in kinds:  # in place of the file
        cache.folder.mkdir(parents=True)
        make(cache.folder / "mnist.npz")
        begun = time.monotonic()
        assert data.mnist(run("quick")).is_sample
        assert time.monotonic() - begun < SECONDS
        shutil.rmtree(cache.folder)
    for make in (Path.touch, loop, os.mkfifo):  # in place of the folder
        make(cache.folder.parent) if not cache.folder.parent.exists() else None
        assert data.mnist(run("quick")).is_sample
        cache.folder.parent.rmdir() if cache.folder.parent.is_dir() else cache.folder.parent.unlink()
        cache.folder.parent.mkdir()
        make(cache.folder)
        assert data.mnist(run("quick")).is_sample
        with contextlib.suppress(OSError, Problem):  # either is one message
            assert len(data.mnist(run("paper")).train_labels) == 3
        cache.folder.unlink()
        cache.folder.parent.rmdir()
        shutil.rmtree(tmp_path / "spare", ignore_errors=True)
    record_property("cases", len(kinds) + 6)


# As a user meets them.


def ask(checkout: Path, *flags: str, bound: bool = False, timeout: int = 100, **environment: str | None):
    """`python -m common.data` in the copy of the code, run to its end. environment: None takes a variable away."""
    around = {**os.environ, "HW1_DATA_DIR": None, "KERAS_HOME": None, **environment}
    command = [sys.executable, "-m", "common.data", "--scale", "quick", *flags]
    return subprocess.run(
        command,
        preexec_fn=permissions.ordinary if bound else None,
        cwd=checkout,
        env={name: value for name, value in around.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_permissions_that_are_missing_are_told_in_one_message(checkout, tmp_path, record_property):
    permissions.must_count(tmp_path)
    folder = tmp_path / "data"
    folder.mkdir()
    for known in SETS:
        (folder / known.file).write_bytes(saved(np.savez, few(known)))
    fine = ask(checkout, "--data-dir", str(folder), bound=True)
    assert fine.returncode == 0, fine.stderr
    (checkout / "out" / "data.json").unlink()
    for denied, mode in ((folder / "mnist.npz", 0), (folder / "cifar10.npz", 0o200), (folder, 0), (folder, 0o600)):
        before = denied.stat().st_mode
        denied.chmod(mode)
        done = ask(checkout, "--data-dir", str(folder), bound=True)
        denied.chmod(before)
        assert done.returncode == 1 and done.stdout == "" and len(done.stderr.splitlines()) == 1, done.stderr
        assert str(denied) in done.stderr and "permission" in done.stderr
    record_property("cases", 5)


def test_without_a_home_or_a_cache_the_sample_is_used(checkout, tmp_path, monkeypatch, record_property):
    permissions.must_count(tmp_path)
    monkeypatch.setattr(data, "NOTES", tmp_path / "notes" / "data.json")
    (tmp_path / "a file").touch()
    (tmp_path / "locked").mkdir(mode=0o500)
    homes = ["", "/nonexistent", str(tmp_path / "a file"), str(tmp_path / "locked"), "relative", "/dev/null", "~"]
    environments: list[dict[str, str | None]] = [{"HOME": home, "KERAS_HOME": None} for home in [None, *homes]]
    environments += [{"KERAS_HOME": home} for home in [*homes, "~nobody-of-this-name/keras"]]
    for environment in environments:
        with monkeypatch.context() as changed:
            for name, value in environment.items():
                changed.delenv(name, raising=False) if value is None else changed.setenv(name, value)
            assert data.mnist(run("quick")).name in ("sample", "MNIST"), environment  # the latter from /tmp/.keras
    for environment in ({"HOME": None}, {"HOME": str(tmp_path / "locked"), "KERAS_HOME": "~nobody-of-this-name"}):
        done = ask(checkout, bound=True, **environment)
        assert (done.returncode, done.stderr) == (0, ""), environment
        assert [line.partition(":")[0] in ("sample", "MNIST", "CIFAR-10") for line in done.stdout.splitlines()] == [
            True
        ] * 2
    record_property("cases", len(environments) + 2)


def test_every_script_refuses_a_bad_file_before_anything_is_written(checkout, tmp_path, record_property):
    readers = [path for path in sorted(checkout.glob("hw1_*/*.py")) if "data.mnist(" in path.read_text()]
    readers += [path for path in sorted(checkout.glob("hw1_*/*.py")) if "data.cifar10(" in path.read_text()]
    assert len(readers) > 5
    whole = {known.file: saved(np.savez_compressed, few(known)) for known in SETS}
    damage = {
        "cut": lambda content: content[: len(content) // 2],
        "empty": lambda content: b"",
        "bytes flipped": lambda content: content[:300] + bytes(byte ^ 85 for byte in content[300:400]) + content[400:],
        "a page of HTML": lambda content: b"<html>404</html>",
        "a bomb": lambda content: zipped(members_of(MNIST, x_train=npy(few(MNIST)["x_train"]) + bytes(10**7))),
        "a pickle": lambda content: pickle.dumps(Evil(tmp_path / "code ran")),
    }
    before = sorted(path for path in checkout.rglob("*") if "__pycache__" not in path.parts)
    for number, script in enumerate(readers):
        case = list(damage)[number % len(damage)]
        folder = tmp_path / f"{number}"
        folder.mkdir()
        for file, content in whole.items():
            (folder / file).write_bytes(damage[case](content))
        for flags in ([], ["--check"]) if number % 3 == 0 else ([],):
            done = subprocess.run(
                [sys.executable, script, "--scale", "quick", "--data-dir", folder, *flags],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                timeout=100,
            )
            message = done.stderr.splitlines()[-1]
            assert done.returncode == 1 and done.stdout == "", (script, case)
            assert message.startswith(f"error: {folder}") and len(done.stderr.splitlines()) == 2, done.stderr
    assert not (tmp_path / "code ran").exists()
    assert before == sorted(path for path in checkout.rglob("*") if "__pycache__" not in path.parts)
    record_property("cases", len(readers))
