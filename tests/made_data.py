"""Small sets in each kind of file that people have: what `common.data` must read, and what tests then damage."""

import gzip
import hashlib
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

from common.data_files import BATCHES, CIFAR10, IDX_FILES, MNIST, Arrays, Known

import numpy as np

SETS = (MNIST, CIFAR10)


def few(known: Known, train: int = 20, test: int = 4, seed: int = 0) -> Arrays:
    """A few random images and their labels, as scripts use them."""
    random = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", train), ("test", test)):
        arrays[f"x_{part}"] = random.integers(0, 256, (count, *known.image), dtype=np.uint8)
        arrays[f"y_{part}"] = (np.arange(count) % 10).astype(np.uint8)
    return arrays


def npz(arrays: Arrays, save: Callable = np.savez_compressed) -> bytes:
    content = io.BytesIO()
    save(content, **arrays)
    return content.getvalue()


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(arrays: Arrays, suffix: str = ".gz", pack: Callable[[bytes], bytes] = gzip.compress) -> dict[str, bytes]:
    return {f"{name}{suffix}": pack(idx(arrays[array])) for name, array in IDX_FILES.items()}


def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch as the authors of CIFAR-10 have pickled it, with Python 2."""

    def text(words: str) -> bytes:
        return b"U" + bytes((len(words),)) + words.encode()

    rows = images.transpose(0, 3, 1, 2).tobytes()
    kind = b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
    array += b"(K\x01M" + struct.pack("<H", len(images)) + b"M\x00\x0c\x86" + kind
    array += b"\x89T" + struct.pack("<I", len(rows)) + rows + b"tb"
    numbers = b"]q\x02(" + b"".join(b"K" + bytes((label,)) for label in labels.tolist()) + b"e"
    names = (
        b"](" + b"".join(text(f"picture_{number}.png") + b"r\x00\x01\x00\x00" for number in range(len(images))) + b"e"
    )
    fields = {"batch_label": text("batch 1 of 5"), "labels": numbers, "data": array, "filenames": names}
    return b"\x80\x02}q\x01(" + b"".join(text(name) + value for name, value in fields.items()) + b"u."


def batches(arrays: Arrays) -> dict[str, bytes]:
    """The six files of cifar-10-batches-py."""
    images = [*np.split(arrays["x_train"], 5), arrays["x_test"]]
    labels = [*np.split(arrays["y_train"], 5), arrays["y_test"]]
    return {name: batch(*each) for name, *each in zip(BATCHES, images, labels, strict=True)}


def md5_of_batches(arrays: Arrays) -> dict[str, str]:
    """As `data_files.BATCHES` has them of the published files."""
    return {name: hashlib.md5(content).hexdigest() for name, content in batches(arrays).items()}


def archive(arrays: Arrays) -> bytes:
    """cifar-10-python.tar.gz."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as opened:
        for name, packed in batches(arrays).items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(packed)
            opened.addfile(info, io.BytesIO(packed))
    return content.getvalue()


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    """Write files, name to content, into a folder that is made."""
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder
