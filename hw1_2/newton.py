"""Gradients, Hessians, Adam and second-order steps for many small tanh nets at once, in NumPy and float64.

All nets have one input, one output, tanh hidden layers, a linear last layer and the same loss: the mean squared error
over some points, plus `ridge` times the sum of squares of all weights and biases. The weights of all nets are one array
(nets, parameters), in the order of Keras's `get_weights`. `widths` are the units of the layers, output last: (4, 1) is
the net 1-4-1.
"""

from collections.abc import Callable, Sequence
from typing import Any

from common import stacked

import numpy as np

Evaluation = tuple[np.ndarray, np.ndarray, np.ndarray]  # losses (nets,), gradients (nets, n), Hessians (nets, n, n)
CACHE = 1_500_000  # bytes of a core's cache
FIRST_DAMPING, SMALLEST_DAMPING, LARGEST_DAMPING = 1e-6, 1e-12, 1e12


def keep_large_arrays() -> None:
    """Make glibc reuse the memory of freed arrays of up to this size; else each step gets new pages from the system."""
    np.empty(2**21)


def layers(parameters: np.ndarray, widths: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray, slice]]:
    """Kernel (nets, inputs, units), bias (nets, units) and the slice of parameters that is the kernel, layer by layer.

    TypeError unless the parameters are float64: in float32, round-off hides a gradient below 1e-6.
    """
    if parameters.dtype != np.float64:
        raise TypeError(f"the parameters are {parameters.dtype}, not float64")
    by_layer, position = [], 0
    for rows, columns in stacked.layer_shapes(widths):
        place = slice(position, position + rows * columns)
        kernel = parameters[:, place].reshape(-1, rows, columns)
        by_layer.append((kernel, parameters[:, place.stop : place.stop + columns], place))
        position = place.stop + columns
    return by_layer


def activations(parameters: np.ndarray, inputs: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
    """The inputs (1, 1, points), the activations of each hidden layer (nets, units, points), and the outputs."""
    passed = [inputs[None, None, :]]
    weights = layers(parameters, widths)
    for depth, (kernel, bias, _) in enumerate(weights, start=1):
        summed = kernel.swapaxes(1, 2) @ passed[-1] + bias[:, :, None]
        passed.append(np.tanh(summed) if depth < len(weights) else summed)
    return passed


def losses(
    parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int], ridge: float = 0.0
) -> np.ndarray:
    """Losses (nets,). inputs, targets: (points,)."""
    return _losses(parameters, activations(parameters, inputs, widths)[-1][:, 0] - targets, ridge)


def _losses(parameters: np.ndarray, errors: np.ndarray, ridge: float) -> np.ndarray:
    """Losses (nets,) from the errors (nets, points)."""
    return np.mean(errors**2, axis=1) + ridge * np.sum(parameters**2, axis=1)


def backward(
    parameters: np.ndarray, passed: Sequence[np.ndarray], output_slopes: np.ndarray, widths: Sequence[int]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Derivatives with respect to each layer's sums and to each layer's activations, both (nets, units, points).

    passed: from `activations`. output_slopes: (nets, points), of the loss with respect to the outputs.
    """
    slopes = output_slopes[:, None, :]
    to_sums, to_activations = [slopes], [slopes]
    for (kernel, _, _), hidden in zip(layers(parameters, widths)[:0:-1], passed[-2:0:-1], strict=True):
        slopes = kernel @ to_sums[0]
        to_activations.insert(0, slopes)
        to_sums.insert(0, slopes * (1 - hidden**2))
    return to_sums, to_activations


def gradients(
    parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int], ridge: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Losses (nets,) and their gradients (nets, parameters), by backpropagation."""
    passed = activations(parameters, inputs, widths)
    errors = passed[-1][:, 0] - targets
    slopes = _gradients(parameters, passed, errors, widths)[0] + 2 * ridge * parameters
    return _losses(parameters, errors, ridge), slopes


def _gradients(
    parameters: np.ndarray, passed: Sequence[np.ndarray], errors: np.ndarray, widths: Sequence[int]
) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Gradients (nets, parameters) of the mean squared errors from the errors (nets, points), then what `backward`
    returns."""
    to_sums, to_activations = backward(parameters, passed, errors * (2 / errors.shape[1]), widths)
    parts = []
    for below, slopes in zip(passed, to_sums, strict=False):
        parts += [(below @ slopes.swapaxes(1, 2)).reshape(len(parameters), -1), slopes.sum(axis=2)]
    return np.concatenate(parts, axis=1), to_sums, to_activations


def sensitivities(parameters: np.ndarray, passed: Sequence[np.ndarray], widths: Sequence[int]) -> list[np.ndarray]:
    """Derivatives of each layer's sums with respect to the parameters up to that layer.

    One array (nets, units, parameters so far, points) for each layer; the last is the Jacobian of the outputs.
    """
    by_layer: list[np.ndarray] = []
    points = passed[0].shape[2]
    for depth, (kernel, _, place) in enumerate(layers(parameters, widths)):
        nets, rows, columns = kernel.shape
        slopes = np.zeros((nets, columns, place.stop + columns, points))
        if depth:  # through the layer below
            below = by_layer[-1] * (1 - passed[depth] ** 2)[:, :, None, :]
            through = kernel.swapaxes(1, 2) @ below.reshape(nets, rows, -1)
            slopes[:, :, : place.start] = through.reshape(nets, columns, place.start, points)
        for unit in range(columns):
            slopes[:, unit, place.start + unit : place.stop : columns] = passed[depth]
            slopes[:, unit, place.stop + unit] = 1
        by_layer.append(slopes)
    return by_layer


def hessians(
    parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int], ridge: float = 0.0
) -> Evaluation:
    """Losses, gradients and exact Hessians of all nets.

    The second derivative of the mean squared error has three parts:
    1. from the square: 2 / points times the Jacobian times its transpose;
    2. from each tanh: its second derivative, times the outer product of the derivatives of the unit's sum;
    3. from each product weight x activation: the derivatives of the activation.
    The ridge adds 2 ridge on the diagonal.
    """
    return _in_blocks(_hessians, parameters, inputs, targets, widths, ridge)


def _in_blocks(evaluate: Callable[..., Evaluation], parameters: np.ndarray, *about: Any) -> Evaluation:
    """evaluate(parameters, inputs, targets, widths), plus the ridge, for blocks of nets whose largest array fits in
    CACHE. about: inputs, targets, widths and ridge."""
    inputs, _, widths, ridge = about
    one = 8 * max(widths) * parameters.shape[1] * len(inputs)  # bytes of a net's derivatives of one layer's sums
    size = max(1, CACHE // one)
    firsts = range(0, max(1, len(parameters)), size)
    blocks = [evaluate(parameters[first : first + size], *about[:3]) for first in firsts]
    errors, gradients, curvatures = (np.concatenate(each) for each in zip(*blocks, strict=True))
    gradients += 2 * ridge * parameters
    curvatures += 2 * ridge * np.eye(parameters.shape[1])
    return _losses(parameters, errors, ridge), gradients, curvatures


def _hessians(parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int]) -> Evaluation:
    """Errors (nets, points), gradients and Hessians of the mean squared errors of a block of nets."""
    passed = activations(parameters, inputs, widths)
    errors = passed[-1][:, 0] - targets
    gradient, to_sums, to_activations = _gradients(parameters, passed, errors, widths)
    slopes = sensitivities(parameters, passed, widths)
    nets = len(parameters)
    jacobian = slopes[-1][:, 0]
    hessian = (2 / len(inputs)) * (jacobian @ jacobian.swapaxes(1, 2))  # 1
    for depth, (_, _, place) in enumerate(layers(parameters, widths)[1:]):
        hidden = passed[depth + 1]
        bend = to_activations[depth] * -2 * hidden * (1 - hidden**2)
        so_far = slopes[depth].shape[2]
        sides = slopes[depth].swapaxes(1, 2).reshape(nets, so_far, -1)
        hessian[:, :so_far, :so_far] += (sides * bend.reshape(nets, 1, -1)) @ sides.swapaxes(1, 2)  # 2
        above = to_sums[depth + 1]
        weighted = (above[:, None] * (1 - hidden**2)[:, :, None]).swapaxes(2, 3)  # (nets, rows, points, columns)
        mixed = (slopes[depth] @ weighted).swapaxes(2, 3).reshape(nets, -1, so_far)
        hessian[:, place, :so_far] += mixed  # 3
        hessian[:, :so_far, place] += mixed.swapaxes(1, 2)
    return errors, gradient, hessian


def gauss_newton(
    parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int], ridge: float = 0.0
) -> Evaluation:
    """Losses, gradients, and Gauss-Newton matrices, the parts of the Hessians without negative eigenvalues.

    They are 2 J J' / points, plus the part of the ridge.
    """
    return _in_blocks(_gauss_newton, parameters, inputs, targets, widths, ridge)


def _gauss_newton(parameters: np.ndarray, inputs: np.ndarray, targets: np.ndarray, widths: Sequence[int]) -> Evaluation:
    """Errors, gradients and Gauss-Newton matrices of the mean squared errors of a block of nets."""
    passed = activations(parameters, inputs, widths)
    errors = passed[-1][:, 0] - targets
    jacobian = sensitivities(parameters, passed, widths)[-1][:, 0]
    scale = 2 / len(inputs)
    slopes = scale * (jacobian @ errors[:, :, None])[:, :, 0]
    return errors, slopes, scale * (jacobian @ jacobian.swapaxes(1, 2))


def norms(vectors: np.ndarray) -> np.ndarray:
    """Euclidean lengths (nets,) of (nets, n)."""
    with np.errstate(over="ignore"):  # a step that makes the length infinite is rejected
        return np.sqrt(np.sum(vectors**2, axis=1))


def adam_path(
    parameters: np.ndarray, slopes: Callable[[np.ndarray], np.ndarray], learning_rate: float, epochs: Sequence[int]
) -> list[np.ndarray]:
    """The parameters of all nets after each of `epochs` steps of Adam (Kingma and Ba 2015; Keras's constants)."""
    first, second, path = np.zeros_like(parameters), np.zeros_like(parameters), []
    for epoch in range(epochs[-1] + 1):
        if epoch:
            gradient = slopes(parameters)
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            rate = learning_rate * np.sqrt(1 - 0.999**epoch) / (1 - 0.9**epoch)
            parameters = parameters - rate * first / (np.sqrt(second) + 1e-7)
        if epoch in epochs:
            path.append(parameters)
    return path


def minimise_gradient_norm(
    evaluate: Callable[[np.ndarray], Evaluation], parameters: np.ndarray, steps: int, tolerance: float
) -> np.ndarray:
    """Find points of zero gradient, whatever their curvature, by damped Newton steps that reduce |g|^2 / 2.

    Each step is -(H^2 + mu I)^-1 H g with mu = damping |g| (Levenberg-Marquardt on g, whose Jacobian is H), computed
    in the eigenvectors of H. A trust region sets the damping of each net. evaluate: of any number of nets.
    A net stops early where |g| <= tolerance, or where no damping gives a better point. Returns the last parameters.
    """

    def move(curvatures: np.ndarray, slopes: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mu = (damping * norms(slopes))[:, None]
        divisor = curvatures**2 + mu
        return -curvatures * slopes / divisor, 0.5 * np.sum(slopes**2 - (slopes * mu / divisor) ** 2, axis=1)

    return _trust_region(evaluate, lambda _, gradients: 0.5 * norms(gradients) ** 2, move, parameters, steps, tolerance)


def minimise_loss(
    evaluate: Callable[[np.ndarray], Evaluation], parameters: np.ndarray, steps: int, tolerance: float
) -> np.ndarray:
    """Minimise the loss by Levenberg-Marquardt steps -(A + mu I)^-1 g, with the matrix A of `gauss_newton`.

    Here mu = damping. Stops like `minimise_gradient_norm`.
    """

    def move(curvatures: np.ndarray, slopes: np.ndarray, damping: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        moves = -slopes / (curvatures + damping[:, None])
        return moves, -np.sum(slopes * moves + 0.5 * curvatures * moves**2, axis=1)

    return _trust_region(evaluate, lambda losses, _: losses, move, parameters, steps, tolerance)


def _trust_region(
    evaluate: Callable[[np.ndarray], Evaluation],
    objective: Callable[[np.ndarray, np.ndarray], np.ndarray],
    move: Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    parameters: np.ndarray,
    steps: int,
    tolerance: float,
) -> np.ndarray:
    """The loop of both: try a damped step, accept it if the objective falls, and adapt the damping to the prediction.

    objective(losses, gradients) -> (nets,), what is minimised. move(curvatures, slopes, damping) -> steps (nets, n) and
    predicted gains (nets,), where curvatures and slopes (nets, n) are along the eigenvectors of the matrix.
    """
    parameters = parameters.copy()
    losses, gradients, curvature = evaluate(parameters)
    values, vectors = np.linalg.eigh(curvature)
    reached = objective(losses, gradients)
    damping = np.full(len(parameters), FIRST_DAMPING)
    for _ in range(steps):
        moving = (norms(gradients) > tolerance) & (damping < LARGEST_DAMPING)
        if not moving.any():
            break
        slopes = (vectors[moving].swapaxes(1, 2) @ gradients[moving][:, :, None])[:, :, 0]
        moves, predicted = move(values[moving], slopes, damping[moving])
        trial = parameters[moving] + (vectors[moving] @ moves[:, :, None])[:, :, 0]
        new_losses, new_gradients, new_curvature = evaluate(trial)
        new_reached = objective(new_losses, new_gradients)
        gained = reached[moving] - new_reached
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            trust = np.where(np.isfinite(gained) & (predicted > 0), gained / predicted, -1.0)
        factor = np.where(trust > 0.75, 1 / 3, np.where(trust < 0.25, 4.0, 1.0))
        damping[moving] = np.maximum(damping[moving] * factor, SMALLEST_DAMPING)
        better = trust > 1e-4
        accepted = np.flatnonzero(moving)[better]
        parameters[accepted], reached[accepted] = trial[better], new_reached[better]
        gradients[accepted] = new_gradients[better]
        values[accepted], vectors[accepted] = np.linalg.eigh(new_curvature[better])
    return parameters
