"""Many small fully connected nets of one shape, computed at once.

One array (nets, parameters) holds the weights of all nets, each in the order of Keras's `get_weights` (kernel row by
row, then bias, layer by layer). Activations have the shape (nets, units, points), for which the matrix products of
many tiny layers are fastest on a CPU.
"""

from collections.abc import Sequence
from typing import Any

from common import weights
from common.lazy import keras, tf

import numpy as np


def layer_shapes(widths: Sequence[int]) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer of a net with one input and these layer widths, output layer last."""
    return list(zip((1, *widths[:-1]), widths, strict=True))


def parameter_count(widths: Sequence[int]) -> int:
    """Weights and biases of one net."""
    return sum(rows * columns + columns for rows, columns in layer_shapes(widths))


def glorot_uniform(widths: Sequence[int], seeds: Sequence[int]) -> np.ndarray:
    """Initial weights (nets, parameters), float64: Glorot and Bengio 2010, equation 16; zero biases.

    seeds: one for each net. A seed gives the same weights whatever the other seeds are.
    """
    nets = []
    for seed in seeds:
        generator = np.random.default_rng(seed)
        parts = []
        for rows, columns in layer_shapes(widths):
            bound = np.sqrt(6 / (rows + columns))
            parts += [generator.uniform(-bound, bound, rows * columns), np.zeros(columns)]
        nets.append(np.concatenate(parts))
    return np.stack(nets)


def split(parameters: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """One net's flat weights (parameters,) as Keras's list, float64: kernel (inputs, outputs), bias (outputs,), ..."""
    return weights.unflatten(parameters, [shape for layer in layer_shapes(widths) for shape in (layer, layer[1:])])


def forward(parameters: Any, points: Any, widths: Sequence[int], activation: Any) -> Any:
    """Outputs (nets, points) of nets with one input and one output; linear last layer.

    parameters: tensor (nets, parameters); points: tensor (points,), the same for all nets, or (nets, points).
    """
    shapes = layer_shapes(widths)
    sizes = [size for rows, columns in shapes for size in (rows * columns, columns)]
    parts = tf.split(parameters, sizes, axis=1)
    hidden = points[None, None, :] if len(points.shape) == 1 else points[:, None, :]
    for index, (rows, columns) in enumerate(shapes):
        kernel, bias = parts[2 * index], parts[2 * index + 1][:, :, None]
        if rows == 1:
            hidden = kernel[:, :, None] * hidden + bias  # one input: no matrix product needed
        else:
            hidden = tf.matmul(tf.reshape(kernel, (-1, rows, columns)), hidden, transpose_a=True) + bias
        if index < len(shapes) - 1:
            hidden = activation(hidden)
    return hidden[:, 0, :]


def copies_of(model: Any) -> Any:
    """forward(parameters, points), as `forward` above, of many copies of a keras.Sequential of Dense layers.

    ValueError unless all hidden layers have one activation and the last layer none.
    """
    widths, activations = [layer.units for layer in model.layers], [layer.activation for layer in model.layers]
    if len(set(activations[:-1])) > 1 or activations[-1] is not keras.activations.linear:
        raise ValueError("the copies of a net need one activation in all hidden layers, and none in the last layer")
    return lambda parameters, points: forward(parameters, points, widths, activations[0])
