"""Does a deeper net of the same size fit a function of one variable better?

Homework 1-1, "Simulate a Function": f1(x) = sin(exp(pi x)) and f2(x) = cos(10 x^3) on [-1, 1]. Three fully
connected nets of 90 or 91 parameters, ReLU and tanh, are trained with Adam (Kingma and Ba 2015) on the mean
squared error over 1,000 points. A hundred seeds are trained at once, as a stack: the outcome depends so much
on the initial weights that one training says nothing. Many deep ReLU nets are born dead (Lu et al. 2019):
a layer is off on the whole interval and the output is a constant, which training can move but not bend, so that
the loss ends at the target's variance; they are counted.

    python hw1_1/function_fit.py --scale paper      about an hour on one CPU core
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, history, optimizers, progress, seeds, settings, stacked, training
from common.lazy import keras, tf

import numpy as np

REVISION = 1
FUNCTIONS = {
    "f1": lambda x: np.sin(np.exp(np.pi * x)),
    "f2": lambda x: np.cos(10 * x**3),
}
WIDTHS = {"shallow": (30, 1), "medium": (4, 6, 4, 4, 1), "deep": (4, 4, 3, 3, 3, 3, 2, 1)}
PARAMETERS = {"shallow": 91, "medium": 91, "deep": 90}
RECORDS = 120  # epochs, at most, at which the loss is kept, on a log grid; and epoch 0
CURVE_POINTS = 401  # of a predicted curve


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 30_000  # passes over the points
    points: settings.Count = 1000  # on an even grid of [-1, 1]
    batch_size: settings.Count = 64  # points
    learning_rate: settings.Positive = 1e-3  # of Adam
    seeds: settings.Count = 100  # nets trained at once, each from its own initial weights
    functions: tuple[Literal["f1", "f2"], ...] = ("f1", "f2")  # targets
    activations: tuple[Literal["relu", "tanh"], ...] = ("relu", "tanh")  # of the hidden layers
    nets: tuple[Literal["shallow", "medium", "deep"], ...] = ("shallow", "medium", "deep")  # nets to train

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=120)


def build_model(net: str, activation: str):
    """One net as a keras.Sequential: the plain twin of what `train` computes a hundred times at once."""
    hidden = [keras.layers.Dense(width, activation=activation) for width in WIDTHS[net][:-1]]
    return keras.Sequential([keras.Input((1,)), *hidden, keras.layers.Dense(1)])


def initial_weights(net: str, count: int) -> np.ndarray:
    """(count, parameters), float32: seed i gives the same net for both functions and activations."""
    if stacked.parameter_count(WIDTHS[net]) != PARAMETERS[net]:
        raise ValueError(f"the {net} net has {stacked.parameter_count(WIDTHS[net])} parameters, not {PARAMETERS[net]}")
    streams = [seeds.stream(seed, "weights", net) for seed in range(count)]
    return stacked.glorot_uniform(WIDTHS[net], streams).astype(np.float32)


def record_epochs(epochs: int) -> list[int]:
    """Epochs at which the loss is kept: 0, then evenly on a log scale up to the last."""
    return [0, *np.unique(np.geomspace(1, epochs, RECORDS).round().astype(int)).tolist()]


def shown_nets(end_loss: np.ndarray, dead: np.ndarray) -> dict[str, int]:
    """The seeds whose curves are kept, by name. end_loss, dead: (seeds,); the live are those not dead at birth."""
    order = np.argsort(end_loss)
    live = order[~dead[order]]
    shown = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    if len(live):
        shown["median of the live"] = live[len(live) // 2]
    return {name: int(seed) for name, seed in shown.items()}


def train(chosen: Settings, unit: str, checkpoint: history.Checkpoint) -> dict:
    """Train the stack of all seeds of one net on one function; losses, predicted curves, dead nets."""
    function, activation, net = unit.split("/")
    points = np.linspace(-1, 1, chosen.points)
    inputs, targets = points.astype(np.float32), FUNCTIONS[function](points).astype(np.float32)
    weights = tf.Variable(initial_weights(net, chosen.seeds))
    apply, slots = optimizers.adam([weights], chosen.learning_rate)

    def forward(at: tf.Tensor) -> tf.Tensor:
        return stacked.forward(weights, at, WIDTHS[net], {"relu": tf.nn.relu, "tanh": tf.nn.tanh}[activation])

    compiled = tf.function(forward, autograph=False)

    def outputs(at: np.ndarray) -> np.ndarray:
        return compiled(tf.constant(at, tf.float32)).numpy()

    def update(batch_inputs: tf.Tensor, batch_targets: tf.Tensor) -> dict:
        with tf.GradientTape() as tape:
            errors = forward(batch_inputs) - batch_targets
            losses = tf.reduce_mean(tf.square(errors), axis=1)  # a net's loss depends on its own weights alone
            total = tf.reduce_sum(losses)
        apply([tape.gradient(total, weights)])
        return {"loss": total / chosen.seeds}

    steps = training.steps_per_epoch(chosen.points, chosen.batch_size)
    epochs = record_epochs(chosen.epochs)
    loop = training.loop(update, (inputs, targets), chosen.batch_size, seeds.stream(0, "batches"), fused=True)
    born_dead = training.dead_nets(outputs(inputs))
    kept = checkpoint.load([weights, *slots]) or {"loss": []}
    done = len(kept["loss"])
    with progress.shown(unit, epochs[-1] * steps, epochs[max(done - 1, 0)] * steps) as tell:
        for previous, epoch in list(zip([0, *epochs], epochs, strict=False))[done:]:
            if epoch > previous:
                loop(previous * steps, (epoch - previous) * steps, tell)
            errors = outputs(inputs).astype(np.float64) - FUNCTIONS[function](points)
            kept["loss"].append(np.mean(errors**2, axis=1).tolist())
            checkpoint.save([weights, *slots], kept)

    end_loss, grid = np.array(kept["loss"][-1]), np.linspace(-1, 1, CURVE_POINTS)
    curves, shown = outputs(grid), shown_nets(end_loss, born_dead)
    return {
        "parameters": PARAMETERS[net],
        "epochs": epochs,
        "loss": np.array(kept["loss"]).T,  # (seeds, epochs), over all points, of the weights after that epoch
        "end_loss": end_loss,
        "dead_at_birth": born_dead,
        "dead_at_end": training.dead_nets(outputs(inputs)),
        "curve_inputs": grid,
        "curve_target": FUNCTIONS[function](grid),
        "curves": {name: curves[seed] for name, seed in shown.items()},
        "curve_seeds": shown,
        "summary": {
            "end loss": end_loss,
            "end loss, live at birth": end_loss[~born_dead],
            "share dead at birth": float(born_dead.mean()),
        },
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    chosen = run.settings
    units = [
        f"{function}/{activation}/{net}"
        for activation in chosen.activations
        for function in chosen.functions
        for net in chosen.nets
    ]
    experiment = history.start(run, REVISION, units)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=1)  # the layers are too small to share out
        experiment.keep(unit, train(chosen, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
