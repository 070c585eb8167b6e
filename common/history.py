"""The history pickle of an experiment: start, keep, publish, read.

    python -m common.history hw1_1/history/mnist_cnn.pkl          what it holds
    python -m common.history hw1_1/history/mnist_cnn.pkl --csv    its table of results

A history is a dict of plain dicts, lists, strings, numbers, booleans and None, pickled with protocol 4
and followed by a checksum line; `pickle.load` reads it without this project. Here it is read in a way
that can run no code, whatever the file holds.
"""

import ast
import contextlib
import datetime
import fcntl
import hashlib
import io
import os
import pickle
import pickletools
import resource
import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from common import backend, files
from common.checkpoint import Checkpoint
from common.settings import ROOT, Problem, Run, identity

SCHEMA = 1
MEGABYTE = 1_000_000
LARGEST_READ = 16 * MEGABYTE
LARGEST_WRITTEN = 5 * MEGABYTE
DEEPEST = 16
PLUMBING = frozenset(("backend", "checkpoint", "files", "history", "progress", "settings"))
PLAIN_OPCODES = frozenset(
    [
        "PROTO",
        "FRAME",
        "MARK",
        "STOP",
        "MEMOIZE",
        "BINGET",
        "LONG_BINGET",
        "NONE",
        "NEWTRUE",
        "NEWFALSE",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "BINFLOAT",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "EMPTY_DICT",
        "EMPTY_LIST",
        "SETITEM",
        "SETITEMS",
        "APPEND",
        "APPENDS",
    ]
)
FIELDS = {
    "schema": int,
    "experiment": str,
    "scale": str,
    "settings": dict,
    "units": dict,
    "complete": bool,
    "data": dict,
    "environment": dict,
    "code": dict,
    "wall_seconds": (int, float),
    "results": dict,
}


class UnreadableError(Problem):
    """The file is not a whole and unaltered history."""


# ---------------------------------------------------------------------------------------------- reading


def read(path: Path) -> dict[str, Any]:
    """The history in `path`. UnreadableError names the file and the remedy; FileNotFoundError if there is none."""
    try:
        return _decode(_bytes_of(path))
    except FileNotFoundError:
        raise
    except (ValueError, OSError, MemoryError, RecursionError, OverflowError) as error:
        raise UnreadableError(
            f"{path}: not a usable history: {_printable(str(error))}; "
            f"restore it (git checkout -- FILE) or measure it again (its script with --force)"
        ) from None


def _bytes_of(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not block
    with open(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is not a regular file")
        if about.st_size > LARGEST_READ:
            raise ValueError(f"it has {about.st_size / MEGABYTE:.1f} MB, more than {LARGEST_READ // MEGABYTE}")
        return file.read(LARGEST_READ + 1)


class _PlainUnpickler(pickle.Unpickler):
    """Builds nothing but plain data: a second fence behind the pass over the opcodes."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError("it names code to run")

    def persistent_load(self, identifier: Any) -> Any:
        raise ValueError("it refers to objects outside itself")


def _decode(content: bytes) -> dict[str, Any]:
    """Checksum, opcodes, unpickling, then fields and types; ValueError says what is wrong."""
    body = files.checked(content)
    end = None
    try:
        for opcode, argument, position in pickletools.genops(body):
            if opcode.name not in PLAIN_OPCODES:
                raise ValueError(f"it holds more than plain data (pickle opcode {opcode.name})")
            if opcode.name == "PROTO" and argument != pickle.HIGHEST_PROTOCOL - 1:
                raise ValueError(f"it is a pickle of protocol {argument}, not 4")
            end = position
        if end != len(body) - 1:
            raise ValueError("there are bytes after its end")
        loaded = _PlainUnpickler(io.BytesIO(body)).load()
    except (pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is not a pickle of plain data ({error})") from None
    _check_plain(loaded)
    _check_fields(loaded)
    return loaded


def _check_plain(loaded: Any) -> None:
    """Built-in types only, no deeper than DEEPEST, no container twice (so no cycle), lists rectangular."""
    seen: set[int] = set()
    waiting = [(loaded, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, (str, int, float)) or value is None:
            continue
        if id(value) in seen or depth > DEEPEST:
            raise ValueError("its data are nested too deeply or share parts")
        seen.add(id(value))
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise ValueError("a name in it is not a text")
            waiting.extend((item, depth + 1) for item in value.values())
        else:
            if len({len(item) for item in value if isinstance(item, list)}) > 1:
                raise ValueError("rows of one of its tables differ in length")
            waiting.extend((item, depth + 1) for item in value if isinstance(item, (list, dict)))


def _check_fields(loaded: Any) -> None:
    if not isinstance(loaded, dict) or set(loaded) != set(FIELDS):
        raise ValueError("its fields are not those of a history")
    for name, kind in FIELDS.items():
        if not isinstance(loaded[name], kind) or (kind is not bool and isinstance(loaded[name], bool)):
            raise ValueError(f"its field {name!r} is a {type(loaded[name]).__name__}")
    if loaded["schema"] != SCHEMA:
        raise ValueError(f"its schema is {loaded['schema']}; this project reads {SCHEMA}")
    for name, about in loaded["units"].items():
        if (about is None) == (name in loaded["results"]):
            raise ValueError(f"its unit {name!r} has no results, or results without a record")
    for unit, results in loaded["results"].items():
        if unit not in loaded["units"] or not isinstance(results, dict):
            raise ValueError(f"its results {unit!r} belong to no unit")
        if not isinstance(results.get("summary"), dict):
            raise ValueError(f"its unit {unit!r} has no summary")
    for name in ("name", "fingerprint"):
        if not isinstance(loaded["data"].get(name), str):
            raise ValueError("it does not say which data it was measured on")
    if not isinstance(loaded["code"].get("hash"), str) or not isinstance(loaded["code"].get("revision"), int):
        raise ValueError("it does not say which code made it")
    for name, value in loaded["settings"].items():
        if isinstance(value, float) and not np.isfinite(value):
            raise ValueError(f"its setting {name!r} is {value}")


def _printable(text: str) -> str:
    """`text` with control characters spelled out, so that a terminal shows them and obeys none."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


# ---------------------------------------------------------------------------------------------- writing


def plain(value: Any) -> Any:
    """NumPy arrays and scalars, tuples and paths as the built-in types that a history may hold."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a history cannot hold a {type(value).__name__}")


def encode(history: dict[str, Any]) -> bytes:
    """The bytes of a history file; Problem if they exceed 5 MB."""
    content = files.with_checksum(pickle.dumps(plain(history), protocol=4))
    if len(content) > LARGEST_WRITTEN:
        raise Problem(f"the history would take {len(content) / MEGABYTE:.1f} MB: record fewer points")
    return content


def code_hash(script: Path) -> str:
    """SHA-256 over the syntax trees, docstrings dropped, of a script and the modules of `common` it uses.

    PLUMBING, which moves files and flags but no number, is left out.
    """
    digest = hashlib.sha256()
    waiting, done = [script.resolve()], set()
    while waiting:
        path = waiting.pop()
        if path in done or path.stem in PLUMBING:
            continue
        done.add(path)
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "common":
                waiting += [ROOT / "common" / f"{alias.name}.py" for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("common."):
                waiting.append(ROOT / f"{node.module.replace('.', '/')}.py")
    for path in sorted(done, key=lambda path: path.name):
        digest.update(f"{path.name}\n{_structure(ast.parse(path.read_text()))}\n".encode())
    return digest.hexdigest()


def _structure(node: Any) -> str:
    """A syntax tree in words that are the same under Python 3.11 to 3.13, without docstrings and positions."""
    if isinstance(node, list):
        return "[" + ",".join(_structure(item) for item in node) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    skipped = {"type_comment", "type_params", "kind", "ctx"}
    parts = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and _has_docstring(node):
            value = value[1:]
        if name not in skipped and value is not None and value != []:
            parts.append(f"{name}={_structure(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _has_docstring(node: Any) -> bool:
    return ast.get_docstring(node, clean=False) is not None


def _commit() -> str:
    """The git commit of the code, with a + where files differ from it; empty without git."""
    try:
        command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


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
    state, fine = kept.state()
    if fine and not run.force:
        print(f"{run.experiment}: kept, {state}; --force retrains", file=sys.stderr)
    return kept


def _command(run: Run, unit: str) -> str:
    """One shell command that trains one unit, with the flags that this call was given."""
    flags = [flag for flag in run.arguments if flag != "--list"]
    if not any(flag.startswith("--scale") for flag in flags):
        flags += ["--scale", run.base]
    return shlex.join([sys.executable, str(run.script), *flags, "--unit", unit])


class Kept:
    """The history of one run on disk: `missing` units to train, `keep` for each, `report` at the end."""

    def __init__(self, run: Run, revision: int, units: tuple[str, ...], data: dict[str, str]):
        self.run = run
        self.units = units
        self.data = data
        self.code = {"revision": revision, "hash": code_hash(run.script), "commit": _commit()}
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
            return f"due: {_printable(why)}", False
        done = [unit for unit in self.units if unit in history["results"]]
        note = "" if history["code"]["hash"] == self.code["hash"] else "; made by other code"
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
        asked = [unit for unit in self.units if not self.run.unit or unit in self.run.unit]
        return [unit for unit in asked if history is None or unit in self.forced or unit not in history["results"]]

    def missing(self) -> Iterator[str]:
        """Yield each unit to train, claimed against other processes that fill the same history."""
        waiting = self.wanted()
        for patient in (False, True):  # first what nobody trains, then what others left unfinished
            for unit in list(waiting):
                with self._claim(unit, patient) as claimed:
                    if claimed:
                        waiting.remove(unit)
                        if unit in self.wanted():
                            self.checkpoint(unit)  # its clock starts here
                            yield unit

    @contextlib.contextmanager
    def _claim(self, unit: str, patient: bool) -> Iterator[bool]:
        path = self._checkpoint_path(unit).with_suffix(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
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
        self._checkpoints[unit] = Checkpoint(self._checkpoint_path(unit), bound)
        return self._checkpoints[unit]

    def keep(self, unit: str, results: dict[str, Any]) -> None:
        """Publish one unit's results beside those already there, whoever measured them.

        results: plain data or arrays, with `summary`, a dict of numbers or of lists of numbers over seeds.
        """
        checkpoint = self._checkpoints.get(unit) or self.checkpoint(unit)
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
                merged[name] = value + [item for item in merged[name] if item not in value]
        return merged

    def report(self) -> None:
        """Print the table of results and where the history is."""
        try:
            history = read(self.run.history)
        except FileNotFoundError:
            return
        done, units = len(history["results"]), len(history["units"])
        print(table(history).to_string())
        print(f"history: {self.run.history}" + ("" if history["complete"] else f" ({done} of {units} units)"))


def _peak_memory() -> int:
    """Bytes: the largest resident size of this process so far (getrusage counts kilobytes, on macOS bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _put_aside(path: Path) -> None:
    """Move a history of another identity to out/replaced: nothing measured is lost."""
    if path.exists():
        stamp = datetime.datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y%m%d-%H%M%S")
        target = ROOT / "out" / "replaced" / f"{path.stem}-{stamp}.pkl"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        print(f"the history that was there is kept as {target}", file=sys.stderr)


# ------------------------------------------------------------------------------------ showing a history


def measured_on(history: dict[str, Any]) -> str:
    """Date of the newest unit, such as 2026-11-24."""
    return max(about["measured"] for about in history["units"].values() if about)[:10]


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
    """A pandas table, one row a group: median [smallest, largest] over seeds, or those as columns."""
    import pandas

    rows: dict[str, dict[str, Any]] = {}
    for group, quantities in gathered(history).items():
        row = rows.setdefault(group, {})
        for quantity, values in quantities.items():
            middle, low, high = np.median(values), np.min(values), np.max(values)
            if numeric:
                row |= {f"{quantity} median": middle, f"{quantity} min": low, f"{quantity} max": high}
                row[f"{quantity} n"] = len(values)
            else:
                row[quantity] = f"{middle:.4g}" + (f" [{low:.4g}, {high:.4g}]" if len(values) > 1 else "")
    return pandas.DataFrame.from_dict(rows, orient="index").rename_axis("net")
