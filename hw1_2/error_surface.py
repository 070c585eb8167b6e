"""What does the loss look like on the straight line from the initial to the final weights?

Homework 1-2, bonus, "Error surface". A net with two hidden layers of 512 without biases learns MNIST, with plain
gradient descent and with Adam (Kingma and Ba 2015). Loss and accuracy are then taken at 2,000 points of the line

    theta(alpha) = (1 - alpha) theta_start + alpha theta_end        (Goodfellow, Vinyals and Saxe 2015)

on all test images and on a fixed 10,000 training images. Beside it: the line to the same end from initial weights that
this training never saw, which tells whether a lucky start makes the line smooth; and two planes through the final
weights, along random directions whose filters are as long as the net's (Li et al. 2018), and along the first two
principal components of the way that training took. `surfaces.py` has the method.

    python hw1_2/error_surface.py --scale paper      over an hour on two CPU cores
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, progress, seeds, settings, training, weights
from common.lazy import keras, tf

import numpy as np

from hw1_2 import surfaces

REVISION = 1
PARAMETERS = 668_672
GridPoints = Annotated[int, settings.Range(3, 10**6)]  # enough for an inside


@dataclass(frozen=True)
class Settings:
    steps: settings.Count = 10_000  # updates
    batch_size: settings.Count = 100  # images
    sgd_learning_rate: settings.Positive = 0.01  # of gradient descent, without momentum
    adam_learning_rate: settings.Positive = 1e-3  # of Adam
    record_every: settings.Count = 100  # updates between two records of the weights, for the path's plane
    probe_images: settings.Count = 10_000  # training images, fixed, of the lines
    line_points: GridPoints = 2000  # of the line, both ends included
    unrelated_points: GridPoints = 201  # of the line from unrelated initial weights
    plane_images: settings.Count = 5000  # training images, fixed, of the planes
    plane_columns: GridPoints = 51  # points of a plane along its first direction
    plane_rows: GridPoints = 51  # points of a plane along its second direction
    plane_reach: settings.Positive = 1.0  # lengths of the random directions, to each side of the final weights
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
    if model.count_params() != PARAMETERS:
        raise ValueError(f"the net has {model.count_params()} parameters, not {PARAMETERS}")
    return model


def learn(chosen: Settings, digits: data.Dataset, unit: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Train one net. Returns its path (records, parameters), float32, and what is known of start and end."""
    optimizer, seed = unit.split("/seed-")
    model = build_model(seeds.stream(int(seed), "weights"))
    if optimizer == "sgd":
        apply, _ = optimizers.sgd(model.trainable_variables, chosen.sgd_learning_rate)
    else:
        apply, _ = optimizers.adam(model.trainable_variables, chosen.adam_learning_rate)
    arrays, batches_seed = (digits.train_images, digits.train_labels), seeds.stream(int(seed), "batches")
    run = training.loop(training.classifier_update(model, apply), arrays, chosen.batch_size, batches_seed)
    evaluate = training.evaluator(model)
    fixed = seeds.fixed_examples(arrays, chosen.probe_images)

    def measured() -> dict[str, float]:
        values = *evaluate(*fixed), *evaluate(digits.test_images, digits.test_labels)
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        return dict(zip(names, map(float, values), strict=True))

    records = [*range(0, chosen.steps, chosen.record_every), chosen.steps]
    path = np.empty((len(records), PARAMETERS), np.float32)
    path[0] = weights.flatten(model.get_weights())
    kept: dict[str, Any] = {"steps": records, "running_loss": [], "start": measured()}
    with progress.shown(f"{unit} training", chosen.steps) as tell:
        for place, (step, following) in enumerate(itertools.pairwise(records), start=1):
            losses = run(step, following - step, tell)["loss"]
            if not np.isfinite(losses).all():
                raise settings.Problem(f"{unit}: the loss is no longer finite: take a smaller learning rate")
            kept["running_loss"].append(float(np.mean(losses)))
            path[place] = weights.flatten(model.get_weights())
    return path, kept | {"end": measured()}


# ---------------------------------------------------------------------------------------- lines and planes


def bases_of(unit: str, ends: np.ndarray, components: np.ndarray) -> dict[str, list]:
    """What lines and planes are made of, as lists of kernels: start, end and unrelated weights; of each plane a pair.

    ends: (2, parameters), initial and final weights; components: (2, parameters), directions of the path's plane.
    """
    seed = int(unit.split("/seed-")[1])
    unrelated = build_model(seeds.stream(seed, "unrelated weights")).get_weights()
    shapes = [array.shape for array in unrelated]
    start, end = (weights.unflatten(each, shapes) for each in ends)
    generator = np.random.default_rng(seeds.stream(seed, "directions"))
    return {
        "start": start,
        "end": end,
        "unrelated": unrelated,
        "random_plane": [weights.filter_normalised(generator, end) for _ in range(2)],
        "path_plane": [weights.unflatten(each, shapes) for each in components],
    }


def places_of(chosen: Settings, path: np.ndarray) -> dict[str, Any]:
    """Where the loss is measured: alpha of each line, (points,); x and y of each plane. path: (records, 2)."""
    counts, reach = (chosen.plane_columns, chosen.plane_rows), chosen.plane_reach
    return {
        "line": np.linspace(0, 1, chosen.line_points),
        "unrelated_line": np.linspace(0, 1, chosen.unrelated_points),
        "random_plane": [np.linspace(-reach, reach, count) for count in counts],
        "path_plane": surfaces.axes_around(path, *counts),
    }


def sweeps_of(chosen: Settings, digits: data.Dataset, bases: dict, places: dict) -> dict[str, tuple]:
    """What is measured, by name: bases, coefficients (points, bases), and the images and labels."""
    arrays, test = (digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)
    fixed, fewer = (seeds.fixed_examples(arrays, count) for count in (chosen.probe_images, chosen.plane_images))
    start, end, unrelated = (bases[name] for name in ("start", "end", "unrelated"))
    line, unrelated_line = surfaces.line(places["line"]), surfaces.line(places["unrelated_line"])
    return {
        "line train": ([start, end], line, fixed),
        "line test": ([start, end], line, test),
        "unrelated train": ([unrelated, end], unrelated_line, fixed),
        "unrelated test": ([unrelated, end], unrelated_line, test),
        "random plane": ([end, *bases["random_plane"]], surfaces.plane(*places["random_plane"]), fewer),
        "path plane": ([end, *bases["path_plane"]], surfaces.plane(*places["path_plane"]), fewer),
    }


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train one net, then measure the lines and planes through its weights; all of it as plain lists."""
    ends = tf.Variable(np.zeros((2, PARAMETERS)))  # initial and final weights
    components = tf.Variable(np.zeros((2, PARAMETERS)))  # of the path
    kept = checkpoint.load([ends, components])
    if not kept:
        path, kept = learn(chosen, digits, unit)
        directions, coordinates, explained = surfaces.path_plane(path)
        ends.assign(path[[0, -1]])
        components.assign(directions)
        kept |= {"path": coordinates.tolist(), "explained": explained.tolist(), "values": {}}
        del path
        checkpoint.save([ends, components], kept, now=True)

    bases, places = bases_of(unit, ends.numpy(), components.numpy()), places_of(chosen, np.array(kept["path"]))
    sweeps, values = sweeps_of(chosen, digits, bases, places), kept["values"]
    done = sum(map(len, values.values()))
    with progress.shown(f"{unit} surface", sum(len(points) for _, points, _ in sweeps.values()), done) as tell:

        def after(points: int) -> None:
            nonlocal done
            done += points
            tell(done)
            checkpoint.save([ends, components], kept)

        for name, (through, points, (images, labels)) in sweeps.items():
            found = values.setdefault(name, [])
            if len(found) < len(points):
                surfaces.sweep(surfaces.evaluator(through, flat(images), labels), points, found, after)
    return results_of(kept, bases, places)


def results_of(kept: dict[str, Any], bases: dict[str, list], places: dict[str, Any]) -> dict[str, Any]:
    """What a history keeps of one net: its training, lengths, lines and planes."""
    values = kept["values"]
    start, end = (weights.flatten(bases[name]) for name in ("start", "end"))
    results = {name: kept[name] for name in ("steps", "running_loss", "start", "end")}
    results |= {
        "parameters": PARAMETERS,
        "start_norm": float(np.linalg.norm(start)),
        "end_norm": float(np.linalg.norm(end)),
        "moved": float(np.linalg.norm(start - end)),
        "path": kept["path"],
        "explained": kept["explained"],
        "line": line_results(places["line"], values["line train"], values["line test"]),
        "unrelated_line": line_results(places["unrelated_line"], values["unrelated train"], values["unrelated test"]),
    }
    for name in ("random_plane", "path_plane"):
        x, y = places[name]
        losses, accuracies = np.array(values[name.replace("_", " ")]).T.reshape(2, len(y), len(x))
        share = surfaces.share_within(start - end, np.stack([weights.flatten(each) for each in bases[name]]))
        results[name] = {"x": x, "y": y, "loss": losses, "accuracy": accuracies, "share_of_displacement": share}
    return results | {"summary": summary(results)}


def flat(images: np.ndarray) -> np.ndarray:
    """(n, pixels), as the net's Flatten layer makes it."""
    return images.reshape(len(images), -1)


def line_results(alpha: np.ndarray, train: Sequence, test: Sequence) -> dict[str, Any]:
    """Losses and accuracies along a line, and the shape of each loss."""
    train, test = np.array(train), np.array(test)
    return {
        "alpha": alpha,
        "train_loss": train[:, 0],
        "train_accuracy": train[:, 1],
        "test_loss": test[:, 0],
        "test_accuracy": test[:, 1],
        "shape": {
            "train_loss": surfaces.line_shape(alpha, train[:, 0]),
            "test_loss": surfaces.line_shape(alpha, test[:, 0]),
        },
    }


def summary(results: dict[str, Any]) -> dict[str, float]:
    """The numbers of the table that the script prints."""
    shape = results["line"]["shape"]["train_loss"]
    return {
        "end train loss": results["end"]["train_loss"],
        "end test accuracy": results["end"]["test_accuracy"],
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
