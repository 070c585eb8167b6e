"""Runs of a script that get a signal at a chosen moment; many runs share one start of Python and TensorFlow.

    python moments.py PROJECT [MODULE ...]

imports the modules, then forks a run for each line on stdin and answers it with a line on stdout, both JSON: `Runs`.
A moment is a kind and a number, such as ["step", 3], the third step of training in that run. `watched` lists the kinds.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

MARK = "HW1_FAULT_MARK"  # in the environment of every run, so that what it leaves behind is found


class Runs:
    """The forking process, as the tests see it: `run(script, flags, moment, signals)` -> what came of it."""

    def __init__(self, project: Path, *modules: str, data: Path | None = None):
        environment = {**os.environ, "HW1_DATA_DIR": str(data)} if data else dict(os.environ)
        command = [sys.executable, __file__, str(project), *modules]
        self.project = project
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd="/"
        )

    def run(
        self, script: str, flags: Iterable[str], moment: Any = None, signals: Any = (), **more: Any
    ) -> dict[str, Any]:
        """One run: its exit `code`, `stderr`, `stdout`, whether it `came` to the moment, `seconds` that it lasted on.

        signals: numbers, the first sent by the run to itself at the moment, the others 30 ms apart.
        more: `late`, seconds between moment and signals; `patches`, {"module.NAME": value} to set beforehand.
        """
        request = {"script": script, "flags": list(flags), "moment": moment, "signals": list(map(int, signals)), **more}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the forking process has gone"
        return json.loads(answer)

    def close(self) -> None:
        with self.process:
            self.process.stdin.close()
            self.process.stdout.read()


def left_behind(mark: str) -> list[int]:
    """Processes whose environment holds the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            if not zombie and f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
    return found


def left_for_good(mark: str) -> list[int]:
    """What is left behind a second later: a `git` that was asked for the commit may need a moment to end."""
    ends = time.monotonic() + 1
    while (found := left_behind(mark)) and time.monotonic() < ends:
        time.sleep(0.02)
    return found


# ---------------------------------------------------------------------------------- in the forking process


def serve(project: Path, modules: list[str]) -> None:
    sys.path.insert(0, str(project))
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
    for name in modules:
        if name.startswith("threads="):  # TensorFlow with these threads, as the script would start it
            from common import backend

            backend.start(*map(int, name.removeprefix("threads=").split(",")))
        else:
            importlib.import_module(name)
    for number, line in enumerate(sys.stdin):
        print(json.dumps(forked(project, json.loads(line), f"{os.getpid()}-{number}")), flush=True)


def forked(project: Path, request: dict[str, Any], mark: str) -> dict[str, Any]:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.setpgid(0, 0)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            os.environ[MARK] = mark
            one_run(project, request, lambda words: os.write(writing, f"{json.dumps(words)}\n".encode()))
        os.close(writing)
        stopped = False
        while True:
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                break
            stopped = True
            os.kill(child, signal.SIGCONT)
        ended = time.monotonic()
        with open(reading) as told:
            words = [json.loads(line) for line in told]
        output.seek(0)
        errors.seek(0)
        came = [each["came"] for each in words if "came" in each]
        return {
            "code": os.waitstatus_to_exitcode(status),
            "stdout": output.read(),
            "stderr": errors.read(),
            "came": bool(came),
            "seconds": ended - came[0] if came else 0.0,
            "stopped": stopped,
            "resumed": [each["resumed"] for each in words if "resumed" in each],
            "seen": next((each["seen"] for each in words if "seen" in each), {}),
            "left": left_for_good(mark),
        }


def one_run(project: Path, request: dict[str, Any], tell: Callable[[Any], Any]) -> None:
    """Run the script in this forked process, which ends with it."""
    seen: dict[str, int] = {}

    def moment(kind: str) -> None:
        seen[kind] = seen.get(kind, 0) + 1
        if [kind, seen[kind]] == request["moment"]:
            if request.get("late"):
                threading.Thread(target=send, args=(request["late"],), daemon=True).start()
            else:
                send()

    def send(late: float = 0) -> None:
        time.sleep(late)
        first, *others = request["signals"]
        tell({"came": time.monotonic()})
        if others:
            threading.Thread(target=follow, args=(others,), daemon=True).start()
        os.kill(os.getpid(), first)

    def follow(others: list[int]) -> None:
        for number in others:
            time.sleep(0.03)
            os.kill(os.getpid(), number)

    from common import signals

    signals._is_own_process = lambda: True  # this fork stands for a process of the script's own
    script = project / request["script"]
    sys.argv = [str(script), *request["flags"]]
    sys.path.insert(0, str(script.parent))
    code = 0
    try:
        importlib.reload(sys.modules["common"])  # as at the start of this script: it prepares for signals
        for name, value in request.get("patches", {}).items():
            module, _, attribute = name.rpartition(".")
            setattr(importlib.import_module(module), attribute, value)
        watched(moment, tell, str(project), request["moment"] or [""])
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:
        sys.settrace(None)
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.settrace(None)
    sys.stdout.flush()
    tell({"seen": seen})
    os._exit(code)


def watched(moment: Callable[[str], None], tell: Callable[[Any], Any], project: str, wanted: list) -> None:
    """Have the moments announced: of every run those of its files, then those of the modules that are imported."""

    def around(owner: Any, name: str, before: str = "", after: str = "") -> None:
        inner = getattr(owner, name)

        def outer(*arguments: Any, **named: Any) -> Any:
            if before:
                moment(before)
            result = inner(*arguments, **named)
            if after:
                moment(after)
            return result

        setattr(owner, name, outer)

    if "common.history" in sys.modules:
        from common import checkpoint, data, data_files, history

        import numpy as np

        restore = checkpoint.Checkpoint.restore

        def restored(self: Any, variables: Any, results: Any) -> Any:
            moment("load")
            results = restore(self, variables, results)
            if self.done:
                tell({"resumed": self.path.stem})
            return results

        checkpoint.Checkpoint.restore = restored

    if wanted[0].startswith("line"):
        sys.settrace(lines(moment, project))
        return
    if wanted[0] == "import" or wanted[0].startswith("import "):

        def imported(event: str, arguments: tuple) -> None:
            if event == "import":
                moment("import")
                moment(f"import {arguments[0]}")

        sys.addaudithook(imported)
        return
    around(os, "replace", "before rename", "after rename")
    around(os, "fsync", "before fsync")
    if "common.history" in sys.modules:
        around(np.lib.format, "write_array", "array")
        around(checkpoint.Checkpoint, "remove", "before removal", "after removal")
        around(history.Experiment, "keep", "trained", "kept")
        around(history, "encode", "history")
        around(data_files.Source, "read", "data")
        around(data, "fingerprint", "fingerprint")
    if "common.training" in sys.modules:
        from common import training

        loop = training.loop

        def compiled(*arguments: Any, **named: Any) -> Callable:
            moment("trace")
            run = loop(*arguments, **named)

            def calls(first: int, steps: int, tell_progress: Any = None) -> Any:
                def step(*done: int, **values: float) -> None:
                    if tell_progress is not None:
                        tell_progress(*done, **values)
                    moment("step")

                moment("call")
                return run(first, steps, step)

            return calls

        training.loop = compiled


def lines(moment: Callable[[str], None], project: str) -> Callable:
    """A trace function: every line of the project's files that is about to run, and of contextlib's, is a moment."""
    names: dict[str, str] = {}
    files = (f"{project}/", contextlib.__file__)

    def inside(frame: Any, event: str, _: Any) -> Callable:
        if event == "line":
            code = frame.f_code
            moment(f"line {names.setdefault(code.co_filename, Path(code.co_filename).name)}:{frame.f_lineno}")
        return inside

    return lambda frame, event, _: inside if frame.f_code.co_filename.startswith(files) else None


@contextlib.contextmanager
def runs(project: Path, *modules: str, data: Path | None = None) -> Iterator[Runs]:
    """`Runs` that end with the block."""
    serving = Runs(project, *modules, data=data)
    try:
        yield serving
    finally:
        serving.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
