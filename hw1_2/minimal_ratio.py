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
nets: Fukumizu and Amari 2000. The net 1-40-40-1 follows the recipe of an earlier report, to see what it measures.

Most trainings of such nets end in few points, or in channels that fall towards infinity. Units such as
ridge-1e-4/f2/1-4-1 close the channels: they add a ridge, 1e-4 times the sum of squares of all weights and biases, and
learn f1 or f2(x) = cos(10 x^3). There L, its gradient, H, critical points and both ratios are those of the loss with
the ridge, from the same initial weights and in the same directions as without it. Points of one unit with the same loss
and eigenvalues are counted once (`critical_points.distinct`), the one of the smallest seed.

    python hw1_2/minimal_ratio.py --scale paper      about 15 minutes on one CPU core
"""

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: matrices this small are slower shared out

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, history, progress, seeds, settings, stacked
from common.lazy import keras

import numpy as np

from hw1_2 import critical_points, earlier_recipe, newton

REVISION = 1
WIDTHS = {"1-4-1": (4, 1), "1-8-1": (8, 1), "1-4-4-1": (4, 4, 1)}
RECIPE = "1-40-40-1"  # the net of an earlier report's recipe
START_EPOCHS = (0, 10, 30, 100, 300, 500, 700, 1000, 1500)  # of Adam, and its last
INPUT_SCALE = 3.0  # the nets see the interval as [-3, 3], on which tanh bends
CONVERGED = 1e-12  # where the Newton steps stop
FUNCTIONS = {"f1": lambda x: np.sin(np.exp(np.pi * x)), "f2": lambda x: np.cos(10 * x**3)}
RADII = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the spheres, relative to the norm of the weights


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 2500  # full-batch steps of Adam, in the recipe of gradient descent
    points: settings.Count = 128  # on an even grid of [-1, 1]
    learning_rate: settings.Positive = 1e-2  # of Adam
    newton_steps: settings.Count = 250  # on the gradient norm, from each start
    levenberg_steps: settings.Count = 1000  # on the loss, before the last start
    sphere_points: settings.Count = 100  # random points on each sphere, in the recipe moves
    draws: settings.Count = 100_000  # of the predicted share
    seeds: settings.Count = 100  # nets trained at once, each from its own initial weights
    nets: tuple[Literal["1-4-1", "1-8-1", "1-4-4-1", "1-40-40-1"], ...] = (*WIDTHS, RECIPE)  # nets to train
    ridges: Annotated[tuple[float, ...], settings.Range(settings.SMALLEST, 1)] = (
        1e-4,
        1e-3,
    )  # each with all nets but 1-40-40-1
    ridge_functions: tuple[Literal["f1", "f2"], ...] = ("f1", "f2")  # targets of the trainings with a ridge

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, seeds=8, ridges=(1e-3,), ridge_functions=("f2",))


class Arm(NamedTuple):
    """What one unit trains."""

    net: str
    function: str = "f1"
    ridge: float = 0.0  # times the sum of squares of all weights and biases, in the loss


def arms(chosen: Settings) -> dict[str, Arm]:
    """All units by name: 1-4-1 for a net without a ridge, ridge-1e-4/f2/1-4-1 for one with it."""
    found = {net: Arm(net) for net in chosen.nets}
    for ridge, function in itertools.product(chosen.ridges, chosen.ridge_functions):
        name = f"ridge-{np.format_float_scientific(ridge, trim='-', exp_digits=1)}/{function}"
        found |= {f"{name}/{net}": Arm(net, function, ridge) for net in chosen.nets if net != RECIPE}
    return found


def build_model(net: str):
    """One net of WIDTHS as a keras.Sequential in float64: the plain twin of what `newton` computes for all at once."""
    hidden = [keras.layers.Dense(width, activation="tanh", dtype="float64") for width in WIDTHS[net][:-1]]
    return keras.Sequential([keras.Input((1,), dtype="float64"), *hidden, keras.layers.Dense(1, dtype="float64")])


# ------------------------------------------------------------------------------------------- measurements


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


# ------------------------------------------------------------------------------------------------ training


def grid(chosen: Settings, function: str = "f1") -> tuple[np.ndarray, np.ndarray]:
    """Inputs in [-1, 1] and targets, (points,)."""
    points = np.linspace(-1, 1, chosen.points)
    return points, FUNCTIONS[function](points)


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


def starts_of(chosen: Settings) -> list[str]:
    """Names of the places from which the gradient norm is minimised: epochs of Adam, and what least squares adds."""
    epochs = [*(epoch for epoch in START_EPOCHS if epoch < chosen.epochs), chosen.epochs]
    return [*map(str, epochs), f"{chosen.epochs} + least squares"]


def train(chosen: Settings, arm: Arm, checkpoint: history.Checkpoint) -> dict:
    """Train all seeds of one net, take each to zero gradient, and measure what is there."""
    newton.keep_large_arrays()
    widths, names = WIDTHS[arm.net], starts_of(chosen)
    points, targets = grid(chosen, arm.function)
    about = (INPUT_SCALE * points, targets, widths, arm.ridge)
    kept = checkpoint.load([])
    with progress.shown(arm.net, len(names) + 2) as tell:
        # 1. Adam on the loss, remembered at the epochs that are starts
        if not kept:
            initial = [seeds.stream(seed, "weights", arm.net) for seed in range(chosen.seeds)]
            path = adam_path(
                stacked.glorot_uniform(widths, initial),
                lambda at: newton.gradients(at, *about)[1],
                chosen.learning_rate,
                [int(name) for name in names[:-1]],
            )
            kept = {"starts": np.array(path).tolist(), "found": []}
            checkpoint.save([], kept)
        tell(1)
        # 2. Levenberg-Marquardt on the loss from the last of them
        if len(kept["starts"]) < len(names):
            best = newton.minimise_loss(
                lambda at: newton.gauss_newton(at, *about),
                np.array(kept["starts"][-1]),
                chosen.levenberg_steps,
                CONVERGED,
            )
            kept["starts"].append(best.tolist())
            checkpoint.save([], kept)
        tell(2)
        # 3. Newton steps on the gradient norm
        searched = search(chosen, np.array(kept["starts"]), about, kept, checkpoint, tell)
    adam_loss, adam_gradient = newton.gradients(np.array(kept["starts"][-2]), *about)
    return {
        **arm._asdict(),
        "parameters": stacked.parameter_count(widths),
        "starts": names,
        "adam_loss": adam_loss,
        "adam_norm": newton.norms(adam_gradient),
        **searched,
        **measure(chosen, arm, searched["weights"], about),
    }


def search(
    chosen: Settings,
    starts: np.ndarray,
    about: tuple,
    kept: dict,
    checkpoint: history.Checkpoint,
    tell: Callable,
) -> dict:
    """Minimise the gradient norm of each net from one of `starts` (starts, nets, n) after another until it is zero.

    about: inputs, targets, widths and ridge. kept: takes the ends of each turn, `found`, and goes to the checkpoint.
    Returns the weights (nets, n) with the smallest norm, the `start` they came from, and of each net and start
    `search_norm` and `search_kind`, NaN and "" where not tried.
    """
    count, nets = len(starts), np.arange(starts.shape[1])
    lowest = np.full(len(nets), np.inf)
    ends, start = starts[-2].copy(), np.zeros(len(nets), int)
    norms, kinds = np.full((len(nets), count), np.nan), np.full((len(nets), count), "", object)
    for turn in range(count):
        waiting = nets[lowest >= critical_points.CRITICAL]
        if not len(waiting):
            tell(count + 2, found=len(nets))
            break
        tried = (waiting + turn) % count
        if turn == len(kept["found"]):
            found = newton.minimise_gradient_norm(
                lambda at: newton.hessians(at, *about), starts[tried, waiting], chosen.newton_steps, CONVERGED
            )
            kept["found"].append(found.tolist())
            checkpoint.save([], kept)
        found = np.reshape(kept["found"][turn], (len(waiting), starts.shape[2]))
        _, gradient, hessian = newton.hessians(found, *about)
        norms[waiting, tried] = newton.norms(gradient)
        kinds[waiting, tried] = critical_points.kinds(gradient, hessian)["kind"]
        better = norms[waiting, tried] < lowest[waiting]
        closer = waiting[better]
        ends[closer], start[closer] = found[better], tried[better]
        lowest[closer] = norms[closer, start[closer]]
        tell(turn + 3, found=int(np.sum(lowest < critical_points.CRITICAL)))
    return {"weights": ends, "start": start, "search_norm": norms, "search_kind": kinds.tolist()}


def measure(chosen: Settings, arm: Arm, ends: np.ndarray, about: tuple) -> dict:
    """What stands at the ends (nets, n): kinds and both ratios; without a ridge also the check with a doubled unit."""
    inputs, _, widths, _ = about
    loss, gradient, hessian = newton.hessians(ends, *about)
    found = critical_points.kinds(gradient, hessian)
    sampled = []
    for seed, weights in enumerate(ends):
        generator = np.random.default_rng(seeds.stream(seed, "sphere", arm.net))
        directions = generator.standard_normal((chosen.sphere_points, len(weights)))
        radii = np.array(RADII) * np.linalg.norm(weights)
        sampled.append(
            [sampled_ratio(lambda at: newton.losses(at, *about), weights, directions, radius) for radius in radii]
        )
    cancelled = critical_points.cancellation(ends, inputs, widths)
    doubled = {}
    if not arm.ridge:  # with one, the loss rises with a doubled unit
        minima, generator = ends[found["kind"] == "minimum"], np.random.default_rng(seeds.stream(0, "doubled"))
        doubled = {"doubled": critical_points.doubled_units(minima, about[:3], generator)}
    critical = np.isin(found["kind"], ("minimum", "saddle"))
    distinct = np.flatnonzero(critical)[critical_points.distinct(loss[critical], found["eigenvalues"][critical])]
    summary = {"below 1e-8": int(np.sum(found["gradient_norm"] < critical_points.CRITICAL)), "loss": loss}
    summary |= {kind: int(np.sum(found["kind"] == kind)) for kind in ("minimum", "saddle", "flat", "unfinished")}
    summary["distinct"] = len(distinct)
    return {
        "loss": loss,
        **found,
        "weight_norm": newton.norms(ends),
        "constant": np.ptp(newton.activations(ends, inputs, widths)[-1][:, 0], axis=1) < critical_points.SAME,
        "effective_width": [critical_points.effective_width(weights, inputs, widths) for weights in ends],
        "cancellation": cancelled,
        "channel": cancelled >= critical_points.CHANNEL,  # a constant output, NaN, has nothing to cancel
        "radii": RADII,
        "sampled": sampled,  # (nets, radii)
        "predicted": predicted_share(found["eigenvalues"], chosen.draws, seeds.stream(0, "draws")),
        **doubled,
        "distinct": distinct,  # seeds, of the critical points that differ
        "summary": summary,
    }


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    units = arms(run.settings)
    kept = history.start(run, REVISION, list(units))
    for unit in kept.missing():
        if unit == RECIPE:
            backend.start(intra_threads=1, inter_threads=1)
            points, targets = grid(run.settings)
            numbers = run.settings.seeds, run.settings.epochs, run.settings.sphere_points
            kept.keep(unit, earlier_recipe.train(points, targets, *numbers, kept.checkpoint(unit)))
        else:
            kept.keep(unit, train(run.settings, units[unit], kept.checkpoint(unit)))
    kept.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
