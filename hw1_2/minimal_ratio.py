"""What is it like where the gradient is almost zero: a minimum, a saddle, or merely flat?

Homework 1-2, "What happens when gradient is almost zero": a hundred trainings of one small tanh net on
f1(x) = sin(exp(pi x)), mean squared error L over an even grid, everything in float64. Adam minimises L; from places
along its way the gradient norm |g| is then minimised to zero by damped Newton steps -(H^2 + mu I)^-1 H g, mu =
damping |g|, which are drawn to critical points of any kind. Training i begins with start i mod m (an epoch of Adam,
or the last one after Levenberg-Marquardt steps on L), and takes the next start whenever |g| stays above 1e-8.

The minimal ratio has two definitions, which need not agree:
- sampled: the share of random points on a sphere around the solution at which L is higher;
- by curvature: the share of eigenvalues of the Hessian H that are positive (and the share that are negative).
Where g = 0 and the sphere is small, the first is P(sum lambda_i z_i^2 > 0) over standard normal z: the predicted share.
Kinds of point: Dauphin et al. 2014; regions where g lies in the kernel of H: Frye et al. 2021; saddles made of narrower
nets: Fukumizu and Amari 2000. The unit `reference` is the recipe of an earlier report, to see what it measures.

    python hw1_2/minimal_ratio.py --scale paper      about 3 minutes on one CPU core
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: matrices this small are slower shared out
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import newton

from common import backend, history, progress, seeds, settings, stacked

REVISION = 1
WIDTHS = {"1-4-1": (4, 1), "1-8-1": (8, 1), "1-4-4-1": (4, 4, 1)}
START_EPOCHS = (0, 10, 30, 100, 300, 500, 700, 1000, 1500)  # of Adam, and its last
INPUT_SCALE = 3.0  # the nets see the interval as [-3, 3], on which tanh bends
CRITICAL = 1e-8  # a gradient norm that counts as zero
CONVERGED = 1e-12  # where the Newton steps stop
FLAT = 1e-3  # |Hg| / (|H||g|) below which a gradient that is not zero lies in the kernel of H
RADII = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the spheres, relative to the norm of the weights
SAME = 1e-5  # outputs that differ by less are one


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 2500  # full-batch steps of Adam: passes over the points
    points: settings.Count = 128  # on an even grid of [-1, 1]
    learning_rate: settings.Positive = 1e-2  # of Adam
    newton_steps: settings.Count = 250  # on the gradient norm, from each start
    levenberg_steps: settings.Count = 1000  # on the loss, before the last start
    sphere_points: settings.Count = 100  # random points on each sphere
    draws: settings.Count = 100_000  # of the predicted share
    seeds: settings.Count = 100  # nets trained at once, each from its own initial weights
    nets: tuple[Literal["1-4-1", "1-8-1", "1-4-4-1", "reference"], ...] = (*WIDTHS, "reference")  # nets to train

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, seeds=16)


def build_model(net: str):
    """One net as a keras.Sequential in float64: the plain twin of what `newton` computes for all at once."""
    import keras
    from keras import layers

    hidden = [layers.Dense(width, activation="tanh", dtype="float64") for width in WIDTHS[net][:-1]]
    return keras.Sequential([keras.Input((1,), dtype="float64"), *hidden, layers.Dense(1, dtype="float64")])


# ------------------------------------------------------------------------------------------- measurements


def kinds(gradient: np.ndarray, hessian: np.ndarray) -> dict[str, np.ndarray]:
    """What sort of point each net stands at. gradient: (nets, n); hessian: (nets, n, n); float64, else TypeError.

    A point is critical if |g| <= 1e-8 max(1, |H|): a minimum if no eigenvalue lies below -tolerance, else a saddle.
    Else it is gradient-flat if |Hg| / (|H||g|) < 1e-3, or unfinished. Tolerance: 100 n eps |H|, |H| the spectral norm.
    """
    if gradient.dtype != np.float64 or hessian.dtype != np.float64:
        raise TypeError(f"gradient and Hessian are {gradient.dtype} and {hessian.dtype}, not float64")
    eigenvalues = np.linalg.eigvalsh(hessian)
    norm, spectral = newton.norms(gradient), np.abs(eigenvalues).max(axis=1)
    tolerance = 100 * gradient.shape[1] * np.finfo(np.float64).eps * spectral
    pushed = newton.norms((hessian @ gradient[:, :, None])[:, :, 0])
    turned = pushed / np.maximum(spectral * norm, np.finfo(np.float64).tiny)
    eigenvalues = np.where(np.abs(eigenvalues) > tolerance[:, None], eigenvalues, 0.0)
    index = np.sum(eigenvalues < 0, axis=1)
    critical = norm <= CRITICAL * np.maximum(1, spectral)
    kind = np.where(critical, np.where(index > 0, "saddle", "minimum"), np.where(turned < FLAT, "flat", "unfinished"))
    return {
        "kind": kind,
        "index": index,
        "gradient_norm": norm,
        "spectral_norm": spectral,
        "turned": turned,
        "eigenvalues": eigenvalues,  # ascending; those within the tolerance are 0
        "positive_share": np.mean(eigenvalues > 0, axis=1),
        "negative_share": np.mean(eigenvalues < 0, axis=1),
    }


def sampled_ratio(
    loss: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, directions: np.ndarray, radius: float
) -> float:
    """Share in [0, 1] of points at distance `radius` from `weights` (n,) at which the loss is higher.

    loss: of (points, n), returns (points,). directions: (points, n), of any length but zero.
    """
    steps = directions * (radius / newton.norms(directions)[:, None])
    return float(np.mean(loss(weights + steps) > loss(weights[None])))


def predicted_share(eigenvalues: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(nets,): P(sum lambda_i z_i^2 > 0) over standard normal z, from so many draws. eigenvalues: (nets, n)."""
    generator = np.random.default_rng(seed)
    risen, chunk = np.zeros(len(eigenvalues)), 10_000
    for first in range(0, draws, chunk):  # all draws at once would take much memory
        squares = generator.standard_normal((min(chunk, draws - first), eigenvalues.shape[1])) ** 2
        risen += np.sum(squares @ eigenvalues.T > 0, axis=0)
    return risen / draws


def effective_width(weights: np.ndarray, inputs: np.ndarray, widths: tuple[int, ...]) -> dict[str, int]:
    """How many hidden units of one net (n,) are distinct and have an effect, and how many are steps.

    Units that are equal or opposite on all points count once, with their outgoing weights taken together; one whose
    effect is constant does not count. A step is a live unit that passes from -0.99 to 0.99 between two neighbouring
    points: its steepness is hardly determined.
    """
    passed = newton.activations(weights[None], inputs, widths)
    arrays = stacked.split(weights, widths)
    width, steps = 0, 0
    for depth in range(1, len(widths)):
        units, outgoing = passed[depth][0], arrays[2 * depth]
        waiting = list(range(len(units)))
        while waiting:
            first = units[waiting[0]]
            signs = {
                unit: sign for unit in waiting for sign in (1, -1) if np.abs(units[unit] - sign * first).max() < SAME
            }
            waiting = [unit for unit in waiting if unit not in signs]
            effect = np.abs(sum(sign * outgoing[unit] for unit, sign in signs.items())).max() * np.ptp(first)
            width += bool(effect > SAME)
            steps += bool(effect > SAME and np.sum(np.abs(first) < 0.99) < 2 and np.ptp(first) > 1.9)
    return {"effective_width": width, "steps": steps}


def duplicate_unit(weights: np.ndarray, widths: tuple[int, ...], unit: int, share: float) -> np.ndarray:
    """One net (n,) with one more unit in its first hidden layer: the same function, so the same loss.

    The copy takes `share` of the unit's outgoing weight. The gradient's norm grows by at most sqrt 2 (Fukumizu and
    Amari 2000): the parts of the incoming weights are shared out, and those of the outgoing weights repeated.
    """
    kernel, bias, following, *rest = stacked.split(weights, widths)
    copies = following[unit : unit + 1]
    following = np.concatenate([following, share * copies])
    following[unit] *= 1 - share
    widened = [np.append(kernel, kernel[:, unit : unit + 1], axis=1), np.append(bias, bias[unit]), following, *rest]
    return np.concatenate([array.ravel() for array in widened])


# ------------------------------------------------------------------------------------------------ training


def grid(run_settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """Inputs in [-1, 1] and targets f1, (points,)."""
    points = np.linspace(-1, 1, run_settings.points)
    return points, np.sin(np.exp(np.pi * points))


def adam_path(
    parameters: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray], learning_rate: float, epochs: list[int]
) -> list[np.ndarray]:
    """The parameters of all nets after each of `epochs` steps of Adam (Kingma and Ba 2015; Keras's constants)."""
    first, second, path = np.zeros_like(parameters), np.zeros_like(parameters), []
    for epoch in range(epochs[-1] + 1):
        if epoch:
            gradient = slopes(parameters)
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            rate = learning_rate * np.sqrt(1 - 0.999**epoch) / (1 - 0.9**epoch)
            parameters = parameters - rate * first / (np.sqrt(second) + 1e-7)
        if epoch in epochs:
            path.append(parameters)
    return path


def train(run_settings: Settings, net: str, checkpoint: history.Checkpoint) -> dict:
    """Train all seeds of one net, take each to zero gradient, and measure what is there."""
    widths = WIDTHS[net]
    points, targets = grid(run_settings)
    inputs = INPUT_SCALE * points
    about = (inputs, targets, widths)
    epochs = [*(epoch for epoch in START_EPOCHS if epoch < run_settings.epochs), run_settings.epochs]
    labels = [*map(str, epochs), f"{epochs[-1]} + least squares"]

    kept = checkpoint.load([])
    with progress.shown(net, len(labels) + 2) as tell:
        # 1. Adam on the loss, remembered at the epochs that are starts
        if not kept:
            initial = [seeds.stream(seed, "weights", net) for seed in range(run_settings.seeds)]
            path = adam_path(
                stacked.glorot_uniform(widths, initial),
                lambda at: newton.gradients(at, *about)[1],
                run_settings.learning_rate,
                epochs,
            )
            kept = {"starts": np.array(path).tolist(), "attempts": []}
            checkpoint.save([], kept)
        tell(1)
        # 2. Levenberg-Marquardt on the loss from the last of them
        if len(kept["starts"]) < len(labels):
            at = np.array(kept["starts"][-1])
            at = newton.minimise_loss(
                lambda at: newton.gauss_newton(at, *about), at, run_settings.levenberg_steps, CONVERGED
            )
            kept["starts"].append(at.tolist())
            checkpoint.save([], kept)
        # 3. Newton steps on the gradient norm, each net from the next start until one succeeds
        starts, nets = np.array(kept["starts"]), run_settings.seeds
        attempts, ends = np.full((nets, len(labels)), np.nan), starts[-2].copy()
        chosen = np.full(nets, len(labels) - 2)
        for turn in range(len(labels)):
            tried = (np.arange(nets) + turn) % len(labels)
            lowest = np.nanmin(np.where(np.isnan(attempts), np.inf, attempts), axis=1)
            waiting = np.flatnonzero(lowest >= CRITICAL)
            if turn == len(kept["attempts"]):
                found = newton.minimise_gradient_norm(
                    lambda at: newton.hessians(at, *about),
                    starts[tried[waiting], waiting],
                    run_settings.newton_steps,
                    CONVERGED,
                )
                kept["attempts"].append(found.tolist())
                checkpoint.save([], kept)
            found = np.reshape(kept["attempts"][turn], (len(waiting), starts.shape[2]))
            norm = newton.norms(newton.gradients(found, *about)[1])
            attempts[waiting, tried[waiting]] = norm
            better = norm < lowest[waiting]
            ends[waiting[better]] = found[better]
            chosen[waiting[better]] = tried[waiting[better]]
            tell(turn + 3, found=int(np.sum(np.nanmin(attempts[waiting], axis=1) < CRITICAL)) + nets - len(waiting))
    adam_loss, adam_gradient = newton.gradients(starts[-2], *about)
    return {
        "parameters": starts.shape[2],
        "starts": labels,
        "start": chosen,  # of `starts`, by net
        "attempts": attempts,  # gradient norms (nets, starts); NaN where not tried
        "adam_loss": adam_loss,
        "adam_norm": newton.norms(adam_gradient),
        "weights": ends,
        **measure(run_settings, net, ends, about),
    }


def measure(run_settings: Settings, net: str, ends: np.ndarray, about: tuple) -> dict:
    """What stands at the ends (nets, n): kinds, both ratios, and the check with a doubled unit."""
    inputs, _, widths = about
    loss, gradient, hessian = newton.hessians(ends, *about)
    found = kinds(gradient, hessian)
    sampled = []
    for seed, weights in enumerate(ends):
        generator = np.random.default_rng(seeds.stream(seed, "sphere", net))
        directions = generator.standard_normal((run_settings.sphere_points, len(weights)))
        radii = np.array(RADII) * np.linalg.norm(weights)
        sampled.append(
            [sampled_ratio(lambda at: newton.losses(at, *about), weights, directions, radius) for radius in radii]
        )
    draws = seeds.stream(0, "draws")
    widths_found = [effective_width(weights, inputs, widths) for weights in ends]
    summary = {"gradient norm": found["gradient_norm"], "loss": loss}
    summary |= {kind: int(np.sum(found["kind"] == kind)) for kind in ("minimum", "saddle", "flat", "unfinished")}
    return {
        "loss": loss,
        **found,
        "weight_norm": newton.norms(ends),
        "constant": np.ptp(newton.activations(ends, inputs, widths)[-1][:, 0], axis=1) < SAME,
        "effective_width": [each["effective_width"] for each in widths_found],
        "steps": [each["steps"] for each in widths_found],
        "radii": RADII,
        "sampled": sampled,  # (nets, radii)
        "predicted": predicted_share(found["eigenvalues"], run_settings.draws, draws),
        "doubled": doubled_units(ends[found["kind"] == "minimum"], about),
        "summary": summary,
    }


def doubled_units(minima: np.ndarray, about: tuple) -> dict:
    """Double a unit of each minimum (minima, n): gradient norms before and after, and what kind of point it then is."""
    inputs, targets, widths = about
    if not len(minima):
        return {"norm": [], "doubled_norm": [], "kind": []}
    generator = np.random.default_rng(seeds.stream(0, "doubled"))
    wider = np.stack(
        [
            duplicate_unit(weights, widths, int(generator.integers(widths[0])), float(generator.uniform()))
            for weights in minima
        ]
    )
    _, gradient, hessian = newton.hessians(wider, inputs, targets, (widths[0] + 1, *widths[1:]))
    return {
        "norm": newton.norms(newton.gradients(minima, *about)[1]),
        "doubled_norm": newton.norms(gradient),
        "kind": kinds(gradient, hessian)["kind"],
    }


# ------------------------------------------------------------------------------------ the reference's recipe

RECIPE_WIDTHS = (40, 40, 1)
RECIPE_RATE, RECIPE_NORM_RATE, RECIPE_NORM_STEPS = 5e-4, 1e-10, 100  # of SGD on the loss, and on the gradient norm
RECIPE_MOVE = 3e-6  # standard deviation of the moves of the kernels; the biases stay


def recipe(run_settings: Settings, checkpoint: history.Checkpoint) -> dict:
    """1-40-40-1 ReLU in float32, normal weights, SGD on the loss and then on the gradient norm; moves of 3e-6.

    What the recipe leaves open is as in the other units: full batches of the same points.
    """
    import tensorflow as tf

    points, targets = grid(run_settings)
    size = stacked.parameter_count(RECIPE_WIDTHS)
    streams = [np.random.default_rng(seeds.stream(seed, "recipe")) for seed in range(run_settings.seeds)]
    weights = tf.Variable(np.stack([stream.standard_normal(size) for stream in streams]).astype(np.float32))

    def losses(at: tf.Tensor) -> tf.Tensor:
        inputs, wanted = tf.cast(points, at.dtype), tf.cast(targets, at.dtype)
        return tf.reduce_mean((stacked.forward(at, inputs, RECIPE_WIDTHS, tf.nn.relu) - wanted) ** 2, axis=1)

    def slopes(at: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(at)
            total = tf.reduce_sum(losses(at))
        return tape.gradient(total, at)

    @tf.function(autograph=False)
    def descend_loss() -> None:
        weights.assign_sub(RECIPE_RATE * slopes(weights.value()))

    @tf.function(autograph=False)
    def descend_norm() -> None:
        at = weights.value()
        with tf.GradientTape() as tape:
            tape.watch(at)
            total = tf.reduce_sum(tf.norm(slopes(at), axis=1))
        weights.assign_sub(RECIPE_NORM_RATE * tape.gradient(total, at))

    done = checkpoint.load([weights]).get("epochs", 0)
    with progress.shown("reference", run_settings.epochs, done) as tell:
        for epoch in range(done, run_settings.epochs):
            descend_loss()
            tell(epoch + 1)
            checkpoint.save([weights], {"epochs": epoch + 1})
    before = weights.numpy()
    norm_before = np.linalg.norm(slopes(weights.value()).numpy().astype(np.float64), axis=1)
    for _ in range(RECIPE_NORM_STEPS):
        descend_norm()
    after = weights.numpy()
    norm_after = np.linalg.norm(slopes(weights.value()).numpy().astype(np.float64), axis=1)

    moves_kernels = np.concatenate(
        [
            np.full(rows * columns + columns, np.arange(rows * columns + columns) < rows * columns)
            for rows, columns in stacked.layer_shapes(RECIPE_WIDTHS)
        ]
    )
    exact_losses, exact_slopes = tf.function(losses, autograph=False), tf.function(slopes, autograph=False)
    ratio, ties, exact_ratio, by_slope = [], [], [], []
    for net, stream in zip(after, streams, strict=True):
        moves = RECIPE_MOVE * stream.standard_normal((run_settings.sphere_points, size)) * moves_kernels
        around, here = exact_losses(tf.constant(net + moves.astype(np.float32))), exact_losses(tf.constant(net[None]))
        ratio.append(float(np.mean(around.numpy() >= here.numpy())))  # the recipe counts equal losses as higher
        ties.append(float(np.mean(around.numpy() == here.numpy())))
        exact = tf.constant(net[None].astype(np.float64))
        risen = exact_losses(exact + moves).numpy() > exact_losses(exact).numpy()
        exact_ratio.append(float(np.mean(risen)))
        by_slope.append(float(np.mean(risen == (moves @ exact_slopes(exact).numpy()[0] > 0))))
    loss = exact_losses(tf.constant(after)).numpy().astype(np.float64)
    return {
        "parameters": size,
        "loss": loss,
        "norm_before": norm_before,
        "norm_after": norm_after,
        "moved_share": np.mean(before != after, axis=1),  # of the weights, by the steps on the norm
        "ratio": ratio,
        "ties": ties,
        "exact_ratio": exact_ratio,  # the same moves in float64
        "by_slope": by_slope,  # share of moves whose rise or fall the slope alone tells
        "summary": {"gradient norm": norm_after, "loss": loss},
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    kept = history.start(run, REVISION, run.settings.nets)
    for unit in kept.missing():
        if unit == "reference":
            backend.start(intra_threads=1, inter_threads=1)
            kept.keep(unit, recipe(run.settings, kept.checkpoint(unit)))
        else:
            kept.keep(unit, train(run.settings, unit, kept.checkpoint(unit)))
    kept.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
