"""Runs the steps of run_all.sh that are due, or says which are (--check), or lists their commands (--list).

run_all.sh hands over its experiments, its steps and its own arguments. Standard library only: each step is a command
for the Python of .venv. What is due the scripts say themselves: `ask` starts one process, whose `answer` runs each as
if from the command line with --check or --list. They share its imports, and `common` needs to know nothing of them.
"""

import argparse
import contextlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from common import driver_venv, gpu, signals

DEVICE = "from common import settings, backend\nwith settings.one_message(): backend.start()"
BEGUN = time.monotonic()


class Step(SimpleNamespace):
    """kind, title, command, log, output, history (its or the one to draw); the rest is filled in on the way."""

    code, answer, error = 1, "", ""  # of the script to --check or --list
    result, seconds = "not run", 0.0
    fresh = property(lambda step: step.code == 0 and step.answer != "")  # a script that says nothing has not looked
    no_answer = property(lambda step: f"cannot tell: {step.error or 'no answer'} (exit {step.code})")


def read_options(experiments: list[str], arguments: list[str]) -> argparse.Namespace:
    """The command line of run_all.sh; one line and exit code 2 where it is wrong."""
    known = [*experiments, *dict.fromkeys(name.split("/")[0] for name in experiments), "report"]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = lambda words: leave(f"{words} (see ./run_all.sh --help)", 2)
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


def plan(options: argparse.Namespace, lines: list[list[str]], experiments: list[str], python: str) -> list[Step]:
    """The steps of the scale in order, then at quick scale those that show the committed histories."""
    steps = []
    for scale in dict.fromkeys((options.scale, "paper")):
        tree, again = "" if scale == "paper" else f"out/{scale}/", scale != options.scale
        history = {name: Path(tree + "/history/".join(name.split("/")) + ".pkl") for name in experiments}
        measured = [name for name in experiments if history[name].is_file()]
        names = [name for name in experiments if {name, name.split("/")[0]} & {*options.only}]
        names = [name for name in names if not again or name in measured]
        for kind, output, *command in lines:
            trains, report = kind in ("data", "train"), kind == "report"
            if trains and (again or options.figures_only or not names):
                continue
            if report and ("report" not in options.only or (again and not measured)):
                continue
            for name in names if "NAME" in output else [kind]:
                folder, _, file = name.rpartition("/")
                place, *words = (word.replace("FOLDER", folder).replace("NAME", file) for word in (output, *command))
                log = Path("out/logs", scale, f"{kind if name == kind else words[0].removesuffix('.py')}.log")
                words += ["--scale", scale, *options.data * trains, *["--force"] * (options.force and kind != "data")]
                title = name + ", figures" * (kind == "figures") + " of the committed runs" * again
                about = {
                    "kind": kind,
                    "title": title,
                    "log": log,
                    "output": tree * (kind != "data") + place,
                    "history": history.get(name),
                }
                steps.append(Step(command=[python, *words], **about))
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
    sys.argv, output, errors = [str(ROOT / script), *flags], io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            code = 0
        except SystemExit as ending:
            code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
            errors.write(f"{ending.code}\n" * (ending.code != code))
        except Exception:
            code = traceback.print_exc() or 1
    return {"code": code, "answer": output.getvalue().strip("\n"), "error": errors.getvalue().split("\n")[-2:][0]}


def check(python: str, steps: list[Step]) -> int:
    """Say what is due; 1 if anything is."""
    steps = [step for step in steps if step.kind != "data"]
    ask(python, steps, "--check")
    for step in steps:
        say(f"{step.title:<50} {step.answer or step.no_answer}")
    return int(not all(step.fresh for step in steps))


def list_commands(python: str, steps: list[Step]) -> int:
    """Print a command for the data and one for each unit that is to be trained; 1 if a script cannot tell its own."""
    training = [step for step in steps if step.kind == "train"]
    ask(python, training, "--list")
    for step in [step for step in steps if step.kind == "data"]:  # on one line, also where the folder's name has two
        say(f"cd {shlex.quote(str(ROOT))} && {shlex.join(step.command)}".replace("\n", r"'$'\n''"))
    for step in training:
        if step.code:
            print(f"error: {step.title}: {step.no_answer}", file=sys.stderr)
        elif step.answer:
            say(step.answer)
    return int(any(step.code for step in training))


def run(python: str, steps: list[Step], force: bool) -> int:
    """Run what is due, a failed step stopping no other, and print the table; 1 if any failed."""
    for step in steps:  # said before the first: without its log a step that fails after hours could not be explained
        try:
            step.log.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(step.log, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666))
        except OSError:
            leave(f"{ROOT / step.log} cannot be written: out and out/logs must be folders that you may write in")
    asked, named = [], False
    try:
        for step in steps:
            if step not in asked and step.kind != "data":
                asked = [each for each in steps if (each.kind, each.log.parts[2]) == (step.kind, step.log.parts[2])]
                ask(python, asked, "--check")
            if step.kind == "figures" and not step.history.is_file():
                step.result = "not run, no history"
            elif step.fresh and not force:
                step.result = "kept, " + re.sub(r"up to date \((.*?)\)", r"\1", step.answer)
            else:
                if not named and step.kind == "train" and "paper" in step.command:
                    named = True  # the device; it ends the run where a GPU is listed and a CPU would train
                    if driver_venv.run([python, "-c", DEVICE], lambda text: put(2, text)):
                        sys.exit(1)
                run_step(step)
    finally:
        table(steps)
    return int(any(step.result.startswith("failed") for step in steps))


def run_step(step: Step) -> None:
    """Run a step, its output to the terminal and to its log."""
    say(f"\n== {step.title}")
    terminal, begun = sys.stderr.isatty(), time.monotonic()  # a progress bar needs the terminal itself
    outputs = {step.log: os.open(step.log, os.O_WRONLY | os.O_TRUNC | os.O_APPEND)}

    def tee(text: bytes) -> None:
        for place, output in list(outputs.items()):
            try:
                put(output, text)
            except OSError as error:  # the other still gets all; where it was stdout, the next `say` finds out
                del outputs[place]
                if place:
                    print(f"error: {cannot_write(place, error)}", file=sys.stderr)

    tee(os.fsencode(f"$ {shlex.join(step.command)}\n" + "(progress and errors went to the terminal)\n" * terminal))
    if not outputs:
        sys.exit(1)
    step.result, outputs[""] = f"stopped, see {step.log}", 1
    try:
        code = driver_venv.run(step.command, tee, None if terminal else subprocess.STDOUT)
        if meaning := signals.MEANINGS.get(code):
            tee(f"error: {step.title}: {meaning}\n".encode())
        step.result = f"failed (exit {code or 1}), see {step.log}" if code or len(outputs) < 2 else "done"
    finally:
        step.seconds = time.monotonic() - begun


def table(steps: list[Step]) -> None:
    """What became of each step; then where report and figures are, and how long it took."""
    wide, broad = (max(len(getattr(step, name)) for step in steps) for name in ("title", "result"))
    say(f"\n{'step':<{wide}}  {'result':<{broad}}  minutes  output")
    for step in steps:
        say(f"{step.title:<{wide}}  {step.result:<{broad}}  {step.seconds / 60:7.1f}  {step.output}")
    reports = [step.output for step in steps if step.kind == "report" and Path(step.output).is_file()]
    folders = dict.fromkeys(str(Path(step.output).parent) for step in steps if step.kind == "figures")
    words = f"Report: {' and '.join(reports) or 'none'}; figures: {' and '.join(folders) or 'none'}"
    say(f"\n{words}; {(time.monotonic() - BEGUN) / 60:.1f} minutes")


def put(output: int, text: bytes) -> None:
    while text:
        text = text[os.write(output, text) :]


def say(text: str) -> None:
    put(1, os.fsencode(text + "\n"))


def cannot_write(place: object, error: OSError) -> str:
    return f"{place}: {error.strerror}; free some disk space, or check the permissions of the folder"


def leave(words: str, code: int = 1) -> None:
    print(f"error: {words}", file=sys.stderr)
    os._exit(code)


def main(experiments: str, lines: str, *arguments: str) -> int:
    driver_venv.handle_signals()
    try:
        options = read_options(experiments.split(), arguments)
        python = driver_venv.prepare(not options.no_venv, change=not (options.check or options.list))
        os.chdir(ROOT)
        os.environ["PYTHONUNBUFFERED"] = "1"
        steps = plan(options, [line.split() for line in lines.strip().splitlines()], experiments.split(), python)
        if options.check:
            return check(python, steps)
        return list_commands(python, steps) if options.list else run(python, steps, options.force)
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        return 1
    except OSError as error:
        leave(cannot_write(error.filename or "standard output cannot be written", error))


if __name__ == "__main__" and sys.argv[1] == "--answer":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints is no answer
    for command in json.loads(sys.argv[2]):
        print(json.dumps(answer(*command)), file=answers, flush=True)
elif __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
