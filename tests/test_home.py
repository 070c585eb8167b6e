"""Users without a home, as `docker run -u 12345` makes them: nothing is written but in the checkout's own places."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trial_runs
from conftest import ROOT

NOBODY = "12345"  # the number of no user
MNIST = ["hw1_1/mnist_cnn.py", "--scale", "quick", "--epochs", "1", "--batch-size", "16", "--nets", "shallow"]
MNIST += ["--learning-rate", "1e-6"]  # so that some answers stay wrong


@pytest.fixture(scope="module")
def homeless() -> Iterator[tuple[Path, Path]]:
    """A checkout that a user without a name may enter and write in, and an empty folder for temporary files."""
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        checkout, temporary = Path(folder) / "a checkout", Path(folder) / "temporary"
        temporary.mkdir()
        for name in ("common", "hw1_1"):
            shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
        trial_runs.with_data(checkout)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
        yield checkout, temporary


def call(checkout: Path, temporary: Path, *command: str, **environment: str) -> subprocess.CompletedProcess:
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if os.geteuid() == 0 else []
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "HW1_DATA_DIR", "KERAS_HOME")}
    kept |= {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*user, sys.executable, *command],
        cwd=checkout,
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("setpriv"), reason="no command to become another user")
@pytest.mark.parametrize("home", [None, "empty"])
def test_nothing_is_written_outside_out_and_no_warning_is_shown(homeless, tmp_path, home):
    checkout, temporary = homeless
    before = sorted(path for path in checkout.rglob("*") if "out" not in path.parts)
    if home:
        home = temporary.parent / "home"
        home.mkdir(mode=0o777)
        home.chmod(0o777)
    elif os.geteuid() != 0:
        pytest.skip("this user has a name and with it a home")
    environment = {"HOME": str(home)} if home else {}
    trained = call(*homeless, *MNIST, "--data-dir", "data", **environment)
    assert trained.returncode == 0, trained.stderr
    history = trained.stdout.strip().splitlines()[-1].removeprefix("history: ")
    drawn = call(*homeless, "hw1_1/plot_mnist_cnn.py", "--history", history, "--force", **environment)
    assert drawn.returncode == 0, drawn.stderr
    for line in (trained.stderr + drawn.stderr).splitlines():
        assert line.startswith(("hw1_1/mnist_cnn: ", "data: ", "its figures: ", "  shallow")), line
    assert before == sorted(path for path in checkout.rglob("*") if "out" not in path.parts)
    assert not list(temporary.rglob("*")) and not (home and list(home.rglob("*")))


def test_data_that_cannot_be_downloaded_are_two_lines_and_no_folder(homeless):
    checkout = homeless[0]
    before = sorted(path for path in checkout.rglob("*") if "out" not in path.parts)
    proxy = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")  # nobody answers there
    done = call(*homeless, "-m", "common.data", "--scale", "paper", KERAS_HOME="~/keras", **proxy)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()  # and none of TensorFlow
    assert first == f"data: downloading MNIST to {checkout}/out/keras/datasets/mnist.npz"
    assert second.startswith("error: MNIST could not be downloaded (") and "--data-dir" in second
    assert before == sorted(path for path in checkout.rglob("*") if "out" not in path.parts)
