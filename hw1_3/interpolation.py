"""Do a small and a large batch end in flatter or sharper places, and what lies between them?

Homework 1-3, "Flatness v.s. Generalization", part 1. Nets with two hidden layers of 64 without biases learn MNIST by
plain gradient descent with batches of 64 and of 1024, stopped early, late and when converged; and, as a second pair,
by Adam (Kingma and Ba 2015) with a small and a large learning rate. Loss and accuracy are taken on the line

    theta(alpha) = (1 - alpha) theta_small + alpha theta_large        (Goodfellow, Vinyals and Saxe 2015)

through the two solutions, for alpha from -1 to 2. The two began at the same initial weights, or at independent ones
(seed s and seed s + 1), or at independent ones with the hidden units of one renumbered to match the other's (Ainsworth
et al. 2023). Flatness: how far one can go along random, filter-normalised directions (Li et al. 2018) before the
training loss has risen by 0.05. `lines.py` has the measures.

    python hw1_3/interpolation.py --scale paper      about three hours on two CPU cores
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, files, history, optimizers, progress, seeds, seedwise, settings, training, weights
from common.lazy import keras, tf

import numpy as np

from hw1_3 import lines

REVISION = 1
PARAMETERS = 54_912
ENDS = ("small", "large")  # batch or learning rate: the solutions at alpha = 0 and 1
STAGES = {"sgd": ("early", "late", "converged"), "adam": ("converged",)}  # at which a training is measured
UNITS = ("sgd/early", "adam/converged", "sgd/late", "sgd/converged")  # cheapest first
QUANTITIES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
STEPS_A_CHUNK = 250  # after which a training can be saved


@dataclass(frozen=True)
class Settings:
    early_steps: settings.Count = 10_000  # updates of gradient descent when it is stopped early
    late_steps: settings.Count = 100_000  # the same where the earlier report stopped early
    converged_steps: settings.Count = 200_000  # the same where it has converged
    adam_steps: settings.Count = 50_000  # updates of Adam
    small_batch: settings.Count = 64  # images a step; also with Adam
    large_batch: settings.Count = 1024  # images a step
    sgd_learning_rate: settings.Positive = 0.01  # of gradient descent, without momentum
    small_learning_rate: settings.Positive = 1e-3  # of Adam
    large_learning_rate: settings.Positive = 1e-2  # of Adam
    intervals: Annotated[int, settings.Range(2, 10_000)] = 50  # of alpha from 0 to 1, and as many on either side
    probe_images: settings.Count = 10_000  # training images, always the same, of the measures
    directions: settings.Count = 20  # random ones around each solution
    rise: settings.Positive = 0.05  # of the training loss (nats), to which distances and widths are taken
    fall: settings.Positive = 0.01  # of an accuracy, to which widths are taken
    seeds: Annotated[int, settings.Range(2, 1000)] = 8  # nets of each training, each from its own initial weights
    arms: tuple[Literal["sgd/early", "adam/converged", "sgd/late", "sgd/converged"], ...] = UNITS

    def __post_init__(self) -> None:
        settings.check_ranges(self)
        if not self.early_steps < self.late_steps < self.converged_steps:
            raise ValueError("--early-steps must lie below --late-steps, and those below --converged-steps")


PAPER = Settings()
QUICK = replace(
    PAPER,
    early_steps=150,
    late_steps=500,
    converged_steps=800,
    adam_steps=400,
    intervals=40,
    probe_images=1000,
    directions=2,
    seeds=2,
)


def build_model():
    """The net as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(64, activation="relu", use_bias=False) for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10, use_bias=False)]
    )
    if model.count_params() != PARAMETERS:
        raise ValueError(f"the net has {model.count_params()} parameters, not {PARAMETERS}")
    return model


# ------------------------------------------------------------------------------------------------- training


def method(chosen: Settings, optimizer: str, end: str) -> tuple[int, float]:
    """Batch size and learning rate of one of the two trainings that are compared."""
    if optimizer == "sgd":
        return {"small": chosen.small_batch, "large": chosen.large_batch}[end], chosen.sgd_learning_rate
    return chosen.small_batch, {"small": chosen.small_learning_rate, "large": chosen.large_learning_rate}[end]


def learn(
    chosen: Settings,
    digits: data.Dataset,
    training_name: str,
    stage: str,
    checkpoint: history.Checkpoint,
    after: Callable[[], Any],
) -> np.ndarray:
    """The weights (seeds, parameters), float32, of one training, such as sgd/large, at a stage.

    checkpoint: the training's, not the unit's. It keeps the weights of each stage that was reached, and the next stage
    carries on from there. after(): called every few seconds.
    """
    optimizer, end = training_name.split("/")
    batch_size, learning_rate = method(chosen, optimizer, end)
    stages = STAGES[optimizer]
    stops = [chosen.adam_steps]
    if optimizer == "sgd":
        stops = [chosen.early_steps, chosen.late_steps, chosen.converged_steps]
    models = seedwise.build(build_model, range(chosen.seeds))
    variables = seedwise.trainable(models)
    apply, slots = (optimizers.sgd if optimizer == "sgd" else optimizers.adam)(variables, learning_rate)
    reached = tf.Variable(tf.zeros((len(stages), chosen.seeds, PARAMETERS)))
    state = [*variables, *slots, reached]
    done = checkpoint.load(state).get("steps", 0)
    last = stops[stages.index(stage)]
    if done < last:
        # Batches of their own for each training: the two ends of a line share nothing but what the line is about.
        batches_seed = seeds.stream(0, "batches", training_name)
        arrays = digits.train_images, digits.train_labels
        run = training.loop(seedwise.classifier_update(models, apply), arrays, batch_size, batches_seed)
    with progress.shown(f"{training_name} training", last, done) as tell:
        while done < last:
            following = min(stop for stop in (*stops, done + STEPS_A_CHUNK) if stop > done)
            losses = run(done, following - done, tell)["loss"]
            if not np.isfinite(losses[-1]).all():
                raise settings.Problem(f"{training_name}: the loss is no longer finite: take a smaller learning rate")
            done = following
            if done in stops:
                reached[stops.index(done)].assign(seedwise.flat_weights(models))
            checkpoint.save(state, {"steps": done}, now=done == last)
            after()
    return reached[stages.index(stage)].numpy()


# ----------------------------------------------------------------------------------------------- measurement


def pairs(small: list, large: list) -> dict[str, list[tuple]]:
    """The nets at both ends of each line, one line a seed, by how the two began: lists of kernels."""
    shifted = [*large[1:], large[0]]
    matched = [weights.match_units(one, other)[0] for one, other in zip(small, shifted, strict=True)]
    others = {"shared": large, "independent": shifted, "matched": matched}
    return {start: list(zip(small, each, strict=True)) for start, each in others.items()}


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint_of: Callable) -> dict[str, Any]:
    """Train the nets of both ends to a stage, and measure them, the lines between them, and their flatness.

    checkpoint_of(name): the checkpoint of that name.
    """
    optimizer, stage = unit.split("/")
    own = checkpoint_of(unit)
    kept = own.load([]) or {"lines": {}, "flatness": {end: [] for end in ENDS}}
    solutions = {}
    for end in ENDS:
        name = f"{optimizer}/{end}"
        of_training = checkpoint_of(f"training/{name}")
        # Another process may be on its way to an earlier or later stage.
        with files.locked(of_training.path, f"{unit}: waiting for the process that trains {name}"):
            solutions[end] = learn(chosen, digits, name, stage, of_training, lambda: own.save([], kept))

    models = seedwise.build(build_model, range(chosen.seeds))
    began, shapes = seedwise.flat_weights(models), [array.shape for array in models[0].get_weights()]
    nets = {end: [weights.unflatten(each, shapes) for each in vectors] for end, vectors in solutions.items()}
    fixed = seeds.fixed_examples((digits.train_images, digits.train_labels), chosen.probe_images)
    sets = [fixed, (digits.test_images, digits.test_labels)]
    ends = {end: own_values(models, began, nets[end], sets) for end in ENDS}

    alpha = lines.places(chosen.intervals)
    evaluators = [lines.evaluator(*each) for each in sets]
    by_start = pairs(nets["small"], nets["large"])
    measured = [kept["lines"].setdefault(start, []) for start in by_start] + list(kept["flatness"].values())
    with progress.shown(f"{unit} measures", len(measured) * chosen.seeds, sum(map(len, measured))) as tell:

        def after() -> None:
            own.save([], kept)
            tell(sum(map(len, measured)))

        for start, nets_at_ends in by_start.items():
            found = kept["lines"][start]
            for one, other in nets_at_ends[len(found) :]:
                values = [line(one, other)(lines.between(alpha)) for line in evaluators]
                found.append(np.concatenate(values, axis=1).T.tolist())  # (quantities, points)
                after()
        for end, found in kept["flatness"].items():
            for seed in range(len(found), chosen.seeds):
                draws = seeds.stream(seed, "directions")
                found.append(lines.flatness(evaluators[0], nets[end][seed], chosen.rise, chosen.directions, draws))
                after()

    results = {"parameters": PARAMETERS, "ends": ends, "alpha": alpha, "flatness": kept["flatness"], "lines": {}}
    for start, values in kept["lines"].items():
        lengths = [float(np.linalg.norm(weights.flatten(a) - weights.flatten(b))) for a, b in by_start[start]]
        curves = dict(zip(QUANTITIES, np.array(values).swapaxes(0, 1), strict=True))  # (seeds, points) each
        results["lines"][start] = {"length": lengths} | lines.described(alpha, curves, chosen.rise, chosen.fall)
    return results | {"summary": summary(results)}


def own_values(models: list, began: np.ndarray, nets: list, sets: list) -> dict[str, Any]:
    """Loss and accuracy of each net as Keras computes them, its length, and how far it is from where it began.

    began: (seeds, parameters), the initial weights. Lists over seeds.
    """
    for model, net in zip(models, nets, strict=True):
        model.set_weights(net)
    evaluate = seedwise.evaluator(models)
    values = [values for each in sets for values in evaluate(*each)]
    moved = np.stack([weights.flatten(net) for net in nets]) - began
    lengths = {"norm": [np.linalg.norm(weights.flatten(net)) for net in nets], "moved": np.linalg.norm(moved, axis=1)}
    return dict(zip(QUANTITIES, values, strict=True)) | {"start_norm": np.linalg.norm(began, axis=1)} | lengths


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the table that the script prints, lists over seeds."""
    shown = {f"{end} loss": results["ends"][end]["train_loss"] for end in ENDS}
    shown |= {f"{start} barrier": line["barrier"]["train_loss"]["height"] for start, line in results["lines"].items()}
    return shown | {f"{end} flatness": np.mean(results["flatness"][end], axis=(1, 2)) for end in ENDS}


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    experiment = history.start(run, REVISION, [unit for unit in UNITS if unit in run.settings.arms], digits)
    if run.force:
        forget_trainings(experiment)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the nets are shared out, not their layers
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint))
    _, complete = experiment.state()
    if complete and set(run.settings.arms) == set(UNITS):  # no later stage will carry on from there
        forget_trainings(experiment)
    experiment.report()


def forget_trainings(experiment: history.Experiment) -> None:
    """Remove the checkpoints that the stages of a training share."""
    for name in (f"training/{optimizer}/{end}" for optimizer in STAGES for end in ENDS):
        checkpoint = experiment.checkpoint(name)
        with files.locked(checkpoint.path):
            checkpoint.remove()


if __name__ == "__main__":
    with settings.one_message():
        main()
