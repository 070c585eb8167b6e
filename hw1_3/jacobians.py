"""How strongly a net's outputs change with its input: exact norms of the Jacobian of each image. NumPy, float64.

A net of Dense layers with ReLU between them is linear around almost every image x. With two hidden layers,

    logits(x) = W3' S2 W2' S1 W1' x + constant,   S1, S2: diagonal, 1 where a hidden unit is on, else 0,

where a prime is a transpose. Let p = softmax(logits), D = diag(p) - p p' and y the one-hot label. The Frobenius norms
of the Jacobians of logits and softmax with respect to the pixels (Novak et al. 2018), and the norm of the gradient of
an image's loss, are

    logits: |J|,   softmax: |D J|,   loss: |(p - y)' J|,   with J = W3' S2 W2' S1 W1'

W1 is large and the same for all images. With W1 = Q R, R' can replace W1', since Q does not change a norm. So 10,000
images of a net 784-64-64-10 cost about 2 GFLOP. D and p - y are computed without the difference 1 - p of the likely
class, so that the tiny norms of a confident net are exact as well.
"""

from collections.abc import Iterator

from common import weights
from common.weights import Arrays

import numpy as np

BATCH = 1000  # images at once: a few megabytes


def jacobian_norms(arrays: Arrays, images: np.ndarray) -> dict[str, np.ndarray]:
    """Frobenius norms of the Jacobians with respect to the pixels: `logits` and `softmax`, each (images,).

    arrays: the net's weights in the order of Keras's `get_weights`: Dense kernels (inputs, outputs), each with or
    without a bias (outputs,) after it; ReLU between the layers, none after the last. images: (images, ...), which are
    flattened here. ValueError where the arrays do not fit together.
    """
    parts = [
        (_lengths(jacobian), _lengths(_softmax_slope(logits) @ jacobian))
        for logits, jacobian in _passes(arrays, images)
    ]
    logits, softmax = map(np.concatenate, zip(*parts, strict=True))
    return {"logits": logits, "softmax": softmax}


def sensitivities(arrays: Arrays, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """What `jacobian_norms` returns, and for each image, (images,) each,

    `loss_gradient`   Euclidean norm of the gradient of its cross-entropy with respect to its pixels
    `loss`            its cross-entropy, in nats, without the round-off of log(1 - small)
    `correct`         whether the most likely class is the label (the first of equally likely ones)

    arrays, images, errors: as there; labels: (images,), integers.
    """
    parts = []
    for number, (logits, jacobian) in enumerate(_passes(arrays, images)):
        own = labels[number * BATCH :][: len(logits)]
        wanted = np.arange(logits.shape[1]) == own[:, None]
        residual = _softmax(logits)
        residual[wanted] = -np.sum(residual, axis=1, where=~wanted)
        others = np.where(wanted, -np.inf, logits - logits[wanted][:, None])
        parts.append(
            {
                "logits": _lengths(jacobian),
                "softmax": _lengths(_softmax_slope(logits) @ jacobian),
                "loss_gradient": _lengths(residual[:, None, :] @ jacobian),
                "loss": np.logaddexp(0, np.logaddexp.reduce(others, axis=1)),  # log(1 + sum of exp(others))
                "correct": np.argmax(logits, axis=1) == own,
            }
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def mean_loss_gradient(loss_gradients: np.ndarray) -> float:
    """Norm of the gradient of the *mean* loss of n images with respect to all their pixels at once.

    loss_gradients: (n,), of `sensitivities`. The pixels of an image do not change the loss of another image, so this is
    the root of the sum of squares, divided by n. It shrinks as 1 / sqrt(n) with the number of images.
    """
    return float(np.linalg.norm(loss_gradients) / len(loss_gradients))


def _passes(arrays: Arrays, images: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each BATCH of images: logits (images, classes), and matrices that stand for the Jacobians J of the logits.

    These are W3' S2 W2' S1 R', (images, classes, at most units of the first layer). M times such a matrix has the same
    norm as M J, for any matrix M. ValueError where there is no image.
    """
    layers = weights.layers(arrays)
    triangle = np.linalg.qr(layers[0][0], mode="r").T
    if not len(images):
        raise ValueError("there are no images")
    flat = np.reshape(images, (len(images), -1))
    for first in range(0, len(flat), BATCH):
        batch, masks = flat[first : first + BATCH].astype(np.float64), []
        received = batch @ layers[0][0] + layers[0][1]
        for kernel, bias in layers[1:]:
            masks.append(received > 0)
            received = np.maximum(received, 0) @ kernel + bias
        classes = received.shape[1]
        rows = np.broadcast_to(np.eye(classes), (len(batch), classes, classes))
        for (kernel, _), mask in zip(reversed(layers[1:]), reversed(masks), strict=True):
            rows = _times(rows, kernel.T) * mask[:, None, :]
        yield received, _times(rows, triangle)


def _times(matrices: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """(images, rows, columns) times (columns, others) as one large product."""
    return (matrices.reshape(-1, len(factor)) @ factor).reshape(*matrices.shape[:2], -1)


def _softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def _softmax_slope(logits: np.ndarray) -> np.ndarray:
    """D = diag(p) - p p', (images, classes, classes); on the diagonal, 1 - p is the sum of the other classes' p."""
    p = _softmax(logits)
    slope = -p[:, :, None] * p[:, None, :]
    classes = np.arange(p.shape[1])
    slope[:, classes, classes] = p * (p @ (1 - np.eye(len(classes))))
    return slope


def _lengths(matrices: np.ndarray) -> np.ndarray:
    """(images,): Frobenius norm of each of (images, rows, columns)."""
    return np.sqrt(np.einsum("nij,nij->n", matrices, matrices))
