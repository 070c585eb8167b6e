"""What sort of point a small tanh net stands at, and how many of its hidden units count. NumPy, float64.

Weights, widths and points as in `newton.py`.
"""

from common import stacked

import numpy as np

from hw1_2 import newton

CRITICAL = 1e-8  # a gradient norm that counts as zero
FLAT = 1e-3  # |Hg| / (|H||g|) below which a gradient that is not zero lies in the kernel of H
SAME = 1e-5  # outputs that differ by less are one
AGREE = 1e-6  # relative: losses and spectra of points that agree so well are of one point
CHANNEL = 10  # a cancellation from which on a net counts as standing in a channel


def kinds(gradient: np.ndarray, hessian: np.ndarray) -> dict[str, np.ndarray]:
    """What sort of point each net stands at. gradient: (nets, n); hessian: (nets, n, n); float64, else TypeError.

    A point is critical if |g| <= 1e-8 max(1, |H|): a minimum if no eigenvalue lies below -tolerance, else a saddle.
    Else it is gradient-flat if |Hg| / (|H||g|) < 1e-3, or unfinished. Tolerance: 100 n eps |H|, |H| the spectral norm.
    """
    if gradient.dtype != np.float64 or hessian.dtype != np.float64:
        raise TypeError(f"gradient and Hessian are {gradient.dtype} and {hessian.dtype}, not float64")
    values, vectors = np.linalg.eigh(hessian)
    norm, spectral = newton.norms(gradient), np.abs(values).max(axis=1)
    tiny = np.finfo(np.float64).tiny
    tolerance = 100 * gradient.shape[1] * np.finfo(np.float64).eps * spectral
    along = (vectors.swapaxes(1, 2) @ gradient[:, :, None])[:, :, 0]
    curved = newton.norms(values * along) / np.maximum(spectral * norm, tiny)
    eigenvalues = np.where(np.abs(values) > tolerance[:, None], values, 0.0)
    index = np.sum(eigenvalues < 0, axis=1)
    critical = norm <= CRITICAL * np.maximum(1, spectral)
    kind = np.where(critical, np.where(index > 0, "saddle", "minimum"), np.where(curved < FLAT, "flat", "unfinished"))
    return {
        "kind": kind,
        "index": index,
        "gradient_norm": norm,
        "spectral_norm": spectral,
        "curvature_along_gradient": curved,  # |Hg| / (|H||g|)
        "newton_step": newton.norms(along / np.where(np.abs(values) < tiny, tiny, values)),  # |H^-1 g|
        "eigenvalues": eigenvalues,  # ascending; those within the tolerance are 0
        "positive_share": np.mean(eigenvalues > 0, axis=1),
        "negative_share": np.mean(eigenvalues < 0, axis=1),
    }


def distinct(loss: np.ndarray, eigenvalues: np.ndarray) -> list[int]:
    """Which of some points, loss (points,) and eigenvalues (points, n) in ascending order, are different points.

    Two are one and the same, up to the order and the signs of hidden units, if their losses differ by at most 1e-6 of
    the larger and their eigenvalues, one by one, by at most 1e-6 of the larger spectral norm. Each point is compared
    with the different ones before it, so that of each set the first stays; returns their indices.
    """
    spectral = np.abs(eigenvalues).max(axis=1)
    different: list[int] = []
    for point in range(len(loss)):
        near = np.abs(loss[different] - loss[point]) <= AGREE * np.maximum(loss[different], loss[point])
        apart = np.abs(eigenvalues[different] - eigenvalues[point]).max(axis=1)
        if not np.any(near & (apart <= AGREE * np.maximum(spectral[different], spectral[point]))):
            different.append(point)
    return different


def effective_width(weights: np.ndarray, inputs: np.ndarray, widths: tuple[int, ...]) -> int:
    """How many hidden units of one net (n,) are distinct and have an effect on the output.

    Units that are equal or opposite on all points count once, with their outgoing weights taken together. One whose
    effect on all units above that count is constant does not count.
    """
    passed = newton.activations(weights[None], inputs, widths)
    arrays = stacked.split(weights, widths)
    width, above = 0, np.ones(1, bool)  # which units of the layer above count; the output does
    for depth in range(len(widths) - 1, 0, -1):
        units, outgoing = passed[depth][0], arrays[2 * depth][:, above]
        waiting, counting = list(range(len(units))), np.zeros(len(units), bool)
        while waiting:
            first = waiting[0]
            signs = {
                unit: sign
                for unit in waiting
                for sign in (1, -1)
                if np.abs(units[unit] - sign * units[first]).max() < SAME
            }
            waiting = [unit for unit in waiting if unit not in signs]
            together = np.abs(sum(sign * outgoing[unit] for unit, sign in signs.items())).max(initial=0)
            counting[first] = together * np.ptp(units[first]) > SAME
        width, above = width + int(counting.sum()), counting
    return width


def cancellation(weights: np.ndarray, inputs: np.ndarray, widths: tuple[int, ...]) -> np.ndarray:
    """(nets,): the ranges of what the last hidden units add to the output, summed, over the range of the output.

    About 1 where each unit does its part. Large where units that are nearly alike have large opposite outgoing weights
    and take the difference of their outputs: such nets stand in a channel that falls towards infinity, along which the
    gradient vanishes although no critical point is near (Martinelli et al. 2025). NaN where the output is constant.
    """
    *_, hidden, outputs = newton.activations(weights, inputs, widths)
    outgoing = newton.layers(weights, widths)[-1][0][:, :, 0]
    added = np.sum(np.abs(outgoing) * np.ptp(hidden, axis=2), axis=1)
    left = np.ptp(outputs[:, 0], axis=1)
    return np.divide(added, left, out=np.full(len(weights), np.nan), where=left >= SAME)


def structure(weights: np.ndarray, inputs: np.ndarray, widths: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What the nets (nets, n) are made of: norm, whether the output is constant, hidden units that count, channels."""
    cancelled = cancellation(weights, inputs, widths)
    return {
        "weight_norm": newton.norms(weights),
        "constant": np.ptp(newton.activations(weights, inputs, widths)[-1][:, 0], axis=1) < SAME,
        "effective_width": np.array([effective_width(net, inputs, widths) for net in weights]),
        "cancellation": cancelled,
        "channel": cancelled >= CHANNEL,  # a constant output, NaN, has nothing to cancel
    }


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


def doubled_units(minima: np.ndarray, about: tuple, generator: np.random.Generator) -> dict:
    """Double a unit of each minimum (minima, n): gradient norms before and after, and what kind of point it then is.

    about: inputs, targets and widths. Returns norm, doubled_norm and kind, a value for each minimum.
    """
    inputs, targets, widths = about
    if not len(minima):
        return {"norm": [], "doubled_norm": [], "kind": []}
    wider = np.stack(
        [
            duplicate_unit(weights, widths, int(generator.integers(widths[0])), float(generator.uniform()))
            for weights in minima
        ]
    )
    before = newton.norms(newton.gradients(minima, *about)[1])
    _, gradient, hessian = newton.hessians(wider, inputs, targets, (widths[0] + 1, *widths[1:]))
    return {"norm": before, "doubled_norm": newton.norms(gradient), "kind": kinds(gradient, hessian)["kind"]}
