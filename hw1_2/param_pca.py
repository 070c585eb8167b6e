"""Do trainings from different initial weights go different ways, and end in different places?

Homework 1-2, "Visualize the optimization process": nets of 2,136 parameters learn f1(x) = sin(exp(pi x)) on [-1, 1]
with Adam (Kingma and Ba 2015). Their weights are recorded every 3 epochs and projected on the first two principal
components of all records together, for one layer and for the whole model. In 2,136 dimensions random directions are
orthogonal, and hidden units can be permuted without changing the function, so a picture of eight paths proves little.
Beside it:
- a control: as many runs from one initial net, whose batches come in other orders;
- distances between the ends after the hidden units were matched (Ainsworth et al. 2023);
- what the nets predict at the end, since functions can be compared without asking which unit is which.
All runs are trained as one stack. A dead run, whose output is constant, stands still and is left out of distances; two
spare runs of each group replace dead ones.

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
SURFACE_POINTS = 2000  # of the function, at most, for a loss on the plane
PREDICTION_POINTS = 1001  # on an even grid of [-1, 1], for the functions that the runs end in


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 750  # passes over the points
    record_every: settings.Count = 3  # epochs between two records of the weights
    points: settings.Count = 20_000  # on an even grid of [-1, 1]
    batch_size: settings.Count = 256  # points
    learning_rate: settings.Positive = 1e-3  # of Adam
    runs: settings.Count = 8  # live runs from different initial weights, and as many of the control
    spare_runs: Annotated[int, settings.Range(0, 1000)] = 2  # trained in each group to replace dead runs
    surface_steps: Annotated[int, settings.Range(2, 1000)] = 61  # values of a component on the loss surface
    layer: Annotated[tuple[int, ...], settings.Range(1, len(WIDTHS))] = (1,)  # Dense layers with a PCA of their own

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, epochs=240, points=2000, surface_steps=41)


def build_model():
    """The net as a keras.Sequential, from (1,) to (1,), of which all runs are copies."""
    layers = [keras.layers.Dense(width, activation="relu") for width in WIDTHS[:-1]]
    model = keras.Sequential([keras.Input((1,)), *layers, keras.layers.Dense(WIDTHS[-1])])
    if model.count_params() != PARAMETERS:
        raise ValueError(f"the net has {model.count_params()} parameters, not {PARAMETERS}")
    return model


def initial_weights(count: int) -> np.ndarray:
    """(count, parameters), float32: Glorot-uniform kernels, zero biases; row i is drawn by seed i."""
    return stacked.glorot_uniform(WIDTHS, [seeds.stream(seed, "weights") for seed in range(count)]).astype(np.float32)


def target(points: np.ndarray) -> np.ndarray:
    """f1 at these points of [-1, 1]."""
    return np.sin(np.exp(np.pi * points))


# ------------------------------------------------------------------------------------------------- training


def batch_orders(points: int, group: int) -> np.ndarray:
    """(points, nets): which point a net sees where the loop's shuffle draws a row.

    The first `group` nets see the point of that row: one batch order for all. Each net of the control behind them
    sees the points in a fixed permutation of its own, so that the same shuffles give it other batches.
    """
    columns = [np.arange(points)] * group
    columns += [np.random.default_rng(seeds.stream(0, "order", net)).permutation(points) for net in range(group)]
    return np.stack(columns, axis=1)


def train(chosen: Settings, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train all runs at once. Returns epochs, `runs` and `control`.

    Each of the two has the records (records, nets, parameters) and lists over its nets.
    """
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
            total = tf.reduce_sum(tf.reduce_mean(tf.square(errors), axis=1))  # a net moves its own loss alone
        apply([tape.gradient(total, stack)])
        return {"loss": total / (2 * group)}

    rows = points[batch_orders(len(points), group)]
    arrays = rows.astype(np.float32), target(rows).astype(np.float32)
    run = training.loop(update, arrays, chosen.batch_size, seeds.stream(0, "batches"), fused=True)
    epochs = sorted({*range(0, chosen.epochs + 1, chosen.record_every), chosen.epochs})
    steps = training.steps_per_epoch(chosen.points, chosen.batch_size)
    records = np.zeros((len(epochs), *stack.shape), np.float32)
    start_loss = mean_loss(outputs(stack), points)
    checkpoint.restore([stack, *slots, records], {})
    for stop, _ in training.segments(run, [epoch * steps for epoch in epochs], checkpoint):
        records[epochs.index(stop // steps)] = stack.numpy()

    born = np.array([*range(group), *[common_start] * group])  # seed of each net's initial weights
    nets = {"seeds": born, "dead_at_birth": born_dead[born], "dead": training.dead_nets(outputs(stack))}
    nets |= {"start_loss": start_loss, "end_loss": mean_loss(outputs(stack), points)}
    trained: dict[str, Any] = {"epochs": epochs}
    for name, part in (("runs", slice(0, group)), ("control", slice(group, 2 * group))):
        of_group = {key: values[part] for key, values in nets.items()}
        trained[name] = live_runs(records[:, part], of_group, chosen.runs)
    return trained


def compiled(forward: Callable, points: np.ndarray) -> Callable[[Any], np.ndarray]:
    """outputs(nets) -> (nets, points), float32, at these points for all nets (nets, parameters)."""
    inputs, function = tf.constant(points[None, :], tf.float32), tf.function(forward, autograph=False)
    return lambda nets: function(tf.convert_to_tensor(nets, tf.float32), inputs).numpy()


def mean_loss(predicted: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(nets,), float64: mean squared error of the outputs (nets, points) against f1."""
    return np.mean((predicted.astype(np.float64) - target(points)) ** 2, axis=1)


def live_runs(records: np.ndarray, nets: dict[str, np.ndarray], wanted: int) -> dict[str, Any]:
    """Records (records, nets, parameters) and values (nets,) up to the last net needed for `wanted` live ones.

    Beside them: how many nets were trained, and how many of those are dead.
    """
    shown = first_live(nets["dead"], wanted)
    counts = {"trained": len(nets["dead"]), "dead_of_trained": int(nets["dead"].sum())}
    return {"records": records[:, shown], **counts} | {name: values[shown] for name, values in nets.items()}


def first_live(dead: np.ndarray, wanted: int) -> np.ndarray:
    """Indices of the runs up to the last one needed for `wanted` live ones; of all runs where there are fewer."""
    live = np.flatnonzero(~dead)
    return np.arange(live[wanted - 1] + 1 if len(live) >= wanted else len(dead))


# -------------------------------------------------------------------------------------------- measurements


def measure(chosen: Settings, trained: dict[str, Any], unit: str) -> dict[str, Any]:
    """The results of one unit: PCA of a layer, or PCA, loss surface, distances and functions of the whole model.

    The plane is fitted twice: to the runs from different starts, as the homework asks, and to those and the control.
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
        some = points[:: -(-len(points) // SURFACE_POINTS)]
        outputs, predictions = compiled(forward, some), compiled(forward, np.linspace(-1, 1, PREDICTION_POINTS))
        results["surface"] = weight_paths.surface(
            plane, paths, chosen.surface_steps, lambda nets: mean_loss(outputs(nets), some)
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
