"""Barriers and widths on a line through two solutions, and flatness along random directions from a solution."""

from collections.abc import Callable
from typing import Any

from common import landscape, weights

import numpy as np

FIRST, GROWTH, LONGEST = 0.01, 1.25, 10.0  # first, factor between, and largest of the distances that are tried
EXACT = 1e-5  # error of a distance


def places(intervals: int) -> np.ndarray:
    """(3 intervals + 1,): alpha from -1 to 2 in equal steps, `intervals` of them from 0 to 1, both exactly included."""
    return np.arange(-intervals, 2 * intervals + 1) / intervals


def barrier(alpha: np.ndarray, loss: np.ndarray) -> dict[str, float]:
    """How far the loss between two solutions exceeds the linear interpolation of their losses (Frankle et al. 2020).

    alpha, loss: (points,), with 0 and 1 among alpha. Returns `height`, the largest excess, and `place`, its alpha. The
    height is 0 or more, as the excess is 0 at both solutions.
    """
    inside = (alpha >= 0) & (alpha <= 1)
    ends = [loss[np.searchsorted(alpha, end)] for end in (0, 1)]
    excess = loss[inside] - landscape.line(alpha[inside]) @ ends
    highest = int(np.argmax(excess))
    return {"height": float(excess[highest]), "place": float(alpha[inside][highest])}


def width(distance: np.ndarray, change: np.ndarray, limit: float) -> float:
    """The first distance at which `change` reaches `limit`, interpolated between points; NaN where it never does.

    distance, change: (points,), both starting at 0; distance rises.
    """
    above = np.flatnonzero(change >= limit)
    if not len(above):
        return float("nan")
    after = above[0]
    return float(np.interp(limit, change[after - 1 : after + 1], distance[after - 1 : after + 1]))


def widths(alpha: np.ndarray, change: np.ndarray, limit: float) -> dict[str, dict[str, float]]:
    """`width` from each solution on a line, away from the other one (outward) and towards it (inward), in alpha.

    change: (2, points): the change since alpha = 0, and since alpha = 1.
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

    curves: {quantity: (seeds, points)}, losses with names that end in "loss", and accuracies. Returns the curves under
    their names; `barrier`: {quantity: {height, place}}, where the barrier of an accuracy is how far it falls below the
    interpolation; `widths`: {quantity: {small, large: {outward, inward}}}, in alpha, up to a rise of a loss by `rise`
    or a fall of an accuracy by `fall`. Numbers are lists over seeds.
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
    """The distance at which a loss first exceeds that at distance 0 by `rise`; NaN where that is beyond LONGEST.

    Tries growing distances until the loss exceeds it, then finds the distance within the last step by Brent's method.
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
    """Distances from `net` along random directions at which the loss has risen by `rise`.

    through: of `landscape.evaluator`. The directions are filter-normalised (`weights.filter_normalised`) and drawn by
    `seed`, so that nets with the same seed get the same draws. Returns (directions, 2): the distances forward and
    backward along each direction, in units of its length, which is that of the net's weight vector.
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
