"""What all experiments share, each at the size of `trial_runs.TINY`: a run, a second run, wrong flags, the figures."""

import importlib
import subprocess
import sys

from common import backend, history

import numpy as np
import pytest
import trial_runs
from conftest import ROOT
from trial_runs import TINY

HALVES = (max(1, backend.cores() // 2), 2)
THREADS = {  # of TensorFlow, within a step and for steps side by side
    "hw1_1/function_fit": (1, 1), "hw1_1/mnist_cnn": HALVES, "hw1_1/cifar10_cnn": HALVES,
    "hw1_2/grad_norm": (1, 2), "hw1_2/minimal_ratio": (1, 1), "hw1_3/interpolation": (1, 2),
    "hw1_3/sensitivity": (1, 2), "hw1_3/sharpness": (1, 2), "hw1_3/random_labels": HALVES, "hw1_2/param_pca": (2, 1),
}  # fmt: skip
WRONG = {  # flags that the script refuses, and what the message names
    "hw1_1/function_fit": ("--functions f9", "f9"),
    "hw1_1/mnist_cnn": ("--unit nothing", "nothing"),
    "hw1_1/cifar10_cnn": ("--epoch 3", "--epochs"),
    "hw1_2/param_pca": ("--layer 11", "--layer"),
    "hw1_2/grad_norm": ("--window-start 1900", "--window-start 1900"),
    "hw1_2/minimal_ratio": ("--nets 1-5-1", "1-4-1"),
    "hw1_2/error_surface": ("--line-points 2", "--line-points must lie from 3"),
    "hw1_3/random_labels": ("--shares 1.5", "--shares"),
    "hw1_3/param_count": ("--noisy-images 5", "--noisy"),
    "hw1_3/interpolation": ("--late-steps 100", "--early-steps"),
    "hw1_3/sensitivity": ("--check-every 5000", "--check-every 5000"),
    "hw1_3/sharpness": ("--batch-sizes 0", "--batch-sizes"),
}
every_experiment = pytest.mark.parametrize("experiment", TINY)


@every_experiment
def test_a_changed_setting_leaves_a_complete_history_beside_the_committed_ones(experiment, tiny_run):
    checkout, done, path = tiny_run(experiment)
    assert path.is_relative_to(checkout / "out" / "changed") and path.stem == experiment.split("/")[1]
    assert not list(checkout.glob("hw1_*/history/*.pkl"))
    assert not list((checkout / "out" / "checkpoints").rglob(f"{path.stem}*/**/*.state"))
    kept = history.read(path)
    assert kept["complete"] and kept["experiment"] == experiment and set(kept["results"]) == set(kept["units"])
    assert all(record["peak_memory_megabytes"] > 0 for record in kept["units"].values())
    if experiment in THREADS:
        assert (kept["environment"]["intra_threads"], kept["environment"]["inter_threads"]) == THREADS[experiment]
    assert experiment == "hw1_3/interpolation" or all(len(line) < 200 for line in done.stdout.splitlines())
    assert "quick scale with changed settings" in done.stderr
    assert "Traceback" not in done.stderr and "oneDNN" not in done.stderr  # TensorFlow's start-up noise
    assert ("unverified" in done.stderr) == (kept["data"]["name"] != "computed")  # data are named by what they hold


@every_experiment
def test_check_knows_that_all_is_there_and_loads_no_large_package(experiment, tiny_run, tmp_path):
    for name in ("tensorflow", "keras", "pandas", "matplotlib", "scipy", "sklearn"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a large package was imported')")
    check = trial_runs.start_tiny(tiny_run(experiment).checkout, experiment, "--check", PYTHONPATH=str(tmp_path))
    assert check.returncode == 0 and check.stdout.startswith("up to date (measured 20"), check.stderr


@pytest.mark.parametrize("experiment", ["hw1_1/cifar10_cnn", "hw1_2/minimal_ratio"])
def test_a_second_run_trains_nothing_and_with_force_gives_the_same(experiment, tiny_run):
    checkout, _, path = tiny_run(experiment)
    before, results = path.read_bytes(), history.read(path)["results"]
    again = trial_runs.start_tiny(checkout, experiment)
    assert again.returncode == 0 and "up to date" in again.stderr and path.read_bytes() == before
    assert trial_runs.start_tiny(checkout, experiment, "--force").returncode == 0
    assert path.read_bytes() != before  # measured anew
    trial_runs.assert_same_bits(history.read(path)["results"], results)


@every_experiment
def test_a_wrong_setting_is_one_message(experiment, checkout):
    flags, words = WRONG[experiment]
    done = trial_runs.start(checkout, f"{experiment}.py", "--scale", "quick", *flags.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "Traceback" not in done.stderr
    assert not list(checkout.rglob("*.pkl"))


@every_experiment
def test_figures_are_drawn_and_no_part_is_blank(experiment, tiny_run):
    from matplotlib import image

    checkout, _, path = tiny_run(experiment)
    script = experiment.replace("/", "/plot_") + ".py"
    done = trial_runs.start(checkout, script, "--history", str(path))
    assert done.returncode == 0 and "Warning" not in done.stderr, done.stderr
    drawn = [name for name in done.stdout.splitlines() if name.endswith(".png")]
    assert drawn
    for name in drawn:
        inked = image.imread(name)[..., :3].min(axis=2) < 0.8
        assert 0.01 < inked.mean() < 0.6, name
        assert all(part.mean() > 0.005 for part in np.array_split(inked, 2, axis=1)), name


@pytest.mark.parametrize("experiment", ["hw1_1/function_fit"])
def test_the_losses_of_the_fitted_functions_fall_and_curves_are_those_of_the_best(experiment, tiny_run):
    [results] = tiny_run(experiment).history["results"].values()
    loss, live = np.array(results["loss"]), ~np.array(results["dead_at_birth"])
    assert loss.shape == (6, len(results["epochs"])) and np.isfinite(loss).all()
    assert (loss[live, -1] < loss[live, 0]).mean() > 0.5
    assert (results["epochs"][0], results["epochs"][-1]) == (0, 4)
    assert len(results["curves"]["best"]) == len(results["curve_inputs"]) == len(results["curve_target"])
    assert min(results["end_loss"]) == results["end_loss"][results["curve_seeds"]["best"]]


@pytest.mark.parametrize("experiment", ["hw1_1/mnist_cnn", "hw1_1/cifar10_cnn"])
def test_the_cnns_learn(experiment, tiny_run):
    for results in tiny_run(experiment).history["results"].values():
        curves = [results[f"{part}_{what}"] for part in ("running", "train", "test") for what in ("loss", "accuracy")]
        assert np.shape(curves) == (6, 2) and np.isfinite(curves).all()
        assert results["train_loss"][1] < results["train_loss"][0]
        assert results["test_accuracy"][1] > 0.3  # chance is 0.1
        assert results["multiply_adds"] > results["parameters"]


@pytest.mark.parametrize(
    ("experiment", "shapes"),
    [
        ("hw1_2/grad_norm", "784x64 64x64 64x10"),
        ("hw1_2/error_surface", "784x512 512x512 512x10"),
        ("hw1_3/random_labels", "784x512 512 512x512 512 512x512 512 512x10 10"),
        ("hw1_3/interpolation", "784x64 64x64 64x10"),
    ],
)
def test_nets_have_the_layers_of_the_homework(experiment, shapes):
    script = importlib.import_module(experiment.replace("/", "."))
    model = script.build_model(0) if experiment.endswith("surface") else script.build_model()
    assert ["x".join(map(str, array.shape)) for array in model.get_weights()] == shapes.split()


def test_another_function_is_one_line_and_is_drawn(checkout):
    script = checkout / "hw1_1" / "function_fit.py"
    line = '    "steps": lambda x: np.sign(np.sin(5 * np.pi * x)),\n'
    script.write_text(script.read_text().replace("FUNCTIONS = {", "FUNCTIONS = {\n" + line, 1))
    flags = ["--scale", "quick", "--epochs", "4", "--seeds", "3", "--functions", "steps", "--nets", "deep"]
    path = trial_runs.history_path(trial_runs.start(checkout, "hw1_1/function_fit.py", *flags))
    assert set(np.round(history.read(path)["results"]["steps/tanh/deep"]["curve_target"], 6)) == {-1, 0, 1}
    done = trial_runs.start(checkout, "hw1_1/plot_function_fit.py", "--history", str(path))
    assert done.returncode == 0 and "function_fit_curves.png" in done.stdout, done.stderr


def test_a_python_without_the_packages_is_told_how_to_get_them():
    command = [sys.executable, "-S", "-E", str(ROOT / "hw1_1" / "mnist_cnn.py"), "--check"]  # -S: no site-packages
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"error: {sys.executable} lacks numpy, tyro: bash run_all.sh makes ")
    assert str(ROOT / "requirements.txt") in done.stderr
