"""The loss of a net without biases on lines and planes through its weight space.

A point of a line or plane is a weighted sum of a few settings of all weights,

    theta(c) = c_1 theta_1 + ... + c_k theta_k,

such as (1 - alpha) theta_start + alpha theta_end. What the first layer sums up is linear in the weights, hence in c:
it is computed once for each theta_i, and every point costs the products of the later layers only. Weights are float64;
products with images are float32. Planes are (rows, columns): y by x.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from common.lazy import tf

import numpy as np

CALL_SECONDS = 0.5  # a compiled call does not see Ctrl-C until it returns
PROMINENT = 0.01  # share of the losses' range above which a maximum counts (claim C7)
NO_VARIANCE = 1e-12  # relative: round-off
MARGIN = 0.25  # of the path's extent, on each side


def evaluator(bases: Sequence[Sequence[np.ndarray]], images: np.ndarray, labels: np.ndarray) -> Callable:
    """Compile evaluate(coefficients (points, k)) -> (points, 2): mean cross-entropy (nats) and accuracy.

    bases: k lists of Dense kernels (inputs, outputs) of a ReLU net without biases. images: (n, pixels), float32.
    One point after the other goes through a compiled loop: a layer's product over 1,000 images or more already keeps
    the processor busy, and several points in one batched product are no faster (measured on a CPU).
    """
    first = [tf.matmul(images, kernels[0].astype(np.float32)) for kernels in bases]
    later = [tf.constant(np.stack(kernels)) for kernels in list(zip(*bases, strict=True))[1:]]
    labels = tf.constant(labels)

    def at(coefficients: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        summed = tf.add_n([tf.cast(coefficients[i], tf.float32) * each for i, each in enumerate(first)])
        for kernels in later:
            kernel = tf.cast(tf.tensordot(coefficients, kernels, 1), tf.float32)
            summed = tf.matmul(tf.nn.relu(summed), kernel)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, summed)
        correct = tf.argmax(summed, axis=-1, output_type=labels.dtype) == labels
        return tf.reduce_mean(tf.cast(losses, tf.float64)), tf.reduce_mean(tf.cast(correct, tf.float64))

    @tf.function(input_signature=[tf.TensorSpec([None, len(bases)], tf.float64)], autograph=False, jit_compile=False)
    def call(coefficients: tf.Tensor) -> tf.Tensor:
        found = tf.map_fn(at, coefficients, fn_output_signature=(tf.float64, tf.float64), parallel_iterations=1)
        return tf.stack(found, axis=1)

    return lambda coefficients: call(tf.constant(coefficients)).numpy()


def sweep(evaluate: Callable, coefficients: np.ndarray, values: list, after: Callable[[int], Any]) -> None:
    """Append what `evaluate` gives at the coefficients that `values` lacks; after(points) follows each short call."""
    seconds_per_point, called = 0.0, False
    while len(values) < len(coefficients):
        count = max(1, int(CALL_SECONDS / seconds_per_point)) if seconds_per_point else 1
        started = time.perf_counter()
        found = evaluate(coefficients[len(values) : len(values) + count]).tolist()
        if called:  # the first call also traces
            seconds_per_point = (time.perf_counter() - started) / len(found)
        values += found
        called = True
        after(len(found))


def line(alpha: np.ndarray) -> np.ndarray:
    """(points, 2): coefficients of start and end at the places alpha, 0 at the start and 1 at the end."""
    return np.stack([1 - alpha, alpha], axis=1)


def plane(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(rows * columns, 3): coefficients of origin, x direction and y direction, row by row of the grid y by x."""
    across, along = np.meshgrid(x, y)  # both (rows, columns)
    return np.stack([np.ones(across.size), across.ravel(), along.ravel()], axis=1)


def line_shape(alpha: np.ndarray, loss: np.ndarray) -> dict[str, Any]:
    """What decides whether a line is smooth: its interior maxima, and where it is lowest.

    maxima, prominences: places of the interior maxima whose prominence exceeds PROMINENT, and that prominence, as a
    share of the losses' range; largest_prominence: of any interior maximum, 0 where there is none. minimum, its place
    minimum_at, and end_to_minimum, the loss at the end over it. All are NaN or empty where a loss is not finite.
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

    path: (records, n). Returns directions (2, n) of length 1, on whose positive sides the start lies; the path's
    coordinates (records, 2) from its end; and the shares of variance (2,). A component without variance, such as the
    second of a straight path, is 0.
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
    """Grids x (columns,) and y (rows,) that hold a path's coordinates (records, 2) with some room around."""
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    room = np.where(high > low, MARGIN * (high - low), 1.0)
    x, y = (np.linspace(*ends, count) for *ends, count in zip(low - room, high + room, (columns, rows), strict=True))
    return x, y


def share_within(displacement: np.ndarray, directions: np.ndarray) -> float:
    """The share of a displacement's (n,) squared length that lies in the plane of two directions (2, n)."""
    within = directions.T @ np.linalg.lstsq(directions.T, displacement, rcond=None)[0]
    return float(within @ within / (displacement @ displacement))
