"""How long do our steps take beside what one would otherwise write, and how near are they to the machine's peak?

    python tests/bench/bench.py                               every row
    python tests/bench/bench.py --only tiny dnn-2x64          rows whose names begin so
    python tests/bench/bench.py --against jax                 ours and these contenders only
    python tests/bench/bench.py --protocol                    run_all.sh at paper scale, summed up from measured steps

Contenders, each in a process of its own: the loops of `common` with the threads of the scripts; Keras `fit` with its
defaults and with `steps_per_execution` tuned; eager PyTorch with fused Adam and JAX, where they are installed. They
take turns in one run (A B C A B C), and those whose turn it is not are stopped. Times are medians [quartiles] over the
rounds, ratios those of the times within a round. `contenders/` holds what they do, `contenders/work.py` says what
counts as an operation. Nothing else should run meanwhile.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "bench")]
from common import backend, gpu, settings
from common.data_files import CIFAR10, MNIST

import bench_protocol
import numpy as np
from contenders.work import HALVES, TRAINING, Work, operations, script_module

MATMUL_SIZES = (512, 1024, 2048)  # rows of square matrices
TAKEN_OUT = ("TF_", "KERAS_", "JAX_", "XLA_", "OMP_", "MKL_", "OPENBLAS_", "ONEDNN_", "DNNL_", "KMP_", "TORCH_")


# ---------------------------------------------------------------------------------------------------- rows


def rows() -> dict[str, Work]:
    """All rows by name. Threads are the scripts' own, and so are batch sizes and nets of a step, but of small DNNs."""
    train, test = MNIST.counts
    found = {}
    tiny = script_module("hw1_1/function_fit").PAPER
    for net in tiny.nets:
        for nets in (1, 10, tiny.seeds):
            about = {"batch_size": tiny.batch_size, "examples": tiny.points, "nets": nets}
            threads = {"intra_threads": 1, "inter_threads": 1}
            found[f"tiny-{net}-{nets}"] = Work("regress", "hw1_1/function_fit", (net, "relu"), **about, **threads)
    found["dnn-3x512-128"] = Work("classify", "hw1_3/random_labels", batch_size=128, examples=train, **HALVES)
    found["dnn-4x4000-128"] = Work("classify", "hw1_3/param_count", (4000,), batch_size=128, examples=train)
    small = Work("classify", "hw1_3/sensitivity", examples=train, intra_threads=1, inter_threads=2)
    for batch_size in (1, 64):
        found[f"dnn-2x64-{batch_size}"] = replace(small, batch_size=batch_size, nets=3)
    found["dnn-2x64-10000"] = replace(small, batch_size=10_000)
    digits = Work("classify", "hw1_1/mnist_cnn", ("deep", 0.25), batch_size=128, examples=train, **HALVES)
    pictures = Work("classify", "hw1_1/cifar10_cnn", ("deep", 0.25, 0.5), batch_size=256, **HALVES)
    pictures = replace(pictures, examples=CIFAR10.counts[0])
    found |= {"cnn-mnist-deep-128": digits, "cnn-cifar10-deep-256": pictures}
    for name, work in (
        ("2x64", small),
        ("3x512", found["dnn-3x512-128"]),
        ("4x4000", found["dnn-4x4000-128"]),
        ("mnist-deep", digits),
        ("cifar10-deep", pictures),
    ):
        found[f"evaluate-{name}"] = replace(work, kind="evaluate", batch_size=0, examples=test, nets=1)
    norms = Work("classify", "hw1_2/grad_norm", batch_size=100, examples=train, nets=8)
    norms = replace(norms, learning_rate=0.01, intra_threads=1, inter_threads=2)
    found |= {"norms-off": norms, "norms-on": replace(norms, kind="classify with norms")}
    found["jacobian"] = replace(small, kind="jacobian", examples=test)
    found["hessians"] = Work("hessian", "hw1_2/minimal_ratio", ("1-4-1",), examples=128, nets=100)
    return found


def contenders_of(work: Work) -> list[tuple[str, str, int]]:
    """(name in the table, name of the process, nets in one step) of all that can do this work here."""
    found = [("ours", "ours", work.nets)]
    together = work.kind.startswith(("regress", "hessian"))
    if work.nets > 1 and not together:
        found.append(("ours, one net", "ours", 1))
    alone = work.nets if work.kind == "hessian" else 1
    found.append(("fit", "fit", alone))
    if work.kind not in ("hessian", "jacobian"):
        found.append(("fit tuned", "fit tuned", alone))
    if importlib.util.find_spec("torch"):
        found.append(("torch", "torch", work.nets if together else 1))
        if "cnn" in work.script:
            found.append(("torch channels last", "torch channels last", 1))
    if importlib.util.find_spec("jax"):
        found.append(("jax", "jax", work.nets if together else 1))
        if work.nets > 1 and not together:
            found.append(("jax vmap", "jax", work.nets))
        if work.kind == "jacobian":
            found.append(("jax float64", "jax float64", 1))  # which is what ours is in
    return found


# ----------------------------------------------------------------------------------------------- processes


@dataclass(frozen=True)
class Contender:
    """A process that works when asked, and is stopped at all other times."""

    name: str
    process: subprocess.Popen
    errors: IO[bytes]


@contextlib.contextmanager
def started() -> Iterator[Callable[..., Contender]]:
    """start(name, **environment) -> Contender; all of them end with the context."""
    with contextlib.ExitStack() as ends:

        def start(name: str, **environment: str) -> Contender:
            clean = {key: value for key, value in os.environ.items() if not key.startswith(TAKEN_OUT)}
            if gpu.listed()[0]:
                clean["CUDA_VISIBLE_DEVICES"] = "-1"  # the table is of processors
            errors = ends.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                [sys.executable, ROOT / "tests" / "bench" / "contenders" / "process.py", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=clean | environment,
            )
            ends.enter_context(process)  # closes its pipes and waits for it
            ends.callback(process.kill)
            return Contender(name, process, errors)

        yield start


def ask(contender: Contender, **command: Any) -> dict[str, Any]:
    """Wake it, give it one command, and stop it again when it has answered. Problem where it ended instead."""
    process = contender.process
    process.send_signal(signal.SIGCONT)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        contender.errors.seek(0)
        said = contender.errors.read().decode(errors="replace").strip().splitlines()
        raise settings.Problem(f"{contender.name} ended: " + "\n".join(said[-15:]))
    process.send_signal(signal.SIGSTOP)
    return json.loads(answer)


# ---------------------------------------------------------------------------------------------- measurement


def steps_for(contender: Contender, seconds: float) -> int:
    """How many steps take about so long; as it finds out, everything is traced, and caches are warm."""
    ask(contender, steps=1)  # takes seconds, to trace and compile: no measure of a step
    steps = 1
    while (took := ask(contender, steps=steps)["seconds"]) < seconds / 3:
        steps = min(4 * steps, max(steps + 1, int(steps * seconds / max(took, 1e-9))))
    return max(1, round(steps * seconds / took))


def interleaved(contenders: dict[str, Contender], rounds: int, seconds: float) -> dict[str, np.ndarray]:
    """{name: seconds a step, (rounds,)}; in every round each contender has one turn of about so many seconds."""
    steps = {name: steps_for(each, seconds) for name, each in contenders.items()}
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for name, each in contenders.items():
        ask(each, steps=steps[name])  # `fit` traces anew where a last batch is smaller
    for _ in range(rounds):
        for name, each in contenders.items():
            took[name].append(ask(each, steps=steps[name])["seconds"] / steps[name])
    return {name: np.array(values) for name, values in took.items()}


def spread(values: np.ndarray) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower_quartile": float(low), "upper_quartile": float(high)}


def matmul(start: Callable, seconds: float, threads: int = 0) -> dict[str, tuple[Contender, float]]:
    """The fastest size of square matrices in TensorFlow and in NumPy: {name: process, operations of a product}."""
    found = {}
    for name in ("tensorflow matmul", "numpy matmul"):
        limits = {"OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)} if threads else {}
        contender, rates = start(name, **limits), {}
        for size in MATMUL_SIZES:
            work = Work("matmul", "", examples=size, intra_threads=threads, inter_threads=threads)
            ask(contender, work=asdict(work))
            (took,) = interleaved({name: contender}, 3, seconds / 3).values()
            rates[size] = 2 * size**3 / np.median(took)
        best = max(rates, key=rates.__getitem__)
        ask(contender, work=asdict(Work("matmul", "", examples=best, intra_threads=threads, inter_threads=threads)))
        found[name] = (contender, 2.0 * best**3)
    return found


def peak_of(peaks: dict[str, tuple[Contender, float]], took: dict[str, np.ndarray]) -> float:
    """Operations a second of the faster library, its median over the rounds."""
    return max(count / float(np.median(took[name])) for name, (_, count) in peaks.items())


def layers_of(start: Callable, nets: Sequence[tuple[str, tuple]]) -> list[list[dict[str, Any]]]:
    """What Keras says of the layers of these nets: (script, arguments of its build_model) each."""
    return ask(start("fit"), describe=nets)["layers"]


def measured_row(
    work: Work,
    layers: list[dict[str, Any]],
    chosen: Sequence[tuple[str, str, int]],
    peaks: dict[str, tuple[Contender, float]],
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """One row of the table: {"work", "peak", "contenders": {name: numbers, or "failed": why}}."""
    failed, notes, running = {}, {}, {}
    with started() as start:
        for name, process, nets in chosen:
            contender = start(process)
            own = replace(work, nets=nets)
            try:
                notes[name] = ask(contender, work=asdict(own), layers=layers)["note"]
                ask(contender, steps=1)
                running[name] = contender
            except settings.Problem as problem:
                if name == "ours":
                    raise
                failed[name] = {"failed": str(problem)}
        took = interleaved(running | {name: each for name, (each, _) in peaks.items()}, rounds, seconds)
        memory = {name: ask(each, steps=1)["memory"] for name, each in running.items()}
    peak = peak_of(peaks, took) if peaks else None
    nets = {name: count for name, _, count in chosen}
    found = {name: numbers(work, layers, nets[name], took[name], took["ours"] / nets["ours"], peak) for name in running}
    for name in running:
        found[name] |= {"note": notes[name], "peak_memory": memory[name]}
    return {"work": asdict(work), "peak": peak, "contenders": found | failed}


def numbers(
    work: Work, layers: list[dict[str, Any]], nets: int, took: np.ndarray, ours: np.ndarray, peak: float | None
) -> dict[str, Any]:
    """What the table says of a contender. took: (rounds,), seconds of its steps; ours: of ours, for one net.

    peak: operations a second. Times are for one net, in milliseconds; `ratio` is how many times as long as ours.
    """
    one = took / nets
    count = operations(work, layers)
    rate = count / float(np.median(one)) if count else None
    return {
        "nets": nets,
        "milliseconds": spread(1e3 * one),
        "ratio": spread(one / ours),
        "gigaflops": rate and rate / 1e9,
        "share_of_peak": rate and peak and rate / peak,
        "rounds_milliseconds": (1e3 * one).tolist(),
    }


# -------------------------------------------------------------------------------------------------- tables


def shown(values: dict[str, float]) -> str:
    """0.471 [0.468, 0.475]."""
    return f"{values['median']:.4g} [{values['lower_quartile']:.4g}, {values['upper_quartile']:.4g}]"


def table(lines: Sequence[Sequence[str]]) -> str:
    """Columns, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in lines)
    )


def row_table(name: str, row: dict[str, Any]) -> str:
    """One row, a contender a line."""
    work = row["work"]
    what = f"batch {work['batch_size']}" if work["kind"] in TRAINING else f"{work['examples']} examples"
    lines = [
        [f"{name} ({work['kind']}, {what})", "nets", "ms a step and net", "GFLOP/s", "of peak", "x ours", "MB", ""]
    ]
    for contender, found in row["contenders"].items():
        if "failed" in found:
            lines.append([contender, *["-"] * 6, found["failed"].splitlines()[-1][:80]])
            continue
        rate, share = found["gigaflops"], found["share_of_peak"]
        speed = [f"{rate:.1f}" if rate else "-", f"{share:.0%}" if share else "-"]
        cells = [str(found["nets"]), shown(found["milliseconds"]), *speed, shown(found["ratio"])]
        lines.append([contender, *cells, f"{found['peak_memory'] / 1e6:.0f}", found["note"]])
    peak = f"matmul peak meanwhile: {row['peak'] / 1e9:.0f} GFLOP/s\n" if row["peak"] else ""
    return f"{table(lines)}\n{peak}"


def summary(found: dict[str, dict[str, Any]]) -> str:
    """A line a row, in Markdown: our time, how many times as long the others take, our share of the peak."""
    others = ("fit", "fit tuned", "torch", "torch channels last", "jax", "jax vmap", "jax float64")
    lines = [["row", "ours, ms", *others, "of peak"]]
    for name, row in found.items():
        each = {key: value for key, value in row["contenders"].items() if "failed" not in value}
        ratios = [f"{each[other]['ratio']['median']:.2f}" if other in each else "" for other in others]
        share = each["ours"]["share_of_peak"]
        own = f"{each['ours']['milliseconds']['median']:.4g}"
        lines.append([name, own, *ratios, f"{share:.0%}" if share else ""])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# ------------------------------------------------------------------------------------------------- protocol


def protocol(only: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Hours of each experiment at paper scale, ours and of `fit` one net at a time, from steps measured in turns.

    They are printed as they come; `protocol_table` sums them up.
    """
    found: dict[str, Any] = {}
    for name, parts in bench_protocol.experiments().items():
        if only and not name.startswith(tuple(only)):
            continue
        each: dict[str, dict[Work, float]] = {"ours": {}, "fit": {}}
        threads: dict[tuple, dict[str, Contender]] = {}
        with started() as start:
            for work, _ in parts:
                key = work.intra_threads, work.inter_threads
                both = threads.setdefault(key, {label: start(label) for label in each})
                measured_work(work, both, each, rounds, seconds)
                print(
                    f"  {name} {work.kind} {work.net} {work.batch_size or work.examples}", file=sys.stderr, flush=True
                )
        found[name] = {label: bench_protocol.hours(parts, times) for label, times in each.items()}
        found[name]["parts"] = [
            {"work": asdict(work), "steps": steps, **{label: times[work] for label, times in each.items()}}
            for work, steps in parts
        ]
        ours, fit = found[name]["ours"], found[name]["fit"]
        print(f"{name}: {ours:.3f} hours, with fit {fit:.3f}", flush=True)
    return found


def measured_work(
    work: Work, both: dict[str, Contender], each: dict[str, dict[Work, float]], rounds: int, seconds: float
) -> None:
    """Put into `each` the seconds of one step of all nets, ours and one net after the other with `fit`."""
    ask(both["ours"], work=asdict(work))
    if bench_protocol.kept_equal(work):
        took = interleaved({"ours": both["ours"]}, 1 if work.kind == "recipe" else rounds, seconds)
        each["ours"][work] = each["fit"][work] = float(np.median(took["ours"]))
        return
    ask(both["fit"], work=asdict(replace(work, nets=1)))
    took = interleaved(both, rounds, seconds)
    each["ours"][work] = float(np.median(took["ours"]))
    each["fit"][work] = float(np.median(took["fit"])) * work.nets


def protocol_table(found: dict[str, Any]) -> str:
    """Hours an experiment and in sum, ratios, and the sum without the experiments whose nets are tiny."""
    sums = {"in sum": list(found), "without tiny nets": [name for name in found if name not in TINY]}
    lines = [["experiment", "ours, hours", "fit, hours", "fit / ours"]]
    for name, members in [*((each, [each]) for each in found), *sums.items()]:
        ours, fit = (sum(found[each][label] for each in members) for label in ("ours", "fit"))
        lines.append([name, f"{ours:.3f}", f"{fit:.3f}", f"{fit / ours:.2f}" if ours else "-"])
    return table(lines)


TINY = ("hw1_1/function_fit", "hw1_2/param_pca", "hw1_2/minimal_ratio")


# ----------------------------------------------------------------------------------------------------- main


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="ROW", help="rows, or experiments, that begin so")
    parser.add_argument("--against", nargs="+", default=[], metavar="NAME", help="contenders that begin so, and ours")
    parser.add_argument("--protocol", action="store_true", help="the sum of run_all.sh at paper scale")
    parser.add_argument("--quick", action="store_true", help="short turns and few of them: shows that all of it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write all numbers")
    options = parser.parse_args()
    if options.json and (options.json.is_dir() or not options.json.parent.is_dir()):
        parser.error(f"argument --json: {options.json} cannot be written")  # said now, not after the measurement
    return options


def main() -> None:
    options = read_options()
    rounds, seconds = (3, 0.1) if options.quick else (7, 0.6)
    machine = {"device": backend.environment()["device"], "cores": backend.environment()["cores"]}
    print(f"{machine['device']}, {machine['cores']} cores")
    begun = time.monotonic()
    if options.protocol:
        found = protocol(options.only, 3, 0.1 if options.quick else 0.4)
        print(protocol_table(found))
    else:
        found = benchmark(options.only, options.against, rounds, seconds)
        print(summary(found["rows"]))
    if options.json:
        options.json.write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n")
    print(f"{(time.monotonic() - begun) / 60:.1f} minutes", file=sys.stderr)


def benchmark(only: Sequence[str], against: Sequence[str], rounds: int, seconds: float) -> dict[str, Any]:
    """Measure and print row after row: rows that begin with one of `only`, contenders likewise, or all."""
    chosen = {name: work for name, work in rows().items() if not only or name.startswith(tuple(only))}
    if not chosen:
        raise settings.Problem(f"no row begins with {' or '.join(only)}: the rows are {', '.join(rows())}")
    for library in ("torch", "jax"):
        if not importlib.util.find_spec(library):
            print(f"{library} is not installed: its column is left out (pip install {library})")
    with started() as start:
        layers = layers_of(start, [(work.script, work.net) for work in chosen.values()])
    with started() as start:
        one = matmul(start, seconds, threads=1)
        took = interleaved({name: each for name, (each, _) in one.items()}, rounds, seconds / 2)
        single = peak_of(one, took)
    print(f"matmul peak of one thread: {single / 1e9:.0f} GFLOP/s\n", flush=True)
    found = {}
    with started() as start:
        peaks = matmul(start, seconds)
        for (name, work), about in zip(chosen.items(), layers, strict=True):
            beside = [each for each in contenders_of(work) if not against or each[0].startswith(("ours", *against))]
            found[name] = measured_row(work, about, beside, peaks, rounds, seconds)
            print(row_table(name, found[name]), flush=True)
    return {"rows": found, "peak_of_one_thread": single}


if __name__ == "__main__":
    with settings.one_message():
        main()
