"""The loss at many points of lines and planes through the weight space of a fully connected ReLU net without biases.

A point is a weighted sum of a few weight vectors,

    theta(c) = c_1 theta_1 + ... + c_k theta_k,

such as (1 - alpha) theta_start + alpha theta_end. The sums of the first layer are linear in the weights, hence in c.
They are computed once for each theta_i, so that a point costs only the products of the later layers. Weights are
float64, products with images float32.
"""

from __future__ import annotations

from collections.abc import Callable

from common import backend
from common.lazy import tf
from common.weights import Arrays

import numpy as np

POINTS_A_CALL = 8  # a compiled call does not see Ctrl-C until it returns

At = Callable[[np.ndarray], np.ndarray]  # coefficients (points, k) -> (points, 2): loss in nats, accuracy; float64


def evaluator(images: np.ndarray, labels: np.ndarray) -> Callable[..., At]:
    """Returns through(theta_1, ..., theta_k), which returns at(coefficients (points, k)) -> (points, 2).

    These are mean cross-entropy (nats) and accuracy over images (n, ...), float32, and labels (n,). Each theta is a
    list of Dense kernels (inputs, outputs), layer by layer. It compiles once for all nets of one shape. A compiled loop
    evaluates one point after the other: several in one batched product are no faster (measured on a CPU).
    """
    inputs, labels = tf.constant(images.reshape(len(images), -1)), tf.constant(labels)

    @tf.function(autograph=False, jit_compile=False)
    def call(first: list[tf.Tensor], later: list[tf.Tensor], coefficients: tf.Tensor) -> tf.Tensor:
        def at(point: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            summed = tf.add_n([tf.cast(point[i], tf.float32) * each for i, each in enumerate(first)])
            for kernels in later:
                kernel = tf.cast(tf.tensordot(point, kernels, 1), tf.float32)
                summed = tf.matmul(tf.nn.relu(summed), kernel)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, summed)
            correct = tf.argmax(summed, axis=-1, output_type=labels.dtype) == labels
            return tf.reduce_mean(tf.cast(losses, tf.float64)), tf.reduce_mean(tf.cast(correct, tf.float64))

        types = tf.float64, tf.float64
        values = tf.map_fn(at, coefficients, fn_output_signature=types, parallel_iterations=backend.parts())
        return tf.stack(values, axis=1)

    def through(*thetas: Arrays) -> At:
        first = [tf.matmul(inputs, tf.constant(kernels[0], tf.float32)) for kernels in thetas]
        later = [tf.constant(np.stack(kernels), tf.float64) for kernels in list(zip(*thetas, strict=True))[1:]]

        def at(coefficients: np.ndarray) -> np.ndarray:
            parts = [coefficients[i : i + POINTS_A_CALL] for i in range(0, len(coefficients), POINTS_A_CALL)]
            return np.concatenate([call(first, later, tf.constant(part, tf.float64)).numpy() for part in parts])

        return at

    return through


def line(alpha: np.ndarray) -> np.ndarray:
    """(points, 2): coefficients of start and end for each alpha, which is 0 at the start and 1 at the end."""
    return np.stack([1 - alpha, alpha], axis=1)


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(rows * columns, 3): coefficients of origin, x direction and y direction, row by row of the grid y by x."""
    across, along = np.meshgrid(x, y)  # both (rows, columns)
    return np.stack([np.ones(across.size), across.ravel(), along.ravel()], axis=1)
