"""The kinds of points at which small tanh nets end, and how many of their hidden units count. NumPy, float64.

Weights, widths and points as in `newton.py`.
"""

from common import stacked

import numpy as np

from hw1_2 import newton

CRITICAL = 1e-8  # a gradient norm that counts as zero
FLAT = 1e-3  # |Hg| / (|H||g|) below which a gradient that is not zero counts as lying in the kernel of H
SAME = 1e-5  # outputs that differ by less count as equal
AGREE = 1e-6  # relative: points whose losses and eigenvalues differ by no more count as one
CHANNEL = 10  # cancellation from which a net counts as being in a channel


def kinds(gradient: np.ndarray, hessian: np.ndarray) -> dict[str, np.ndarray]:
    """The kind of point of each net. gradient: (nets, n); hessian: (nets, n, n); float64, else TypeError.

    A point is critical if |g| <= 1e-8 max(1, |H|), where |H| is the spectral norm. A critical point is a minimum if no
    eigenvalue is below -100 n eps |H|, else a saddle. Any other point is gradient-flat if |Hg| / (|H||g|) < 1e-3, else
    unfinished.
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
        "eigenvalues": eigenvalues,  # ascending; 0 where within the tolerance
        "positive_share": np.mean(eigenvalues > 0, axis=1),
        "negative_share": np.mean(eigenvalues < 0, axis=1),
    }


def distinct(loss: np.ndarray, eigenvalues: np.ndarray) -> list[int]:
    """Indices of the distinct points, of equal ones the first. loss: (points,); eigenvalues: (points, n), ascending.

    Two points are equal, up to order and signs of hidden units, if their losses differ by at most 1e-6 of the larger
    loss and their eigenvalues, one by one, by at most 1e-6 of the larger spectral norm.
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

    Units that are equal or opposite at all points count once, with their outgoing weights added up. A unit does not
    count if its effect on the counted units of the next layer is constant.
    """
    passed = newton.activations(weights[None], inputs, widths)
    arrays = stacked.split(weights, widths)
    width, above = 0, np.ones(1, bool)  # which units of the next layer count; the output does
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
    """(nets,): sum of the ranges of what each last hidden unit adds to the output, divided by the output's range.

    About 1 where the units add up. Large where nearly equal units have large, opposite outgoing weights, so that the
    output is their small difference: such nets are in a channel that falls towards infinity, along which the gradient
    vanishes although no critical point is near (Martinelli et al. 2025). NaN where the output is constant.
    """
    *_, hidden, outputs = newton.activations(weights, inputs, widths)
    outgoing = newton.layers(weights, widths)[-1][0][:, :, 0]
    added = np.sum(np.abs(outgoing) * np.ptp(hidden, axis=2), axis=1)
    left = np.ptp(outputs[:, 0], axis=1)
    return np.divide(added, left, out=np.full(len(weights), np.nan), where=left >= SAME)


def structure(weights: np.ndarray, inputs: np.ndarray, widths: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Norm of each of the nets (nets, n), whether its output is constant, its effective width, and its channel."""
    cancelled = cancellation(weights, inputs, widths)
    return {
        "weight_norm": newton.norms(weights),
        "constant": np.ptp(newton.activations(weights, inputs, widths)[-1][:, 0], axis=1) < SAME,
        "effective_width": np.array([effective_width(net, inputs, widths) for net in weights]),
        "cancellation": cancelled,
        "channel": cancelled >= CHANNEL,  # False where the output is constant and the cancellation NaN
    }


def duplicate_unit(weights: np.ndarray, widths: tuple[int, ...], unit: int, share: float) -> np.ndarray:
    """One net (n,) with a copy of one unit in its first hidden layer: the same function, so the same loss.

    The copy takes `share` of the unit's outgoing weights. The gradient's norm grows by at most a factor of sqrt 2
    (Fukumizu and Amari 2000): its components for incoming weights are divided between unit and copy, and those for
    outgoing weights occur twice.
    """
    kernel, bias, following, *rest = stacked.split(weights, widths)
    copies = following[unit : unit + 1]
    following = np.concatenate([following, share * copies])
    following[unit] *= 1 - share
    widened = [np.append(kernel, kernel[:, unit : unit + 1], axis=1), np.append(bias, bias[unit]), following, *rest]
    return np.concatenate([array.ravel() for array in widened])


def doubled_units(minima: np.ndarray, about: tuple, generator: np.random.Generator) -> dict:
    """Double a random unit of each minimum (minima, n). about: inputs, targets and widths.

    Returns, for each minimum, the gradient norm before (`norm`) and after (`doubled_norm`), and the new point's `kind`.
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
