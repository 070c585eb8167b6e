"""Do trainings from different initial weights go different ways, and end in different places?

Homework 1-2, "Visualize the optimization process": nets of 2,136 parameters learn f1(x) = sin(exp(pi x)) on [-1, 1]
with Adam (Kingma and Ba 2015). Their weights are recorded every 3 epochs and projected on the first two principal
components of all records together, for one layer and for the whole model. A picture of eight paths proves little: in
2,136 dimensions random directions are nearly orthogonal, and hidden units can be permuted without changing the
function. So there are also
- a control: as many runs that share their initial weights and differ in the order of their batches;
- distances between final weights after the hidden units were matched (Ainsworth et al. 2023);
- the functions that the nets compute at the end, which do not depend on the order of hidden units.
All runs are trained at once. A dead run, whose output is constant, does not move and is left out of distances. Each
group has two spare runs to replace dead ones.

    python hw1_2/param_pca.py --scale paper      about 2 minutes on two CPU cores
    python hw1_2/param_pca.py --layer 1 5        layer 5 is added to the history
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, history, optimizers, seeds, settings, stacked, training
from common.lazy import keras, tf

import numpy as np

from hw1_2 import weight_paths

REVISION = 1
WIDTHS = (5, 10, 15, 20, 25, 20, 15, 10, 5, 1)
PARAMETERS = 2136
SURFACE_POINTS = 2000  # of the grid, at most, for a loss on the plane
PREDICTION_POINTS = 1001  # on an even grid of [-1, 1], for the functions at the end


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 750  # passes over the points
    record_every: settings.Count = 3  # epochs between two records of the weights
    points: settings.Count = 20_000  # on an even grid of [-1, 1]
    batch_size: settings.Count = 256  # points
    learning_rate: settings.Positive = 1e-3  # of Adam
    runs: settings.Count = 8  # live runs from different initial weights, and as many in the control
    spare_runs: Annotated[int, settings.Range(0, 1000)] = 2  # more runs in each group, to replace dead ones
    surface_steps: Annotated[int, settings.Range(2, 1000)] = 61  # points of the loss surface along a component
    layer: Annotated[tuple[int, ...], settings.Range(1, len(WIDTHS))] = (1,)  # Dense layers with a PCA of their own

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=240, points=2000, surface_steps=41)


def build_model():
    """The net as a keras.Sequential, from (1,) to (1,); `train` trains a copy of it in each run."""
    layers = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[:-1]]
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(WIDTHS[-1])])
    training.require_parameters(model, PARAMETERS)
    return model


def initial_weights(count: int) -> np.ndarray:
    """(count, parameters), float32: Glorot-uniform kernels, zero biases; row i belongs to seed i."""
    return stacked.glorot_uniform(WIDTHS, [seeds.stream(seed, "weights") for seed in range(count)]).astype(np.float32)


def target(points: np.ndarray) -> np.ndarray:
    """The values of f1 at these points."""
    return np.sin(np.exp(np.pi * points))


def batch_orders(points: int, group: int) -> np.ndarray:
    """(points, nets): which point each net sees when the loop's shuffle draws a row.

    The first `group` nets see the point of that row, so they share their batches. Each net of the control sees the
    points in its own fixed permutation, so that the same shuffles give it other batches.
    """
    columns = [np.arange(points)] * group
    columns += [np.random.default_rng(seeds.stream(0, "order", net)).permutation(points) for net in range(group)]
    return np.stack(columns, axis=1)


def train(chosen: Settings, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train all runs at once. Returns `epochs` and, of each group, `runs` and `control`, what `live_runs` does."""
    group, forward = chosen.runs + chosen.spare_runs, stacked.copies_of(build_model())
    points = np.linspace(-1, 1, chosen.points)
    outputs = compiled(forward, points)
    starts = initial_weights(group)
    born_dead = training.dead_nets(outputs(starts))
    common_start = int(np.argmin(born_dead))  # the first that is live at birth
    stack = tf.Variable(np.concatenate([starts, np.repeat(starts[[common_start]], group, axis=0)]))
    apply, slots = optimizers.adam([stack], chosen.learning_rate)

    def update(batch_inputs, batch_targets) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            errors = forward(stack, tf.transpose(batch_inputs)) - tf.transpose(batch_targets)
            total = tf.reduce_sum(tf.reduce_mean(tf.square(errors), axis=1))  # each net's loss has its own gradient
        apply([tape.gradient(total, stack)])
        return {"loss": total / (2 * group)}

    rows = points[batch_orders(len(points), group)]
    arrays = rows.astype(np.float32), target(rows).astype(np.float32)
    run = training.loop(update, arrays, chosen.batch_size, seeds.stream(0, "batches"), jit_compile=True)
    epochs = sorted({*range(0, chosen.epochs + 1, chosen.record_every), chosen.epochs})
    steps = training.steps_per_epoch(chosen.points, chosen.batch_size)
    records = np.zeros((len(epochs), *stack.shape), np.float32)
    start_loss = mean_loss(outputs(stack), points)
    checkpoint.restore([stack, *slots, records], {})
    for stop, _ in training.segments(run, [epoch * steps for epoch in epochs], checkpoint):
        records[epochs.index(stop // steps)] = stack.numpy()

    start_seeds = np.array([*range(group), *[common_start] * group])  # of each net's initial weights
    nets = {"seeds": start_seeds, "dead_at_birth": born_dead[start_seeds], "dead": training.dead_nets(outputs(stack))}
    nets |= {"start_loss": start_loss, "end_loss": mean_loss(outputs(stack), points)}
    trained: dict[str, Any] = {"epochs": epochs}
    for name, part in (("runs", slice(0, group)), ("control", slice(group, 2 * group))):
        of_group = {key: values[part] for key, values in nets.items()}
        trained[name] = live_runs(records[:, part], of_group, chosen.runs)
    return trained


def compiled(forward: Callable, points: np.ndarray) -> Callable[[Any], np.ndarray]:
    """outputs(nets) -> (nets, points), float32: outputs at these points of all nets (nets, parameters)."""
    inputs, function = tf.constant(points[None, :], tf.float32), tf.function(forward, autograph=False)
    return lambda nets: function(tf.convert_to_tensor(nets, tf.float32), inputs).numpy()


def mean_loss(predicted: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(nets,), float64: mean squared error of the predicted values (nets, points) of f1."""
    return np.mean((predicted.astype(np.float64) - target(points)) ** 2, axis=1)


def live_runs(records: np.ndarray, nets: dict[str, np.ndarray], wanted: int) -> dict[str, Any]:
    """The records (records, nets, parameters) and values (nets,) of a group, up to its `wanted`-th live net.

    With them, how many nets were `trained` and how many are `dead_of_trained`.
    """
    shown = first_live(nets["dead"], wanted)
    counts = {"trained": len(nets["dead"]), "dead_of_trained": int(nets["dead"].sum())}
    return {"records": records[:, shown], **counts} | {name: values[shown] for name, values in nets.items()}


def first_live(dead: np.ndarray, wanted: int) -> np.ndarray:
    """Indices of the runs up to the `wanted`-th live one; of all runs where fewer are live."""
    live = np.flatnonzero(~dead)
    return np.arange(live[wanted - 1] + 1 if len(live) >= wanted else len(dead))


def measure(chosen: Settings, trained: dict[str, Any], unit: str) -> dict[str, Any]:
    """The results of one unit: the PCA of a layer; or PCA, loss surface, distances and functions of the whole model.

    The principal plane is fitted twice: to the runs, as the homework asks, and to runs and control together.
    """
    part = slice(None) if unit == "whole" else weight_paths.layer_slice(int(unit.removeprefix("layer-")), WIDTHS)
    runs, control = (trained[name]["records"][..., part] for name in ("runs", "control"))
    plane = weight_paths.principal_plane(runs)
    plane_of_all = weight_paths.principal_plane(np.concatenate([runs, control], axis=1))
    paths = weight_paths.coordinates(plane, runs)
    results: dict[str, Any] = {
        "parameters": runs.shape[-1],
        "epochs": trained["epochs"],
        "explained": {"runs": plane.explained_variance_ratio_, "all": plane_of_all.explained_variance_ratio_},
        "paths": {
            "runs": {"runs": paths},
            "all": {
                "runs": weight_paths.coordinates(plane_of_all, runs),
                "control": weight_paths.coordinates(plane_of_all, control),
            },
        },
        "summary": {"variance of 2 components": float(plane.explained_variance_ratio_[:2].sum())},
    }
    for name in ("runs", "control"):
        results[name] = {key: value for key, value in trained[name].items() if key != "records"}
    if unit == "whole":
        forward, points = stacked.copies_of(build_model()), np.linspace(-1, 1, chosen.points)
        sparse = points[:: -(-len(points) // SURFACE_POINTS)]
        outputs, predictions = compiled(forward, sparse), compiled(forward, np.linspace(-1, 1, PREDICTION_POINTS))
        results["surface"] = weight_paths.surface(
            plane, paths, chosen.surface_steps, lambda nets: mean_loss(outputs(nets), sparse)
        )
        for name in ("runs", "control"):
            records, live = trained[name]["records"], ~trained[name]["dead"]
            results[name] |= weight_paths.between_ends(records[:, live], WIDTHS)
            results[name]["predictions"] = predictions(records[-1])  # (nets, PREDICTION_POINTS)
            results["summary"] |= {
                f"end loss, live {name}": trained[name]["end_loss"][live],
                f"distance of ends, {name}": results[name]["matched_distances"],
            }
    return results


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    units = ["whole", *(f"layer-{number}" for number in run.settings.layer)]
    experiment = history.start(run, REVISION, {"all runs": units})
    for name in experiment.missing():
        backend.start(intra_threads=2, inter_threads=1)
        trained = train(run.settings, experiment.checkpoint(name))
        experiment.keep(name, {unit: measure(run.settings, trained, unit) for unit in units})
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
