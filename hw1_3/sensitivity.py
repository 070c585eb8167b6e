"""Does a larger batch lead to a net that is more sensitive to its input, and to a worse one?

Homework 1-3, "Flatness v.s. Generalization", part 2. A net with two hidden layers of 64 without biases learns MNIST
with Adam (Kingma and Ba 2015) at nine batch sizes. Nets are compared in three ways: after equally many updates, after
equally many passes over the images, and at the same training loss. Before training and at each of these points, loss,
accuracy and three norms are computed on all test images and on a fixed 10,000 training images:

    softmax          of the Jacobian of the softmax outputs of each image, Frobenius norm (Novak et al. 2018)
    logits           of the Jacobian of the logits of each image, Frobenius norm
    loss_gradient    of the gradient of the loss of each image; the gradient of the mean loss follows from it

All derivatives are exact and with respect to the pixels, from 0 to 1 (`jacobians.py`). With one seed, all batch sizes
start from the same initial weights and see the images in the same order. Nets of a small batch size that differ in
their seeds are trained side by side.

    python hw1_3/sensitivity.py --scale paper      four to five hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, seeds, seedwise, settings, training, weights
from common.lazy import keras

import numpy as np

from hw1_3 import jacobians

REVISION = 1
PARAMETERS = 54_912
SMALL, MEDIUM = 500, 1000  # images: up to SMALL a batch size has `seeds` nets, up to MEDIUM `medium_seeds`
BUDGETS = ("steps", "epochs", "loss")  # what nets of different batch sizes have in common when they are compared


@dataclass(frozen=True)
class Settings:
    learning_rate: settings.Positive = 1e-3  # of Adam
    steps: settings.Count = 30_000  # updates after which nets are compared
    epochs: settings.Count = 20  # passes over the training images after which nets are compared
    target_loss: settings.Positive = 0.01  # on the fixed images, at which nets are compared
    most_steps: settings.Count = 100_000  # updates within which a net must reach that loss
    check_every: settings.Count = 500  # updates between two evaluations of that loss
    fixed_images: settings.Count = 10_000  # training images that are always the same
    seeds: settings.Count = 8  # nets of each batch size up to 500, side by side
    # Cheapest first, so that an interrupted run has finished most; a batch holds all images at most.
    batch_sizes: Annotated[tuple[int, ...], settings.Range(1, 10**6)] = (50, 100, 10, 5, 500, 1000, 1, 5000, 10_000)
    medium_seeds: settings.Seeds = tuple(range(8))  # of batch sizes of 501 to 1000, one training each
    large_seeds: settings.Seeds = (0, 1, 2)  # of larger batch sizes, one training each

    def __post_init__(self) -> None:
        settings.check_ranges(self)
        if self.check_every > self.most_steps:
            every = f"--check-every {self.check_every}"
            raise ValueError(f"{every} must not exceed --most-steps {self.most_steps}: no loss would be evaluated")


PAPER = Settings()
QUICK = replace(
    PAPER,
    steps=500,
    epochs=3,
    target_loss=0.1,
    most_steps=800,
    check_every=50,
    fixed_images=1000,
    seeds=3,
    batch_sizes=(50, 10, 500, 1000, 1),
    medium_seeds=(0,),
)


def units_of(chosen: Settings) -> list[str]:
    """batch-50 for all its seeds, batch-1000/seed-0 for one, in the order of training."""
    units = []
    for size in chosen.batch_sizes:
        numbers = chosen.medium_seeds if size <= MEDIUM else chosen.large_seeds
        units += [f"batch-{size}"] if size <= SMALL else [f"batch-{size}/seed-{number}" for number in numbers]
    return units


def build_model():
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(64, activation="relu", use_bias=False) for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10, use_bias=False)]
    )
    training.require_parameters(model, PARAMETERS)
    return model


def measure(arrays: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Loss, accuracy and sensitivity of a net on a set of images. arrays: its kernels; images: (n, 28, 28, 1).

    Returns loss (nats), accuracy, mean_loss_gradient, and the `distribution` of each of the three norms.
    """
    by_image = jacobians.sensitivities(arrays, images, labels)
    return {
        "loss": float(by_image["loss"].mean()),
        "accuracy": float(by_image["correct"].mean()),
        "mean_loss_gradient": jacobians.mean_loss_gradient(by_image["loss_gradient"]),
        **{name: distribution(by_image[name]) for name in ("softmax", "logits", "loss_gradient")},
    }


def distribution(norms: np.ndarray) -> dict[str, float]:
    """Mean and quartiles of norms (images,), the share above 1, and the share of the largest percent in their sum."""
    quartiles = np.quantile(norms, (0.25, 0.5, 0.75))
    largest = np.sort(norms)[-max(1, len(norms) // 100) :]
    return {
        "mean": float(norms.mean()),
        **dict(zip(("lower_quartile", "median", "upper_quartile"), map(float, quartiles), strict=True)),
        "share_above_1": float(np.mean(norms > 1)),
        "share_of_top_percent": float(largest.sum() / norms.sum()) if norms.any() else float("nan"),
    }


def distances(initial: list[np.ndarray], arrays: list[np.ndarray]) -> dict[str, Any]:
    """Norm of the weights and distance from the initial weights, over all weights and by layer."""
    norms = [float(np.linalg.norm(weights.flatten([array]))) for array in arrays]
    moves = [float(np.linalg.norm(end.astype(np.float64) - start)) for end, start in zip(arrays, initial, strict=True)]
    whole = {"distance": float(np.linalg.norm(moves)), "weight_norm": float(np.linalg.norm(norms))}
    return whole | {"layer_distances": moves, "layer_norms": norms}


def nets_of(chosen: Settings, unit: str) -> tuple[int, list[int]]:
    """Batch size and seeds of a unit."""
    batch, _, seed = unit.partition("/seed-")
    return int(batch.removeprefix("batch-")), [int(seed)] if seed else list(range(chosen.seeds))


def stops_of(chosen: Settings, ends: dict[str, int]) -> list[int]:
    """Steps after which something is measured: multiples of `check_every`, and the steps of `ends`, {budget: step}."""
    most = max(*ends.values(), chosen.most_steps)
    return sorted({*range(chosen.check_every, most + 1, chosen.check_every), *ends.values()})


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train the nets of a unit until the last budget ends, and measure each net at the end of each budget.

    Returns `budgets`: for each budget, and for `start`, a list of the measurements of each net, None for a net that did
    not reach the loss; and `checks`: steps (checks,) and loss (checks, nets) until all nets have reached it.
    """
    size, net_seeds = nets_of(chosen, unit)
    models = seedwise.build(build_model, net_seeds)
    initial = [model.get_weights() for model in models]
    variables = seedwise.trainable(models)
    apply, slots = optimizers.adam(variables, chosen.learning_rate)
    arrays = digits.train_images, digits.train_labels
    if len(models) == 1:
        update = training.classifier_update(models[0], apply)  # computes parts of a batch at the same time
    else:
        update = seedwise.classifier_update(models, apply)
    run = training.loop(update, arrays, size, seeds.stream(0, "batches"), jit_compile=size == 1)
    evaluate = seedwise.evaluator(models)
    fixed = seeds.fixed_examples(arrays, chosen.fixed_images)
    sets = {"train": fixed, "test": (digits.test_images, digits.test_labels)}
    steps_per_epoch = training.steps_per_epoch(len(digits.train_images), size)

    def measured(net: int, step: int) -> dict[str, Any]:
        arrays = models[net].get_weights()
        on_sets = {name: measure(arrays, *examples) for name, examples in sets.items()}
        return {"step": step, "epoch": step / steps_per_epoch, **distances(initial[net], arrays), **on_sets}

    nets = range(len(models))
    unmeasured = {budget: [None for _ in nets] for budget in ("start", *BUDGETS)}
    results = checkpoint.restore([*variables, *slots], {"budgets": unmeasured, "checks": {"steps": [], "loss": []}})
    budgets, checks = results["budgets"], results["checks"]
    ends = {"start": 0, "steps": chosen.steps, "epochs": chosen.epochs * steps_per_epoch}

    def all_measured(step: int) -> bool:
        return step >= max(ends.values()) and None not in budgets["loss"]

    for stop, _ in training.segments(run, stops_of(chosen, ends), checkpoint, until=all_measured):
        waiting = [net for net in nets if budgets["loss"][net] is None]
        if waiting and stop % chosen.check_every == 0 and 0 < stop <= chosen.most_steps:
            losses, _ = evaluate(*sets["train"])
            checks["steps"].append(stop)
            checks["loss"].append(losses.tolist())
            for net in waiting:
                if losses[net] <= chosen.target_loss:
                    budgets["loss"][net] = measured(net, stop)
        for budget, end in ends.items():
            if stop == end:
                budgets[budget] = [measured(net, stop) for net in nets]
    about = {"batch_size": size, "images_per_step": min(size, len(digits.train_images))}
    about |= {"steps_per_epoch": steps_per_epoch, "parameters": PARAMETERS, "seeds": net_seeds}
    return {**about, **results, "summary": summary(budgets)}


def summary(budgets: dict[str, list]) -> dict[str, list[float]]:
    """The numbers of the table that the script prints, lists over nets."""
    after_steps, at_loss = budgets["steps"], [net for net in budgets["loss"] if net is not None]
    return {
        "train loss": [net["train"]["loss"] for net in after_steps],
        "test loss": [net["test"]["loss"] for net in after_steps],
        "test accuracy": [net["test"]["accuracy"] for net in after_steps],
        "softmax Jacobian": [net["test"]["softmax"]["mean"] for net in after_steps],
        "at equal loss": [net["test"]["softmax"]["mean"] for net in at_loss],
        "reached after": [net["step"] for net in at_loss],
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    experiment = history.start(run, REVISION, units_of(run.settings), digits)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the layers are too small to share out, the nets are not
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
