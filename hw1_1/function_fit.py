"""Does a deeper net of the same size fit a function of one variable better?

Homework 1-1, "Simulate a Function": f1(x) = sin(exp(pi x)) and f2(x) = cos(10 x^3) on [-1, 1]. Three fully connected
nets of 90 or 91 parameters, each with ReLU and with tanh, are trained with Adam (Kingma and Ba 2015) on the mean
squared error over 1,000 points. One training says little, since the outcome depends strongly on the initial weights. So
a hundred seeds of each net are trained, all at once. Many deep ReLU nets are born dead (Lu et al. 2019): all units of
a layer are off on the whole interval, so that the output is constant. Training can only change that constant, and the
loss ends at the variance of the target. These nets are counted.

    python hw1_1/function_fit.py --scale paper      about an hour on one CPU core
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, history, optimizers, seeds, settings, stacked, training
from common.lazy import keras, tf

import numpy as np

REVISION = 1
FUNCTIONS = {  # one more line here, such as "steps": lambda x: np.sign(np.sin(5 * np.pi * x)), is trained and drawn too
    "f1": lambda x: np.sin(np.exp(np.pi * x)),
    "f2": lambda x: np.cos(10 * x**3),
}
WIDTHS = {"shallow": (30, 1), "medium": (4, 6, 4, 4, 1), "deep": (4, 4, 3, 3, 3, 3, 2, 1)}
PARAMETERS = {"shallow": 91, "medium": 91, "deep": 90}
RECORDS = 120  # of the loss, at most: before training, and at epochs that are even on a log scale
CURVE_POINTS = 401  # of a predicted curve


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 30_000  # passes over the points
    points: settings.Count = 1000  # on an even grid of [-1, 1]
    batch_size: settings.Count = 64  # points
    learning_rate: settings.Positive = 1e-3  # of Adam
    seeds: settings.Count = 100  # copies of each net, trained at once, each from its own initial weights
    functions: tuple[Literal[*FUNCTIONS], ...] = tuple(FUNCTIONS)  # targets
    activations: tuple[Literal["relu", "tanh"], ...] = ("relu", "tanh")  # of the hidden layers
    nets: tuple[Literal["shallow", "medium", "deep"], ...] = ("shallow", "medium", "deep")  # nets to train

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=120)


def build_model(net: str, activation: str):
    """The net as a keras.Sequential, from (1,) to (1,); `train` trains a copy of it for each seed."""
    *hidden, outputs = WIDTHS[net]
    layers = [keras.layers.Dense(width, activation=activation) for width in hidden]
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(outputs)])
    training.require_parameters(model, PARAMETERS[net])
    return model


def initial_weights(net: str, count: int) -> np.ndarray:
    """(count, parameters), float32: row i belongs to seed i, the same for all functions and activations."""
    streams = [seeds.stream(seed, "weights", net) for seed in range(count)]
    return stacked.glorot_uniform(WIDTHS[net], streams).astype(np.float32)


def record_epochs(epochs: int) -> list[int]:
    """Epochs after which the loss is recorded: 0, then evenly on a log scale up to the last."""
    return [0, *np.unique(np.geomspace(1, epochs, RECORDS).round().astype(int)).tolist()]


def shown_nets(end_loss: np.ndarray, dead: np.ndarray) -> dict[str, int]:
    """The seeds whose curves are drawn. end_loss, dead (at birth): (seeds,); a net that is not dead is live."""
    order = np.argsort(end_loss)
    live = order[~dead[order]]
    shown = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    if len(live):
        shown["median of the live"] = live[len(live) // 2]
    return {name: int(seed) for name, seed in shown.items()}


def train(chosen: Settings, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train all seeds of one net on one function. Returns losses by epoch, predicted curves, dead nets."""
    function, activation, net = unit.split("/")
    points = np.linspace(-1, 1, chosen.points)
    targets = FUNCTIONS[function](points)
    weights = tf.Variable(initial_weights(net, chosen.seeds))  # (seeds, parameters): all nets in one variable
    forward = stacked.copies_of(build_model(net, activation))
    apply, slots = optimizers.adam([weights], chosen.learning_rate)

    def update(batch_inputs, batch_targets) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean(tf.square(forward(weights, batch_inputs) - batch_targets), axis=1)
            total = tf.reduce_sum(losses)  # its gradient by a net's weights is that of the net's own loss
        apply([tape.gradient(total, weights)])
        return {"loss": total / chosen.seeds}

    compiled = tf.function(lambda at: forward(weights, at), autograph=False)

    def outputs(at: np.ndarray) -> np.ndarray:
        return compiled(tf.constant(at, tf.float32)).numpy()

    examples = points.astype(np.float32), targets.astype(np.float32)
    run = training.loop(update, examples, chosen.batch_size, seeds.stream(0, "batches"), jit_compile=True)
    epochs, steps = record_epochs(chosen.epochs), training.steps_per_epoch(chosen.points, chosen.batch_size)
    born_dead = training.dead_nets(outputs(points))
    curves = checkpoint.restore([weights, *slots], {"loss": []})
    for _ in training.segments(run, [epoch * steps for epoch in epochs], checkpoint):
        curves["loss"].append(np.mean((outputs(points).astype(np.float64) - targets) ** 2, axis=1).tolist())

    loss = np.array(curves["loss"]).T  # (seeds, epochs), over all points, of the weights after that epoch
    end_loss, grid = loss[:, -1], np.linspace(-1, 1, CURVE_POINTS)
    predicted, shown = outputs(grid), shown_nets(end_loss, born_dead)
    return {
        "parameters": PARAMETERS[net],
        "epochs": epochs,
        "loss": loss,
        "end_loss": end_loss,
        "dead_at_birth": born_dead,
        "dead_at_end": training.dead_nets(outputs(points)),
        "curve_inputs": grid,
        "curve_target": FUNCTIONS[function](grid),
        "curves": {name: predicted[seed] for name, seed in shown.items()},
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
    tasks = [f"{function}/{activation}" for activation in chosen.activations for function in chosen.functions]
    units = [f"{task}/{net}" for task in tasks for net in chosen.nets]
    experiment = history.start(run, REVISION, units)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=1)  # the layers are too small to share out
        experiment.keep(unit, train(chosen, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
