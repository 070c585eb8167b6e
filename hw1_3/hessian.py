"""Loss, gradient and Hessian of a fully connected net, its extreme eigenvalues and its trace. NumPy, float64.

The net has Dense layers with ReLU between them. All weights are in one vector theta (n,), in the order of Keras's
`get_weights`. L is the mean loss of the given examples. A product H v is the derivative of the gradient in the
direction v (Pearlmutter 1994), written out layer by layer. Only two of its matrix products involve the images, so that
it costs less than half of two nested automatic differentiations. The second derivative of a ReLU is taken as zero.
"""

from collections.abc import Callable, Sequence
from typing import Any

from common import weights

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]
LANCZOS_EVERY = 5  # products between two tests of convergence


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, Product]:
    """Softmax cross-entropy in nats. logits: (examples, classes); labels: (examples,), integers.

    Returns losses (examples,); their gradients with respect to the logits, (examples, classes); and a function from
    changes of the logits to changes of these gradients.
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    powers = np.exp(shifted)
    totals = powers.sum(axis=1, keepdims=True)
    shares = powers / totals
    places = np.arange(len(labels)), labels
    losses = np.log(totals[:, 0]) - shifted[places]
    gradient = shares.copy()
    gradient[places] -= 1

    def curvature(changes: np.ndarray) -> np.ndarray:
        weighted = shares * changes
        return weighted - shares * weighted.sum(axis=1, keepdims=True)

    return losses, gradient, curvature


def forward(
    vector: np.ndarray, shapes: Sequence[Sequence[int]], inputs: np.ndarray
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray]:
    """The net's kernels, the inputs of each layer, and the net's outputs. Arguments as of `passes`."""
    arrays = weights.unflatten(vector, shapes)
    kernels, biases = arrays[0::2], arrays[1::2]
    hidden = [inputs]
    for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
        hidden.append(np.maximum(hidden[-1] @ kernel + bias, 0))
    return kernels, hidden, hidden[-1] @ kernels[-1] + biases[-1]


def passes(
    vector: np.ndarray,
    shapes: Sequence[Sequence[int]],
    inputs: np.ndarray,
    targets: np.ndarray,
    loss: Callable = cross_entropy,
) -> tuple[float, np.ndarray, Product]:
    """Mean loss, its gradient (n,), and the function v -> H v, both (n,).

    vector: (n,), the weights; shapes: of kernel and bias, layer by layer; inputs: (examples, pixels), float64; targets:
    what `loss` takes besides the outputs.
    """
    kernels, hidden, outputs = forward(vector, shapes, inputs)
    losses, slope, curvature = loss(outputs, targets)
    slopes = [slope / len(inputs)]  # gradient of L by each layer's sums, (examples, units), the last layer first
    for kernel, values in zip(kernels[:0:-1], hidden[:0:-1], strict=True):
        slopes.append((slopes[-1] @ kernel.T) * (values > 0))
    slopes.reverse()
    gradient = [
        part for pair in zip(hidden, slopes, strict=True) for part in (pair[0].T @ pair[1], pair[1].sum(axis=0))
    ]

    def product(direction: np.ndarray) -> np.ndarray:
        moves = weights.unflatten(direction, shapes)
        kernel_moves, bias_moves = moves[0::2], moves[1::2]
        changes = []  # of the inputs of each layer but the first, whose inputs are the images
        change = inputs @ kernel_moves[0] + bias_moves[0]
        for layer in range(1, len(kernels)):
            changes.append(change * (hidden[layer] > 0))
            change = changes[-1] @ kernels[layer] + hidden[layer] @ kernel_moves[layer] + bias_moves[layer]
        turned = curvature(change) / len(inputs)  # of the slopes, from the last layer down
        parts: list[np.ndarray] = []
        for layer in range(len(kernels) - 1, -1, -1):
            turn = hidden[layer].T @ turned
            if layer:
                turn += changes[layer - 1].T @ slopes[layer]
            parts += [turned.sum(axis=0), turn]
            if layer:
                turned = turned @ kernels[layer].T + slopes[layer] @ kernel_moves[layer].T
                turned *= hidden[layer] > 0
        return weights.flatten(parts[::-1])

    return float(np.mean(losses)), weights.flatten(gradient), product


def exact_trace(vector: np.ndarray, shapes: Sequence[Sequence[int]], inputs: np.ndarray) -> float:
    """Trace of the Hessian of the mean cross-entropy in closed form: it depends on no labels.

    The logits are piecewise linear in each single weight, so that only the softmax has curvature. For one example, let
    p be the softmax outputs, J_c the gradient of logit c by all weights, h the inputs of a layer and B_c the gradient
    of logit c by that layer's sums. Then

        tr H = mean over examples of sum_c p_c |J_c|^2 - |sum_c p_c J_c|^2,

    in which the part of each layer is (|h|^2 + 1) times the same expression with B for J.
    """
    kernels, hidden, logits = forward(vector, shapes, inputs)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = powers / powers.sum(axis=1, keepdims=True)
    backward = np.broadcast_to(np.eye(logits.shape[1]), (len(inputs), *2 * logits.shape[1:]))  # (examples, c, units)
    total = np.zeros(len(inputs))
    for layer in range(len(kernels) - 1, -1, -1):
        means = np.einsum("ec,ecu->eu", shares, backward)
        spread = np.einsum("ec,ecu,ecu->e", shares, backward, backward) - np.sum(means**2, axis=1)
        total += (np.sum(hidden[layer] ** 2, axis=1) + 1) * spread
        if layer:
            backward = (backward @ kernels[layer].T) * (hidden[layer] > 0)[:, None, :]
    return float(np.mean(total))


def extreme_eigenvalues(
    product: Product, start: np.ndarray, tolerance: float = 1e-6, most: int = 300
) -> dict[str, Any]:
    """Largest and smallest eigenvalue of a symmetric matrix by Lanczos's method with full reorthogonalisation.

    product: v -> H v; start: (n,), random; most: products at most. Stops when the estimates of both residuals
    |H u - lambda u|, with u of length 1, are below half of tolerance times the largest |eigenvalue|. Returns `top` and
    `bottom`; `top_residual` and `bottom_residual`, computed from H itself, as shares of the largest |eigenvalue|; and
    the number of `products`.
    1. The next basis vector is H times the last one, minus its projection on all before; the projection is done twice.
    2. Eigenvectors of the small tridiagonal matrix give approximations, and its last coefficient their residuals.
    """
    from scipy import linalg

    most = min(most, len(start))
    basis = np.empty((most + 1, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal, beside = np.zeros(most), np.zeros(most)
    for step in range(most):
        following = product(basis[step])
        diagonal[step] = basis[step] @ following
        for _ in range(2):
            following -= basis[: step + 1].T @ (basis[: step + 1] @ following)
        beside[step] = np.linalg.norm(following)
        scale = np.abs(diagonal[: step + 1]).max() + beside[: step + 1].max()
        exhausted = beside[step] <= 1e-14 * scale  # H maps the space of the basis to itself
        if (step + 1) % LANCZOS_EVERY == 0 or step + 1 == most or exhausted:
            values, vectors = linalg.eigh_tridiagonal(diagonal[: step + 1], beside[:step])
            residuals = np.abs(beside[step] * vectors[-1, [0, -1]])
            if exhausted or residuals.max() <= tolerance / 2 * np.abs(values[[0, -1]]).max():
                break
        basis[step + 1] = following / beside[step]
    largest = float(np.abs(values[[0, -1]]).max()) or 1.0
    extremes = {"products": step + 1}
    for name, place in (("top", -1), ("bottom", 0)):
        vector = vectors[:, place] @ basis[: step + 1]
        vector /= np.linalg.norm(vector)
        extremes[name] = float(values[place])
        extremes[f"{name}_residual"] = float(np.linalg.norm(product(vector) - values[place] * vector)) / largest
    return extremes


def hutchinson(product: Product, size: int, probes: int, generator: np.random.Generator) -> tuple[float, float]:
    """Trace of a symmetric matrix from `probes` products with random signs; and its standard error."""
    samples = np.empty(probes)
    for index in range(probes):
        signs = generator.integers(0, 2, size) * 2.0 - 1
        samples[index] = signs @ product(signs)
    error = np.std(samples, ddof=1) / np.sqrt(probes) if probes > 1 else np.nan
    return float(np.mean(samples)), float(error)
