"""How much the loss rises in a small box around a net's weights: the sharpness of Keskar et al. (2017). NumPy, float64.

For a loss f, weights x and eps > 0 it is, in percent,

    phi = 100 (max over y of f(x + y) - f(x)) / (1 + f(x)),   |y_i| <= eps (|x_i| + 1),

with the maximum searched by L-BFGS-B (Byrd et al. 1995; scipy).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]  # weights (n,) -> loss and gradient (n,)


def bounds(weights: np.ndarray, epsilon: float) -> np.ndarray:
    """(n,): how far each weight may move, up or down."""
    return epsilon * (np.abs(weights) + 1)


def sharpness(
    loss: Loss,
    weights: np.ndarray,
    epsilon: float,
    starts: np.ndarray,
    short_iterations: int,
    iterations: int,
    tolerance: float,
) -> dict[str, float]:
    """Sharpness at `weights` (n,) by a short search and several long ones; all rises in percent, as phi.

    starts: (k, n), random points of the box, each weight's move from -1 to 1 in units of its bound. The short search
    makes few iterations from the weights themselves. The long ones run until they converge: the first continues the
    short search, the others begin at `starts`. Returns

    `short`, `short_iterations`   rise by the short search, and how many iterations it made
    `long`                        the largest rise by a long search
    `further_rise`                how much further the gradient at that search's end promises at most, within the box
    `share_at_bounds`             share of the weights that stand at their bounds there
    `continued_short`             rise by the search that continues the short one
    `lowest_long`                 smallest rise by a search from one of `starts`
    `long_iterations`             most iterations of a long search
    """
    short = short_search(loss, weights, epsilon, short_iterations)
    points = [short["move"] / bounds(weights, epsilon), *starts]
    searches = [long_search(loss, weights, epsilon, point, iterations, tolerance) for point in points]
    best = max(searches, key=lambda each: each["rise"])
    return {
        "short": short["rise"],
        "short_iterations": short["iterations"],
        "long": best["rise"],
        "further_rise": best["further_rise"],
        "share_at_bounds": best["share_at_bounds"],
        "continued_short": searches[0]["rise"],
        "lowest_long": min(each["rise"] for each in searches[1:]),
        "long_iterations": max(each["iterations"] for each in searches),
    }


def short_search(loss: Loss, weights: np.ndarray, epsilon: float, iterations: int) -> dict[str, Any]:
    """Search for a few iterations from the weights themselves, as Keskar et al. do.

    Weights are in their own units and the tolerances are scipy's: where no component of the gradient exceeds 1e-5, as
    at a good minimum, the search ends at once. Returns what `_search` does.
    """
    size = bounds(weights, epsilon)
    return _search(loss, weights, size, np.zeros(len(weights)), np.ones(len(weights)), 1.0, {"maxiter": iterations})


def long_search(
    loss: Loss, weights: np.ndarray, epsilon: float, start: np.ndarray, iterations: int, tolerance: float
) -> dict[str, Any]:
    """Search until an iteration adds less than the share `tolerance` to the rise.

    start: (n,), a point of the box, from -1 to 1 in units of the bounds; iterations: at most. Weights are in units of
    their bounds, and the loss is scaled so that the mean absolute gradient is 1: then the first step reaches bounds.
    Returns what `_search` does.
    """
    size = bounds(weights, epsilon)
    mean_slope = float(np.mean(np.abs(loss(weights)[1] * size)))
    if mean_slope == 0:
        mean_slope = 1.0
    options = {"maxiter": iterations, "ftol": tolerance, "gtol": 0.0}
    return _search(loss, weights, size, start * size, size, mean_slope, options)


def _search(
    loss: Loss,
    weights: np.ndarray,
    size: np.ndarray,
    start: np.ndarray,
    unit: np.ndarray,
    loss_unit: float,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Maximise the loss in the box with L-BFGS-B. size: (n,), of the box; start: (n,), the first move.

    unit, loss_unit: the scales in which the optimizer sees moves and loss. Returns `rise`, in percent; `iterations`;
    `further_rise`, in percent: the rise to first order if every weight moved on to the bound that its gradient points
    to; `share_at_bounds`; and `move`, (n,), to the highest point.
    """
    from scipy import optimize

    here = loss(weights)[0]

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = loss(weights + point * unit)
        return -(value - here) / loss_unit, -slope * unit / loss_unit

    limits = optimize.Bounds(-size / unit, size / unit)
    search = optimize.minimize(negative, start / unit, jac=True, method="L-BFGS-B", bounds=limits, options=options)
    move = np.clip(search.x * unit, -size, size)
    slope = -search.jac * loss_unit / unit
    percent = 100 / (1 + here)
    return {
        "rise": float(-search.fun * loss_unit * percent),
        "iterations": int(search.nit),
        "further_rise": float(np.sum(np.abs(slope) * size - slope * move) * percent),
        "share_at_bounds": float(np.mean(np.abs(move) >= size * (1 - 1e-9))),
        "move": move,
    }
