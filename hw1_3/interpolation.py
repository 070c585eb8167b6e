"""Does a small or a large batch end in the flatter minimum, and how does the loss change on the line between the two?

Homework 1-3, "Flatness v.s. Generalization", part 1. Nets with two hidden layers of 64 without biases learn MNIST:

1. Train one net by plain gradient descent with batches of 64 and one with batches of 1024, and store the weights of
   both at three stages: early, late and converged. A second pair is trained by Adam (Kingma and Ba 2015), one net with
   a small and one with a large learning rate, and stored when converged. Eight seeds of each net.
2. Evaluate loss and accuracy on the line through the two solutions of a pair (Goodfellow, Vinyals and Saxe 2015),

       theta(alpha) = (1 - alpha) theta_small + alpha theta_large, alpha from -1 to 2.

   The two start from the same initial weights ("shared"); from different ones ("independent": seed s and seed s + 1);
   or from different ones, and the hidden units of one are renumbered to match the other's ("matched", Ainsworth et al.
   2023).
3. Measure flatness: the distance from each solution, along random filter-normalised directions (Li et al. 2018), at
   which the training loss has risen by 0.05.

`lines.py` computes what is measured on a line or a direction.

    python hw1_3/interpolation.py --scale paper      about three hours on two CPU cores
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, landscape, optimizers, seeds, seedwise, settings, training, weights
from common.lazy import keras, tf

import numpy as np

from hw1_3 import lines

REVISION = 1
PARAMETERS = 54_912
PAIR = ("small", "large")  # batch size (gradient descent) or learning rate (Adam); solutions at alpha = 0 and 1
STAGES = {"adam": ("converged",), "sgd": ("early", "late", "converged")}  # by optimizer, when weights are measured
ARMS = tuple(f"{optimizer}/{stage}" for optimizer, stages in STAGES.items() for stage in stages)
QUANTITIES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
SAVE_EVERY = 250  # updates


@dataclass(frozen=True)
class Settings:
    early_steps: settings.Count = 10_000  # updates of gradient descent at the early stage
    late_steps: settings.Count = 100_000  # updates at the late stage; an earlier report stopped there
    converged_steps: settings.Count = 200_000  # updates at the converged stage
    adam_steps: settings.Count = 50_000  # updates of Adam
    small_batch: settings.Count = 64  # images; also the batch size of Adam
    large_batch: settings.Count = 1024  # images
    sgd_learning_rate: settings.Positive = 0.01  # of gradient descent, without momentum
    small_learning_rate: settings.Positive = 1e-3  # of Adam
    large_learning_rate: settings.Positive = 1e-2  # of Adam
    intervals: Annotated[int, settings.Range(2, 10_000)] = 50  # of alpha from 0 to 1; as many from -1 to 0 and 1 to 2
    probe_images: settings.Count = 10_000  # training images, fixed, on which solutions and lines are evaluated
    directions: settings.Count = 20  # random directions from each solution
    rise: settings.Positive = 0.05  # nats: distances and widths end where the loss has risen by this
    fall: settings.Positive = 0.01  # widths end where an accuracy has fallen by this
    seeds: Annotated[int, settings.Range(2, 1000)] = 8  # copies of each net, each from its own initial weights
    arms: tuple[Literal["sgd/early", "adam/converged", "sgd/late", "sgd/converged"], ...] = ARMS  # optimizer and stage

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
    training.require_parameters(model, PARAMETERS)
    return model


def stages_of(chosen: Settings, optimizer: str) -> dict[int, str]:
    """{updates: stage} of the trainings with an optimizer."""
    sgd = chosen.early_steps, chosen.late_steps, chosen.converged_steps
    updates = {"sgd": sgd, "adam": (chosen.adam_steps,)}[optimizer]
    return dict(zip(updates, STAGES[optimizer], strict=True))


def batch_size_and_rate(chosen: Settings, optimizer: str, name: str) -> tuple[int, float]:
    """Batch size and learning rate of one of PAIR."""
    if optimizer == "sgd":
        return {"small": chosen.small_batch, "large": chosen.large_batch}[name], chosen.sgd_learning_rate
    return chosen.small_batch, {"small": chosen.small_learning_rate, "large": chosen.large_learning_rate}[name]


def training_of(chosen: Settings, examples: list, optimizer: str, name: str) -> tuple[list, training.Run, list]:
    """Nets for one of PAIR, one for each seed; the loop that trains them; and all variables that it changes.

    examples: images and labels, as tensors.
    """
    models = seedwise.build(build_model, range(chosen.seeds))
    variables = seedwise.trainable(models)
    batch_size, learning_rate = batch_size_and_rate(chosen, optimizer, name)
    apply, slots = (optimizers.sgd if optimizer == "sgd" else optimizers.adam)(variables, learning_rate)
    # The two of a pair see different batches, so that equal batches cannot make their solutions alike.
    batches_seed = seeds.stream(0, "batches", f"{optimizer}/{name}")
    run = training.loop(seedwise.classifier_update(models, apply), examples, batch_size, batches_seed)
    return models, run, [*variables, *slots]


def train(chosen: Settings, digits: data.Dataset, optimizer: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train both of PAIR with an optimizer, and measure solutions and lines at each stage. Returns {unit: results}."""
    stages = stages_of(chosen, optimizer)
    examples = [tf.constant(array) for array in (digits.train_images, digits.train_labels)]
    trainings = {name: training_of(chosen, examples, optimizer, name) for name in PAIR}
    models, every_seed = trainings["small"][0], range(chosen.seeds)
    initial, shapes = seedwise.flat_weights(models), [array.shape for array in models[0].get_weights()]
    solutions = {name: np.zeros((len(stages), chosen.seeds, PARAMETERS), np.float32) for name in PAIR}
    state = [*solutions.values(), *(variable for _, _, variables in trainings.values() for variable in variables)]
    measured = checkpoint.restore(state, {stage: {"lines": {}, "flatness": {}} for stage in stages.values()})

    # 1. Train both, and store their weights at each stage
    stops = sorted({*range(SAVE_EVERY, max(stages), SAVE_EVERY), *stages})
    for name, (nets, run, _) in trainings.items():
        for stop, _ in training.segments(run, stops, checkpoint, f"{name} training"):
            if stop in stages:
                solutions[name][list(stages).index(stop)] = seedwise.flat_weights(nets)

    fixed = seeds.fixed_examples((digits.train_images, digits.train_labels), chosen.probe_images)
    sets = [fixed, (digits.test_images, digits.test_labels)]
    evaluators = [landscape.evaluator(*each) for each in sets]
    alpha, results = lines.places(chosen.intervals), {}
    for row, stage in enumerate(stages.values()):
        nets = {name: [weights.unflatten(vector, shapes) for vector in solutions[name][row]] for name in PAIR}
        lines_of = lines_by_start(nets["small"], nets["large"])
        on_lines, flatness = measured[stage]["lines"], measured[stage]["flatness"]

        # 2. Loss and accuracy on the lines
        each_line = [(start, seed) for start in lines_of for seed in every_seed]
        for start, seed in checkpoint.stages(each_line, f"{stage} lines"):
            values = [through(*lines_of[start][seed])(landscape.line(alpha)) for through in evaluators]
            on_lines.setdefault(start, []).append(np.concatenate(values, axis=1).T.tolist())  # (quantities, points)

        # 3. Flatness around the solutions
        each_net = [(name, seed) for name in PAIR for seed in every_seed]
        for name, seed in checkpoint.stages(each_net, f"{stage} flatness"):
            draws = seeds.stream(seed, "directions")
            distances = lines.flatness(evaluators[0], nets[name][seed], chosen.rise, chosen.directions, draws)
            flatness.setdefault(name, []).append(distances)

        of_stage = {
            "parameters": PARAMETERS,
            "ends": {name: solution_results(models, initial, nets[name], sets) for name in PAIR},
            "alpha": alpha,
            "lines": {start: line_results(chosen, alpha, lines_of[start], on_lines[start]) for start in lines_of},
            "flatness": flatness,
        }
        results[f"{optimizer}/{stage}"] = of_stage | {"summary": summary(of_stage)}
    return results


def lines_by_start(small: list, large: list) -> dict[str, list[tuple]]:
    """{start: [(first solution, last solution) of seed 0, 1, ...]}, the start being shared, independent or matched.

    small, large: the solutions of each seed, as lists of kernels.
    """
    next_seed = [*large[1:], large[0]]
    matched = [weights.match_units(one, other)[0] for one, other in zip(small, next_seed, strict=True)]
    last = {"shared": large, "independent": next_seed, "matched": matched}
    return {start: list(zip(small, each, strict=True)) for start, each in last.items()}


def line_results(chosen: Settings, alpha: np.ndarray, solutions: list[tuple], values: list) -> dict[str, Any]:
    """Length, curves, barriers and widths of the lines of all seeds. values: (seeds, quantities, points)."""
    lengths = [np.linalg.norm(weights.flatten(one) - weights.flatten(other)) for one, other in solutions]
    curves = dict(zip(QUANTITIES, np.array(values).swapaxes(0, 1), strict=True))  # (seeds, points) each
    return {"length": lengths} | lines.described(alpha, curves, chosen.rise, chosen.fall)


def solution_results(models: list, initial: np.ndarray, nets: list, sets: list) -> dict[str, Any]:
    """Loss and accuracy of the solutions, by Keras, their norms, and their distances from the initial weights.

    models: to evaluate them with; initial: (seeds, parameters); nets: their kernels. Returns lists over seeds.
    """
    for model, net in zip(models, nets, strict=True):
        model.set_weights(net)
    evaluate = seedwise.evaluator(models)
    values = [values for each in sets for values in evaluate(*each)]
    moved = np.stack([weights.flatten(net) for net in nets]) - initial
    return {
        **dict(zip(QUANTITIES, values, strict=True)),
        "start_norm": np.linalg.norm(initial, axis=1),
        "norm": [np.linalg.norm(weights.flatten(net)) for net in nets],
        "moved": np.linalg.norm(moved, axis=1),
    }


def summary(results: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the table that the script prints, lists over seeds."""
    shown = {f"{name} loss": results["ends"][name]["train_loss"] for name in PAIR}
    shown |= {f"{start} barrier": line["barrier"]["train_loss"]["height"] for start, line in results["lines"].items()}
    return shown | {f"{name} flatness": np.mean(results["flatness"][name], axis=(1, 2)) for name in PAIR}


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    units = {optimizer: [arm for arm in run.settings.arms if arm.startswith(optimizer)] for optimizer in STAGES}
    experiment = history.start(run, REVISION, {optimizer: arms for optimizer, arms in units.items() if arms}, digits)
    for optimizer in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the nets are shared out, not their layers
        experiment.keep(optimizer, train(run.settings, digits, optimizer, experiment.checkpoint(optimizer)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
