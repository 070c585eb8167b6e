"""Does the flatness of a minimum, or another measure of a net, tell how well it generalizes?

Homework 1-3, bonus. Nets of one shape are trained with many batch sizes and seeds; how much they lose on new images,

    gap = test loss - training loss,

is set against measures that the training images and the weights alone give: Keskar's sharpness (`box.py`), the extreme
eigenvalues and the trace of the Hessian of the training loss (`hessian.py`), the path norm (Neyshabur et al. 2015), the
Jacobian of the outputs (`jacobians.py`, Novak et al. 2018) and the distance from the initial weights. Each net is
measured twice: when its training loss is first found at most 0.01, and after 30 epochs. At unequal losses every measure
of curvature mostly tells the loss. Rescaled twins show that flatness depends on how a function is written (Dinh et al.
2017).

    python hw1_3/sharpness.py --scale paper      about two hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, progress, seeds, seedwise, settings, training, weights
from common.lazy import keras, tf

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
    stop_loss: settings.Positive = 0.01  # nats: clean loss on all training images at which a net is measured
    check_every: settings.Count = 10  # steps between two looks at it: few, as with small batches it jumps
    most_steps: settings.Count = 30_000  # a net that has not stopped by then has no measures at equal loss
    epochs: settings.Count = 30  # passes over the images, after which each net is measured as well
    wide_box: settings.Positive = 1e-3  # eps of Keskar's box
    narrow_box: settings.Positive = 5e-4  # another eps
    short_iterations: settings.Count = 10  # of L-BFGS-B from the weights themselves, Keskar's count
    box_starts: settings.Count = 3  # random starts of converged searches; one more goes on from the short one's end
    box_iterations: settings.Count = 60  # of one of those at most; 10 to 30 are usual
    box_tolerance: settings.Positive = 1e-4  # share of its rise that the last iteration of one may still add
    lanczos_tolerance: settings.Positive = 1e-6  # residuals, as shares of the largest |eigenvalue|
    lanczos_products: settings.Count = 300  # Hessian-vector products at most; 100 are usual
    probes: settings.Count = 30  # random vectors of Hutchinson's estimate of the trace, which also has a closed form
    rescaling: settings.Positive = 4.0  # factor on the first layer of the rescaled twins; the second takes its inverse

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, images=200, batch_sizes=(32, 128), seeds=2, box_starts=1, box_iterations=15, probes=10)


def build_model():
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10)])
    if model.count_params() != PARAMETERS:
        raise ValueError(f"the net has {model.count_params()} parameters, not {PARAMETERS}")
    return model


# ---------------------------------------------------------------------------------------- the measures


def path_norm(arrays: list[np.ndarray]) -> float:
    """Root of the sum, over all paths from an input or a bias to an output, of the product of squared weights."""
    squares = [np.asarray(array, np.float64) ** 2 for array in arrays]
    sums = np.ones(len(squares[0]))
    for kernel, bias in zip(squares[0::2], squares[1::2], strict=True):
        sums = sums @ kernel + bias
    return float(np.sqrt(sums.sum()))


def rescaled(arrays: list[np.ndarray], factor: float) -> list[np.ndarray]:
    """The same function with other weights: the first layer times `factor`, the second layer's kernel over it."""
    return [arrays[0] * factor, arrays[1] * factor, arrays[2] / factor, *arrays[3:]]


def curvature(chosen: Settings, arrays: list[np.ndarray], images: np.ndarray, labels: np.ndarray, seed: int) -> dict:
    """Sharpness in both boxes, extreme eigenvalues and trace of the mean loss of `images`, by their names."""
    inputs = images.reshape(len(images), -1)
    seen = inputs.any(axis=0)  # the weights of pixels that are black in all images change no loss
    inputs = inputs[:, seen].astype(np.float64)
    arrays = [arrays[0][seen], *arrays[1:]]
    shapes, centre = [array.shape for array in arrays], weights.flatten(arrays)
    _, slope, product = hessian.passes(centre, shapes, inputs, labels)
    start = np.random.default_rng(seeds.stream(seed, "lanczos")).standard_normal(len(centre))
    found = hessian.extreme_eigenvalues(product, start, chosen.lanczos_tolerance, chosen.lanczos_products)
    probes = np.random.default_rng(seeds.stream(seed, "probes"))
    found["trace"], found["trace_error"] = hessian.hutchinson(product, len(centre), chosen.probes, probes)
    found["trace_exact"] = hessian.exact_trace(centre, shapes, inputs)
    found |= {"gradient_norm": float(np.linalg.norm(slope)), "largest_slope": float(np.abs(slope).max())}

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        return hessian.passes(at, shapes, inputs, labels)[:2]

    for name, epsilon in (("wide", chosen.wide_box), ("narrow", chosen.narrow_box)):
        short = box.short_search(loss, centre, epsilon, chosen.short_iterations)
        found |= {f"short_{name}": short["sharpness"], f"short_{name}_iterations": short["iterations"]}
        places = np.random.default_rng(seeds.stream(seed, "box", name)).uniform(-1, 1, (chosen.box_starts, len(centre)))
        starts = [short["move"] / box.sides(centre, epsilon), *places]  # the first carries the short search on
        limits = chosen.box_iterations, chosen.box_tolerance
        searches = [box.long_search(loss, centre, epsilon, start, *limits) for start in starts]
        continued, *fresh = searches
        best = max(searches, key=lambda each: each["sharpness"])
        found |= {name: best["sharpness"], f"{name}_room": best["room"], f"{name}_edge": best["edge"]}
        found[f"{name}_continued"] = continued["sharpness"]
        found[f"{name}_lowest"] = min(each["sharpness"] for each in fresh)
        found[f"{name}_iterations"] = max(each["iterations"] for each in searches)
    return found


def measure(chosen: Settings, digits: data.Dataset, arrays: list[np.ndarray], born: np.ndarray, seed: int) -> dict:
    """All numbers about one net, by name. arrays: its weights; born: (n,), its initial weights; seed: of its draws.

    Losses are clean, in nats; Jacobians are with respect to the pixels, 0 to 1, means over all images.
    """
    images, labels = training_set(chosen, digits)
    training = jacobians.sensitivities(arrays, images, labels)
    test = jacobians.sensitivities(arrays, digits.test_images, digits.test_labels)
    found = {}
    for part, values in (("train", training), ("test", test)):
        found |= {f"{part}_loss": float(values["loss"].mean()), f"{part}_accuracy": float(values["correct"].mean())}
        found |= {f"{part}_jacobian": float(values["softmax"].mean())}
        found |= {f"{part}_logit_jacobian": float(values["logits"].mean())}
    found["gap"] = found["test_loss"] - found["train_loss"]
    found["accuracy_gap"] = found["train_accuracy"] - found["test_accuracy"]
    found |= {"path_norm": path_norm(arrays), "distance": float(np.linalg.norm(weights.flatten(arrays) - born))}
    found["norm"] = float(np.linalg.norm(weights.flatten(arrays)))
    return found | curvature(chosen, arrays, images, labels, seed)


# -------------------------------------------------------------------------------------------- training


def training_set(chosen: Settings, digits: data.Dataset) -> list[np.ndarray]:
    """Images (n, 28, 28, 1) and labels (n,) of the training."""
    return seeds.fixed_examples((digits.train_images, digits.train_labels), chosen.images)


def learn(
    chosen: Settings, unit: str, models: list, examples: list[np.ndarray], checkpoint: history.Checkpoint
) -> tuple[list, dict[str, Any]]:
    """Train the nets of one batch size side by side to both stops. Returns what a checkpoint keeps.

    Those are variables, the last of which has the weights at the stops, (stops, nets, parameters); and, lists over
    nets, the step at which each `stopped` at equal loss, None for one that did not, and its `loss_before` that.
    """
    batch_size = int(unit.removeprefix("batch-"))
    apply, slots = optimizers.adam(seedwise.trainable(models), chosen.learning_rate)
    update, batches_seed = seedwise.classifier_update(models, apply), seeds.stream(batch_size, "batches")
    run = training.loop(update, examples, batch_size, batches_seed)
    evaluate = seedwise.evaluator(models)
    snapshots = tf.Variable(tf.zeros((len(STOPS), len(models), PARAMETERS)))
    state = [*seedwise.trainable(models), *slots, snapshots]
    done = checkpoint.load(state) or {
        "step": 0,
        "stopped": [None] * len(models),
        "loss_before": [float("nan")] * len(models),  # at the look before the one that stopped it
        "measured": [],
    }
    last = last_step(chosen, len(examples[0]), batch_size)
    checks = range(chosen.check_every, chosen.most_steps + 1, chosen.check_every)
    with progress.shown(f"{unit} training", max(last, chosen.most_steps), done["step"]) as tell:
        for step in sorted({*checks, last}):
            if step <= done["step"] or (step > last and None not in done["stopped"]):
                continue
            recorded = run(done["step"], step - done["step"])
            tell(step, loss=float(recorded["loss"][-1].mean()))
            if not np.isfinite(recorded["loss"]).all():
                raise settings.Problem(f"{unit}: the loss is no longer finite: take a smaller learning rate")
            if step in checks and None in done["stopped"]:
                for net in newly_stopped(done, step, evaluate(*examples)[0], chosen.stop_loss):
                    snapshots[0, net].assign(seedwise.flat_weights(models[net : net + 1])[0])
            if step == last:
                snapshots[1].assign(seedwise.flat_weights(models))
            done["step"] = step
            checkpoint.save(state, done)
    return state, done


def last_step(chosen: Settings, examples: int, batch_size: int) -> int:
    """The step after which the second stop is."""
    return chosen.epochs * training.steps_per_epoch(examples, batch_size)


def newly_stopped(done: dict[str, Any], step: int, losses: np.ndarray, stop_loss: float) -> list[int]:
    """The nets whose loss is at most `stop_loss` for the first time, noted in `done`, as are the losses of the others.

    losses: (nets,), clean, after so many steps. A loss that is none, NaN, stops no net.
    """
    found = []
    for net, loss in enumerate(losses):
        if done["stopped"][net] is None:
            if loss <= stop_loss:
                done["stopped"][net] = step
                found.append(net)
            else:
                done["loss_before"][net] = float(loss)
    return found


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train the nets of one batch size side by side, and measure each at both stops and, rescaled, the first one."""
    batch_size = int(unit.removeprefix("batch-"))
    numbers = [1_000_000 * batch_size + seed for seed in range(chosen.seeds)]  # so that nets are independent
    models = seedwise.build(build_model, numbers)
    born, shapes = seedwise.flat_weights(models), [array.shape for array in models[0].get_weights()]
    examples = training_set(chosen, digits)
    state, done = learn(chosen, unit, models, examples, checkpoint)

    stored = state[-1].numpy()
    wanted = [(stop, net, 1.0) for stop in STOPS for net in range(chosen.seeds)]
    wanted.append((STOPS[0], 0, chosen.rescaling))  # the rescaled twin of the first net at equal loss
    with progress.shown(f"{unit} measures", len(wanted), len(done["measured"])) as tell:
        for stop, net, scale in wanted[len(done["measured"]) :]:
            found = None
            if stop == "equal_epochs" or done["stopped"][net] is not None:
                arrays = weights.unflatten(stored[STOPS.index(stop), net], shapes)
                arrays = arrays if scale == 1 else rescaled(arrays, scale)
                found = measure(chosen, digits, arrays, born[net], numbers[net])
            done["measured"].append(found)
            tell(len(done["measured"]))
            checkpoint.save(state, done)

    images = len(examples[0])
    about = {"parameters": PARAMETERS, "images": images, "batch_size": min(batch_size, images)}
    about |= {"steps": done["stopped"], "loss_before": done["loss_before"]}
    about |= {"last_step": last_step(chosen, images, batch_size), "rescaled": done["measured"][-1]}
    return about | by_stop(done["measured"][:-1], chosen.seeds)


def by_stop(measured: list[dict | None], nets: int) -> dict[str, Any]:
    """Results at each of STOPS, and the table's numbers. measured: of each net at the first stop, then at the other."""
    at_epochs = measured[nets:]
    names = at_epochs[0]
    results: dict[str, Any] = {
        stop: over_seeds(part, names) for stop, part in zip(STOPS, (measured[:nets], at_epochs), strict=True)
    }
    shown = {f"{stop.replace('_', ' ')}: {name}": results[stop][name] for stop in STOPS for name in ("gap", "wide")}
    return results | {"summary": shown}


def over_seeds(nets: list[dict | None], names: dict) -> dict[str, list[float]]:
    """{name: values over nets}, NaN for a net that did not stop."""
    return {name: [np.nan if net is None else net[name] for net in nets] for name in names}


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
