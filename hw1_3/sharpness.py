"""Does the flatness of a minimum, or another measure of a net, tell how well it generalizes?

Homework 1-3, bonus. The generalization gap of a net is its test loss minus its training loss. It is compared with
measures that are computed from the weights and the training images alone:

1. Train nets of one shape with many batch sizes and seeds (Adam, Kingma and Ba 2015) on 10,000 images of MNIST.
2. Store the weights of each net twice: when its training loss first falls to 0.01, and after 30 epochs. Where nets
   differ in loss, their curvature differs for that reason alone; so they are compared at equal loss as well.
3. Measure each net: Keskar's sharpness (`box.py`), extreme eigenvalues and trace of the Hessian of the training loss
   (`hessian.py`), the path norm (Neyshabur et al. 2015), the Jacobian of the outputs (Novak et al. 2018,
   `jacobians.py`) and the distance from the initial weights.
4. Rescale the layers of one net such that its outputs stay the same, and measure it again. Flatness depends on the
   weights, and not on the function alone (Dinh et al. 2017).

    python hw1_3/sharpness.py --scale paper      about two hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, seeds, seedwise, settings, training, weights
from common.lazy import keras

import numpy as np

from hw1_3 import box, hessian, jacobians

REVISION = 1
PARAMETERS = 55_050
STOPS = ("equal_loss", "equal_epochs")
BatchSizes = Annotated[tuple[int, ...], settings.Range(1, 9999)]


@dataclass(frozen=True)
class Settings:
    images: settings.Count = 10_000  # training images: the first of a fixed shuffle
    batch_sizes: BatchSizes = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # images a step
    seeds: settings.Count = 8  # nets of a batch size, each from initial weights that no other net has
    learning_rate: settings.Positive = 1e-3  # of Adam
    stop_loss: settings.Positive = 0.01  # nats: loss on all training images at which a net is measured
    check_every: settings.Count = 10  # steps between two evaluations of that loss, which jumps with small batches
    most_steps: settings.Count = 30_000  # a net that has not reached that loss by then is not measured there
    epochs: settings.Count = 30  # passes over the images, after which each net is measured again
    wide_box: settings.Positive = 1e-3  # eps of Keskar's box
    narrow_box: settings.Positive = 5e-4  # eps of a smaller box
    short_iterations: settings.Count = 10  # of a search that starts at the weights themselves; Keskar's count
    box_starts: settings.Count = 3  # long searches from random points of the box; one more continues the short search
    box_iterations: settings.Count = 60  # of a long search, at most; 10 to 30 are usual
    box_tolerance: settings.Positive = 1e-4  # a long search ends at an iteration that adds less than this share
    lanczos_tolerance: settings.Positive = 1e-6  # largest residual of an eigenvalue, as a share of the largest one
    lanczos_products: settings.Count = 300  # Hessian-vector products, at most; 100 are usual
    probes: settings.Count = 30  # random vectors of Hutchinson's estimate of the trace, beside its closed form
    rescaling: settings.Positive = 4.0  # step 4 multiplies the first layer by it and divides the second by it

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, images=200, batch_sizes=(32, 128), seeds=2, box_starts=1, box_iterations=15, probes=10)


def build_model():
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])
    training.require_parameters(model, PARAMETERS)
    return model


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train the nets of one batch size side by side; measure each at both stops, and the first one also rescaled."""
    batch_size = int(unit.removeprefix("batch-"))
    net_seeds = [1_000_000 * batch_size + seed for seed in range(chosen.seeds)]  # no two nets share initial weights
    models = seedwise.build(build_model, net_seeds)
    initial, shapes = seedwise.flat_weights(models), [array.shape for array in models[0].get_weights()]
    variables = seedwise.trainable(models)
    apply, slots = optimizers.adam(variables, chosen.learning_rate)
    examples = seeds.fixed_examples((digits.train_images, digits.train_labels), chosen.images)
    update, batches_seed = seedwise.classifier_update(models, apply), seeds.stream(batch_size, "batches")
    run = training.loop(update, examples, batch_size, batches_seed)
    evaluate = seedwise.evaluator(models)

    count = len(models)
    snapshots = np.zeros((len(STOPS), count, PARAMETERS), np.float32)
    results = checkpoint.restore(
        [*variables, *slots, snapshots],
        {"stopped": [None] * count, "loss_before": [np.nan] * count, "measured": {stop: [] for stop in STOPS}},
    )

    # 1. and 2. Train, and store the weights at both stops
    checks = range(chosen.check_every, chosen.most_steps + 1, chosen.check_every)
    last = chosen.epochs * training.steps_per_epoch(len(examples[0]), batch_size)
    stopped, loss_before = results["stopped"], results["loss_before"]
    for step, _ in training.segments(
        run, sorted({*checks, last}), checkpoint, "training", until=lambda step: step >= last and None not in stopped
    ):
        if step in checks and None in stopped:
            for net, loss in enumerate(evaluate(*examples)[0]):
                if stopped[net] is None and loss <= chosen.stop_loss:
                    stopped[net] = step
                    snapshots[0, net] = seedwise.flat_weights(models[net : net + 1])[0]
                elif stopped[net] is None:
                    loss_before[net] = float(loss)
        if step == last:
            snapshots[1] = seedwise.flat_weights(models)

    # 3. Measure each net
    measured = results["measured"]
    for stop, net in checkpoint.stages([(stop, net) for stop in STOPS for net in range(count)], "measures"):
        values = None
        if stop == "equal_epochs" or stopped[net] is not None:
            arrays = weights.unflatten(snapshots[STOPS.index(stop), net], shapes)
            values = measure(chosen, digits, examples, arrays, initial[net], net_seeds[net])
        measured[stop].append(values)

    # 4. Rescale the first net at equal loss, and measure it again
    for _ in checkpoint.stages([0] if stopped[0] is not None else [], "rescaled"):
        arrays = rescaled(weights.unflatten(snapshots[0, 0], shapes), chosen.rescaling)
        results["rescaled"] = measure(chosen, digits, examples, arrays, initial[0], net_seeds[0])

    by_stop = {  # NaN for a net that did not reach the loss
        stop: {name: [net[name] if net else np.nan for net in measured[stop]] for name in measured["equal_epochs"][0]}
        for stop in STOPS
    }
    return {
        "parameters": PARAMETERS,
        "images": len(examples[0]),
        "batch_size": min(batch_size, len(examples[0])),
        "steps": stopped,
        "loss_before": loss_before,  # at the last check before a net stopped
        "last_step": last,
        "rescaled": results.get("rescaled"),
        **by_stop,
        "summary": {
            f"{stop.replace('_', ' ')}: {name}": by_stop[stop][name] for stop in STOPS for name in ("gap", "wide")
        },
    }


def measure(
    chosen: Settings, digits: data.Dataset, examples: list, arrays: list[np.ndarray], initial: np.ndarray, seed: int
) -> dict[str, float]:
    """All measures of one net, by name. arrays: its weights; initial: (n,), before training; seed: of random draws.

    examples: its training images and labels. Losses are in nats. Jacobians are with respect to the pixels, from 0 to 1;
    their norms are means over images.
    """
    train = jacobians.sensitivities(arrays, *examples)
    test = jacobians.sensitivities(arrays, digits.test_images, digits.test_labels)
    train, test = ({name: float(values.mean()) for name, values in part.items()} for part in (train, test))
    return {
        "gap": test["loss"] - train["loss"],
        "accuracy_gap": train["correct"] - test["correct"],
        "train_loss": train["loss"], "test_loss": test["loss"],
        "train_accuracy": train["correct"], "test_accuracy": test["correct"],
        "train_jacobian": train["softmax"], "test_jacobian": test["softmax"],
        "train_logit_jacobian": train["logits"], "test_logit_jacobian": test["logits"],
        "path_norm": path_norm(arrays),
        "norm": float(np.linalg.norm(weights.flatten(arrays))),
        "distance": float(np.linalg.norm(weights.flatten(arrays) - initial)),
        **curvature(chosen, arrays, *examples, seed),
    }  # fmt: skip


def path_norm(arrays: list[np.ndarray]) -> float:
    """Root of the sum, over all paths from an input or a bias to an output, of the product of squared weights."""
    squares = [np.asarray(array, np.float64) ** 2 for array in arrays]
    sums = np.ones(len(squares[0]))
    for kernel, bias in zip(squares[0::2], squares[1::2], strict=True):
        sums = sums @ kernel + bias
    return float(np.sqrt(sums.sum()))


def rescaled(arrays: list[np.ndarray], factor: float) -> list[np.ndarray]:
    """Other weights of the same function: the first layer times `factor`, the second layer's kernel divided by it."""
    return [arrays[0] * factor, arrays[1] * factor, arrays[2] / factor, *arrays[3:]]


def curvature(chosen: Settings, arrays: list[np.ndarray], images: np.ndarray, labels: np.ndarray, seed: int) -> dict:
    """Extreme eigenvalues and trace of the Hessian of the mean loss of `images`, and sharpness in both boxes."""
    inputs = images.reshape(len(images), -1)
    used = inputs.any(axis=0)  # weights of pixels that are black in all images do not change the loss
    inputs = inputs[:, used].astype(np.float64)
    arrays = [arrays[0][used], *arrays[1:]]
    shapes, centre = [array.shape for array in arrays], weights.flatten(arrays)
    _, slope, product = hessian.passes(centre, shapes, inputs, labels)
    start = np.random.default_rng(seeds.stream(seed, "lanczos")).standard_normal(len(centre))
    probes = np.random.default_rng(seeds.stream(seed, "probes"))
    trace, trace_error = hessian.hutchinson(product, len(centre), chosen.probes, probes)

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        return hessian.passes(at, shapes, inputs, labels)[:2]

    def in_box(name: str, epsilon: float) -> dict[str, float]:
        draws = np.random.default_rng(seeds.stream(seed, "box", name))
        starts = draws.uniform(-1, 1, (chosen.box_starts, len(centre)))
        limits = chosen.short_iterations, chosen.box_iterations, chosen.box_tolerance
        return box.sharpness(loss, centre, epsilon, starts, *limits)

    wide, narrow = in_box("wide", chosen.wide_box), in_box("narrow", chosen.narrow_box)
    return {
        **hessian.extreme_eigenvalues(product, start, chosen.lanczos_tolerance, chosen.lanczos_products),
        "trace": trace,
        "trace_error": trace_error,
        "trace_exact": hessian.exact_trace(centre, shapes, inputs),
        "gradient_norm": float(np.linalg.norm(slope)),
        "largest_slope": float(np.abs(slope).max()),
        "short_wide": wide["short"], "short_wide_iterations": wide["short_iterations"],
        "wide": wide["long"], "wide_room": wide["further_rise"], "wide_edge": wide["share_at_bounds"],
        "wide_continued": wide["continued_short"], "wide_lowest": wide["lowest_long"],
        "wide_iterations": wide["long_iterations"],
        "short_narrow": narrow["short"], "short_narrow_iterations": narrow["short_iterations"],
        "narrow": narrow["long"], "narrow_room": narrow["further_rise"], "narrow_edge": narrow["share_at_bounds"],
        "narrow_continued": narrow["continued_short"], "narrow_lowest": narrow["lowest_long"],
        "narrow_iterations": narrow["long_iterations"],
    }  # fmt: skip


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    experiment = history.start(run, REVISION, [f"batch-{size:04d}" for size in run.settings.batch_sizes], digits)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the layers are too small to share out, the nets are not
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
