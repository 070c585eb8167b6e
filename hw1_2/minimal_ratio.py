"""What is it like where the gradient is almost zero: a minimum, a saddle, or merely flat?

Homework 1-2, "What happens when gradient is almost zero". A hundred small tanh nets learn f1(x) = sin(exp(pi x)) on an
even grid of points. L is the mean squared error, g its gradient and H its Hessian. Keras has no Hessians: `newton.py`
computes the nets and their derivatives in NumPy and float64, all seeds at once.
1. Adam minimises L. The weights after several epochs are starting points. Further Levenberg-Marquardt steps on L from
   Adam's last weights give one more.
2. From a starting point, damped Newton steps -(H^2 + mu I)^-1 H g with mu = damping |g| minimise |g|. They end at
   critical points of any kind. Net i takes starting point i mod m first, and then the next one while |g| exceeds 1e-8.
3. g and H decide what kind of point each end is (`critical_points.kinds`; Dauphin et al. 2014, Frye et al. 2021).
4. The minimal ratio, sampled: the share of random points on a sphere around the end at which L is higher.
5. The minimal ratio by curvature: the share of eigenvalues of H that are positive, and the share that are negative.
6. Where g = 0 and the sphere is small, the ratio of step 4 is P(sum lambda_i z_i^2 > 0) for eigenvalues lambda_i and
   standard normal z_i: the predicted share. So the two definitions need not agree.
7. A minimum with one hidden unit doubled computes the same function. Is it a saddle (Fukumizu and Amari 2000)?

Most of these nets end at a few points, or in channels along which L falls towards infinity. Units such as
ridge-1e-4/f2/1-4-1 close the channels: they add to L a ridge, 1e-4 times the sum of squares of all weights and biases,
and learn f1 or f2(x) = cos(10 x^3). L, g, H and both ratios then include the ridge. Initial weights and sampled
directions are the same as without it. Ends with the same loss and eigenvalues count once, for the smallest seed
(`critical_points.distinct`). The net 1-40-40-1 follows the recipe of an earlier report, to show what it measures.

    python hw1_2/minimal_ratio.py --scale paper      about 5 minutes on one CPU core
"""

import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy: several threads are slower for such small matrices

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, history, progress, seeds, settings, stacked

import numpy as np

from hw1_2 import critical_points, earlier_recipe, newton

REVISION = 1
FUNCTIONS = {"f1": lambda x: np.sin(np.exp(np.pi * x)), "f2": lambda x: np.cos(10 * x**3)}
WIDTHS = {"1-4-1": (4, 1), "1-8-1": (8, 1), "1-4-4-1": (4, 4, 1)}  # units of the tanh layers and of the linear output
RECIPE = "1-40-40-1"  # the net of an earlier report's recipe
START_EPOCHS = (0, 10, 30, 100, 300, 500, 700, 1000, 1500)  # of Adam, whose last epoch is added
INPUT_SCALE = 3.0  # the nets see the interval as [-3, 3], where tanh is curved
CONVERGED = 1e-12  # gradient norm at which a search stops
RADII = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # of the spheres, relative to the norm of the weights


@dataclass(frozen=True)
class Settings:
    epochs: settings.Count = 2500  # full-batch steps of Adam, in the recipe of gradient descent
    points: settings.Count = 128  # on an even grid of [-1, 1]
    learning_rate: settings.Positive = 1e-2  # of Adam
    newton_steps: settings.Count = 250  # on the gradient norm, from each starting point
    levenberg_steps: settings.Count = 1000  # on the loss, before the last starting point
    sphere_points: settings.Count = 100  # random points on each sphere, in the recipe moves
    draws: settings.Count = 100_000  # of the predicted share
    seeds: settings.Count = 100  # copies of each net, trained at once, each from its own initial weights
    nets: tuple[Literal["1-4-1", "1-8-1", "1-4-4-1", "1-40-40-1"], ...] = (*WIDTHS, RECIPE)  # nets to train
    ridges: Annotated[tuple[float, ...], settings.Range(settings.SMALLEST, 1)] = (1e-4, 1e-3)  # not with 1-40-40-1
    ridge_functions: tuple[Literal["f1", "f2"], ...] = ("f1", "f2")  # targets of the trainings with a ridge

    __post_init__ = settings.check_ranges


PAPER = Settings()
QUICK = replace(PAPER, seeds=8, ridges=(1e-3,), ridge_functions=("f2",))


class Arm(NamedTuple):
    """What one unit trains."""

    net: str
    function: str = "f1"
    ridge: float = 0.0


def arms(chosen: Settings) -> dict[str, Arm]:
    """All units by name: 1-4-1 for a net without a ridge, ridge-1e-4/f2/1-4-1 for one with it."""
    units = {net: Arm(net) for net in chosen.nets}
    for ridge, function in itertools.product(chosen.ridges, chosen.ridge_functions):
        name = f"ridge-{np.format_float_scientific(ridge, trim='-', exp_digits=1)}/{function}"
        units |= {f"{name}/{net}": Arm(net, function, ridge) for net in chosen.nets if net != RECIPE}
    return units


def grid(chosen: Settings, function: str) -> tuple[np.ndarray, np.ndarray]:
    """Points of [-1, 1], and the function's values there; (points,) each."""
    points = np.linspace(-1, 1, chosen.points)
    return points, FUNCTIONS[function](points)


def sampled_ratio(
    loss: Callable[[np.ndarray], np.ndarray], weights: np.ndarray, directions: np.ndarray, radius: float
) -> float:
    """Share in [0, 1] of points at distance `radius` from `weights` (n,) at which the loss is higher.

    loss: of (points, n), returns (points,). directions: (points, n), of any length but zero.
    """
    steps = directions * (radius / newton.norms(directions)[:, None])
    return float(np.mean(loss(weights + steps) > loss(weights[None])))


def predicted_share(eigenvalues: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(nets,): P(sum lambda_i z_i^2 > 0) over standard normal z, estimated from draws. eigenvalues: (nets, n)."""
    generator = np.random.default_rng(seed)
    rises, chunk = np.zeros(len(eigenvalues)), 10_000
    for first in range(0, draws, chunk):  # all draws at once would take much memory
        squares = generator.standard_normal((min(chunk, draws - first), eigenvalues.shape[1])) ** 2
        rises += np.sum(squares @ eigenvalues.T > 0, axis=0)
    return rises / draws


def train(chosen: Settings, arm: Arm) -> dict[str, Any]:
    """Train all seeds of one net, move each to a point of zero gradient, and measure that point."""
    newton.keep_large_arrays()
    widths = WIDTHS[arm.net]
    points, targets = grid(chosen, arm.function)
    problem = INPUT_SCALE * points, targets, widths, arm.ridge
    epochs = [*(epoch for epoch in START_EPOCHS if epoch < chosen.epochs), chosen.epochs]

    initial = stacked.glorot_uniform(widths, [seeds.stream(seed, "weights", arm.net) for seed in range(chosen.seeds)])
    path = newton.adam_path(initial, lambda at: newton.gradients(at, *problem)[1], chosen.learning_rate, epochs)  # 1
    adam_loss, adam_gradient = newton.gradients(path[-1], *problem)
    best = newton.minimise_loss(
        lambda at: newton.gauss_newton(at, *problem), path[-1], chosen.levenberg_steps, CONVERGED
    )
    ends = search(np.array([*path, best]), problem, chosen.newton_steps)  # 2
    return {
        **arm._asdict(),
        "parameters": stacked.parameter_count(widths),
        "starts": [*map(str, epochs), f"{chosen.epochs} + least squares"],
        "adam_loss": adam_loss,
        "adam_norm": newton.norms(adam_gradient),
        **ends,
        **measure(chosen, arm, ends["weights"], problem),
    }


def search(starts: np.ndarray, problem: tuple, steps: int) -> dict[str, Any]:
    """Step 2: minimise the gradient norm of each net from one of `starts` (starts, nets, n) after another.

    problem: inputs, targets, widths and ridge. Returns the weights (nets, n) with the smallest norm, the number of the
    `start` they came from, and for each net and start `search_norm` and `search_kind`, NaN and "" where not tried.
    """
    count, nets = len(starts), np.arange(starts.shape[1])
    lowest = np.full(len(nets), np.inf)
    ends, start = starts[-2].copy(), np.zeros(len(nets), int)
    norms, kinds = np.full((len(nets), count), np.nan), np.full((len(nets), count), "", object)
    with progress.shown("critical points", len(nets)) as tell:
        for attempt in range(count):
            open_nets = nets[lowest >= critical_points.CRITICAL]
            if not len(open_nets):
                break
            tried = (open_nets + attempt) % count
            reached = newton.minimise_gradient_norm(
                lambda at: newton.hessians(at, *problem), starts[tried, open_nets], steps, CONVERGED
            )
            _, gradient, hessian = newton.hessians(reached, *problem)
            norms[open_nets, tried] = newton.norms(gradient)
            kinds[open_nets, tried] = critical_points.kinds(gradient, hessian)["kind"]
            better = norms[open_nets, tried] < lowest[open_nets]
            improved = open_nets[better]
            ends[improved], start[improved] = reached[better], tried[better]
            lowest[improved] = norms[improved, start[improved]]
            tell(int(np.sum(lowest < critical_points.CRITICAL)))
    return {"weights": ends, "start": start, "search_norm": norms, "search_kind": kinds.tolist()}


def measure(chosen: Settings, arm: Arm, ends: np.ndarray, problem: tuple) -> dict[str, Any]:
    """Steps 3 to 7: what kind of points the ends (nets, n) are, and both ratios there. problem: as in `search`."""
    loss, gradient, hessian = newton.hessians(ends, *problem)
    at_ends = critical_points.kinds(gradient, hessian)  # 3 and 5
    sampled = []  # 4
    for seed, weights in enumerate(ends):
        generator = np.random.default_rng(seeds.stream(seed, "sphere", arm.net))
        directions = generator.standard_normal((chosen.sphere_points, len(weights)))
        radii = np.array(RADII) * np.linalg.norm(weights)
        sampled.append(
            [sampled_ratio(lambda at: newton.losses(at, *problem), weights, directions, radius) for radius in radii]
        )
    critical = np.flatnonzero(np.isin(at_ends["kind"], ("minimum", "saddle")))
    distinct = critical[critical_points.distinct(loss[critical], at_ends["eigenvalues"][critical])]
    results = {
        "loss": loss,
        **at_ends,
        **critical_points.structure(ends, problem[0], problem[2]),
        "radii": RADII,
        "sampled": sampled,  # (nets, radii)
        "predicted": predicted_share(at_ends["eigenvalues"], chosen.draws, seeds.stream(0, "draws")),  # 6
        "distinct": distinct,  # seeds
    }
    counts = {kind: int(np.sum(at_ends["kind"] == kind)) for kind in ("minimum", "saddle", "flat", "unfinished")}
    below = int(np.sum(at_ends["gradient_norm"] < critical_points.CRITICAL))
    results["summary"] = {"below 1e-8": below, "loss": loss, **counts, "distinct": len(distinct)}
    if not arm.ridge:  # with a ridge, a doubled unit changes the loss
        generator = np.random.default_rng(seeds.stream(0, "doubled"))
        minima = ends[at_ends["kind"] == "minimum"]
        results["doubled"] = critical_points.doubled_units(minima, problem[:3], generator)  # 7
    return results


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    chosen, units = run.settings, arms(run.settings)
    experiment = history.start(run, REVISION, list(units))
    for unit in experiment.missing():
        if unit == RECIPE:
            backend.start(intra_threads=1, inter_threads=1)
            numbers = chosen.seeds, chosen.epochs, chosen.sphere_points
            experiment.keep(unit, earlier_recipe.train(*grid(chosen, "f1"), *numbers))
        else:
            experiment.keep(unit, train(chosen, units[unit]))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
