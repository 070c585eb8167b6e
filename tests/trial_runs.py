"""What the tests of the experiments share: digits that are easy to learn, a run of a script, a stop, a made-up history.

`start` runs a script of the `checkout`, `Saving` ends a training midway.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import history
from common.checkpoint import Checkpoint

import numpy as np
import pytest

Digits = tuple[np.ndarray, np.ndarray]


def stripes(count: int, seed: int = 0, left: int = 0, labels: np.ndarray | None = None) -> Digits:
    """Pictures that are easy to tell apart: the class is where the bright stripe is. Bytes, and their labels.

    seed: of the noise; left: so many columns are black in all images; labels: (count,), else 0 to 9 in turn.
    """
    labels = np.arange(count) % 10 if labels is None else labels
    images = np.random.default_rng(seed).integers(0, 60, (count, 28, 28)).astype(np.uint8)
    images[:, :, :left] = 0
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 4 : 2 * label + 6, left:] += 180
    return images, labels.astype(np.uint8)


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


def with_digits(checkout: Path, train: Digits, test: Digits) -> Path:
    """The copy of the code, with these digits in its folder `data`, where `start` has the scripts look for them."""
    (checkout / "data").mkdir()
    (x_train, y_train), (x_test, y_test) = train, test
    np.savez(checkout / "data" / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return checkout


def start(checkout: Path, script: str, *flags: str, timeout: int = 200) -> subprocess.CompletedProcess:
    """Run a script of the copy, such as hw1_2/grad_norm.py."""
    environment = {**os.environ, "HW1_DATA_DIR": str(checkout / "data")}
    command = [sys.executable, str(checkout / script), *flags]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd="/", timeout=timeout)


def draws(checkout: Path, experiment: str, history_file: Path, names: Iterable[str], across: int = 3) -> None:
    """Assert that the plot script draws these figures, none blank or black in any part across, and is then done."""
    from matplotlib import image

    script = experiment.replace("/", "/plot_") + ".py"
    done = start(checkout, script, "--history", str(history_file))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    for name in names:
        inked = image.imread(history_file.parents[2] / "figures" / f"{name}.png")[..., :3].min(axis=2) < 0.8
        assert 0.01 < inked.mean() < 0.6, name
        assert all(part.mean() > 0.005 for part in np.array_split(inked, across, axis=1)), name
    assert "up to date" in start(checkout, script, "--history", str(history_file)).stderr


def history_path(done: subprocess.CompletedProcess) -> Path:
    """Where a run that went well left its history."""
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip().splitlines()[-1].removeprefix("history: "))


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
