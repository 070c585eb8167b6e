"""The history pickle of an experiment: start, keep, publish, read.

    python -m common.history hw1_1/history/mnist_cnn.pkl          what it holds
    python -m common.history hw1_1/history/mnist_cnn.pkl --csv    its table of results

A history is a dict of plain dicts, lists, strings, numbers, booleans and None, pickled with protocol 4
and followed by a checksum line; `pickle.load` reads it without this project. Here it is read in a way
that can run no code, whatever the file holds.
"""

import argparse
import contextlib
import datetime
import errno
import fcntl
import gc
import hashlib
import os
import resource
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import backend, files
from common.checkpoint import Checkpoint
from common.history_file import SCHEMA, UnreadableError, encode, read
from common.plain_pickle import MEGABYTE, clipped, plain, printable
from common.provenance import code_hash, commit
from common.settings import ROOT, Problem, Run, identity, one_message

import numpy as np

# ---------------------------------------------------------------------------------------- one experiment


def start(run: Run, revision: int, units: Sequence[str], dataset: Any = None) -> "Kept":
    """What the history holds of this run and what is missing; does --check and --list, then exits.

    revision: the script's REVISION, raised when a change of code makes old results wrong. units: names,
    in the order of training. dataset: of `common.data`; None where the inputs are computed.
    """
    data = {"name": "computed", "fingerprint": "computed"}
    if dataset is not None:
        data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "source": dataset.source}
    unknown = [name for name in run.unit if name not in units]
    if unknown:
        print(f"error: no unit {unknown[0]!r}; the units are: {', '.join(units)}", file=sys.stderr)
        raise SystemExit(2)
    kept = Kept(run, revision, tuple(units), data)
    if run.mode == "check":
        state, fine = kept.state()
        print(state)
        raise SystemExit(0 if fine else 1)
    if run.mode == "list":
        for unit in kept.wanted():
            print(_command(run, unit))
        raise SystemExit(0)
    if dataset is not None:
        print(f"data: {dataset.name}: {dataset.source}", file=sys.stderr)
    state, fine = kept.state()
    if fine and not run.force:
        print(f"{run.experiment}: kept, {state}; --force retrains", file=sys.stderr)
    return kept


def _command(run: Run, unit: str) -> str:
    """One shell command that trains one unit, with the flags that this call was given."""
    flags = _without(run.arguments, "--list", {"--unit", "--scale", "--data-dir"})
    if run.data_dir is not None:
        flags += ["--data-dir", str(run.data_dir)]  # absolute: the command may run in another folder
    command = shlex.join([sys.executable, str(run.script), *flags, "--scale", run.base, "--unit", unit])
    return command.replace("\n", r"'$'\n''")  # a folder's name may have a line break: one line all the same


def _without(arguments: Sequence[str], flag: str, valued: set[str]) -> list[str]:
    """`arguments` without `flag` and without the flags in `valued`, each with the value that follows it."""
    kept, skip = [], False
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if not skip and name != flag and name not in valued:
            kept.append(argument)
        skip = not skip and argument.replace("_", "-") in valued
    return kept


class Kept:
    """The history of one run on disk: `missing` units to train, `keep` for each, `report` at the end."""

    def __init__(self, run: Run, revision: int, units: tuple[str, ...], data: dict[str, str]):
        self.run = run
        self.units = units
        self.data = data
        self.code = {"revision": revision, "hash": code_hash(run.script), "commit": commit()}
        self.forced = set(units) if run.force else set()
        self._checkpoints: dict[str, Checkpoint] = {}

    def _load(self) -> tuple[dict[str, Any] | None, str]:
        """The history, if it is of this run's identity, else None and why not."""
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
            return f"due: {printable(clipped(why, 500))}", False
        done = [unit for unit in self.units if unit in history["results"]]
        made_by = {history["units"][unit]["code"] for unit in done}
        note = "" if made_by <= {self.code["hash"]} else "; made by other code"
        if len(done) < len(self.units):
            return f"partial: {len(done)} of {len(self.units)} units{note}", False
        return f"up to date (measured {measured_on(history)}){note}", True

    def wanted(self) -> list[str]:
        """Units of this call that the history lacks, or all of them with --force."""
        try:
            history, _ = self._load()
        except UnreadableError:
            if not self.run.force:
                raise
            history = None
        return [
            unit for unit in self._asked() if history is None or unit in self.forced or unit not in history["results"]
        ]

    def _asked(self) -> list[str]:
        return [unit for unit in self.units if not self.run.unit or unit in self.run.unit]

    def missing(self) -> Iterator[str]:
        """Yield each unit to train, claimed against other processes that fill the same history."""
        waiting = self.wanted()
        if waiting:
            _require_place_for(self.run.history)
        self._remove_leftovers(waiting)
        for patient in (False, True):  # first what nobody trains, then what others left unfinished
            for unit in list(waiting):
                with self._claim(unit, patient) as claimed:
                    if claimed:
                        waiting.remove(unit)
                        if unit in self.wanted():
                            checkpoint = self.checkpoint(unit)  # its clock starts here
                            if unit in self.forced:
                                checkpoint.remove()
                            yield unit
                            gc.collect()  # a unit's copy of the data leaves before the next one's comes

    def _remove_leftovers(self, waiting: Sequence[str]) -> None:
        """Remove what killed runs left: temporary files, and checkpoints of units that were published just before."""
        files.remove_stale_temporaries(self.run.history)
        for unit in set(self._asked()) - set(waiting):
            path = self._checkpoint_path(unit)
            if path.exists() or files.temporaries(path):
                with contextlib.suppress(OSError), self._claim(unit, patient=False) as claimed:
                    if claimed:
                        files.remove(path)

    @contextlib.contextmanager
    def _claim(self, unit: str, patient: bool) -> Iterator[bool]:
        path = self._checkpoint_path(unit).with_suffix(".lock")
        with files.open_lock(path) as file:
            if patient:
                files.lock(file, f"{self.run.experiment}: waiting for the process that trains {unit}")
            else:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
            yield True

    def _checkpoint_path(self, unit: str) -> Path:
        return self.run.checkpoints / f"{unit.replace('/', '-')}.npz"

    def checkpoint(self, unit: str) -> Checkpoint:
        """The unit's checkpoint, bound to this run's identity, so that no other run resumes from it."""
        bound = {
            "experiment": self.run.experiment,
            "scale": self.run.scale,
            "unit": unit,
            "settings": identity(self.run.settings),
            "data": self.data["fingerprint"],
            "code": self.code["hash"],
        }
        return self._checkpoints.setdefault(unit, Checkpoint(self._checkpoint_path(unit), bound))

    def keep(self, unit: str, results: dict[str, Any]) -> None:
        """Publish one unit's results beside those already there, whoever measured them.

        results: plain data or arrays, with `summary`, a dict of numbers or of lists of numbers over seeds.
        """
        checkpoint = self._checkpoints.pop(unit, None) or self.checkpoint(unit)
        environment = backend.environment()
        record = {
            "measured": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "wall_seconds": round(checkpoint.seconds(), 2),
            "peak_memory_megabytes": round(_peak_memory() / MEGABYTE),
            "device": environment["device"],
            "code": self.code["hash"],
        }
        with files.locked(self.run.history):
            try:
                history, _ = self._load()
            except UnreadableError:
                history = None
            if history is None:
                _put_aside(self.run.history)
                history = {"units": {}, "results": {}}
            units = {name: history["units"].get(name) for name in (*self.units, *history["units"])}
            units[unit] = record
            published = {
                "schema": SCHEMA,
                "experiment": self.run.experiment,
                "scale": self.run.scale,
                "settings": self._settings(history),
                "units": units,
                "complete": all(about is not None for about in units.values()),
                "data": self.data,
                "environment": environment,
                "code": self.code,
                "wall_seconds": round(sum(about["wall_seconds"] for about in units.values() if about), 2),
                "results": {**history["results"], unit: results},
            }
            files.write_atomically(self.run.history, encode(published))
        self.forced.discard(unit)
        checkpoint.remove()

    def _settings(self, history: dict[str, Any]) -> dict[str, Any]:
        """This run's settings, with arms of the history that this call did not select."""
        merged = plain(asdict(self.run.settings))
        for name, value in history.get("settings", {}).items():
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
    if path.exists() and not path.is_file():
        raise Problem(f"{path}: not a regular file, so no history can be written there: remove it")
    if path.exists() and not os.access(path, os.R_OK):  # what is there is merged, or kept aside
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    files.require_writable(path.parent)


def _put_aside(path: Path) -> None:
    """Copy a history of another identity to out/replaced before it is overwritten: nothing measured is lost."""
    if not path.exists():
        return
    _require_place_for(path)
    with open(path, "rb") as old:
        stamp = datetime.datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
        digest = hashlib.file_digest(old, "sha256").hexdigest()  # a clone's files are all of the same second
        target = ROOT / "out" / "replaced" / f"{path.stem}-{stamp}-{digest[:8]}.pkl"
        old.seek(0)
        for remains in files.temporaries(target):  # nobody else copies: the caller has the history's lock
            remains.unlink(missing_ok=True)
        files.write_atomically(target, lambda file: shutil.copyfileobj(old, file))
    print(f"the history that was there is kept as {target}", file=sys.stderr)


# ------------------------------------------------------------------------------------ showing a history


def measured_on(history: dict[str, Any]) -> str:
    """Date of the newest unit, such as 2026-11-24; empty where nothing is measured yet."""
    return printable(max((record["measured"] for record in history["units"].values() if record), default="")[:10])


def group_of(unit: str) -> str:
    """deep for deep/seed-0: the name of what several seeds measure."""
    return "/".join(part for part in unit.split("/") if not part.startswith("seed-"))


def gathered(history: dict[str, Any]) -> dict[str, dict[str, list[float]]]:
    """{group: {quantity: values over seeds}} from the summaries of all units."""
    groups: dict[str, dict[str, list[float]]] = {}
    for unit in history["units"]:
        for quantity, value in history["results"].get(unit, {}).get("summary", {}).items():
            values = value if isinstance(value, list) else [value]
            groups.setdefault(group_of(unit), {}).setdefault(quantity, []).extend(values)
    return groups


def table(history: dict[str, Any], numeric: bool = False) -> Any:
    """A pandas table, one row a group: median [smallest, largest] over seeds, or those and n as columns."""
    import pandas

    rows: dict[str, dict[str, Any]] = {}
    for group, quantities in gathered(history).items():
        row = rows.setdefault(_heading(group), {})
        for quantity, values in quantities.items():
            name, (middle, low, high) = _heading(quantity), _spread(values)
            if numeric:
                row |= {f"{name} median": middle, f"{name} min": low, f"{name} max": high, f"{name} n": len(values)}
            elif values:
                row[name] = f"{middle:.4g}" + (f" [{low:.4g}, {high:.4g}]" if len(values) > 1 else "")
            else:
                row[name] = "none"  # such as the live nets where all are dead
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("net")


def _heading(name: str) -> str:
    return printable(clipped(name, 80))  # a table pads its columns: a name of a megabyte would be in every row


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Median, smallest and largest value; NaN where there is none."""
    if not values:
        return np.nan, np.nan, np.nan
    numbers = np.array(values, float)
    with np.errstate(invalid="ignore", over="ignore"):  # the mean of -inf and inf, and of two that are nearly infinite
        return float(np.median(numbers)), float(numbers.min()), float(numbers.max())


def describe(history: dict[str, Any]) -> str:
    """What a history holds, for a terminal: where it comes from, the sizes of its results, and their table."""
    done, units, code, data = len(history["results"]), len(history["units"]), history["code"], history["data"]
    first = next(iter(history["results"].values()), {})
    lines = {
        "experiment": history["experiment"],
        "scale": history["scale"],
        "units": f"{done} of {units}" + (", complete" if history["complete"] else ", partial"),
        "measured": measured_on(history) or "not yet",
        "settings": _pairs(history["settings"]),
        "data": _pairs(data),
        "code": f"revision {code['revision']}, commit {code.get('commit') or 'unknown'}, hash {code['hash'][:12]}",
        "environment": _pairs(history["environment"]),
        "minutes": f"{history['wall_seconds'] / 60:.1f}",
        "results": ", ".join(f"{name} {_size(value)}" for name, value in first.items()) or "none yet",
    }
    described = [f"{name:<11}  {printable(clipped(text, 2000))}" for name, text in lines.items()]
    return "\n".join([*described, "", table(history).to_string(na_rep="-") if done else "(nothing measured yet)"])


def _pairs(values: dict[str, Any]) -> str:
    words = []
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        words.append(f"{name} {' '.join(clipped(str(item), 80) for item in items[:20])}{' ...' * (len(items) > 20)}")
    return ", ".join(words)


def _size(value: Any) -> str:
    """3 x 20 for three lists of 20, and the name of its type for anything else."""
    lengths = []
    while isinstance(value, list):
        lengths.append(str(len(value)))
        value = value[0] if value else None
    if isinstance(value, dict):
        lengths.append("{" + ", ".join(clipped(name, 40) for name in list(value)[:10]) + "}")
    return " x ".join(lengths) or type(value).__name__


def main() -> None:
    """Show the histories named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m common.history", description="Show what histories hold.", allow_abbrev=False
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="history pickle")
    parser.add_argument("--csv", action="store_true", help="print the table of results only: median, min, max, n")
    arguments = parser.parse_args()
    shown = []
    for path in arguments.files:
        try:
            shown.append(read(path))
        except FileNotFoundError:
            raise Problem(f"{path}: no such history; its training script makes it") from None
    if arguments.csv:
        import pandas

        keys = [(_heading(history["experiment"]), _heading(history["scale"])) for history in shown]
        tables = [table(history, numeric=True) for history in shown]
        print(pandas.concat(tables, keys=keys, names=["experiment", "scale", "net"]).to_csv(), end="")
    else:
        print(
            "\n\n".join(
                f"{printable(str(path))}\n{describe(history)}"
                for path, history in zip(arguments.files, shown, strict=True)
            )
        )


if __name__ == "__main__":
    with one_message():
        main()
