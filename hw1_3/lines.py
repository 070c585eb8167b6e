"""What a line through two solutions, and random directions around each, tell: barriers, widths and flatness."""

from collections.abc import Callable
from typing import Any

from common import landscape, weights

import numpy as np

FIRST, GROWTH, LONGEST = 0.01, 1.25, 10.0  # distances that the search for a rise tries, in lengths of the direction
EXACT = 1e-5  # of a distance


def places(intervals: int) -> np.ndarray:
    """(3 intervals + 1,): alpha from -1 to 2 in equal steps, `intervals` of them from 0 to 1; both are hit exactly."""
    return np.arange(-intervals, 2 * intervals + 1) / intervals


def barrier(alpha: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """How far the loss between two solutions lies above the straight line from one's loss to the other's.

    alpha, loss: (points,), with 0 and 1 among alpha. Returns height, the largest excess (0 or more: it is 0 at the
    ends), and place, its alpha (Frankle et al. 2020).
    """
    inside = (alpha >= 0) & (alpha <= 1)
    ends = [loss[np.searchsorted(alpha, end)] for end in (0, 1)]
    excess = loss[inside] - landscape.line(alpha[inside]) @ ends
    highest = int(np.argmax(excess))
    return {"height": float(excess[highest]), "place": float(alpha[inside][highest])}


def width(distance: np.ndarray, change: np.ndarray, limit: float) -> float:
    """The first distance at which `change` reaches `limit`, linear between points; NaN where it never does.

    distance, change: (points,), both starting at 0; distance rises.
    """
    above = np.flatnonzero(change >= limit)
    if not len(above):
        return float("nan")
    after = above[0]
    return float(np.interp(limit, change[after - 1 : after + 1], distance[after - 1 : after + 1]))


def widths(alpha: np.ndarray, change: np.ndarray, limit: float) -> dict[str, dict[str, float]]:
    """`width` from each end of a line, away from the other end (outward) and towards it (inward), in alpha.

    change: (2, points): what has changed since alpha = 0, and since alpha = 1.
    """
    left, right = (int(np.searchsorted(alpha, end)) for end in (0, 1))
    return {
        "small": {
            "outward": width(-alpha[left::-1], change[0, left::-1], limit),
            "inward": width(alpha[left : right + 1], change[0, left : right + 1], limit),
        },
        "large": {
            "outward": width(alpha[right:] - 1, change[1, right:], limit),
            "inward": width(1 - alpha[left : right + 1][::-1], change[1, left : right + 1][::-1], limit),
        },
    }


def described(alpha: np.ndarray, curves: dict[str, np.ndarray], rise: float, fall: float) -> dict[str, Any]:
    """Curves, barriers and widths of the lines of several seeds.

    curves: {quantity: (seeds, points)}; those whose names end in loss are worse when higher, accuracies when lower.
    Returns the curves under their names; barrier: {quantity: {height, place}}, of an accuracy how far it dips below;
    widths: {quantity: {small, large: {outward, inward}}}, in alpha, to a rise by `rise` or a fall by `fall`. All of
    these are lists over seeds.
    """
    lines: dict[str, Any] = {**curves, "barrier": {}, "widths": {}}
    at_ends = np.searchsorted(alpha, (0, 1))
    for name, values in curves.items():
        worse, limit = (values, rise) if name.endswith("loss") else (-values, fall)
        barriers = [barrier(alpha, curve) for curve in worse]
        lines["barrier"][name] = {key: [each[key] for each in barriers] for key in ("height", "place")}
        reached = [widths(alpha, curve - curve[at_ends, None], limit) for curve in worse]
        lines["widths"][name] = {
            end: {side: [each[end][side] for each in reached] for side in ("outward", "inward")}
            for end in ("small", "large")
        }
    return lines


def first_rise(loss_at: Callable[[float], float], rise: float) -> float:
    """The distance at which a loss first lies `rise` above that at distance 0; NaN where it never does within LONGEST.

    Growing distances are tried until one lies above; within the last step the place is found by Brent's method.
    """
    from scipy import optimize

    wanted = loss_at(0.0) + rise
    low, high = 0.0, FIRST
    while not loss_at(high) >= wanted:
        low, high = high, high * GROWTH
        if high > LONGEST:
            return float("nan")
    return float(optimize.brentq(lambda distance: loss_at(distance) - wanted, low, high, xtol=EXACT))


def flatness(through: Callable, net: weights.Arrays, rise: float, directions: int, seed: int) -> list[list[float]]:
    """How far one can go from `net` along random directions before the loss has risen by `rise`.

    through: of `landscape.evaluator`. The directions are filter-normalised (`weights.filter_normalised`) and drawn by
    `seed`, so that nets with the same seed get the same draws. Returns (directions, 2): distances along and against
    each, in lengths of the direction, which are those of the net's weights.
    """
    generator = np.random.default_rng(seed)
    distances = []
    for _ in range(directions):
        values = through(net, weights.filter_normalised(generator, net))

        def loss_at(distance: float, values: Callable = values) -> float:
            return float(values(np.array([[1.0, distance]]))[0, 0])

        both = [first_rise(lambda distance, sign=sign: loss_at(sign * distance), rise) for sign in (1, -1)]
        distances.append(both)
    return distances
