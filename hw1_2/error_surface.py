"""What does the loss look like on the straight line from the initial to the final weights?

Homework 1-2, bonus, "Error surface". A net with two hidden layers of 512 without biases learns MNIST, with plain
gradient descent and with Adam (Kingma and Ba 2015):

1. Train it from weights theta_start to theta_end, and record the weights every 100 updates.
2. Evaluate loss and accuracy at 2,000 points of the line (1 - alpha) theta_start + alpha theta_end (Goodfellow, Vinyals
   and Saxe 2015), on all test images and on a fixed 10,000 training images.
3. Do the same on the line from other random weights, from which nothing was trained, to theta_end. If that line is
   smooth too, a smooth line says nothing special about theta_start.
4. Evaluate loss and accuracy on two planes through theta_end: along two random, filter-normalised directions (Li et al.
   2018), and along the first two principal components of the recorded weights.

`surfaces.py` finds the maxima on a line, the principal components and the grids of the planes.

    python hw1_2/error_surface.py --scale paper      over an hour on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, landscape, optimizers, seeds, settings, training, weights
from common.lazy import keras

import numpy as np

from hw1_2 import surfaces

REVISION = 1
PARAMETERS = 668_672
QUANTITIES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
SAVE_EVERY = 50  # points of a line or plane
GridPoints = Annotated[int, settings.Range(3, 10**6)]  # both ends, and at least one between them


@dataclass(frozen=True)
class Settings:
    steps: settings.Count = 10_000  # updates
    batch_size: settings.Count = 100  # images
    sgd_learning_rate: settings.Positive = 0.01  # of gradient descent, without momentum
    adam_learning_rate: settings.Positive = 1e-3  # of Adam
    record_every: settings.Count = 100  # updates between two records of the weights
    probe_images: settings.Count = 10_000  # training images, fixed, on which lines are evaluated
    line_points: GridPoints = 2000  # of the line from the initial weights, both ends included
    unrelated_points: GridPoints = 201  # of the line from other random weights
    plane_images: settings.Count = 5000  # training images, fixed, on which planes are evaluated
    plane_columns: GridPoints = 51  # points of a plane along its first direction
    plane_rows: GridPoints = 51  # points of a plane along its second direction
    plane_reach: settings.Positive = 1.0  # from the middle of the random plane to its edge, in lengths of a direction
    optimizers: tuple[Literal["sgd", "adam"], ...] = ("sgd", "adam")  # what trains the net
    seeds: settings.Seeds = (0, 1, 2)  # one training each

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(
    PAPER,
    steps=600,
    record_every=20,
    probe_images=1000,
    line_points=200,
    unrelated_points=51,
    plane_images=500,
    plane_columns=21,
    plane_rows=15,
    seeds=(0,),
)


def build_model(seed: int):
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits; Glorot-uniform weights by `seed`."""
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(512, activation="relu", use_bias=False) for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10, use_bias=False)]
    )
    training.require_parameters(model, PARAMETERS)
    return model


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train one net, then evaluate the lines and planes through its final weights."""
    optimizer, seed = unit.split("/seed-")[0], int(unit.split("/seed-")[1])
    model = build_model(seeds.stream(seed, "weights"))
    if optimizer == "sgd":
        apply, slots = optimizers.sgd(model.trainable_variables, chosen.sgd_learning_rate)
    else:
        apply, slots = optimizers.adam(model.trainable_variables, chosen.adam_learning_rate)
    images = digits.train_images, digits.train_labels
    run = training.loop(
        training.classifier_update(model, apply), images, chosen.batch_size, seeds.stream(seed, "batches")
    )
    evaluate = training.evaluator(model)
    fixed, plane_images = (seeds.fixed_examples(images, count) for count in (chosen.probe_images, chosen.plane_images))
    test = digits.test_images, digits.test_labels

    records = [*range(0, chosen.steps, chosen.record_every), chosen.steps]
    path = np.zeros((len(records), PARAMETERS), np.float32)
    state = [*(variable.value for variable in model.trainable_variables), *slots, path]
    results = checkpoint.restore(state, {"running_loss": [], "values": {}})

    # 1. Train, and record the weights
    for step, recorded in training.segments(run, records, checkpoint, "training"):
        path[records.index(step)] = weights.flatten(model.get_weights())
        if step > 0:
            results["running_loss"].append(float(np.mean(recorded["loss"])))
        if step in (0, chosen.steps):
            values = map(float, (*evaluate(*fixed), *evaluate(*test)))
            results["end" if step else "start"] = dict(zip(QUANTITIES, values, strict=True))
    start_vector, end_vector = path[[0, -1]].astype(np.float64)
    components, coordinates, explained = surfaces.path_plane(path)

    unrelated = build_model(seeds.stream(seed, "unrelated weights")).get_weights()
    shapes = [array.shape for array in unrelated]
    start, end = (weights.unflatten(vector, shapes) for vector in (start_vector, end_vector))
    on_fixed, on_test, on_plane_images = (landscape.evaluator(*each) for each in (fixed, test, plane_images))

    def measure(name: str, coefficients: np.ndarray, *evaluators: landscape.At) -> np.ndarray:
        """(points, quantities): loss and accuracy at the points, by each evaluator."""
        values = results["values"].setdefault(name, [])
        for first in checkpoint.stages(range(0, len(coefficients), SAVE_EVERY), name):
            part = coefficients[first : first + SAVE_EVERY]
            values += np.concatenate([evaluate_at(part) for evaluate_at in evaluators], axis=1).tolist()
        return np.array(values)

    def on_line(name: str, other: weights.Arrays, points: int) -> dict[str, Any]:
        """Losses and accuracies on the line from other weights to the final ones, and the shape of both losses."""
        alpha = np.linspace(0, 1, points)
        values = measure(name, landscape.line(alpha), on_fixed(other, end), on_test(other, end))
        curves = dict(zip(QUANTITIES, values.T, strict=True))
        shape = {loss: surfaces.line_shape(alpha, curves[loss]) for loss in ("train_loss", "test_loss")}
        return {"alpha": alpha, **curves, "shape": shape}

    def on_plane(name: str, directions: list[weights.Arrays], x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        """Loss and accuracy, (rows, columns) each, on the plane through the final weights along two directions."""
        values = measure(name, landscape.plane(x, y), on_plane_images(end, *directions))
        loss, accuracy = values.T.reshape(2, len(y), len(x))
        axes = np.stack([weights.flatten(direction) for direction in directions])
        share = surfaces.share_within(start_vector - end_vector, axes)
        return {"x": x, "y": y, "loss": loss, "accuracy": accuracy, "share_of_displacement": share}

    # 2. and 3. The lines
    line = on_line("line", start, chosen.line_points)
    unrelated_line = on_line("unrelated line", unrelated, chosen.unrelated_points)

    # 4. The planes
    counts = chosen.plane_columns, chosen.plane_rows
    draws = np.random.default_rng(seeds.stream(seed, "directions"))
    random = [weights.filter_normalised(draws, end) for _ in range(2)]
    x, y = (np.linspace(-chosen.plane_reach, chosen.plane_reach, count) for count in counts)
    random_plane = on_plane("random plane", random, x, y)
    principal = [weights.unflatten(component, shapes) for component in components]
    path_plane = on_plane("path plane", principal, *surfaces.axes_around(coordinates, *counts))

    return {
        "parameters": PARAMETERS,
        "steps": records,
        "running_loss": results["running_loss"],
        "start": results["start"],
        "end": results["end"],
        "start_norm": np.linalg.norm(start_vector),
        "end_norm": np.linalg.norm(end_vector),
        "moved": np.linalg.norm(start_vector - end_vector),
        "path": coordinates,
        "explained": explained,
        "line": line,
        "unrelated_line": unrelated_line,
        "random_plane": random_plane,
        "path_plane": path_plane,
        "summary": summary(results["end"], line["shape"]["train_loss"]),
    }


def summary(end: dict[str, float], shape: dict[str, Any]) -> dict[str, float]:
    """The numbers of the table that the script prints. end: of the final weights; shape: of the loss on the line."""
    return {
        "end train loss": end["train_loss"],
        "end test accuracy": end["test_accuracy"],
        "interior maxima": len(shape["maxima"]),
        "minimum at": shape["minimum_at"],
        "end / minimum": shape["end_to_minimum"],
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    units = [f"{optimizer}/seed-{seed}" for seed in run.settings.seeds for optimizer in run.settings.optimizers]
    experiment = history.start(run, REVISION, units, digits)
    for unit in experiment.missing():
        backend.start()
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
