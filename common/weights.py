"""Weights as flat vectors, filter-normalised directions, and the matching of hidden units. NumPy, float64.

Weights are lists of arrays as Keras's `get_weights` returns them, layer by layer. The last axis of a kernel is that of
the layer's units, so that a filter of a Dense kernel (inputs, outputs) is a column.
"""

import math
from collections.abc import Sequence

import numpy as np

Arrays = Sequence[np.ndarray]
ROUND_OFF = 1e-12  # relative, of a sum of products: a better matching must gain more than this


def flatten(arrays: Arrays) -> np.ndarray:
    """All weights in one vector (n,), float64, each array row by row."""
    return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])


def unflatten(vector: np.ndarray, shapes: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The inverse of `flatten`: arrays of these shapes, float64. ValueError where the sizes differ."""
    sizes = [math.prod(shape) for shape in shapes]
    vector = np.asarray(vector, np.float64)
    if vector.shape != (sum(sizes),):
        raise ValueError(f"a vector of shape {vector.shape} does not fill arrays of {sum(sizes)} numbers")
    parts = np.split(vector, np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def layers(arrays: Arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """(kernel, bias) of each Dense layer, float64; a bias of zeros where there is none.

    arrays: kernels (inputs, outputs), each with or without a bias (outputs,) after it. ValueError where they are not.
    """
    pairs: list[tuple[np.ndarray, np.ndarray]] = []
    for array in (np.asarray(array, np.float64) for array in arrays):
        if array.ndim == 2 and (not pairs or len(array) == pairs[-1][0].shape[1]):
            pairs.append((array, np.zeros(array.shape[1])))
        elif array.ndim == 1 and pairs and array.shape == pairs[-1][1].shape:
            pairs[-1] = pairs[-1][0], array
        else:
            raise ValueError(f"an array of shape {array.shape} is neither the next Dense kernel nor the bias after one")
    if not pairs:
        raise ValueError("a net needs at least one Dense kernel")
    return pairs


def filter_normalised(generator: np.random.Generator, arrays: Arrays) -> list[np.ndarray]:
    """A random direction, float64, in which each filter has the norm of the same filter of the weights; 0 for biases.

    Normal random numbers, rescaled unit by unit, so that a step means the same in nets of any scale (Li et al. 2018).
    """
    direction = []
    for array in arrays:
        if np.ndim(array) < 2:
            direction.append(np.zeros(np.shape(array)))
            continue
        weights = np.asarray(array, np.float64)
        filters = tuple(range(weights.ndim - 1))
        drawn = generator.standard_normal(weights.shape)
        lengths = [np.sqrt(np.sum(each**2, axis=filters)) for each in (weights, drawn)]
        direction.append(drawn * (lengths[0] / lengths[1]))
    return direction


def match_units(reference: Arrays, other: Arrays) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Renumber the hidden units of a fully connected net so that its weights come close to those of another net.

    reference, other: kernels (inputs, outputs), with or without a bias (outputs,) after each. Renumbering changes no
    output, and the distance of the two weight vectors never grows. Returns the arrays of `other`, renumbered, and for
    each hidden layer the old numbers of its units in the new order. ValueError where the shapes differ.
    The method is "weight matching" (Ainsworth et al. 2023):
    1. Pair the units of one layer so that the sum of products of paired weights, incoming and outgoing, is largest,
       with the numbering of the other layers fixed.
    2. Repeat layer by layer until nothing changes. This ends in a local optimum. So it is done from three starts, and
       the best result is returned: from the given numbering; from units paired by their incoming weights, first layer
       first, which undoes any pure renumbering; and from units paired by their outgoing weights, last layer first.
    """
    if [np.shape(array) for array in reference] != [np.shape(array) for array in other]:
        raise ValueError("only nets of the same shape can be matched")
    ours, theirs = layers(reference), layers(other)
    unchanged = [np.arange(kernel.shape[1]) for kernel, _ in ours[:-1]]
    starts = [unchanged, _one_sided(ours, theirs, incoming=True), _one_sided(ours, theirs, incoming=False)]
    ends = [_improved(ours, theirs, start) for start in starts]
    target = flatten(reference)
    orders = min(ends, key=lambda end: np.linalg.norm(flatten(_renumbered(other, end)) - target))
    return _renumbered(other, orders), orders


def _incoming(ours: list, theirs: list, orders: list[np.ndarray], layer: int) -> np.ndarray:
    """(units, units): products of the incoming weights and biases of each pair of units of a layer."""
    kernel, bias = theirs[layer]
    sources = kernel if layer == 0 else kernel[orders[layer - 1]]
    return ours[layer][0].T @ sources + np.outer(ours[layer][1], bias)


def _outgoing(ours: list, theirs: list, orders: list[np.ndarray], layer: int) -> np.ndarray:
    """(units, units): products of the outgoing weights of each pair of units of a layer."""
    kernel = theirs[layer + 1][0]
    targets = kernel if layer + 1 == len(orders) else kernel[:, orders[layer + 1]]
    return ours[layer + 1][0] @ targets.T


def _paired(products: np.ndarray) -> np.ndarray:
    """For each unit of the reference, the number of the other net's unit, so that the sum of products is largest."""
    from scipy import optimize

    return optimize.linear_sum_assignment(products, maximize=True)[1]


def _one_sided(ours: list, theirs: list, incoming: bool) -> list[np.ndarray]:
    """One pass through the layers that uses only incoming or only outgoing weights, from units paired before."""
    orders = [np.arange(kernel.shape[1]) for kernel, _ in ours[:-1]]
    for layer in range(len(orders)) if incoming else reversed(range(len(orders))):
        products = (_incoming if incoming else _outgoing)(ours, theirs, orders, layer)
        orders[layer] = _paired(products)
    return orders


def _improved(ours: list, theirs: list, start: list[np.ndarray]) -> list[np.ndarray]:
    """Pair layer by layer, from `start`, until no layer gains."""
    orders, gained = list(start), True
    while gained:
        gained = False
        for layer, order in enumerate(orders):
            products = _incoming(ours, theirs, orders, layer) + _outgoing(ours, theirs, orders, layer)
            better, units = _paired(products), np.arange(len(order))
            gain = products[units, better].sum() - products[units, order].sum()
            if gain > ROUND_OFF * np.abs(products[units, order]).sum():
                orders[layer], gained = better, True
    return orders


def _renumbered(arrays: Arrays, orders: list[np.ndarray]) -> list[np.ndarray]:
    """The same net with unit orders[l][i] of hidden layer l moved to position i."""
    renumbered, layer = [], -1
    for array in map(np.asarray, arrays):
        if array.ndim == 2:
            layer += 1
            if layer:
                array = array[orders[layer - 1]]
        renumbered.append(array[..., orders[layer]] if layer < len(orders) else array.copy())
    return renumbered
