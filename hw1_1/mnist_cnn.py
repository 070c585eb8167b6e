"""Is a deeper CNN of the same size better on MNIST?

Homework 1-1, "Train on Actual Tasks". Three convolutional nets of about 115,000 parameters each are trained with Adam
(Kingma and Ba 2015) on the mean cross-entropy. After each epoch come the running loss and accuracy that `fit` would
show (dropout on, weights changing), and, with dropout off, loss and accuracy on a fixed 10,000 training images and on
all test images. Test loss and accuracy can rise together. So the loss is also averaged over right and over wrong
answers, and the confidence of wrong answers is recorded.

    python hw1_1/mnist_cnn.py --scale paper      four to five hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, seeds, settings, training
from common.lazy import keras, tf

import numpy as np

REVISION = 1
NETS = ("shallow", "middle", "deep")
PARAMETERS = {"shallow": 115_610, "middle": 115_018, "deep": 115_742}


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 20  # passes over the training images
    batch_size: settings.Count = 128  # images
    learning_rate: settings.Positive = 1e-3  # of Adam
    dropout: settings.Share = 0.25  # share of activations dropped, after the layers listed in build_model
    probe_images: settings.Count = 10_000  # training images, fixed, that are evaluated after each epoch
    nets: tuple[Literal["shallow", "middle", "deep"], ...] = NETS  # nets to train
    seeds: settings.Seeds = tuple(range(8))  # one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=3, probe_images=1000, seeds=(0,))


def build_model(net: str, dropout: float):
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    layers = keras.layers

    def convolution(filters: int):
        return layers.Conv2D(filters, 3, activation="relu")

    hidden = {
        "shallow": [convolution(68), layers.MaxPooling2D(2), layers.Dropout(dropout)],
        "middle": [convolution(64), layers.MaxPooling2D(2), convolution(64), layers.Dropout(dropout)],
        "deep": [
            *(convolution(65), layers.MaxPooling2D(2)),
            *(convolution(65), layers.Dropout(dropout)),
            *(convolution(64), layers.Dropout(dropout), layers.MaxPooling2D(2)),
            *(convolution(64), layers.Dropout(dropout)),
        ],
    }
    model = keras.Sequential([keras.Input((28, 28, 1)), *hidden[net], layers.Flatten(), layers.Dense(10)])
    training.require_parameters(model, PARAMETERS[net])
    return model


def right_and_wrong(model):
    """Compile evaluate(images, labels) -> mean loss of right and of wrong answers, in nats, and `wrong_confidence`.

    That is the mean probability that the net gives its wrong answers. NaN where there are no such answers. Dropout off.
    """

    def sums(images, labels):
        logits = model(images, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        largest = tf.reduce_max(tf.nn.softmax(logits), axis=1)
        right = training.correct(logits, labels)
        wrong = 1 - right
        return tf.stack(
            [tf.reduce_sum(each) for each in (right, right * losses, wrong, wrong * losses, wrong * largest)]
        )

    means = training.batchwise(sums)

    def evaluate(images, labels) -> dict[str, float]:
        right, right_loss, wrong, wrong_loss, confidence = means(images, labels)
        with np.errstate(invalid="ignore"):
            ratios = right_loss / right, wrong_loss / wrong, confidence / wrong
        return dict(zip(("right_loss", "wrong_loss", "wrong_confidence"), map(float, ratios), strict=True))

    return evaluate


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict:
    """Train one net from one seed; losses and accuracies by epoch, and the net's size."""
    net, seed = unit.split("/seed-")
    keras.utils.set_random_seed(seeds.stream(int(seed), "weights", net))
    model = build_model(net, chosen.dropout)
    curves = training.train_classifier(
        model,
        digits,
        epochs=chosen.epochs,
        batch_size=chosen.batch_size,
        learning_rate=chosen.learning_rate,
        probe_images=chosen.probe_images,
        seed=seeds.stream(int(seed), "batches"),
        checkpoint=checkpoint,
        further=right_and_wrong(model),
    )
    return {
        "parameters": model.count_params(),
        "multiply_adds": training.multiply_adds(model),
        "summary": {name.replace("_", " "): curves[name][-1] for name in training.CURVES},
        **curves,
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    units = [f"{net}/seed-{seed}" for seed in run.settings.seeds for net in run.settings.nets]
    experiment = history.start(run, REVISION, units, digits)
    for unit in experiment.missing():
        backend.start_in_halves()
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
