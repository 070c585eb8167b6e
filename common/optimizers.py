"""Adam and gradient descent as Keras computes them, as one TensorFlow operation per variable, for `training.loop`.

    apply, slots = optimizers.adam(model.trainable_variables, learning_rate=1e-3)

Each takes Keras or TensorFlow variables, and returns apply(gradients) and the slots: the optimizer's own variables,
which a checkpoint needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common.lazy import tf

Apply = Callable[[Sequence[Any]], None]  # takes one gradient for each variable


def adam(variables: Sequence[Any], learning_rate: float) -> tuple[Apply, list[tf.Variable]]:
    """Adam (Kingma and Ba 2015) with Keras's constants. Slots: the step count, and both moments of each variable."""
    targets = _tensorflow(variables)
    step = tf.Variable(0, dtype=tf.int64, trainable=False)
    moments = [(tf.Variable(tf.zeros_like(each)), tf.Variable(tf.zeros_like(each))) for each in targets]

    def apply(gradients: Sequence[tf.Tensor]) -> None:
        step.assign_add(1)
        for target, (first, second), gradient in zip(targets, moments, gradients, strict=True):
            count = tf.cast(step, target.dtype)
            tf.raw_ops.ResourceApplyAdam(
                var=target.handle,
                m=first.handle,
                v=second.handle,
                beta1_power=tf.pow(tf.constant(0.9, target.dtype), count),
                beta2_power=tf.pow(tf.constant(0.999, target.dtype), count),
                lr=tf.constant(learning_rate, target.dtype),
                beta1=tf.constant(0.9, target.dtype),
                beta2=tf.constant(0.999, target.dtype),
                epsilon=tf.constant(1e-7, target.dtype),
                grad=gradient,
            )

    return apply, [step, *(each for pair in moments for each in pair)]


def sgd(variables: Sequence[Any], learning_rate: float, momentum: float = 0.0) -> tuple[Apply, list[tf.Variable]]:
    """Stochastic gradient descent. Slots: the velocity of each variable, none without momentum.

    velocity = momentum velocity - learning_rate gradient, then variable += velocity.
    """
    targets = _tensorflow(variables)
    velocities = [tf.Variable(tf.zeros_like(each), trainable=False) for each in targets] if momentum else []

    def apply(gradients: Sequence[tf.Tensor]) -> None:
        for index, (target, gradient) in enumerate(zip(targets, gradients, strict=True)):
            rate = tf.constant(learning_rate, target.dtype)
            if momentum:
                tf.raw_ops.ResourceApplyKerasMomentum(
                    var=target.handle,
                    accum=velocities[index].handle,
                    lr=rate,
                    grad=gradient,
                    momentum=tf.constant(momentum, target.dtype),
                )
            else:
                tf.raw_ops.ResourceApplyGradientDescent(var=target.handle, alpha=rate, delta=gradient)

    return apply, velocities


def _tensorflow(variables: Sequence[Any]) -> list[tf.Variable]:
    return [each if isinstance(each, tf.Variable) else each.value for each in variables]
