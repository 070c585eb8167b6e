"""The state of a long unit on disk, so that a killed run continues from there and gives the same bits.

    curves = checkpoint.restore(variables, {"loss": []})                 # before training
    for stop, recorded in training.segments(run, stops, checkpoint):     # each segment not trained yet
        curves["loss"].append(evaluate(*test)[0])
    for net in checkpoint.stages(range(8), "measures"):                  # each net not measured yet
        norms.append(...)

A file is an .npz, which has checksums. It holds the variables and, as JSON, to which run it belongs and the results.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from common import files, progress
from common.plain_pickle import plain
from common.settings import Problem

import numpy as np

SAVE_SECONDS = 20.0  # between two saves, or 20 d where a save takes d > 1 s; a kill costs that and one stage at most


class Checkpoint:
    """The saved state of one unit: call `restore` once, then loop over `stages` or `training.segments`."""

    def __init__(self, path: Path, identity: dict[str, Any], code: str = ""):
        """identity: settings, data and so on; a file of another identity is ignored. code: hash of the present code."""
        self.path, self.identity = path, identity
        self.codes = [code]  # hashes of all code that trained this unit
        self.done: dict[str, int] = {}  # by the name of a loop: items of `stages` done, or the step of a training
        self._variables: Sequence[Any] = ()
        self._results: dict[str, Any] = {}
        self._seconds_before = 0.0  # training time of the interrupted runs before this one
        self._started = self._saved = time.monotonic()
        self._pause = SAVE_SECONDS

    def restore(self, variables: Sequence[Any], results: dict[str, Any]) -> dict[str, Any]:
        """Register what training changes, and set it to the state that an interrupted run saved, if any.

        variables: all TensorFlow variables and NumPy arrays that training changes: weights, optimizer slots, and the
        states of dropout's seed generators, which `model.save` leaves out. results: the script's lists and numbers, as
        they are before training. Returns the dict that the script fills. It is saved as JSON, so a resumed run gets
        lists of plain numbers.
        """
        self._variables, self._results, self.done = variables, results, {}
        try:
            about, arrays = self._read()
        except Exception:  # no file, or one that is damaged or of another run: from the beginning is always right
            return results
        for array, variable in zip(arrays, variables, strict=True):
            if isinstance(variable, np.ndarray):
                variable[...] = array
            else:
                variable.assign(array)
        self.done, self._results, self._seconds_before = about["done"], results | about["results"], about["seconds"]
        self._started = time.monotonic()
        others = [code for code in about["codes"] if code not in self.codes]
        self.codes += others
        print(
            f"  {self.path.stem}: carries on after {self._seconds_before / 60:.1f} minutes of training"
            + (", part of it by other code (--force starts again)" if others else ""),
            file=sys.stderr,
        )
        return self._results

    def _read(self) -> tuple[dict[str, Any], list[np.ndarray]]:
        """What `save` wrote: whose state, and the variables; some error where the file is not of this run."""
        if not self.path.is_file():  # a FIFO would be waited for
            raise ValueError
        with np.lib.npyio.NpzFile(self.path) as file:  # what `np.load` returns; it reads no pickle
            about, *arrays = (file[name] for name in file.files)
        about = json.loads(about.tobytes())
        for array, variable in zip(arrays, self._variables, strict=True):
            if variable.dtype != array.dtype or tuple(variable.shape) != array.shape:
                raise ValueError
        if about["identity"] != self.identity:
            raise ValueError
        return about, arrays

    def stages(self, items: Sequence[Any], name: str = "") -> Iterator[Any]:
        """Yield the items that an interrupted run has not done; after each, show progress and save.

        name: of this loop, where a unit has several.
        """
        begun = self.done.get(name, 0)
        with progress.shown(self.label(name), len(items), begun) as tell:
            for count, item in enumerate(items[begun:], begun + 1):
                yield item
                tell(count)
                self.reached(name, count, now=count == len(items))

    def reached(self, name: str, count: int, now: bool = False) -> None:
        """Record that `count` items or steps of the loop `name` are done, and save."""
        self.done[name] = count
        self.save(now=now)

    def label(self, name: str) -> str:
        """The unit and the loop's name, as progress shows them."""
        return f"{self.identity.get('unit', self.path.stem)} {name}".strip()

    def save(self, now: bool = False) -> None:
        """Write the file, seldom unless `now`: saving takes at most a twentieth of the time."""
        began = time.monotonic()
        if not now and began - self._saved < self._pause:
            return
        about = {"identity": self.identity, "seconds": self.seconds(), "codes": self.codes, "done": self.done}
        try:
            line = json.dumps(about | {"results": self._results}, default=plain).encode()
        except TypeError as error:
            raise Problem(f"{self.label('')}: what it has measured so far cannot be saved: {error}") from None
        arrays = np.frombuffer(line, np.uint8), *self._variables
        files.write_atomically(self.path, lambda file: np.savez(file, *arrays))
        self._saved = time.monotonic()
        self._pause = SAVE_SECONDS * max(1.0, self._saved - began)

    def seconds(self) -> float:
        """Training time of this unit so far, including interrupted runs."""
        return self._seconds_before + time.monotonic() - self._started

    def remove(self) -> None:
        """Remove the file, when the unit is in the history or is to start again."""
        files.remove(self.path)
