"""Is a deeper CNN of the same size better on CIFAR-10?

Homework 1-1, "Train on Actual Tasks". Three convolutional nets of about 1.25 million parameters each are trained with
Adam (Kingma and Ba 2015) on the mean cross-entropy. After each epoch come the running loss and accuracy that `fit`
would show (dropout on, weights changing), and, with dropout off, loss and accuracy on a fixed 10,000 training images
and on all test images. Nets of equal size may need unequal arithmetic, so the multiply-adds for one image are counted.
So is the share of hidden units that died in training.

    python hw1_1/cifar10_cnn.py --scale paper --seeds 0      hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, seeds, settings, training
from common.lazy import keras

import numpy as np

REVISION = 1
NETS = ("shallow", "middle", "deep")
PARAMETERS = {"shallow": 1_247_666, "middle": 1_243_898, "deep": 1_250_858}


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 100  # passes over the training images
    batch_size: settings.Count = 256  # images
    learning_rate: settings.Positive = 1e-3  # of Adam
    dropout: settings.Share = 0.25  # share of activations dropped after pooling
    dense_dropout: settings.Share = 0.5  # share of activations dropped before the last Dense
    probe_images: settings.Count = 10_000  # training images, fixed, that are evaluated after each epoch
    nets: tuple[Literal["shallow", "middle", "deep"], ...] = NETS  # nets to train
    seeds: settings.Seeds = (0, 1, 2)  # one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=2, batch_size=32, probe_images=1000, seeds=(0,))


def build_model(net: str, dropout: float, dense_dropout: float):
    """The net as a keras.Sequential, from (32, 32, 3) images to ten logits."""
    layers = keras.layers

    def convolution(filters: int, padding: str):
        return layers.Conv2D(filters, 3, padding=padding, activation="relu")

    def pool():
        return [layers.MaxPooling2D(2), layers.Dropout(dropout)]

    def dense(units: int):
        return [layers.Flatten(), layers.Dense(units, activation="relu")]

    hidden = {
        "shallow": [convolution(38, "same"), *pool(), *dense(128)],
        "middle": [convolution(16, "same"), convolution(22, "valid"), *pool(), *dense(250)],
        "deep": [
            *(convolution(32, "same"), convolution(32, "valid"), *pool()),
            *(convolution(64, "same"), convolution(64, "valid"), *pool()),
            *dense(512),
        ],
    }
    model = keras.Sequential([keras.Input((32, 32, 3)), *hidden[net], layers.Dropout(dense_dropout), layers.Dense(10)])
    training.require_parameters(model, PARAMETERS[net])
    return model


def dead_share(model, images: np.ndarray) -> float:
    """Share of the units of the hidden Dense layer whose output is 0 for all images, (n, 32, 32, 3); dropout off.

    Such a ReLU unit has no gradient, so training cannot bring it back (Lu et al. 2019).
    """
    hidden = keras.Sequential([keras.Input((32, 32, 3)), *model.layers[:-2]])  # without dropout and the last Dense
    live = np.zeros(hidden.output_shape[-1], bool)
    for first in range(0, len(images), 500):
        live |= (hidden(images[first : first + 500], training=False).numpy() > 0).any(axis=0)
    return float(np.mean(~live))


def train(chosen: Settings, pictures: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict:
    """Train one net from one seed; losses and accuracies by epoch, the net's size, its dead units."""
    net, seed = unit.split("/seed-")
    keras.utils.set_random_seed(seeds.stream(int(seed), "weights", net))
    model = build_model(net, chosen.dropout, chosen.dense_dropout)
    curves = training.train_classifier(
        model,
        pictures,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        probe_images=chosen.probe_images,
        seed=seeds.stream(int(seed), "batches"),
        checkpoint=checkpoint,
    )
    return {
        "parameters": model.count_params(),
        "multiply_adds": training.multiply_adds(model),
        "dead_hidden_share": dead_share(model, pictures.train_images),
        "summary": {name.replace("_", " "): values[-1] for name, values in curves.items()},
        **curves,
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    pictures = data.cifar10(run)
    units = [f"{net}/seed-{seed}" for seed in run.settings.seeds for net in run.settings.nets]
    experiment = history.start(run, REVISION, units, pictures)
    for unit in experiment.missing():
        backend.start_in_halves()
        experiment.keep(unit, train(run.settings, pictures, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
