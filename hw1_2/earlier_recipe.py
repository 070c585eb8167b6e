"""The minimal ratio by the recipe of an earlier report, to show what it measures.

A net 1-40-40-1 with ReLU, in float32, starts from normal random weights. Gradient descent minimises the loss, and then
the norm of its gradient, with a learning rate of 1e-10. The ratio is the share of random moves of the kernels (3e-6,
biases fixed) after which the loss is not lower. Where the recipe does not say, batches and points are those of the
other nets: full batches, the same points.
"""

from collections.abc import Callable
from typing import Any

from common import progress, seeds, stacked
from common.lazy import tf

import numpy as np

WIDTHS = (40, 40, 1)
LEARNING_RATE = 5e-4  # of the loss
NORM_LEARNING_RATE, NORM_STEPS = 1e-10, 100  # of the norm of the gradient
MOVE = 3e-6  # standard deviation of the moves


def train(points: np.ndarray, targets: np.ndarray, nets: int, epochs: int, moves: int) -> dict[str, Any]:
    """Train `nets` nets on points and targets, (points,). Returns losses, gradient norms and `ratios`, by net."""
    size = stacked.parameter_count(WIDTHS)
    generators = [np.random.default_rng(seeds.stream(seed, "recipe")) for seed in range(nets)]
    weights = tf.Variable(np.stack([each.standard_normal(size) for each in generators]).astype(np.float32))

    def losses(at: tf.Tensor) -> tf.Tensor:
        outputs = stacked.forward(at, tf.cast(points, at.dtype), WIDTHS, tf.nn.relu)
        return tf.reduce_mean((outputs - tf.cast(targets, at.dtype)) ** 2, axis=1)

    def gradients(at: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(at)
            total = tf.reduce_sum(losses(at))
        return tape.gradient(total, at)

    @tf.function(autograph=False)
    def descend_loss() -> None:
        weights.assign_sub(LEARNING_RATE * gradients(weights.value()))

    @tf.function(autograph=False)
    def descend_norm() -> None:
        at = weights.value()
        with tf.GradientTape() as tape:
            tape.watch(at)
            total = tf.reduce_sum(tf.norm(gradients(at), axis=1))
        weights.assign_sub(NORM_LEARNING_RATE * tape.gradient(total, at))

    with progress.shown("1-40-40-1", epochs) as tell:
        for epoch in range(epochs):
            descend_loss()
            tell(epoch + 1)
    before = weights.numpy()
    for _ in range(NORM_STEPS):
        descend_norm()
    after = weights.numpy()
    compiled = tf.function(losses, autograph=False), tf.function(gradients, autograph=False)
    measured = [ratios(*compiled, net, each, moves) for net, each in zip(after, generators, strict=True)]
    norms = [np.linalg.norm(compiled[1](tf.constant(at)).numpy().astype(np.float64), axis=1) for at in (before, after)]
    loss = compiled[0](tf.constant(after)).numpy().astype(np.float64)
    return {
        "parameters": size,
        "loss": loss,
        "norm_before": norms[0],
        "norm_after": norms[1],
        "moved_share": np.mean(before != after, axis=1),  # of the weights, by the steps on the norm
        **{name: [each[name] for each in measured] for name in measured[0]},
        "summary": {"below 1e-8": int(np.sum(norms[1] < 1e-8)), "loss": loss},
    }


def ratios(
    losses: Callable, gradients: Callable, net: np.ndarray, generator: np.random.Generator, count: int
) -> dict[str, float]:
    """Shares, in [0, 1], of `count` random moves from one net (n,), float32.

    `ratio`: the loss is not lower, by the recipe. `ties`: the loss is the same. `exact_ratio`: the loss is higher, in
    float64. `by_slope`: the gradient predicts whether the loss rises. losses, gradients: of (nets, n), a tensor in
    float32 or float64.
    """
    kernels = np.concatenate(
        [
            np.repeat([1.0, 0.0], [rows * columns, columns])  # 0 for biases
            for rows, columns in stacked.layer_shapes(WIDTHS)
        ]
    )
    moves = MOVE * generator.standard_normal((count, len(net))) * kernels
    around = losses(tf.constant(net + moves.astype(np.float32))).numpy()
    here = losses(tf.constant(net[None])).numpy()
    exact = tf.constant(net[None].astype(np.float64))
    risen = losses(exact + moves).numpy() > losses(exact).numpy()
    return {
        "ratio": float(np.mean(around >= here)),
        "ties": float(np.mean(around == here)),
        "exact_ratio": float(np.mean(risen)),
        "by_slope": float(np.mean(risen == (moves @ gradients(exact).numpy()[0] > 0))),
    }
