"""An experiment for the tests: a random walk of a few numbers, in milliseconds, without TensorFlow.

python hw1_1/tiny.py --scale quick
"""

import os
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import history, seeds, settings

REVISION = 1
ROOT = Path(__file__).resolve().parents[1]
SECONDS = float(os.environ.get("TINY_SECONDS", "0"))  # of each epoch
HANGS = os.environ.get("TINY_HANGS", "")  # the unit that never ends
WAITS = os.environ.get("TINY_WAITS", "")  # a folder: training begins when `go` is in it, so that two begin together
DIES = os.environ.get("TINY_DIES", "").split()  # a moment, such as "saved walk/seed-1 2": killed there


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 8  # steps of the walk
    learning_rate: settings.Positive = 0.5  # length of a step
    seeds: settings.Seeds = (0, 1, 2)  # one walk each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=4)


class Variable:
    """What a checkpoint needs of a Keras variable."""

    def __init__(self, value: np.ndarray):
        self.value = value

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        return self.value.dtype

    def assign(self, value: np.ndarray) -> None:
        self.value = np.array(value)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.value


def moment(*words: object) -> None:
    if " ".join(map(str, words)).split() == DIES:
        os.kill(os.getpid(), signal.SIGKILL)


def train(run_settings: Settings, unit: str, checkpoint: history.Checkpoint) -> dict:
    """A walk whose steps come from a generator that is itself a variable, as a dropout layer's is."""
    with open(ROOT / "trained", "a") as trained:
        trained.write(f"{unit}\n")
    weights = Variable(np.random.default_rng(seeds.stream(int(unit[-1]), "weights")).normal(size=5).astype(np.float32))
    generator = Variable(np.array([seeds.stream(int(unit[-1]), "steps")], np.uint64))
    curves = checkpoint.restore([weights, generator], {"loss": []})
    for epoch in range(len(curves["loss"]), run_settings.epochs):
        generator.assign(generator.value * np.uint64(6364136223846793005) + np.uint64(1442695040888963407))
        step = np.random.default_rng(int(generator.value[0])).normal(size=5).astype(np.float32)
        weights.assign(weights.value + np.float32(run_settings.learning_rate) * step)
        curves["loss"].append(float(np.sum(weights.value**2)))
        time.sleep(3600 if unit == HANGS and epoch == 2 else SECONDS)
        moment("trained", unit, epoch)
        checkpoint.reached("", epoch + 1, now=True)
        moment("saved", unit, epoch)
    return {"loss": curves["loss"], "weights": weights.value, "summary": {"loss": curves["loss"][-1]}}


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    experiment = history.start(run, REVISION, [f"walk/seed-{seed}" for seed in run.settings.seeds])
    if WAITS:
        Path(WAITS, f"ready {os.getpid()}").touch()
    while WAITS and not Path(WAITS, "go").exists():
        time.sleep(0.001)
    for unit in experiment.missing():
        experiment.keep(unit, train(run.settings, unit, experiment.checkpoint(unit)))
        moment("kept", unit)
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
