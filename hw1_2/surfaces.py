"""Maxima and minimum of the loss on a line, and the planes on which an error surface is drawn. NumPy, float64.

Planes are (rows, columns): y by x.
"""

from typing import Any

import numpy as np

PROMINENT = 0.01  # share of the range of the loss above which the prominence of a maximum counts (claim C7)
NO_VARIANCE = 1e-12  # relative: a smaller variance is round-off
MARGIN = 0.25  # around the path on each side, as a share of its extent


def line_shape(alpha: np.ndarray, loss: np.ndarray) -> dict[str, Any]:
    """Whether the loss (points,) on a line is smooth: its interior maxima, and its minimum.

    `maxima` are the alphas of the interior maxima whose prominence exceeds PROMINENT, and `prominences` theirs, as
    shares of the range of the loss. `largest_prominence` is that of any interior maximum, 0 where there is none.
    `minimum` is the lowest loss, `minimum_at` its alpha, `end_to_minimum` the loss at the end divided by it. All are
    NaN or empty where a loss is not finite.
    """
    from scipy import signal

    if not np.isfinite(loss).all():
        missing = dict.fromkeys(("largest_prominence", "minimum", "minimum_at", "end_to_minimum"), np.nan)
        return {"maxima": [], "prominences": [], **missing}
    peaks, about = signal.find_peaks(loss, prominence=0)
    shares = about["prominences"] / np.ptp(loss) if len(peaks) else np.zeros(0)
    lowest = int(np.argmin(loss))
    return {
        "maxima": alpha[peaks][shares > PROMINENT],
        "prominences": shares[shares > PROMINENT],
        "largest_prominence": float(shares.max(initial=0.0)),
        "minimum": float(loss[lowest]),
        "minimum_at": float(alpha[lowest]),
        "end_to_minimum": float(loss[-1] / loss[lowest]) if loss[lowest] > 0 else np.nan,
    }


def path_plane(path: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plane through the end of a path of weights along its first two principal components (Li et al. 2018).

    path: (records, n). Returns directions (2, n) of length 1, signed so that the start has positive coordinates; the
    coordinates of the path, (records, 2), from its end; and the shares of variance (2,). A component without variance,
    such as the second of a straight path, is a zero vector.
    """
    moved = path.astype(np.float64)
    moved -= moved[-1]
    products = moved @ moved.T  # (records, records): its eigenvectors give the components of far fewer records than n
    centring = np.eye(len(moved)) - 1 / len(moved)
    values, vectors = np.linalg.eigh(centring @ products @ centring)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    directions = np.zeros((2, moved.shape[1]))
    for place in range(min(2, len(values))):
        if values[place] > NO_VARIANCE * np.trace(products):
            direction = (vectors[:, place] - vectors[:, place].mean()) @ moved
            directions[place] = direction / np.linalg.norm(direction)
            if directions[place] @ moved[0] < 0:
                directions[place] *= -1
    shares = values[:2] / values.sum() if values.sum() > 0 else np.zeros(2)
    return directions, moved @ directions.T, shares


def axes_around(coordinates: np.ndarray, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Grids x (columns,) and y (rows,) that cover the coordinates (records, 2) of a path, with a margin."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    margin = np.where(high > low, MARGIN * (high - low), 1.0)
    ends = zip(low - margin, high + margin, (columns, rows), strict=True)
    x, y = (np.linspace(first, last, count) for first, last, count in ends)
    return x, y


def share_within(displacement: np.ndarray, directions: np.ndarray) -> float:
    """Share of the squared length of a displacement (n,) that lies in the plane of two directions (2, n)."""
    within = directions.T @ np.linalg.lstsq(directions.T, displacement, rcond=None)[0]
    return float(within @ within / (displacement @ displacement))
