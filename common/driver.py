"""Runs the steps of run_all.sh that are due, or says which are due (--check), or lists their commands (--list).

Standard library only, since it runs before there is an environment. `plan_steps` lists the steps of run_all.sh.
`query_scripts` has every script say with --check or --list what is due, all in one process, as starting Python 25 times
takes seconds. TensorFlow is not imported: `keras` and `tf` load at first use (common/lazy.py), and `history.start`
answers before that. `print_due` prints that, or `run_due` runs the steps and prints the table.
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
from common import children, environment, gpu, signals

SHOW_DEVICE = "from common import settings, backend\nwith settings.one_message(): backend.start()"  # a Python program
REMEDY = "free some disk space, or check the permissions of the folder"
BEGUN = time.monotonic()


class Step(argparse.Namespace):
    """One step: kind, scale, title, command, log, output, and the history that it fills or draws."""

    code, answer, error = 1, "", ""  # exit code, output and last error of its script with --check or --list
    result, seconds = "not run", 0.0  # for the table
    up_to_date = property(lambda step: step.code == 0 and step.answer != "")  # no output: the script did not check
    no_answer = property(lambda step: f"cannot tell: {step.error or 'no answer'} (exit {step.code})")


def read_options(experiments: list[str], arguments: list[str]) -> argparse.Namespace:
    """Read the command line of run_all.sh, and set the scale; exits with 2 and one line where it is wrong."""
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


def plan_steps(options: argparse.Namespace, lines: list[str], experiments: list[str], python: str) -> list[Step]:
    """All steps in order. lines: the table in run_all.sh. At quick scale the paper histories are drawn as well."""
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
                title = name + ", figures" * (kind == "figures") + " of the committed runs" * again
                step = Step(kind=kind, scale=scale, title=title, history=history.get(name))
                step.output = "" if kind == "data" else tree + place
                step.log = Path("out/logs", scale, f"{kind if name == kind else words[0].removesuffix('.py')}.log")
                step.command = [python, *words, "--scale", scale, *(options.data if trains else [])]
                step.command += ["--force"] * (options.force and kind != "data")
                steps.append(step)
    return steps


def query_scripts(python: str, steps: list[Step], flag: str) -> None:
    """Set code, answer and error of each step: what its script says with --check or --list."""
    while steps:  # where a script ends the process that runs all of them, another one continues after it
        output = []
        commands = json.dumps([[*step.command[1:], flag] for step in steps])
        code = children.run([python, "common/driver.py", "--query", commands], output.append)
        lines = b"".join(output).decode(errors="replace").splitlines()
        answers = [json.loads(line) for line in lines if line.startswith('{"code": ')]
        answers.append({"code": code, "answer": "", "error": "" if answers else (lines or [""])[-1]})
        for step, answer in zip(steps, answers, strict=False):
            vars(step).update(answer)
        steps = steps[len(answers) :]


def query_script(script: str, *flags: str) -> dict[str, int | str]:
    """Run a script in this process, as if from the command line: its exit code, output, and last line of errors."""
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


def print_due(python: str, steps: list[Step], flag: str) -> int:
    """--check: print what is due; returns 1 if anything is. --list: print the commands; 1 if a script gave none."""
    asked = [step for step in steps if step.kind == "train" or (flag == "--check" and step.kind != "data")]
    query_scripts(python, asked, flag)
    if flag == "--check":
        print("\n".join(f"{step.title:<50} {step.answer or step.no_answer}" for step in asked))
        return int(not all(step.up_to_date for step in asked))
    for step in steps:
        if step.kind == "data":  # on one line, even if the folder's name has a line break
            print(f"cd {shlex.quote(str(ROOT))} && {shlex.join(step.command)}".replace("\n", r"'$'\n''"))
        elif step in asked and (step.answer or step.code):
            print(step.answer or f"error: {step.title}: {step.no_answer}", file=sys.stderr if step.code else sys.stdout)
    return int(any(step.code for step in asked))


def run_due(python: str, steps: list[Step], force: bool) -> int:
    """Run the steps that are due, whether or not others fail, and print the table; returns 1 if any failed."""
    try:  # first: a step that fails after hours must have its log
        for step in steps:
            step.log.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(step.log, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK, 0o666))
    except OSError as error:
        sys.exit(f"error: {ROOT}/{error.filename} cannot be written: out/logs must be a folder that you may write in")
    try:
        for (kind, scale), group in itertools.groupby(steps, lambda step: (step.kind, step.scale)):
            group = list(group)
            if kind != "data":
                query_scripts(python, group, "--check")
            if (kind, scale) == ("train", "paper") and (force or not all(step.up_to_date for step in group)):
                answers = " ".join(step.answer for step in group)
                hours = sum(map(float, re.findall("([0-9.]+) hours on a CPU", answers)))
                print(f"what is due takes about {hours:.1f} hours on a CPU, as the histories show", file=sys.stderr)
                if children.run([python, "-c", SHOW_DEVICE], sys.stderr.buffer.write):
                    sys.exit(1)  # a GPU is listed, and a CPU would train
            for step in group:
                if step.up_to_date and not force:
                    step.result = "kept, " + re.sub(r"up to date \((.*?)\)", r"\1", step.answer)
                elif kind == "figures" and not step.history.is_file():
                    step.result = "not run, no history"
                else:
                    run_step(step)
    finally:
        print_table(steps)
    return int(any(step.result.startswith("failed") for step in steps))


def run_step(step: Step) -> None:
    """Run a step, with its output on the terminal and in its log."""
    print(f"\n== {step.title}")
    terminal, begun = sys.stderr.isatty(), time.monotonic()  # a progress bar needs the terminal itself
    step.log.write_bytes(b"")
    outputs = {step.log: step.log.open("ab")}  # append: another driver may write there too

    def tee(text: bytes) -> None:
        for place, output in list(outputs.items()):
            try:
                output.write(text)
                output.flush()
            except OSError as error:  # the other still gets everything; a broken stdout is noticed at the next `print`
                del outputs[place]
                if place:
                    print(f"error: {place}: {error.strerror}; {REMEDY}", file=sys.stderr)

    tee(os.fsencode(f"$ {shlex.join(step.command)}\n" + "(progress and errors went to the terminal)\n" * terminal))
    if not outputs:
        sys.exit(1)
    step.result, outputs[""] = f"stopped, see {step.log}", sys.stdout.buffer
    try:
        code = children.run(step.command, tee, None if terminal else subprocess.STDOUT)
        if code in signals.MEANINGS:
            tee(f"error: {step.title}: {signals.MEANINGS[code]}\n".encode())
        step.result = f"failed (exit {code or 1}), see {step.log}" if code or len(outputs) < 2 else "done"
    finally:
        step.seconds = time.monotonic() - begun


def print_table(steps: list[Step]) -> None:
    """Print the result of each step; then where report and figures are, and how long all took."""
    wide, broad = (max(len(getattr(step, name)) for step in steps) for name in ("title", "result"))
    print(f"\n{'step':<{wide}}  {'result':<{broad}}  minutes  output")
    for step in steps:
        print(f"{step.title:<{wide}}  {step.result:<{broad}}  {step.seconds / 60:7.1f}  {step.output}")
    reports = [step.output for step in steps if step.kind == "report" and Path(step.output).is_file()]
    folders = dict.fromkeys(str(Path(step.output).parent) for step in steps if step.kind == "figures")
    print(f"\nReport: {' and '.join(reports) or 'none'}; figures: {' and '.join(folders) or 'none'}", end="; ")
    print(f"{(time.monotonic() - BEGUN) / 60:.1f} minutes")


def main(experiments: str, lines: str, *arguments: str) -> int:
    children.handle_signals()
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape", line_buffering=True)
    try:
        options = read_options(experiments.split(), arguments)
        python = environment.prepare(not options.no_venv, change=not options.check)
        os.chdir(ROOT)
        os.environ["PYTHONUNBUFFERED"] = "1"
        steps = plan_steps(options, lines.strip().splitlines(), experiments.split(), python)
        if options.check or options.list:
            return print_due(python, steps, "--check" if options.check else "--list")
        return run_due(python, steps, options.force)
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # the reader of our output, such as `head`, has gone
            print(f"error: {error.filename or 'standard output'}: {error.strerror}; {REMEDY}", file=sys.stderr)
        os._exit(1)


if __name__ == "__main__" and sys.argv[1] == "--query":  # started by `query_scripts`
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keeps what native code prints out of the answers
    for command in json.loads(sys.argv[2]):
        print(json.dumps(query_script(*command)), file=answers, flush=True)
elif __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
