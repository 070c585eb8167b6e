"""A contender: a process that loads one piece of work, then does as many steps of it as it is asked to, and no more.

    python tests/bench/contenders/process.py NAME

NAME is a key of MODULES. Commands are lines of JSON on stdin, answers such lines on stdout; what libraries print goes
to stderr.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:1] = [str(ROOT), str(ROOT / "tests" / "bench")]
from contenders.work import Work, script_module

MODULES = {
    "ours": "ours",
    "fit": "keras_fit",
    "fit tuned": "keras_fit",
    "torch": "eager_torch",
    "torch channels last": "eager_torch",
    "jax": "compiled_jax",
    "jax float64": "compiled_jax",
    "tensorflow matmul": "matmul",
    "numpy matmul": "matmul",
}


def load(name: str, work: Work, layers: list) -> tuple[Callable[[int], float], str]:
    """run(steps) -> seconds, and a word about how it is done, such as what was tuned. layers: of the net."""
    if name == "ours":
        script_module(work.script)  # first: it may set what NumPy reads when it is imported
    return importlib.import_module(f"contenders.{MODULES[name]}").load(work, name, layers)


def peak_memory() -> int:
    """Bytes: the largest resident size of this process so far, without that of the process which started it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def end_with_parent() -> None:
    """A stopped process would outlive a killed parent for ever; on Linux the kernel ends it with its parent."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its contenders itself


def main() -> None:
    end_with_parent()
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    name, run = sys.argv[1], None
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        answer: dict[str, Any] = {}
        if "describe" in asked:
            from contenders import keras_fit

            answer["layers"] = [keras_fit.describe(script, tuple(net)) for script, net in asked["describe"]]
        elif "work" in asked:
            run = None  # what was loaded before may take much memory
            work = Work(**asked["work"] | {"net": tuple(asked["work"]["net"])})
            run, answer["note"] = load(name, work, asked.get("layers", []))
        else:
            answer["seconds"] = run(asked["steps"])
        print(json.dumps(answer | {"memory": peak_memory()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
