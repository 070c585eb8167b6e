"""Scripts in somebody else's process, such as a notebook's: it goes on as it was, however the script ends."""

import subprocess
import sys
from pathlib import Path

import pytest

TRAIN = "hw1_2/minimal_ratio.py --scale quick --nets 1-4-1 --points 8"
DRAW = "hw1_2/plot_minimal_ratio.py --force --history '{history}'"
WRONG_FOLDER = "hw1_1/mnist_cnn.py --data-dir /none"
STATE = """
import os, signal, sys, warnings
def state():
    wakeup = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(wakeup)
    handlers = [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    streams = [(id(each), getattr(each, "errors", None)) for each in (sys.stdin, sys.stdout, sys.stderr)]
    return wakeup, handlers, sys.excepthook, sys.unraisablehook, streams, dict(os.environ)
before = state()
"""


@pytest.fixture(scope="module")
def notebook(checkout: Path):
    """cell(code, at="") runs a cell of a real notebook, interrupted once it prints `at`: (status, what it showed)."""
    manager = pytest.importorskip("jupyter_client", reason="tests/run.sh installs it").manager.KernelManager()
    manager.kernel_spec.argv[0] = sys.executable
    manager.start_kernel(cwd=str(checkout), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(60)

    def cell(code: str, at: str = "") -> tuple[str, str]:
        shown = []

        def collect(message) -> None:
            content = message["content"]
            shown.append(content.get("text") or content.get("evalue") or "")
            if at and at in shown[-1]:
                manager.interrupt_kernel()

        reply = client.execute_interactive(code, output_hook=collect, timeout=120)
        return reply["content"]["status"], "".join(shown)

    yield cell
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_notebook_goes_on_after_scripts_that_end_well_badly_or_by_an_interrupt(notebook):
    assert notebook(STATE)[0] == "ok"
    shown = notebook(f"%run {WRONG_FOLDER}")[1]
    assert "error: /none is not a folder" in shown and "Traceback" not in shown
    assert "--epochs" in notebook("%run hw1_1/mnist_cnn.py --epochs 0")[1]
    trained = notebook(f"%run {TRAIN}")[1]
    history = trained.partition("history: ")[2].splitlines()[0]
    assert "minimal_ratio.svg" in notebook(f"%run {DRAW.format(history=history)}")[1]
    shown = notebook(f"%run {TRAIN} --force", at="hw1_2/minimal_ratio: ")[1]
    assert "interrupted; what was finished is kept" in shown and "Traceback" not in shown
    assert notebook("import time\nprint('go', flush=True)\ntime.sleep(60)", at="go")[0] == "error"
    assert notebook("print(before == state())") == ("ok", "True\n")
    shown = notebook("import matplotlib\nprint(matplotlib.get_backend(), matplotlib.rcParams['font.size'])")[1]
    assert shown == "module://matplotlib_inline.backend_inline 10.0\n"


def python(checkout: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *arguments], cwd=checkout, capture_output=True, text=True, timeout=120, **options
    )


@pytest.mark.parametrize("script", [TRAIN, WRONG_FOLDER, "hw1_1/mnist_cnn.py --epochs 0"])
def test_a_program_that_runs_a_script_goes_on(checkout, script):
    code = f"import runpy\nsys.argv = {script.split()}\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "except SystemExit as leaving: print('left with', leaving.code)\nprint('goes on', before == state())"
    done = python(checkout, "-c", STATE + code)
    assert done.stdout.endswith("goes on True\n"), done.stderr
    assert ("left with" in done.stdout) == (script != TRAIN)


def test_a_profile_is_written_and_a_prompt_shown_after_an_error(checkout, tmp_path):
    done = python(checkout, "-m", "cProfile", "-o", str(tmp_path / "profile"), *WRONG_FOLDER.split())
    assert "error: /none is not a folder" in done.stderr and (tmp_path / "profile").stat().st_size
    done = python(checkout, "-i", *WRONG_FOLDER.split(), input="print(Settings.__name__)\n")
    assert "error: /none is not a folder" in done.stderr and "Settings" in done.stdout
