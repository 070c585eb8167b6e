"""Several small classifiers of one shape, one a seed, trained in one compiled step on the same batches.

Each net is a branch of its own in the step: its matrix products are too small to share out, so the branches run side
by side instead (`backend.start(intra_threads=1, inter_threads=2)`); one batched product over the seeds is slower. No
net knows of the others, but all see the same batches.

    models = seedwise.build(build_model, seeds)
    apply, slots = optimizers.sgd(seedwise.trainable(models), learning_rate=0.01, momentum=0.9)
    run = training.loop(seedwise.classifier_update(models, apply), (images, labels), batch_size, seed)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from common import seeds, training, weights
from common.lazy import keras, tf

import numpy as np


def build(build_model: Callable[[], keras.Model], numbers: Sequence[int]) -> list[keras.Model]:
    """One model a seed. A seed gives the same initial weights whichever others stand beside it."""
    models = []
    for number in numbers:
        keras.utils.set_random_seed(seeds.stream(number, "weights"))
        models.append(build_model())
    return models


def trainable(models: Sequence[keras.Model]) -> list[tf.Variable]:
    """The trainable variables of all models in a row, net by net."""
    return [variable.value for model in models for variable in model.trainable_variables]


def flat_weights(models: Sequence[keras.Model]) -> np.ndarray:
    """(nets, parameters), float32: the weights of each net in a row, in the order of Keras's `get_weights`."""
    return np.stack([weights.flatten(model.get_weights()) for model in models]).astype(np.float32)


def losses_and_gradients(
    models: Sequence[keras.Model], inputs: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, list[list[tf.Tensor]], list[tf.Tensor]]:
    """Mean cross-entropy of each net, (nets,); its gradients, a list a net; and the logits, (examples, classes) each.

    Dropout, where a net has any, is on.
    """
    losses, gradients, outputs = [], [], []
    for model in models:
        targets = trainable([model])
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            logits = model(inputs, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        losses.append(loss)
        gradients.append(tape.gradient(loss, targets))
        outputs.append(logits)
    return tf.stack(losses), gradients, outputs


def classifier_update(
    models: Sequence[keras.Model], apply: Callable[[Sequence[tf.Tensor]], None]
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """A step of training of all nets on one batch, for `training.loop`.

    apply: of `sgd` or `optimizers.adam`, over `trainable(models)`. Records `loss` and `accuracy`, (nets,) each, of the
    batch before its update.
    """

    def update(inputs: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        losses, gradients, outputs = losses_and_gradients(models, inputs, labels)
        apply([gradient for net in gradients for gradient in net])
        accuracies = [tf.reduce_mean(training.correct(each, labels)) for each in outputs]
        return {"loss": losses, "accuracy": tf.stack(accuracies)}

    return update


def evaluator(models: Sequence[keras.Model]) -> Callable[[Any, Any], np.ndarray]:
    """Compile the clean evaluation, `training.evaluator` of several: evaluate(inputs, labels) -> (losses, accuracies).

    Each is (nets,).
    """

    def sums(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.stack([training.sums_of(model(inputs, training=False), labels) for model in models], axis=1)

    return training.batchwise(sums)
