"""Several small classifiers of one shape, one for each seed, trained in one compiled step on the same batches.

Each net is a separate branch of the step. Its matrix products are too small for several threads, so the branches run at
the same time instead (`backend.start(intra_threads=1, inter_threads=2)`); one batched product over the seeds is slower.
The nets do not influence each other.

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
    """One model for each seed. A seed gives the same initial weights whatever the other seeds are."""
    models = []
    for number in numbers:
        keras.utils.set_random_seed(seeds.stream(number, "weights"))
        models.append(build_model())
    return models


def trainable(models: Sequence[keras.Model]) -> list[tf.Variable]:
    """The trainable variables of all models in one list, net by net."""
    return [variable.value for model in models for variable in model.trainable_variables]


def flat_weights(models: Sequence[keras.Model]) -> np.ndarray:
    """(nets, parameters), float32: one row for each net, in the order of Keras's `get_weights`."""
    return np.stack([weights.flatten(model.get_weights()) for model in models]).astype(np.float32)


def losses_and_gradients(
    models: Sequence[keras.Model], inputs: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, list[list[tf.Tensor]], list[tf.Tensor]]:
    """Mean cross-entropies (nets,); for each net a list of gradients; and for each net the logits (examples, classes).

    Dropout is on, if there is any.
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
    """A step that trains all nets on one batch, for `training.loop`.

    apply: of `optimizers.sgd` or `optimizers.adam`, over `trainable(models)`. Records `loss` and `accuracy`, (nets,)
    each, of the batch before its update.
    """

    def update(inputs: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        losses, gradients, outputs = losses_and_gradients(models, inputs, labels)
        apply([gradient for net in gradients for gradient in net])
        accuracies = [tf.reduce_mean(training.correct(each, labels)) for each in outputs]
        return {"loss": losses, "accuracy": tf.stack(accuracies)}

    return update


def evaluator(models: Sequence[keras.Model]) -> Callable[[Any, Any], np.ndarray]:
    """Compile evaluate(inputs, labels) -> (losses, accuracies), (nets,) each, with dropout off."""

    def sums(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return tf.stack([training.sums_of(model(inputs, training=False), labels) for model in models], axis=1)

    return training.batchwise(sums)
