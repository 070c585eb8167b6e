"""Do a small and a large batch end in flatter or sharper places, and what lies between them?

Homework 1-3, "Flatness v.s. Generalization", part 1. Nets with two hidden layers of 64 without biases learn MNIST:

1. Train one net by plain gradient descent with batches of 64 and another with batches of 1024; keep the weights of both
   when stopped early, late and when converged. As a second pair, train one by Adam (Kingma and Ba 2015) with a small
   and one with a large learning rate. Eight seeds of each.
2. Take loss and accuracy on the line through the two solutions (Goodfellow, Vinyals and Saxe 2015),

       theta(alpha) = (1 - alpha) theta_small + alpha theta_large, alpha from -1 to 2.

   The two began at the same initial weights ("shared"), at different ones ("independent": seed s and seed s + 1), or at
   different ones with the hidden units of one renumbered to match the other's ("matched", Ainsworth et al. 2023).
3. Measure flatness: how far one can go from each solution along random, filter-normalised directions (Li et al. 2018)
   before the training loss has risen by 0.05.

`lines.py` has the measures.

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
ENDS = ("small", "large")  # batch or learning rate: the solutions at alpha = 0 and 1
STAGES = {"adam": ("converged",), "sgd": ("early", "late", "converged")}  # of a training, at which it is measured
UNITS = tuple(f"{optimizer}/{stage}" for optimizer, stages in STAGES.items() for stage in stages)
QUANTITIES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
STEPS_A_SEGMENT = 250  # after which a training can be saved


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


def stops_of(chosen: Settings, optimizer: str) -> dict[int, str]:
    """After how many updates the weights are measured: {steps: stage}."""
    stops = {
        "sgd": (chosen.early_steps, chosen.late_steps, chosen.converged_steps),
        "adam": (chosen.adam_steps,),
    }
    return dict(zip(stops[optimizer], STAGES[optimizer], strict=True))


def method(chosen: Settings, optimizer: str, end: str) -> tuple[int, float]:
    """Batch size and learning rate of one of the two trainings that are compared."""
    if optimizer == "sgd":
        return {"small": chosen.small_batch, "large": chosen.large_batch}[end], chosen.sgd_learning_rate
    return chosen.small_batch, {"small": chosen.small_learning_rate, "large": chosen.large_learning_rate}[end]


def training_of(chosen: Settings, images: list, optimizer: str, end: str) -> tuple[list, training.Run, list]:
    """The nets of one end, one a seed; the loop that trains them; and all variables that it changes.

    images: with their labels, as tensors.
    """
    models = seedwise.build(build_model, range(chosen.seeds))
    variables = seedwise.trainable(models)
    batch_size, learning_rate = method(chosen, optimizer, end)
    apply, slots = (optimizers.sgd if optimizer == "sgd" else optimizers.adam)(variables, learning_rate)
    # Batches of their own for each training: the two ends of a line share nothing but what the line is about.
    batches_seed = seeds.stream(0, "batches", f"{optimizer}/{end}")
    run = training.loop(seedwise.classifier_update(models, apply), images, batch_size, batches_seed)
    return models, run, [*variables, *slots]


def train(chosen: Settings, digits: data.Dataset, optimizer: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train both ends of the lines, and measure them at each stage. Returns {unit: results}."""
    stages = stops_of(chosen, optimizer)
    images = [tf.constant(array) for array in (digits.train_images, digits.train_labels)]
    trainings = {end: training_of(chosen, images, optimizer, end) for end in ENDS}
    models, every_seed = trainings["small"][0], range(chosen.seeds)
    initial, shapes = seedwise.flat_weights(models), [array.shape for array in models[0].get_weights()]
    solutions = {end: np.zeros((len(stages), chosen.seeds, PARAMETERS), np.float32) for end in ENDS}
    state = [*solutions.values(), *(variable for _, _, variables in trainings.values() for variable in variables)]
    measured = checkpoint.restore(state, {stage: {"lines": {}, "flatness": {}} for stage in stages.values()})

    # 1. Train both ends, and keep their weights at each stage
    stops = sorted({*range(STEPS_A_SEGMENT, max(stages), STEPS_A_SEGMENT), *stages})
    for end, (nets, run, _) in trainings.items():
        for stop, _ in training.segments(run, stops, checkpoint, f"{end} training"):
            if stop in stages:
                solutions[end][list(stages).index(stop)] = seedwise.flat_weights(nets)

    fixed = seeds.fixed_examples((digits.train_images, digits.train_labels), chosen.probe_images)
    sets = [fixed, (digits.test_images, digits.test_labels)]
    evaluators = [landscape.evaluator(*each) for each in sets]
    alpha, results = lines.places(chosen.intervals), {}
    for place, stage in enumerate(stages.values()):
        nets = {end: [weights.unflatten(vector, shapes) for vector in solutions[end][place]] for end in ENDS}
        pairs = pairs_of(nets["small"], nets["large"])
        on_lines, flatness = measured[stage]["lines"], measured[stage]["flatness"]

        # 2. Loss and accuracy on the lines
        each_line = [(start, seed) for start in pairs for seed in every_seed]
        for start, seed in checkpoint.stages(each_line, f"{stage} lines"):
            values = [through(*pairs[start][seed])(landscape.line(alpha)) for through in evaluators]
            on_lines.setdefault(start, []).append(np.concatenate(values, axis=1).T.tolist())  # (quantities, points)

        # 3. Flatness around the solutions
        each_net = [(end, seed) for end in ENDS for seed in every_seed]
        for end, seed in checkpoint.stages(each_net, f"{stage} flatness"):
            draws = seeds.stream(seed, "directions")
            distances = lines.flatness(evaluators[0], nets[end][seed], chosen.rise, chosen.directions, draws)
            flatness.setdefault(end, []).append(distances)

        of_stage = {
            "parameters": PARAMETERS,
            "ends": {end: own_values(models, initial, nets[end], sets) for end in ENDS},
            "alpha": alpha,
            "lines": {start: line_results(chosen, alpha, pairs[start], on_lines[start]) for start in pairs},
            "flatness": flatness,
        }
        results[f"{optimizer}/{stage}"] = of_stage | {"summary": summary(of_stage)}
    return results


# ----------------------------------------------------------------------------------------------- measurement


def pairs_of(small: list, large: list) -> dict[str, list[tuple]]:
    """The nets at both ends of each line, one line a seed, by how the two began: lists of kernels."""
    shifted = [*large[1:], large[0]]
    matched = [weights.match_units(one, other)[0] for one, other in zip(small, shifted, strict=True)]
    others = {"shared": large, "independent": shifted, "matched": matched}
    return {start: list(zip(small, each, strict=True)) for start, each in others.items()}


def line_results(chosen: Settings, alpha: np.ndarray, pairs: list[tuple], values: list) -> dict[str, Any]:
    """Length, curves, barriers and widths of the lines of all seeds. values: (seeds, quantities, points)."""
    lengths = [np.linalg.norm(weights.flatten(one) - weights.flatten(other)) for one, other in pairs]
    curves = dict(zip(QUANTITIES, np.array(values).swapaxes(0, 1), strict=True))  # (seeds, points) each
    return {"length": lengths} | lines.described(alpha, curves, chosen.rise, chosen.fall)


def own_values(models: list, initial: np.ndarray, nets: list, sets: list) -> dict[str, Any]:
    """Loss and accuracy of each net as Keras computes them, its length, and how far it is from its initial weights.

    initial: (seeds, parameters). Lists over seeds.
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
    shown = {f"{end} loss": results["ends"][end]["train_loss"] for end in ENDS}
    shown |= {f"{start} barrier": line["barrier"]["train_loss"]["height"] for start, line in results["lines"].items()}
    return shown | {f"{end} flatness": np.mean(results["flatness"][end], axis=(1, 2)) for end in ENDS}


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    units = {name: [unit for unit in run.settings.arms if unit.startswith(name)] for name in STAGES}  # by training
    experiment = history.start(run, REVISION, {name: of_it for name, of_it in units.items() if of_it}, digits)
    for optimizer in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the nets are shared out, not their layers
        experiment.keep(optimizer, train(run.settings, digits, optimizer, experiment.checkpoint(optimizer)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
