"""A long unit's state on disk, so that a killed run carries on where it was, bit for bit."""

import io
import json
import math
import sys
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from common import files
from common.plain_pickle import MEGABYTE, is_number

import numpy as np

SAVE_SECONDS = 20.0  # between two saves: what a kill can cost at most, besides one epoch
LARGEST_RESULTS = 50 * MEGABYTE  # as JSON, beside the variables: a history of 5 MB is about 15 as JSON
BYTES = np.dtype(np.uint8)
UNUSABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, MemoryError)
UNUSABLE += (RuntimeError, zipfile.BadZipFile)  # RecursionError is a RuntimeError, as is an encrypted archive


class Checkpoint:
    """One unit's checkpoint file: `load` once, `save` after each epoch.

    The variables are everything that training changes: weights, optimizer slots, step, and the states of
    the dropout layers' seed generators, which `model.save` leaves out.
    """

    def __init__(self, path: Path, identity: dict[str, Any]):
        self.path = path
        self.identity = identity
        self.seconds_before = 0.0  # training time of the interrupted runs before this one
        self._started = self._saved = time.monotonic()

    def load(self, variables: Sequence[Any]) -> dict[str, Any]:
        """Restore `variables` and return the results kept beside them; {} where nothing usable is there."""
        try:
            about, arrays = _read(self.path, variables)
            usable = about["identity"] == self.identity and is_number(about["seconds"]) and about["seconds"] >= 0
        except UNUSABLE:
            return {}  # none, damaged, or of another shape: the unit starts afresh, which is always right
        if not usable or not isinstance(about["results"], dict):
            return {}
        for array, variable in zip(arrays, variables, strict=True):
            variable.assign(array)
        self.seconds_before, self._started = about["seconds"], time.monotonic()
        minutes = self.seconds_before / 60
        print(f"  {self.path.stem}: carries on after {minutes:.1f} minutes of training", file=sys.stderr)
        return about["results"]

    def save(self, variables: Sequence[Any], results: dict[str, Any], now: bool = False) -> None:
        """Keep variables and results (plain numbers and lists) on disk, at most every 20 s unless `now`."""
        if not now and time.monotonic() - self._saved < SAVE_SECONDS:
            return
        about = {"identity": self.identity, "seconds": self.seconds(), "results": results}
        named = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
        named |= {f"variable_{index}": variable for index, variable in enumerate(variables)}

        def write(file: BinaryIO) -> None:  # the file of np.savez, one array at a time: large nets fill gigabytes
            with zipfile.ZipFile(file, "w") as archive:
                for name, values in named.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(values, order="C"), allow_pickle=False)
            files.add_checksum(file)

        files.write_atomically(self.path, write)
        self._saved = time.monotonic()

    def seconds(self) -> float:
        """Training time of this unit so far, that of interrupted runs included."""
        return self.seconds_before + time.monotonic() - self._started

    def remove(self) -> None:
        """Forget the file, and what a killed run left of it: the unit is in the history now."""
        files.remove(self.path)


def _read(path: Path, variables: Sequence[Any]) -> tuple[Any, list[np.ndarray]]:
    """What was kept beside the variables, and their values; one of UNUSABLE where the file is not as `save` writes it.

    That takes no more memory than such a file can: its size is bounded, nothing in it is compressed, and an array has
    the very header that `save` writes.
    """
    expected = [(tuple(variable.shape), _type(variable)) for variable in variables]
    largest = LARGEST_RESULTS + sum(math.prod(shape) * kind.itemsize for shape, kind in expected)
    with zipfile.ZipFile(io.BytesIO(files.checked(files.read_regular(path, largest)))) as archive:
        size = archive.getinfo("about.npy").file_size - len(_header((1,), BYTES))
        about = json.loads(_array(archive, "about", (size,), BYTES).tobytes())
        return about, [_array(archive, f"variable_{index}", *each) for index, each in enumerate(expected)]


def _array(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """The archive's array of that name; ValueError where it has another shape or type."""
    member, header = archive.getinfo(f"{name}.npy"), _header(shape, kind)
    if member.compress_type != zipfile.ZIP_STORED or member.file_size != len(header) + math.prod(shape) * kind.itemsize:
        raise ValueError(f"{name} has another size")
    content = archive.read(member)
    if not content.startswith(header):
        raise ValueError(f"{name} has another shape or type")
    return np.frombuffer(content, kind, offset=len(header)).reshape(shape)


def _header(shape: tuple[int, ...], kind: np.dtype) -> bytes:
    """How NumPy's file of such an array begins."""
    file = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue()


def _type(variable: Any) -> np.dtype:
    return np.dtype(getattr(variable.dtype, "as_numpy_dtype", variable.dtype))  # of TensorFlow, or a name
