"""A long unit's state on disk, so that a killed run carries on where it was, bit for bit."""

import io
import json
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from common.files import add_checksum, checked, remove, write_atomically

SAVE_SECONDS = 20.0  # between two saves: what a kill can cost at most, besides one epoch


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
            with np.load(io.BytesIO(checked(self.path.read_bytes())), allow_pickle=False) as stored:
                about = json.loads(stored["about"].tobytes())
                arrays = [stored[f"variable_{index}"] for index in range(len(variables))]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}  # none, damaged, or of another shape: the unit starts afresh, which is always right
        if about["identity"] != self.identity:
            return {}
        if any(array.shape != tuple(variable.shape) for array, variable in zip(arrays, variables, strict=True)):
            return {}
        for array, variable in zip(arrays, variables, strict=True):
            variable.assign(array)
        self.seconds_before = about["seconds"]
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
                        np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)
            add_checksum(file)

        write_atomically(self.path, write)
        self._saved = time.monotonic()

    def seconds(self) -> float:
        """Training time of this unit so far, that of interrupted runs included."""
        return self.seconds_before + time.monotonic() - self._started

    def remove(self) -> None:
        """Forget the file, and what a killed run left of it: the unit is in the history now."""
        remove(self.path)
