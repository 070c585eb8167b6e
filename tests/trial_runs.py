"""What the tests of the experiments share: easy digits, tiny runs of the scripts, a stop midway, made-up histories."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from common import history
from common.checkpoint import Checkpoint

import numpy as np
import pytest

Digits = tuple[np.ndarray, np.ndarray]

# Flags with which each experiment takes seconds, at quick scale. A new experiment is one more line here.
TINY = {
    "hw1_1/function_fit": "--epochs 4 --seeds 6 --functions f2 --activations tanh --nets deep",
    "hw1_1/mnist_cnn": "--epochs 2 --batch-size 16 --probe-images 50 --nets shallow",
    "hw1_1/cifar10_cnn": "--epochs 2 --batch-size 16 --probe-images 50 --nets middle",
    "hw1_2/param_pca": "--epochs 6 --record-every 2 --points 200 --batch-size 64 --runs 3 --spare-runs 1"
    " --surface-steps 5",
    "hw1_2/grad_norm": "--iterations 60 --batch-size 16 --fixed-examples 80 --fixed-every 5 --window 20"
    " --window-start 30 --seeds 3 --function-points 200",
    "hw1_2/minimal_ratio": "--epochs 60 --seeds 5 --newton-steps 60 --levenberg-steps 30 --draws 500 --ridges 1e-3"
    " --ridge-functions f2 --nets 1-4-1 1-40-40-1 --points 32",
    "hw1_2/error_surface": "--steps 60 --batch-size 16 --record-every 25 --probe-images 50 --line-points 12"
    " --unrelated-points 5 --plane-images 30 --plane-columns 7 --plane-rows 4 --sgd-learning-rate 0.05",
    "hw1_3/random_labels": "--epochs 4 --true-epochs 3 --share-epochs 15 --share-images 60 --batch-size 32"
    " --probe-images 50 --fit-epochs 2 --shares 0 0.5 --seeds 0 1",
    "hw1_3/param_count": "--epochs 4 --batch-size 32 --probe-images 100 --noisy-images 100 --noisy-epochs 6"
    " --noisy-every 2 --stack-size 2 --widths 16 512 --noisy-widths 4 32",
    "hw1_3/interpolation": "--early-steps 20 --late-steps 40 --converged-steps 60 --adam-steps 40 --small-batch 16"
    " --large-batch 100 --sgd-learning-rate 0.1 --intervals 10 --probe-images 80 --directions 2",
    "hw1_3/sensitivity": "--steps 40 --epochs 2 --target-loss 1.5 --most-steps 60 --check-every 20 --fixed-images 80"
    " --seeds 3 --batch-sizes 50 10 1000",
    "hw1_3/sharpness": "--images 60 --batch-sizes 8 64 --seeds 2 --stop-loss 1.2 --epochs 4 --box-iterations 4"
    " --probes 2 --lanczos-tolerance 1e-3",
}


class TinyRun(NamedTuple):
    """A script's run at the size of TINY."""

    checkout: Path
    done: subprocess.CompletedProcess
    path: Path

    @property
    def history(self) -> dict[str, Any]:
        return history.read(self.path)


def stripes(count: int, seed: int = 0, left: int = 0, shape: tuple[int, ...] = (28, 28)) -> Digits:
    """Pictures that are easy to tell apart: the class is where the bright stripe is. Bytes, and their labels.

    Each class is equally frequent, in random order. left: as many columns are black in all images.
    """
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % 10).astype(np.uint8)
    images = generator.integers(0, 60, (count, *shape)).astype(np.uint8)
    images[:, :, :left] = 0
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 4 : 2 * label + 6, left:] += 180
    return images, labels


def dataset(digits: Digits, training: int) -> SimpleNamespace:
    """A data set as `common.data` loads it, whose first images are for training and the others for the test."""
    images = (digits[0][..., None] / 255).astype(np.float32)
    labels = digits[1].astype(np.int32)
    return SimpleNamespace(
        train_images=images[:training],
        train_labels=labels[:training],
        test_images=images[training:],
        test_labels=labels[training:],
    )


def with_data(checkout: Path) -> Path:
    """The copy of the code, with both sets in its folder `data`, where `start` has the scripts look for them."""
    (checkout / "data").mkdir()
    for name, shape, column in (("mnist", (28, 28), ()), ("cifar10", (32, 32, 3), (1,))):
        arrays = {}
        for part, count in (("train", 320), ("test", 100)):
            arrays[f"x_{part}"], labels = stripes(count, seed=count, shape=shape)
            arrays[f"y_{part}"] = labels.reshape(-1, *column)
        np.savez(checkout / "data" / f"{name}.npz", **arrays)
    return checkout


def start(checkout: Path, script: str, *flags: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a script of the copy, such as hw1_2/grad_norm.py."""
    around = {**os.environ, "HW1_DATA_DIR": str(checkout / "data"), **environment}
    command = [sys.executable, str(checkout / script), *flags]
    return subprocess.run(command, capture_output=True, text=True, env=around, cwd="/", timeout=300)


def start_tiny(checkout: Path, experiment: str, *flags: str, **environment: str) -> subprocess.CompletedProcess:
    """Run an experiment of the copy at its tiny size."""
    return start(checkout, f"{experiment}.py", "--scale", "quick", *TINY[experiment].split(), *flags, **environment)


def run_tiny(checkout: Path, experiment: str) -> TinyRun:
    done = start_tiny(checkout, experiment)
    return TinyRun(checkout, done, history_path(done))


def history_path(done: subprocess.CompletedProcess) -> Path:
    """Where a run that went well left its history."""
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1].removeprefix("history: "))


def loss_and_accuracy(arrays: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a Dense ReLU net, with or without biases, in float64, written out anew."""
    hidden = images.reshape(len(images), -1).astype(np.float64)
    kernels = [place for place, array in enumerate(arrays) if array.ndim == 2]
    for place in kernels:
        hidden = np.maximum(hidden, 0) if place else hidden  # not the pixels
        hidden = hidden @ arrays[place]
        if place + 1 < len(arrays) and arrays[place + 1].ndim == 1:
            hidden = hidden + arrays[place + 1]
    shifted = hidden - hidden.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return float(losses.mean()), float(np.mean(hidden.argmax(axis=1) == labels))


class Stopped(Exception):
    """What ends a training midway in a test."""


class Saving(Checkpoint):
    """A checkpoint saved at every chance; where it has a `last`, it ends the training after so many times."""

    last = 0

    def save(self, now: bool = False) -> None:
        super().save(now=True)
        self.last -= 1
        if not self.last:
            raise Stopped


def resumed(train: Callable[[Checkpoint], Any], path: Path, saves: int) -> Any:
    """What train(checkpoint) returns when it is stopped at that many saves and then started again."""
    stopping = Saving(path, {})
    stopping.last = saves
    with pytest.raises(Stopped):
        train(stopping)
    return train(Checkpoint(path, {}))


def assert_same_bits(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The results of two trainings are equal, NaN included."""
    assert repr(history.plain(one)) == repr(history.plain(other))


def made_up_history(
    experiment: str,
    results: dict[str, Any],
    *,
    units: Iterable[str] = (),
    scale: str = "paper",
    settings: dict[str, Any] | None = None,
    data: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A history with these results; what else it needs is made up. units: all that are planned, if more."""
    record = {"measured": "2026-11-24T12:00:00+00:00", "wall_seconds": 1.0, "peak_memory_megabytes": 1}
    record |= {"device": "CPU", "code": ""}
    planned = list(units) or list(results)
    return history.plain(
        {
            "schema": history.SCHEMA,
            "experiment": experiment,
            "scale": scale,
            "settings": settings or {},
            "units": {unit: record if unit in results else None for unit in planned},
            "complete": len(results) == len(planned),
            "data": data or {"name": "computed", "fingerprint": "computed"},
            "environment": {},
            "code": {"revision": 1, "hash": "", "commit": ""},
            "wall_seconds": 1.0,
            "results": results,
        }
    )
