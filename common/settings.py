"""Settings dataclass to command-line flags; the scale of a run; and the places where it reads and writes."""

import argparse
import contextlib
import errno
import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from common import gpu, signals
from common.text import clipped, printable

from tyro import cli
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, UseAppendAction

ROOT = Path(__file__).resolve().parents[1]


class Problem(Exception):
    """An error that is shown as one line, without a traceback: what is wrong, and the remedy."""


@dataclass(frozen=True)
class Range:
    """Bounds of a setting; both are allowed."""

    low: float
    high: float


SMALLEST, BELOW_ONE = sys.float_info.min, 1 - 1e-9
Count = Annotated[int, Range(1, 10**9)]
Positive = Annotated[float, Range(SMALLEST, 1e9)]
Share = Annotated[float, Range(0.0, BELOW_ONE)]  # a dropout rate or a fraction, below 1
Seeds = Annotated[tuple[int, ...], Range(0, 2**31 - 1)]


def check_ranges(settings: Any) -> None:
    """ValueError that names the first field outside its range. For use as `__post_init__` of a dataclass."""
    for name, hint in get_type_hints(type(settings), include_extras=True).items():
        value = getattr(settings, name)
        values = value if isinstance(value, tuple) else (value,)
        flag = "--" + name.replace("_", "-")
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            given = " ".join(map(str, value)) or "none"
            raise ValueError(f"{flag} needs at least one value and no value twice, not {given}")
        if get_origin(hint) is Annotated:
            for bounds in (extra for extra in get_args(hint)[1:] if isinstance(extra, Range)):
                for item in values:
                    if not bounds.low <= item <= bounds.high:  # which NaN and infinity fail as well
                        low = "above 0" if bounds.low == SMALLEST else f"from {bounds.low:g}"
                        high = "below 1" if bounds.high == BELOW_ONE else f"{bounds.high:g}"
                        raise ValueError(f"{flag} must lie {low} to {high}, not {item}")


@dataclass(frozen=True)
class _Options:
    scale: Literal["quick", "paper"]  # size of the run: paper is the default where there is a GPU
    data_dir: str = ""  # folder with MNIST and CIFAR-10, see README (also: HW1_DATA_DIR)
    force: bool = False  # train again what the history holds already, all of it even after an interruption
    unit: UseAppendAction[tuple[str, ...]] = ()  # train this unit only (repeatable; --list names them)
    check: bool = False  # say whether the history is up to date, and stop
    list: bool = False  # print one command for each missing unit, and stop


@dataclass(frozen=True)
class Run:
    """One call of a training script: its settings and where its files are."""

    experiment: str  # such as hw1_1/mnist_cnn
    script: Path
    settings: Any
    base: str  # "quick" or "paper", whose defaults the settings started from
    scale: str  # the base, or "changed" where a flag changed a setting
    root: Path  # the tree that takes the history and the figures
    data_dir: Path | None
    force: bool
    unit: tuple[str, ...]
    mode: str  # "train", "check" or "list"
    arguments: tuple[str, ...]  # the flags as given, for the commands of --list

    @property
    def history(self) -> Path:
        """Where the history pickle is."""
        return history_path(self.root, self.experiment)

    @property
    def checkpoints(self) -> Path:
        """Folder of this experiment's checkpoints at this scale."""
        tree = self.root.name if self.scale == "changed" else self.scale
        return ROOT / "out" / "checkpoints" / tree / self.experiment


def tree(scale: str) -> Path:
    """Root of the tree of a scale: the repository itself for paper, out/quick for quick."""
    return ROOT if scale == "paper" else ROOT / "out" / "quick"


def history_path(root: Path, experiment: str) -> Path:
    """Path of an experiment's history pickle within a tree."""
    folder, name = experiment.split("/")
    return root / folder / "history" / f"{name}.pkl"


def absolute(path: str | Path) -> Path:
    """The path from the root, without links; a ~ of an unknown user and links in a circle stay as they are."""
    return Path(os.path.realpath(os.path.expanduser(path)))


def experiment_of(script: str | Path) -> str:
    """hw1_1/mnist_cnn for .../hw1_1/mnist_cnn.py and for .../hw1_1/plot_mnist_cnn.py."""
    path = Path(script).resolve()
    return f"{path.parent.name}/{path.stem.removeprefix('plot_')}"


def parse(script: str, description: str, paper: Any, quick: Any) -> Run:
    """Read the command line. The flags are the fields of the settings, with the scale's own defaults.

    script: the caller's `__file__`. paper, quick: instances of one frozen dataclass, whose tuples are
    the arms of the experiment (they select units) and whose other fields make its identity.
    Exits with 2 and one message on an unknown flag or a value out of range.
    """
    prepare_environment()
    scale, reason = _scale_of(sys.argv[1:])
    os.environ[gpu.SCALE] = gpu.BY_GPU if (scale, reason) == ("paper", gpu.LISTED) else scale
    defaults = paper if scale == "paper" else quick
    command = make_dataclass(
        "Command",
        [("run", OmitArgPrefixes[_Options]), ("settings", OmitArgPrefixes[type(defaults)])],
    )
    parsed = cli(
        command,
        default=command(_Options(scale), defaults),
        description=description,
        config=(FlagCreatePairsOff,),
    )
    options, chosen = parsed.run, parsed.settings
    _refuse_repeated(sys.argv[1:])
    if not options.data_dir and any(argument.startswith("--data-dir") for argument in sys.argv[1:]):
        _usage_error("--data-dir needs a folder")
    experiment = experiment_of(script)
    changed = identity(chosen) != identity(defaults)
    folder = options.data_dir or os.environ.get("HW1_DATA_DIR", "")
    print(f"{experiment}: {scale} scale{' with changed settings' * changed} ({reason})", file=sys.stderr)
    return Run(
        experiment=experiment,
        script=Path(script).resolve(),
        settings=chosen,
        base=scale,
        scale="changed" if changed else scale,
        root=_changed_tree(experiment, chosen) if changed else tree(scale),
        data_dir=absolute(folder) if folder else None,
        force=options.force,
        unit=options.unit,
        mode="check" if options.check else "list" if options.list else "train",
        arguments=tuple(sys.argv[1:]),
    )


def _refuse_repeated(arguments: list[str]) -> None:
    """Exit where a flag is given twice: the first of the two values would be ignored silently."""
    names = [argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")]
    for name in names:
        if names.count(name) > 1 and name != "--unit":
            _usage_error(f"{name} is given twice")


def _usage_error(message: str) -> None:
    print(f"error: {message} (see --help)", file=sys.stderr)
    raise SystemExit(2)


def prepare_environment() -> None:
    """Set the environment variables that TensorFlow and Keras read when they are imported, later."""
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # off by default on CPUs without AVX-512
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the scripts are written for it, whatever keras.json says


def _scale_of(arguments: list[str]) -> tuple[str, str]:
    """The scale and the reason for it. The full parser refuses an unknown scale."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--scale")
    with contextlib.suppress(argparse.ArgumentError):
        given = parser.parse_known_args(arguments)[0].scale
        if given in ("quick", "paper"):
            return given, "as asked"
    listed, reason = gpu.listed()
    return ("paper", reason) if listed else ("quick", f"{reason}; --scale paper for the full size")


def identity(settings: Any) -> dict[str, Any]:
    """The settings by which two runs differ: all but the tuples, which only select units."""
    return {name: value for name, value in asdict(settings).items() if not isinstance(value, tuple)}


def _changed_tree(experiment: str, settings: Any) -> Path:
    digest = hashlib.sha256(json.dumps(identity(settings), sort_keys=True).encode()).hexdigest()
    return ROOT / "out" / "changed" / f"{experiment.split('/')[1]}-{digest[:8]}"


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Turn errors and signals into one line on stderr and an exit code: 1, 130 (Ctrl-C), 143 (other signals).

    For a script's `main()`, at the end of its file. Any error other than Problem and OSError is a defect and keeps its
    traceback. Environment variables, streams and matplotlib's style are restored, in case a notebook runs the script.
    """
    with _as_before():
        _complete_streams()
        signals.prepare()
        try:
            try:
                yield
            except SystemExit:
                signals.leave_if_signalled()
                sys.stdout.flush()  # may say that the disk is full or the reader has gone
                raise
            sys.stdout.flush()
        except BrokenPipeError:
            signals.leave("", 1)  # the reader of our output, such as `head`, has gone
        except KeyboardInterrupt:  # of a notebook's interrupt button
            signals.leave(signals.words(signal.SIGINT), 130)
        except Problem as problem:
            signals.leave(f"error: {printable(clipped(str(problem), 4000))}", 1)
        except OSError as error:
            signals.leave(f"error: {printable(_explain(error))}", 1)


@contextlib.contextmanager
def _as_before() -> Iterator[None]:
    """Restore environment variables, streams and matplotlib's style at the end."""
    environment, streams = dict(os.environ), (sys.stdin, sys.stdout, sys.stderr)
    errors = getattr(sys.stdout, "errors", None)
    loaded = sys.modules.get("matplotlib")
    style = dict(loaded.rcParams) if loaded else None
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        sys.stdin, sys.stdout, sys.stderr = streams
        if errors and hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors=errors)
        if loaded := sys.modules.get("matplotlib"):
            before = dict(style or loaded.rcParamsOrig)
            before.pop("backend")  # is not touched, and the original one may be without what the environment says
            loaded.rcParams.update(before)


def _complete_streams() -> None:
    """Open a closed standard stream on /dev/null; make stdout escape characters that its encoding lacks.

    The number of a closed stream must be taken, or the next opened file would get what native code writes to stderr.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, number)
            if descriptor != number:
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))
    if sys.stdout.errors == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _explain(error: OSError) -> str:
    remedies = {
        errno.ENOSPC: "free some disk space and run the same command again; what was finished is kept",
        errno.EDQUOT: "your disk quota is full; make room and run the same command again",
        errno.EFBIG: "files may not grow larger here (ulimit -f): raise that limit and run the same command again",
        errno.EACCES: "check the permissions of the file and its folder",
        errno.EROFS: "copy the project to a place where you may write",
    }
    place = f"{error.filename}: " if error.filename else ""
    try:
        sys.stdout.flush()
    except OSError:
        place = place or "standard output: "
    remedy = remedies.get(error.errno, "check the disk and the path, then run the same command again")
    return f"{place}{error.strerror or error}; {remedy}"
