"""How high the loss rises in a small box around a net's weights: the sharpness of Keskar et al. (2017). NumPy, float64.

For a loss f, weights x and eps > 0 it is, in percent,

    phi = 100 (max over y of f(x + y) - f(x)) / (1 + f(x)),   |y_i| <= eps (|x_i| + 1),

found with L-BFGS-B (Byrd et al. 1995; scipy).
"""

from collections.abc import Callable
from typing import Any

import numpy as np

Loss = Callable[[np.ndarray], tuple[float, np.ndarray]]  # weights (n,) -> loss and gradient (n,)


def sides(weights: np.ndarray, epsilon: float) -> np.ndarray:
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
    """The largest rise that several searches find in the box around `weights` (n,), in percent.

    starts: (k, n), random places in the box, -1 to 1 a weight. One search takes few iterations, from the weights
    themselves; one carries it on, and one from each of `starts` runs, until it converges. Returns

    `short`, `short_iterations`            of the short search
    `sharpness`, `room`, `edge`            of the best of the long ones, as `_searched` returns them
    `continued`, `lowest`, `iterations`    of the one that carries on; the lowest from `starts`; most iterations of any
    """
    short = short_search(loss, weights, epsilon, short_iterations)
    places = [short["move"] / sides(weights, epsilon), *starts]
    searches = [long_search(loss, weights, epsilon, place, iterations, tolerance) for place in places]
    best = max(searches, key=lambda each: each["sharpness"])
    return {
        "short": short["sharpness"],
        "short_iterations": short["iterations"],
        "sharpness": best["sharpness"],
        "room": best["room"],
        "edge": best["edge"],
        "continued": searches[0]["sharpness"],
        "lowest": min(each["sharpness"] for each in searches[1:]),
        "iterations": max(each["iterations"] for each in searches),
    }


def short_search(loss: Loss, weights: np.ndarray, epsilon: float, iterations: int) -> dict[str, Any]:
    """Sharpness after a few iterations from the weights themselves, as Keskar et al. look for it.

    The units are the weights' own, the tolerances scipy's: where no slope exceeds 1e-5, as at a good minimum, the
    search ends at once. Returns what `_searched` does.
    """
    size = sides(weights, epsilon)
    return _searched(loss, weights, size, np.zeros(len(weights)), np.ones(len(weights)), 1.0, {"maxiter": iterations})


def long_search(
    loss: Loss, weights: np.ndarray, epsilon: float, start: np.ndarray, iterations: int, tolerance: float
) -> dict[str, Any]:
    """Sharpness searched until an iteration raises the loss by less than `tolerance` of its rise.

    start: (n,), the place in the box where the search starts, -1 to 1 a weight; iterations: at most. The units are the
    box's sides, and the loss is scaled so that its mean slope is 1: the first step then reaches the box's edges.
    Returns what `_searched` does.
    """
    size = sides(weights, epsilon)
    mean_slope = float(np.mean(np.abs(loss(weights)[1] * size)))
    if mean_slope == 0:
        mean_slope = 1.0
    options = {"maxiter": iterations, "ftol": tolerance, "gtol": 0.0}
    return _searched(loss, weights, size, start * size, size, mean_slope, options)


def _searched(
    loss: Loss,
    weights: np.ndarray,
    size: np.ndarray,
    start: np.ndarray,
    unit: np.ndarray,
    loss_unit: float,
    options: dict[str, Any],
) -> dict[str, Any]:
    """`sharpness`; `iterations` it took; `room`, in percent as the sharpness: what the slopes at the
    end promise at most if every weight moved on to its edge; `edge`: share of the weights that are there; `move`, (n,).
    """
    from scipy import optimize

    here = loss(weights)[0]

    def negative(place: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = loss(weights + place * unit)
        return -(value - here) / loss_unit, -slope * unit / loss_unit

    edges = size / unit
    bounds = optimize.Bounds(-edges, edges)
    search = optimize.minimize(negative, start / unit, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    move = np.clip(search.x * unit, -size, size)
    slope = -search.jac * loss_unit / unit
    percent = 100 / (1 + here)
    return {
        "sharpness": float(-search.fun * loss_unit * percent),
        "iterations": int(search.nit),
        "room": float(np.sum(np.abs(slope) * size - slope * move) * percent),
        "edge": float(np.mean(np.abs(move) >= size * (1 - 1e-9))),
        "move": move,
    }
