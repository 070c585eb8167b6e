"""Each training script from end to end at a tiny size, as its user would start it, its history judged."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import history

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "hw1_1/function_fit": [
        "--epochs",
        "4",
        "--seeds",
        "6",
        "--functions",
        "f2",
        "--activations",
        "tanh",
        "--nets",
        "deep",
    ],
    "hw1_1/mnist_cnn": ["--epochs", "2", "--batch-size", "16", "--probe-images", "50", "--nets", "shallow"],
    "hw1_1/cifar10_cnn": ["--epochs", "2", "--batch-size", "16", "--probe-images", "50", "--nets", "middle"],
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A data folder with pictures that are easy to tell apart: the class is where the bright stripe is."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)

    def stripes(count, shape):
        labels = np.arange(count) % 10
        images = generator.integers(0, 60, (count, *shape)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 4 : 2 * label + 6] += 180
        return images, labels.astype(np.uint8)

    for name, shape, column in (("mnist", (28, 28), ()), ("cifar10", (32, 32, 3), (1,))):
        (x_train, y_train), (x_test, y_test) = stripes(320, shape), stripes(100, shape)
        arrays = {"x_train": x_train, "y_train": y_train.reshape(-1, *column)}
        np.savez(folder / f"{name}.npz", **arrays, x_test=x_test, y_test=y_test.reshape(-1, *column))
    return folder


def start(checkout, data_folder, name, *flags, folder=None):
    environment = {**os.environ, "HW1_DATA_DIR": str(data_folder)}
    command = [sys.executable, str(checkout / f"{name}.py"), "--scale", "quick", *TINY[name], *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder or "/", timeout=200)


def test_a_python_without_the_packages_is_told_how_to_get_them():
    command = [sys.executable, "-S", "-E", str(ROOT / "hw1_1" / "mnist_cnn.py"), "--check"]  # -S: no site-packages
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {sys.executable} lacks numpy, tyro: bash run_all.sh makes ")
    assert str(ROOT / "requirements.txt") in done.stderr


@pytest.fixture(scope="module", params=sorted(TINY))
def finished(request, checkout, pictures):
    """(name, what the script printed, its history) of one tiny run."""
    done = start(checkout, pictures, request.param)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip().splitlines()[-1].removeprefix("history: "))
    return request.param, done, path


def test_a_changed_setting_lands_beside_the_committed_histories(finished, checkout):
    name, _, path = finished
    assert path.is_relative_to(checkout / "out" / "changed")
    assert path.name == f"{name.split('/')[1]}.pkl"
    assert not list(checkout.glob("hw1_*/history/*.pkl"))


def test_the_history_is_complete_finite_and_the_loss_fell(finished):
    name, _, path = finished
    kept = history.read(path)
    assert kept["experiment"] == name
    assert kept["complete"]
    assert kept["settings"]["epochs"] == int(TINY[name][1])
    for unit, results in kept["results"].items():
        if name == "hw1_1/function_fit":
            loss = np.array(results["loss"])
            assert loss.shape == (6, len(results["epochs"]))
            assert np.isfinite(loss).all()
            live = ~np.array(results["dead_at_birth"])
            assert (loss[live, -1] < loss[live, 0]).mean() > 0.5
            assert results["epochs"][0] == 0
            assert results["epochs"][-1] == 4
            assert len(results["curves"]["best"]) == len(results["curve_inputs"]) == len(results["curve_target"])
            assert min(results["end_loss"]) == results["end_loss"][results["curve_seeds"]["best"]]
        else:
            curves = [
                results[f"{part}_{what}"] for part in ("running", "train", "test") for what in ("loss", "accuracy")
            ]
            assert np.shape(curves) == (6, 2)
            assert np.isfinite(curves).all()
            assert results["train_loss"][1] < results["train_loss"][0], unit
            assert results["test_accuracy"][1] > 0.3  # chance is 0.1
            assert results["multiply_adds"] > results["parameters"]


def test_tiny_nets_get_one_thread_and_images_go_through_cnns_in_two_halves(finished):
    name, _, path = finished
    about = history.read(path)["environment"]
    wanted = (1, 1) if name == "hw1_1/function_fit" else (max(1, about["cores"] // 2), 2)
    assert (about["intra_threads"], about["inter_threads"]) == wanted


def test_results_go_to_stdout_and_progress_to_stderr(finished):
    name, done, path = finished
    lines = done.stdout.strip().splitlines()
    assert lines[-1] == f"history: {path}"
    assert all(len(line) < 200 for line in lines)
    assert "quick scale with changed settings" in done.stderr
    assert "Traceback" not in done.stderr
    assert "oneDNN" not in done.stderr  # TensorFlow's start-up noise
    if name != "hw1_1/function_fit":
        assert "unverified" in done.stderr  # the data are named by what they hold


def test_a_second_run_trains_nothing_and_check_agrees(finished, checkout, pictures, tmp_path):
    name, _, path = finished
    before = path.read_bytes()
    again = start(checkout, pictures, name, folder=tmp_path)
    assert again.returncode == 0
    assert "up to date" in again.stderr
    assert path.read_bytes() == before
    check = start(checkout, pictures, name, "--check")
    assert check.returncode == 0
    assert check.stdout.startswith("up to date (measured 20")
    assert not list(tmp_path.iterdir())


# mnist_cnn has the loop of cifar10_cnn, with fewer kinds of dropout
@pytest.mark.parametrize("finished", ["hw1_1/cifar10_cnn", "hw1_1/function_fit"], indirect=True)
def test_the_same_seed_gives_the_same_history(finished, checkout, pictures):
    name, _, path = finished
    before = history.read(path)["results"]
    again = start(checkout, pictures, name, "--force")
    assert again.returncode == 0, again.stderr
    assert history.read(path)["results"] == before


def test_another_function_is_one_line_and_is_drawn(checkout, tmp_path):
    copy = shutil.copytree(checkout, tmp_path / "copy", ignore=shutil.ignore_patterns("out"))
    script = copy / "hw1_1" / "function_fit.py"
    line = '    "steps": lambda x: np.sign(np.sin(5 * np.pi * x)),\n'
    script.write_text(script.read_text().replace("FUNCTIONS = {", "FUNCTIONS = {\n" + line, 1))
    flags = ["--scale", "quick", "--epochs", "4", "--seeds", "3", "--functions", "steps", "--nets", "deep"]
    done = subprocess.run([sys.executable, script, *flags], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.strip().splitlines()[-1].removeprefix("history: "))
    drawn = history.read(path)["results"]["steps/tanh/deep"]
    assert set(np.round(drawn["curve_target"], 6)) == {-1, 0, 1}
    plot = [sys.executable, script.with_name("plot_function_fit.py"), "--history", str(path)]
    done = subprocess.run(plot, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert (path.parents[2] / "figures" / "function_fit_curves.png").is_file()


@pytest.mark.parametrize("name", sorted(TINY))
def test_flags_and_check_do_not_load_tensorflow(name, checkout, pictures):
    program = (
        f"import runpy, sys; sys.argv = ['x', '--check', '--scale', 'quick']; sys.path.insert(0, {str(checkout)!r})"
    )
    program += (
        f"\ntry: runpy.run_path({str(checkout / (name + '.py'))!r}, run_name='__main__')\nexcept SystemExit: pass"
    )
    program += "\nprint(sorted({'tensorflow', 'keras', 'pandas', 'matplotlib'} & set(sys.modules)))"
    environment = {**os.environ, "HW1_DATA_DIR": str(pictures)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--epochs", "-1"], 2, "--epochs"),
        (["--scale", "big"], 2, "big"),
        (["--epoch", "3"], 2, "--epochs"),
        (["--unit", "nothing"], 2, "nothing"),
        (["--data-dir", "/nowhere"], 1, "/nowhere"),
    ],
)
def test_bad_input_is_one_message(flags, code, words, checkout, pictures):
    done = start(checkout, pictures, "hw1_1/mnist_cnn", *flags)
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", sorted(TINY))
def test_help_names_every_setting(name, checkout, pictures):
    done = start(checkout, pictures, name, "--help")
    assert done.returncode == 0
    for flag in ("--scale", "--epochs", "--learning-rate", "--seeds", "--unit", "--check", "--list", "--force"):
        assert flag in done.stdout
    assert "passes over" in done.stdout
