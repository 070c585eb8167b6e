"""Can a network fit random labels?

Homework 1-3, "Can network fit random labels?" (Zhang et al. 2017). The labels of the training images are shuffled once,
so that they say nothing about the images; the labels of the test images stay true. A net with three hidden layers of
512 is trained with Adam (Kingma and Ba 2015) on the mean cross-entropy, in three arms:

    full/seed-0          all training images, all labels shuffled, until they are fitted
    true/seed-0          the same net and images with their true labels
    share-0.25/seed-0    a part of the images, a quarter of their labels shuffled among themselves

After each epoch come the running loss and accuracy that `fit` would show (the weights still change), and loss and
accuracy on a fixed 10,000 training images and on all test images. On the training images the accuracy is computed
twice, by the given and by the true labels. The labels count as fitted from the first of five successive epochs in which
the training loss is low enough and the training accuracy high enough.

    python hw1_3/random_labels.py --scale paper      four to six hours on two CPU cores
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, seeds, settings, training
from common.lazy import keras, tf

import numpy as np

REVISION = 1
PARAMETERS = 932_362
REFERENCE = {"loss": 0.055, "accuracy": 0.989}  # what the reference reached in training, by epoch 530
CURVES = (
    *("running_loss", "running_accuracy", "train_loss", "train_accuracy"),
    *("true_accuracy", "test_loss", "test_accuracy"),  # true_accuracy: on training images, by their true labels
)


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 530  # passes over all images with shuffled labels, at most; the reference's count
    true_epochs: settings.Count = 30  # passes over all images with true labels
    share_epochs: settings.Count = 300  # passes over the part of the images, at most
    share_images: settings.Count = 10_000  # images of that part
    batch_size: settings.Count = 128  # images
    learning_rate: settings.Positive = 1e-3  # of Adam
    fit_loss: settings.Positive = REFERENCE["loss"]  # largest training loss of fitted labels
    fit_accuracy: settings.Share = 0.99  # smallest training accuracy of fitted labels
    fit_epochs: settings.Count = 5  # successive epochs for which both must hold
    probe_images: settings.Count = 10_000  # training images, fixed, that are evaluated after each epoch
    shares: Annotated[tuple[float, ...], settings.Range(0, 1)] = (0, 0.25, 0.5, 0.75, 1)  # of that part's labels
    seeds: settings.Seeds = (0, 1, 2)  # one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(
    PAPER,
    epochs=30,
    true_epochs=5,
    share_epochs=30,
    share_images=1000,
    probe_images=1000,
    shares=(0, 0.5, 1),
    seeds=(0,),
)


def build_model():
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(512, activation="relu") for _ in range(3)]
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])
    training.require_parameters(model, PARAMETERS)
    return model


def shuffled(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A copy of labels (n,) in which a random share of the labels is shuffled among itself.

    The number of labels of each class stays the same, and by chance about a tenth of the shuffled ones stay true. With
    one seed, a larger share includes the images of a smaller one.
    """
    generator = np.random.default_rng(seed)
    indices = generator.permutation(len(labels))[: round(share * len(labels))]
    result = labels.copy()
    result[indices] = labels[generator.permutation(indices)]
    return result


def first_epoch(losses: Sequence[float], accuracies: Sequence[float], loss: float, accuracy: float, held: int) -> int:
    """The first of `held` successive epochs, from 1, with at most this loss and at least this accuracy; 0 for none."""
    successive = 0
    for epoch, values in enumerate(zip(losses, accuracies, strict=True), start=1):
        successive = successive + 1 if values[0] <= loss and values[1] >= accuracy else 0
        if successive == held:
            return epoch - held + 1
    return 0


def plan(chosen: Settings, arm: str) -> tuple[float, int | None, int]:
    """The share of labels that an arm shuffles, its number of images (None: all), and its largest number of epochs."""
    if arm == "full":
        return 1.0, None, chosen.epochs
    if arm == "true":
        return 0.0, None, chosen.true_epochs
    return float(arm.removeprefix("share-")), chosen.share_images, chosen.share_epochs


def fit_epoch(chosen: Settings, curves: dict[str, list[float]]) -> int:
    """The epoch, from 1, from which the labels count as fitted; 0 if they do not."""
    return first_epoch(
        curves["train_loss"], curves["train_accuracy"], chosen.fit_loss, chosen.fit_accuracy, chosen.fit_epochs
    )


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train one net on shuffled labels. Returns CURVES by epoch, when the labels were fitted, and a last evaluation."""
    # 1. The images, in a fixed random order, and the labels given to them. The test labels stay as they are.
    arm, _, number = unit.partition("/seed-")
    seed = int(number)
    share, count, epochs = plan(chosen, arm)
    images, true_labels = seeds.fixed_examples((digits.train_images, digits.train_labels), count)
    labels = shuffled(true_labels, share, seeds.stream(seed, "labels"))

    # 2. The net. With one seed, all arms have the same initial weights.
    keras.utils.set_random_seed(seeds.stream(seed, "weights"))
    model = build_model()
    apply, slots = optimizers.adam(model.trainable_variables, chosen.learning_rate)
    update = training.classifier_update(model, apply)
    run = training.loop(update, (images, labels), chosen.batch_size, seeds.stream(seed, "batches"))
    evaluate = training.evaluator(model)

    def evaluate_both(inputs: Any, given: Any, true: Any) -> tuple[float, float, float]:
        """Loss and accuracy by the given labels, and accuracy by the true ones."""
        loss, accuracy = evaluate(inputs, given)
        return loss, accuracy, evaluate(inputs, true)[1] if share else accuracy

    probe = [tf.constant(array[: chosen.probe_images]) for array in (images, labels, true_labels)]
    test = [tf.constant(array) for array in (digits.test_images, digits.test_labels)]

    # 3. Training, until the labels are fitted; with true labels, for all epochs.
    variables = [variable.value for variable in model.variables] + slots
    curves = checkpoint.restore(variables, {name: [] for name in CURVES})

    def fitted(step: int) -> bool:
        return arm != "true" and fit_epoch(chosen, curves) > 0

    ends = training.epoch_ends(epochs, len(images), chosen.batch_size)
    for _, recorded in training.segments(run, ends, checkpoint, until=fitted):
        running = training.running_means(recorded, len(images), chosen.batch_size)
        values = running["loss"], running["accuracy"], *evaluate_both(*probe), *evaluate(*test)
        for name, value in zip(CURVES, values, strict=True):
            curves[name].append(float(value))

    about = {
        "parameters": model.count_params(),
        "images": len(images),
        "share": share,
        "wrong_labels": float(np.mean(labels != true_labels)),  # share of all labels
        "majority": float(np.bincount(digits.test_labels).max() / len(digits.test_labels)),  # share of largest class
    }
    all_images = dict(zip(CURVES[2:5], evaluate_both(images, labels, true_labels), strict=True))
    return {**about, **outcome(chosen, curves), "all_images": all_images, **curves, "summary": summary(chosen, curves)}


def outcome(chosen: Settings, curves: dict[str, list[float]]) -> dict[str, float]:
    """When the labels were fitted, by our limits and by the reference's, and when the test accuracy was highest.

    Epochs count from 1; 0 means never.
    """
    best = int(np.argmax(curves["test_accuracy"]))
    return {
        "fit_epoch": fit_epoch(chosen, curves),
        "reference_epoch": first_epoch(curves["train_loss"], curves["train_accuracy"], **REFERENCE, held=1),
        "running_reference_epoch": first_epoch(curves["running_loss"], curves["running_accuracy"], **REFERENCE, held=1),
        "peak_test_epoch": best + 1,
        "peak_test_accuracy": curves["test_accuracy"][best],
    }


def summary(chosen: Settings, curves: dict[str, list[float]]) -> dict[str, float]:
    """The numbers of the table that the script prints."""
    return {
        "epochs": len(curves["test_loss"]),
        "epochs to fit": fit_epoch(chosen, curves) or float("nan"),
        "train loss": curves["train_loss"][-1],
        "train accuracy": curves["train_accuracy"][-1],
        "test loss": curves["test_loss"][-1],
        "test accuracy": curves["test_accuracy"][-1],
        "peak test accuracy": max(curves["test_accuracy"]),
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    arms = [f"share-{share:g}" for share in run.settings.shares]
    units = [f"{arm}/seed-{seed}" for seed in run.settings.seeds for arm in arms]
    units += [f"{arm}/seed-{seed}" for arm in ("true", "full") for seed in run.settings.seeds]  # the long ones last
    experiment = history.start(run, REVISION, units, digits)
    for unit in experiment.missing():
        backend.start_in_halves()
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
