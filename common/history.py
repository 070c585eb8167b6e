"""The history of an experiment, a pickle with all its results: start, keep, report, read.

    python -m common.history hw1_1/history/mnist_cnn.pkl                     what it holds
    python -m common.history hw1_1/history/mnist_cnn.pkl --csv               its table of results
    python -m common.history hw1_1/history/mnist_cnn.pkl --csv --by-epoch    its curves, one row an epoch

A history is a dict of plain dicts, lists, strings, numbers, booleans and None, pickled with protocol 4
and followed by a checksum line; `pickle.load` reads it without this project. Here it is read in a way
that can run no code, whatever the file holds.

A script trains units. Most units are one training each; where one training gives several units, such as a net at
several stages, `start` is given {training: units}, and `keep` takes {unit: results}.
"""

import argparse
import contextlib
import datetime
import errno
import functools
import gc
import os
import resource
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import backend, files
from common.checkpoint import Checkpoint
from common.history_file import SCHEMA, UnreadableError, encode, first_mistake, not_finite, read
from common.plain_pickle import MEGABYTE, plain
from common.provenance import code_hash, commit
from common.settings import ROOT, Problem, Run, identity, one_message
from common.tables import by_epoch, describe, group_of, measured_on, table
from common.text import clipped, printable

__all__ = ["SCHEMA", "Checkpoint", "Experiment", "UnreadableError", "describe", "encode", "group_of", "measured_on"]
__all__ += ["plain", "read", "start", "table"]

MEND = "Mend what `train` returns and run the same command again: the finished training is used"


def start(
    run: Run, revision: int, units: Sequence[str] | Mapping[str, Sequence[str]], dataset: Any = None
) -> "Experiment":
    """Compare the history with this run, for the script to train what is missing. With --check or --list, exits then.

    revision: the script's REVISION, raised when a change of code makes old results wrong. units: names in the order of
    training, or {training: the units that it gives}. dataset: of `common.data`; None where the inputs are computed.
    """
    data = {"name": "computed", "fingerprint": "computed"}
    if dataset is not None:
        data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "source": dataset.source}
    trainings = dict(units) if isinstance(units, Mapping) else {unit: (unit,) for unit in units}
    names = [unit for gives in trainings.values() for unit in gives]
    unknown = [name for name in run.unit if name not in (*names, *trainings)]
    if unknown:
        print(f"error: no unit {unknown[0]!r}; the units are: {', '.join(names)}", file=sys.stderr)
        raise SystemExit(2)
    experiment = Experiment(run, revision, trainings, data)
    if run.mode == "check":
        state, fine = experiment.state()
        print(state)
        raise SystemExit(0 if fine else 1)
    if run.mode == "list":
        for training in experiment.due():
            print(_command(run, training))
        raise SystemExit(0)
    if dataset is not None:
        print(f"data: {dataset.name}: {dataset.source}", file=sys.stderr)
    state, fine = experiment.state()
    if fine and not run.force:
        print(f"{run.experiment}: {state}; --force measures it again", file=sys.stderr)
    elif run.base == "paper":
        print(f"{run.experiment}: {state}", file=sys.stderr)
    return experiment


def _command(run: Run, training: str) -> str:
    """One shell command that trains one unit, with the flags that this call was given."""
    given = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    given.add_argument("--list", action="store_true")
    for names in (["--unit"], ["--scale"], ["--data-dir", "--data_dir"]):
        given.add_argument(*names)
    flags = given.parse_known_args(run.arguments)[1]  # all others
    if run.data_dir is not None:
        flags += ["--data-dir", str(run.data_dir)]  # absolute: the command may run in another folder
    command = shlex.join([sys.executable, str(run.script), *flags, "--scale", run.base, "--unit", training])
    return command.replace("\n", r"'$'\n''")  # a folder's name may have a line break: one line all the same


class Experiment:
    """The history of a run on disk: loop over `missing`, `keep` the results of each unit, `report` at the end."""

    def __init__(self, run: Run, revision: int, trainings: dict[str, Sequence[str]], data: dict[str, str]):
        self.run = run
        self.trainings = trainings
        self.units = [unit for units in trainings.values() for unit in units]
        self.data = data
        self.code = {
            "revision": revision,
            "hash": code_hash(run.script),
            "commit": commit() if run.mode == "train" else "",
        }
        self.forced = set(self.units) if run.force else set()
        self._checkpoints: dict[str, Checkpoint] = {}

    def _load(self) -> tuple[dict[str, Any] | None, str]:
        """The history, if it belongs to this run, else None and why not."""
        try:
            history = read(self.run.history)
        except FileNotFoundError:
            return None, "nothing measured yet"
        here = identity(self.run.settings)
        there = {name: value for name, value in history["settings"].items() if not isinstance(value, list)}
        for name in here:
            if name not in there or there[name] != here[name]:
                return None, f"{name} is {here[name]} here and was {there.get(name, 'not recorded')}"
        if set(there) != set(here):
            return None, "it has other settings"
        if history["data"]["fingerprint"] != self.data["fingerprint"]:
            return None, f"measured on {history['data']['name']}, here is {self.data['name']}"
        if history["code"]["revision"] != self.code["revision"]:
            return None, f"made by revision {history['code']['revision']}, this is {self.code['revision']}"
        if (history["experiment"], history["scale"]) != (self.run.experiment, self.run.scale):
            return None, "it is of another experiment or scale"
        return history, ""

    def state(self) -> tuple[str, bool]:
        """One line for --check, and whether nothing is due."""
        try:
            history, why = self._load()
        except UnreadableError as problem:
            return f"unreadable: {problem}", False
        if history is None:
            return f"due: {printable(clipped(why, 500))}{self._hours(len(self.units))}", False
        if self.forced:
            return f"due: all of it again{self._hours(len(self.units))}", False
        done = [unit for unit in self.units if unit in history["results"]]
        made_by = {history["units"][unit]["code"] for unit in done}
        note = "" if made_by <= {self.code["hash"]} else "; made by other code"
        if missing := len(self.units) - len(done):
            return f"partial: {len(done)} of {len(self.units)} units{note}{self._hours(missing)}", False
        return f"up to date (measured {measured_on(history)}){note}", True

    def _hours(self, units: int) -> str:
        """Words: how long this number of units takes on a CPU at paper scale, by the times in the history."""
        with contextlib.suppress(OSError, UnreadableError):
            history = read(self.run.history)
            records = [record for record in history["units"].values() if record and "CPU" in str(record.get("device"))]
            if records and history["scale"] == self.run.scale == "paper":
                seconds = units * sum(record["wall_seconds"] for record in records) / len(records)
                return f"; about {seconds / 3600:.1f} hours on a CPU"
        return ""

    def due(self) -> list[str]:
        """The trainings to run: those with a unit that the history lacks; with --force, all."""
        try:
            history, _ = self._load()
        except UnreadableError:
            if not self.run.force:
                raise
            history = None
        measured = set(history["results"]) - self.forced if history else set()
        return [name for name in self._asked() if not measured.issuperset(self.trainings[name])]

    def _asked(self) -> list[str]:
        asked = set(self.run.unit) or set(self.trainings)
        return [name for name, units in self.trainings.items() if asked.intersection((name, *units))]

    def missing(self) -> Iterator[str]:
        """Yield each training that is due, locked so that no other process that fills this history trains it too."""
        waiting = self.due()
        if waiting:
            _require_place_for(self.run.history)
        self._remove_leftovers(waiting)
        for patient in (False, True):  # first what no process trains, then what others left unfinished
            for training in list(waiting):
                with self._claim(training, patient) as claimed:
                    if claimed:
                        waiting.remove(training)
                        if training in self.due():
                            checkpoint = self.checkpoint(training)  # its clock starts here
                            if self.forced.intersection(self.trainings[training]):
                                checkpoint.remove()
                            yield training
                            gc.collect()  # a unit's copy of the data leaves before the next one's comes

    def _remove_leftovers(self, waiting: Sequence[str]) -> None:
        """Remove what killed runs left: temporary files, and checkpoints of units that were published just before."""
        files.remove_stale_temporaries(self.run.history)
        for training in set(self._asked()) - set(waiting):
            path = self._checkpoint_path(training)
            if path.exists() or files.temporaries(path):
                with contextlib.suppress(OSError), self._claim(training, patient=False) as claimed:
                    if claimed:
                        files.remove(path)

    def _claim(self, training: str, patient: bool) -> contextlib.AbstractContextManager[bool]:
        waiting = f"{self.run.experiment}: waiting for the process that trains {training}"
        return files.locked(self._checkpoint_path(training), waiting, patient)

    def _checkpoint_path(self, training: str) -> Path:
        return self.run.checkpoints / f"{training.replace('/', '-')}.state"

    def checkpoint(self, training: str) -> Checkpoint:
        """The training's checkpoint, tied to settings, data and REVISION, so that no other run resumes from it."""
        bound = {
            "experiment": self.run.experiment,
            "scale": self.run.scale,
            "unit": training,
            "settings": identity(self.run.settings),
            "data": self.data["fingerprint"],
            "revision": self.code["revision"],
        }
        path = self._checkpoint_path(training)
        return self._checkpoints.setdefault(training, Checkpoint(path, bound, self.code["hash"]))

    def keep(self, training: str, results: dict[str, Any]) -> None:
        """Add the results of a training to the history on disk.

        results: plain data or arrays, with `summary`, a dict of numbers or of lists of numbers over seeds; for a
        training that gives several units, {unit: results}. Problem where a history cannot hold them: the checkpoint
        stays, so that a corrected script finds its finished training.
        """
        checkpoint = self._checkpoints.get(training) or self.checkpoint(training)
        by_unit = results if list(self.trainings[training]) != [training] else {training: results}
        for unit in self.trainings[training]:
            mistake = first_mistake(by_unit.get(unit) if isinstance(by_unit, dict) else by_unit)
            if mistake:
                raise Problem(f"{unit}: {mistake}. {MEND}")
            if odd := not_finite(by_unit[unit]):
                print(f"note: {unit}: NaN or infinite numbers in {clipped(', '.join(odd), 300)}", file=sys.stderr)
        with files.locked(self.run.history):
            try:
                history, _ = self._load()
            except UnreadableError:
                history = None
            if history is None:
                _put_aside(self.run.history)
                history = {"units": {}, "results": {}, "settings": {}}
            units = self.trainings[training]
            new = [unit for unit in units if unit in self.forced or unit not in history["results"]]
            records = history["units"] | dict.fromkeys(new, self._record(checkpoint, len(new)))
            units = {unit: records.get(unit) for unit in (*self.units, *history["units"])}
            published = {
                "schema": SCHEMA,
                "experiment": self.run.experiment,
                "scale": self.run.scale,
                "settings": self._settings(history["settings"]),
                "units": units,
                "complete": None not in units.values(),
                "data": self.data,
                "environment": backend.environment(),
                "code": self.code,
                "wall_seconds": round(sum(record["wall_seconds"] for record in units.values() if record), 2),
                "results": history["results"] | {unit: by_unit[unit] for unit in new},
            }
            try:
                content = encode(published)
            except ValueError as error:
                raise Problem(f"{training}: {error}. {MEND}") from None
            files.write_atomically(self.run.history, content)
        self.forced.difference_update(new)
        self._checkpoints.pop(training, None)
        checkpoint.remove()

    def _record(self, checkpoint: Checkpoint, units: int) -> dict[str, Any]:
        """When, where and by which code a unit was measured; the seconds of a training are divided among its units."""
        record = {
            "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(checkpoint.seconds() / max(units, 1), 2),
            "peak_memory_megabytes": round(_peak_memory() / MEGABYTE),
            "device": backend.environment()["device"],
            "code": self.code["hash"],
            "commit": self.code["commit"],
        }
        other = checkpoint.codes[1:]
        return record | ({"begun_by_code": other} if other else {})

    def _settings(self, before: dict[str, Any]) -> dict[str, Any]:
        """This run's settings, with arms of the history that this call did not select."""
        merged = plain(asdict(self.run.settings))
        for name, value in before.items():
            if isinstance(value, list):
                merged[name] = value + [item for item in merged.get(name, []) if item not in value]
        return merged

    def report(self) -> None:
        """Print the table of results, where the history is, and the command that draws it."""
        try:
            history = read(self.run.history)
        except FileNotFoundError:
            return
        done, units = len(history["results"]), len(history["units"])
        print(table(history).to_string(na_rep="-"))
        print(f"history: {self.run.history}" + ("" if history["complete"] else f" ({done} of {units} units)"))
        plot = self.run.script.with_name(f"plot_{self.run.script.name}")
        if plot.is_file():
            of = ["--history", str(self.run.history)] if self.run.scale == "changed" else ["--scale", self.run.scale]
            print(f"its figures: {shlex.join([sys.executable, str(plot), *of])}", file=sys.stderr)


def _peak_memory() -> int:
    """Bytes: the largest resident size of this process so far (getrusage counts kilobytes, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _require_place_for(path: Path) -> None:
    """Problem or OSError now, and not after the first training, where no history can be published at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise Problem(f"{path}: not a regular file, so no history can be written there: remove it")
    if path.exists() and not os.access(path, os.R_OK):  # what is there is merged, or kept aside
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if not os.access(path.parent, os.W_OK | os.X_OK):
        number = errno.EROFS if os.statvfs(path.parent).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(number, os.strerror(number), str(path.parent))


def _put_aside(path: Path) -> None:
    """Copy a history of another identity to out/replaced before it is overwritten: nothing measured is lost."""
    if not path.exists():
        return
    _require_place_for(path)
    target = ROOT / "out" / "replaced" / f"{path.stem}-{files.sha256(path)[:12]}.pkl"
    for remains in files.temporaries(target):  # no other process copies: the caller has the history's lock
        remains.unlink(missing_ok=True)
    with open(path, "rb") as old:
        files.write_atomically(target, lambda file: shutil.copyfileobj(old, file))
    print(f"the history that was there is kept as {target}", file=sys.stderr)


def main() -> None:
    """Show the histories named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m common.history", description="Show what histories hold.", allow_abbrev=False
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="history pickle")
    parser.add_argument("--csv", action="store_true", help="print the table of results only: median, min, max, n")
    parser.add_argument("--by-epoch", action="store_true", help="with --csv: the curves, one row an epoch")
    arguments = parser.parse_args()
    if arguments.by_epoch and not arguments.csv:
        parser.error("--by-epoch goes with --csv")
    histories = []
    for path in arguments.files:
        try:
            histories.append(read(path))
        except FileNotFoundError:
            raise Problem(f"{path}: no such history; its training script makes it") from None
    if arguments.csv:
        print(_csv(histories, by_epoch if arguments.by_epoch else functools.partial(table, numeric=True)), end="")
    else:
        named = zip(arguments.files, histories, strict=True)
        print("\n\n".join(f"{printable(str(path))}\n{describe(each)}" for path, each in named))


def _csv(histories: list[dict[str, Any]], rows: Callable[[dict[str, Any]], Any]) -> str:
    """The rows of all histories below each other, each with its experiment and scale."""
    import pandas

    keys = [tuple(printable(clipped(each[name], 80)) for name in ("experiment", "scale")) for each in histories]
    return pandas.concat(map(rows, histories), keys=keys, names=["experiment", "scale", "unit"]).to_csv()


if __name__ == "__main__":
    with one_message():
        main()
