"""Runs the steps of run_all.sh that are due, or says which are (--check), or lists their commands (--list).

Standard library only: each step is a command for the Python of .venv. What is due the scripts say themselves: `ask`
starts one process, in which `answer` runs each as if from the command line; so `common` need not know them.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from common import driver_venv, gpu, signals

DEVICE = "from common import settings, backend\nwith settings.one_message(): backend.start()"
REMEDY = "free some disk space, or check the permissions of the folder"
BEGUN = time.monotonic()


class Step(argparse.Namespace):
    """kind, title, command, log, output, history (its or the one to draw); the rest is filled in on the way."""

    code, answer, error = 1, "", ""  # of the script to --check or --list
    result, seconds = "not run", 0.0
    fresh = property(lambda step: step.code == 0 and step.answer != "")  # a script that says nothing has not looked
    no_answer = property(lambda step: f"cannot tell: {step.error or 'no answer'} (exit {step.code})")


def read_options(experiments: list[str], arguments: list[str]) -> argparse.Namespace:
    """The command line of run_all.sh; one line and exit code 2 where it is wrong."""
    known = [*experiments, *dict.fromkeys(name.split("/")[0] for name in experiments), "report"]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = lambda words: parser.exit(2, f"error: {words} (see ./run_all.sh --help)\n")
    parser.add_argument("--scale", choices=("quick", "paper"))
    parser.add_argument("--data-dir", default=os.environ.get("HW1_DATA_DIR"))
    parser.add_argument("--only", action="append", choices=known, type=lambda name: name.removesuffix(".py").strip("/"))
    for flag in ("--figures-only", "--force", "--no-venv", "--check", "--list"):
        parser.add_argument(flag, action="store_true")
    options = parser.parse_args(arguments)
    if any(sum(word.split("=")[0] == flag for word in arguments) > 1 for flag in ("--scale", "--data-dir")):
        parser.error("--scale or --data-dir is given twice")
    if options.data_dir and not os.path.isdir(options.data_dir):
        parser.error(f"the data folder {options.data_dir} does not exist")
    options.data = ["--data-dir", os.path.abspath(options.data_dir)] if options.data_dir else []
    listed, reason = (False, "as asked") if options.scale else gpu.listed()
    options.scale = options.scale or ("paper" if listed else "quick")
    print(f"scale {options.scale}: {reason}", file=sys.stderr)
    os.environ[gpu.SCALE] = gpu.BY_GPU if listed else options.scale
    options.only = options.only or known
    return options


def plan(options: argparse.Namespace, lines: list[str], experiments: list[str], python: str) -> list[Step]:
    """The steps of the scale in order, then at quick scale those that show the committed histories."""
    steps = []
    for scale in dict.fromkeys((options.scale, "paper")):
        tree, again = "" if scale == "paper" else f"out/{scale}/", scale != options.scale
        history = {name: Path(tree + "/history/".join(name.split("/")) + ".pkl") for name in experiments}
        measured = [name for name in experiments if history[name].is_file()]
        names = [name for name in (measured if again else experiments) if {name, name.split("/")[0]} & {*options.only}]
        for kind, output, *command in map(str.split, lines):
            trains = kind in ("data", "train") and not options.figures_only and names and not again
            draws = kind == "figures" or (kind == "report" and "report" in options.only and (measured or not again))
            for name in (names if "NAME" in output else [kind]) if trains or draws else []:
                folder, _, file = name.rpartition("/")
                place, *words = (word.replace("FOLDER", folder).replace("NAME", file) for word in (output, *command))
                step = Step(kind=kind, scale=scale, title=name, history=history.get(name))
                step.output = "" if kind == "data" else tree + place
                step.log = Path("out/logs", scale, f"{kind if name == kind else words[0].removesuffix('.py')}.log")
                step.title += ", figures" * (kind == "figures") + " of the committed runs" * again
                step.command = [python, *words, "--scale", scale, *(options.data if trains else [])]
                step.command += ["--force"] * (options.force and kind != "data")
                steps.append(step)
    return steps


def ask(python: str, steps: list[Step], flag: str) -> None:
    """Have scripts answer to --check or --list, in one process; where one ends it, in another from the next one on."""
    while steps:
        said = []
        commands = json.dumps([[*step.command[1:], flag] for step in steps])
        code = driver_venv.run([python, "common/driver.py", "--answer", commands], said.append)
        lines = b"".join(said).decode(errors="replace").splitlines()
        answers = [json.loads(line) for line in lines if line.startswith('{"code": ')]
        answers.append({"code": code, "answer": "", "error": "" if answers else (lines or [""])[-1]})
        for step, answer in zip(steps, answers, strict=False):
            vars(step).update(answer)
        steps = steps[len(answers) :]


def answer(script: str, *flags: str) -> dict[str, int | str]:
    """Exit code, output, and last line of errors of a script that is called with these flags."""
    sys.argv, output, errors, code = [str(ROOT / script), *flags], io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as ending:
            known = isinstance(ending.code, int | None)
            code = ending.code or 0 if known else print(ending.code, file=errors) or 1
        except Exception as error:
            code = print(f"{type(error).__name__}: {error}", file=errors) or 1
    return {"code": code, "answer": output.getvalue().strip("\n"), "error": errors.getvalue().split("\n")[-2:][0]}


def tell(python: str, steps: list[Step], flag: str) -> int:
    """--check: what is due; 1 if anything is. --list: the commands to run; 1 if a script cannot tell its own."""
    asked = [step for step in steps if step.kind == "train" or (flag == "--check" and step.kind != "data")]
    ask(python, asked, flag)
    if flag == "--check":
        print("\n".join(f"{step.title:<50} {step.answer or step.no_answer}" for step in asked))
        return int(not all(step.fresh for step in asked))
    for step in steps:
        if step.kind == "data":  # one line, also where the folder's name has two
            print(f"cd {shlex.quote(str(ROOT))} && {shlex.join(step.command)}".replace("\n", r"'$'\n''"))
        elif step in asked and (step.answer or step.code):
            print(step.answer or f"error: {step.title}: {step.no_answer}", file=sys.stderr if step.code else sys.stdout)
    return int(any(step.code for step in asked))


def run(python: str, steps: list[Step], force: bool) -> int:
    """Run what is due, a failed step stopping no other, and print the table; 1 if any failed."""
    try:  # before the first: without its log a step that fails after hours could not be explained
        for step in steps:
            step.log.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(step.log, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666))
    except OSError as error:
        sys.exit(f"error: {ROOT}/{error.filename} cannot be written: out/logs must be a folder that you may write in")
    try:
        for (kind, scale), group in itertools.groupby(steps, lambda step: (step.kind, step.scale)):
            group = list(group)
            if kind != "data":
                ask(python, group, "--check")
            if (kind, scale) == ("train", "paper") and (force or not all(step.fresh for step in group)):
                name_device(python, group)
            for step in group:
                if step.fresh and not force:
                    step.result = "kept, " + re.sub(r"up to date \((.*?)\)", r"\1", step.answer)
                elif kind == "figures" and not step.history.is_file():
                    step.result = "not run, no history"
                else:
                    run_step(step)
    finally:
        table(steps)
    return int(any(step.result.startswith("failed") for step in steps))


def name_device(python: str, training: list[Step]) -> None:
    """Say on what a run at paper scale trains, and how long; ends it where a GPU is listed and a CPU would train."""
    hours = sum(float(number) for step in training for number in re.findall(r"([\d.]+) hours on a CPU", step.answer))
    print(f"what is due takes about {hours:.1f} hours on a CPU, by the times in the histories", file=sys.stderr)
    if driver_venv.run([python, "-c", DEVICE], sys.stderr.buffer.write):
        sys.exit(1)


def run_step(step: Step) -> None:
    """Run a step, its output to the terminal and to its log."""
    print(f"\n== {step.title}")
    terminal, begun = sys.stderr.isatty(), time.monotonic()  # a progress bar needs the terminal itself
    step.log.write_bytes(b"")
    outputs = {step.log: step.log.open("ab")}  # another driver may write there too

    def tee(text: bytes) -> None:
        for place, output in list(outputs.items()):
            try:
                output.write(text)
                output.flush()
            except OSError as error:  # the other still gets all; where it was stdout, the next `print` finds out
                del outputs[place]
                if place:
                    print(f"error: {place}: {error.strerror}; {REMEDY}", file=sys.stderr)

    tee(os.fsencode(f"$ {shlex.join(step.command)}\n" + "(progress and errors went to the terminal)\n" * terminal))
    if not outputs:
        sys.exit(1)
    step.result, outputs[""] = f"stopped, see {step.log}", sys.stdout.buffer
    try:
        code = driver_venv.run(step.command, tee, None if terminal else subprocess.STDOUT)
        if code in signals.MEANINGS:
            tee(f"error: {step.title}: {signals.MEANINGS[code]}\n".encode())
        step.result = f"failed (exit {code or 1}), see {step.log}" if code or len(outputs) < 2 else "done"
    finally:
        step.seconds = time.monotonic() - begun


def table(steps: list[Step]) -> None:
    """What became of each step; then where report and figures are, and how long it took."""
    wide, broad = (max(len(getattr(step, name)) for step in steps) for name in ("title", "result"))
    print(f"\n{'step':<{wide}}  {'result':<{broad}}  minutes  output")
    for step in steps:
        print(f"{step.title:<{wide}}  {step.result:<{broad}}  {step.seconds / 60:7.1f}  {step.output}")
    reports = [step.output for step in steps if step.kind == "report" and Path(step.output).is_file()]
    folders = dict.fromkeys(str(Path(step.output).parent) for step in steps if step.kind == "figures")
    print(f"\nReport: {' and '.join(reports) or 'none'}; figures: {' and '.join(folders) or 'none'}", end="; ")
    print(f"{(time.monotonic() - BEGUN) / 60:.1f} minutes")


def main(experiments: str, lines: str, *arguments: str) -> int:
    driver_venv.handle_signals()
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape", line_buffering=True)
    try:
        options = read_options(experiments.split(), arguments)
        python = driver_venv.prepare(not options.no_venv, change=not options.check)
        os.chdir(ROOT)
        os.environ["PYTHONUNBUFFERED"] = "1"
        steps = plan(options, lines.strip().splitlines(), experiments.split(), python)
        if options.check or options.list:
            return tell(python, steps, "--check" if options.check else "--list")
        return run(python, steps, options.force)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # the reader of our output, such as `head`, has gone
            print(f"error: {error.filename or 'standard output'}: {error.strerror}; {REMEDY}", file=sys.stderr)
        os._exit(1)


if __name__ == "__main__" and sys.argv[1] == "--answer":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints is no answer
    for command in json.loads(sys.argv[2]):
        print(json.dumps(answer(*command)), file=answers, flush=True)
elif __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
