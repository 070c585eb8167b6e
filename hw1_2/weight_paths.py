"""Paths of nets through weight space: principal plane, loss on it, distances between ends. NumPy and scikit-learn.

Records of weights are arrays (records, nets, weights), with the weights of a net in the order of `common.stacked`. Some
functions take all weights of the nets, (records, nets, parameters), and others those of one layer too.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from common import stacked, weights

import numpy as np

COMPONENTS = 10  # principal components whose share of the variance is recorded
SURFACE_MARGIN = 0.1  # around the paths on each side, as a share of their extent


def principal_plane(fitted: np.ndarray) -> Any:
    """The principal components of records (records, nets, weights), all nets together; not whitened."""
    from sklearn.decomposition import PCA

    flat = fitted.reshape(-1, fitted.shape[-1]).astype(np.float64)
    return PCA(n_components=min(COMPONENTS, *flat.shape), svd_solver="covariance_eigh").fit(flat)


def coordinates(plane: Any, records: np.ndarray) -> np.ndarray:
    """(nets, 2, records): the first two components of records (records, nets, weights)."""
    flat = records.reshape(-1, records.shape[-1]).astype(np.float64) - plane.mean_
    return (flat @ plane.components_[:2].T).reshape(*records.shape[:2], 2).transpose(1, 2, 0)


def surface(
    plane: Any, paths: np.ndarray, steps: int, loss: Callable[[np.ndarray], np.ndarray]
) -> dict[str, np.ndarray]:
    """The loss on a square of the plane around the paths (nets, 2, records).

    loss: of nets (nets, parameters), returns (nets,); it is called for one row of the square at a time. Returns the
    coordinates of the square, `across` (steps,) and `along` (steps,), and `loss` (along, across).
    """
    low, high = paths.min(axis=(0, 2)), paths.max(axis=(0, 2))
    half = (0.5 + SURFACE_MARGIN) * max(float((high - low).max()), 1e-6)
    across, along = (np.linspace(middle - half, middle + half, steps) for middle in (low + high) / 2)
    first, second = plane.components_[:2]
    rows = [plane.mean_ + across[:, None] * first + y * second for y in along]
    return {"across": across, "along": along, "loss": np.stack([loss(nets) for nets in rows])}


def matched_distance(first: np.ndarray, second: np.ndarray, widths: Sequence[int]) -> float:
    """Distance between two nets (parameters,) after their hidden units are matched, or before if that is smaller.

    Matching is a local search whose result depends on which net is permuted, so both are tried.
    """
    pair = [stacked.split(net.astype(np.float64), widths) for net in (first, second)]
    distances = [float(np.linalg.norm(second.astype(np.float64) - first))]
    for reference, other in (pair, pair[::-1]):
        matched, _ = weights.match_units(reference, other)
        distances.append(float(np.linalg.norm(weights.flatten(matched) - weights.flatten(reference))))
    return min(distances)


def between_ends(records: np.ndarray, widths: Sequence[int]) -> dict[str, list[float]]:
    """Distances and angles between the nets of records (records, nets, parameters).

    For each pair of nets: the distance of their initial weights; that of their final weights, before and after matching
    of units; and the cosine between their displacements. For each net, `lengths`: that of its displacement.
    """
    starts, ends = records[0].astype(np.float64), records[-1].astype(np.float64)
    moved = ends - starts
    lengths = np.linalg.norm(moved, axis=1)
    pairs = list(itertools.combinations(range(len(ends)), 2))
    return {
        "start_distances": [float(np.linalg.norm(starts[i] - starts[j])) for i, j in pairs],
        "distances": [float(np.linalg.norm(ends[i] - ends[j])) for i, j in pairs],
        "matched_distances": [matched_distance(ends[i], ends[j], widths) for i, j in pairs],
        "cosines": [float(moved[i] @ moved[j] / max(lengths[i] * lengths[j], 1e-30)) for i, j in pairs],
        "lengths": lengths.tolist(),
    }


def layer_slice(number: int, widths: Sequence[int]) -> slice:
    """Where kernel and bias of the Dense layer `number`, from 1, are among the weights of a net."""
    sizes = [rows * columns + columns for rows, columns in stacked.layer_shapes(widths)]
    return slice(sum(sizes[: number - 1]), sum(sizes[:number]))
