"""A compiled training loop whose batches are a function of (seed, step), Adam in one fused update, evaluation.

Import it after `backend.start`: it imports TensorFlow.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common import progress

CALL_SECONDS = 0.5  # a compiled call does not see Ctrl-C until it returns
EVALUATION_BATCH = 1000  # images; a larger one gains nothing and takes memory

Update = Callable[..., dict[str, tf.Tensor]]


def loop(update: Update, arrays: Sequence[np.ndarray], batch_size: int, seed: int) -> Callable[..., dict]:
    """Compile `update` into a loop over shuffled batches; returns run(first_step, steps, tell).

    update(*batch) changes variables and returns what to record, a dict of tensors. arrays: (examples, ...) each.
    Epoch e visits the examples in the order of a stateless shuffle by (seed, e), its last batch may be
    smaller (as in Keras), so that any step can be run without those before it.
    run returns a dict of arrays (steps, ...); tell(step, **first values) is called between compiled calls.
    """
    examples = len(arrays[0])
    per_epoch = -(-examples // batch_size)
    held = [tf.convert_to_tensor(array) for array in arrays]

    def shuffled(step: tf.Tensor) -> tf.Tensor:
        return tf.random.experimental.stateless_shuffle(
            tf.range(examples), seed=tf.stack([tf.constant(seed, tf.int64), step // per_epoch])
        )

    def one(step: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        position = step % per_epoch
        order = tf.cond(position == 0, lambda: shuffled(step), lambda: order)
        indices = order[position * batch_size : (position + 1) * batch_size]
        return order, update(*[tf.gather(array, indices) for array in held])

    shapes: dict[str, tf.TensorSpec] = {}

    @tf.function(autograph=False, jit_compile=False)
    def call(first: tf.Tensor, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        def body(index: tf.Tensor, order: tf.Tensor, kept: dict) -> tuple:
            order, values = one(first + index, order)
            return (
                index + 1,
                order,
                {name: kept[name].write(tf.cast(index, tf.int32), values[name]) for name in kept},
            )

        kept = {
            name: tf.TensorArray(shape.dtype, size=tf.cast(steps, tf.int32), element_shape=shape.shape)
            for name, shape in shapes.items()
        }
        start = (tf.constant(0, tf.int64), shuffled(first), kept)
        _, _, kept = tf.while_loop(lambda index, *_: index < steps, body, start, parallel_iterations=1)
        return {name: array.stack() for name, array in kept.items()}

    shapes.update(_recorded(update, held))
    seconds_per_step = 0.0

    def run(first: int, steps: int, tell: Callable[..., None] | None = None) -> dict[str, np.ndarray]:
        nonlocal seconds_per_step
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        while done < steps:
            count = min(steps - done, max(1, int(CALL_SECONDS / seconds_per_step)) if seconds_per_step else 1)
            started = time.perf_counter()
            values = call(tf.constant(first + done, tf.int64), tf.constant(count, tf.int64))
            parts.append({name: value.numpy() for name, value in values.items()})
            if seconds_per_step or done:  # the very first call also traces
                seconds_per_step = (time.perf_counter() - started) / count
            done += count
            if tell is not None:
                tell(first + done, **{name: float(np.mean(value[-1])) for name, value in parts[-1].items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return run


def _recorded(update: Update, held: Sequence[tf.Tensor]) -> dict[str, tf.TensorSpec]:
    """Shapes and types of what `update` returns, found by tracing it once, without running it."""
    specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in held]
    traced = tf.function(update, autograph=False).get_concrete_function(*specs)
    return {name: tf.TensorSpec(value.shape, value.dtype) for name, value in traced.structured_outputs.items()}


def adam(variables: Sequence[Any], learning_rate: float) -> tuple[Callable[[Sequence[tf.Tensor]], None], list]:
    """Adam (Kingma and Ba 2015) as Keras computes it, one fused operation a variable.

    variables: Keras or TensorFlow variables. Returns apply(gradients) and the slot variables, which a
    checkpoint needs: the step count, then both moments of each variable.
    """
    targets = [each if isinstance(each, tf.Variable) else each.value for each in variables]
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


def classifier_update(model: Any, apply: Callable[[Sequence[tf.Tensor]], None]) -> Update:
    """A step of training on (inputs, labels): mean cross-entropy of the logits, dropout on.

    Records `loss` and `accuracy` of the batch before its update, the running values that `fit` averages.
    """
    targets = [variable.value for variable in model.trainable_variables]

    def update(inputs: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(targets)
            logits = model(inputs, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        apply(tape.gradient(loss, targets))
        return {"loss": loss, "accuracy": tf.reduce_mean(_correct(logits, labels))}

    return update


def train_classifier(
    model: Any,
    dataset: Any,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    probe_images: int,
    seed: int,
    checkpoint: Any,
    name: str,
) -> dict[str, list[float]]:
    """Train a Keras classifier with Adam; after each epoch evaluate it and let `checkpoint` save.

    Returns lists over epochs: `running_*` as `fit` averages them, with dropout on, and the clean `train_*`
    (the first probe_images of a fixed shuffle of the training images) and `test_*`.
    """
    probe = np.random.default_rng(0).permutation(len(dataset.train_images))[:probe_images]
    probe_inputs, probe_labels = dataset.train_images[probe], dataset.train_labels[probe]
    apply, slots = adam(model.trainable_variables, learning_rate)
    run = loop(classifier_update(model, apply), (dataset.train_images, dataset.train_labels), batch_size, seed)
    evaluate = evaluator(model)

    variables = [variable.value for variable in model.variables] + slots
    names = ("running_loss", "running_accuracy", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
    curves: dict[str, list[float]] = checkpoint.load(variables) or {name: [] for name in names}
    sizes = np.full(-(-len(dataset.train_images) // batch_size), batch_size)
    sizes[-1] = len(dataset.train_images) - sizes[:-1].sum()
    done = len(curves["test_loss"])
    with progress.shown(name, epochs * len(sizes), done * len(sizes)) as tell:
        for epoch in range(done, epochs):
            running = run(epoch * len(sizes), len(sizes), tell)
            values = (
                np.average(running["loss"], weights=sizes),
                np.average(running["accuracy"], weights=sizes),
                *evaluate(probe_inputs, probe_labels),
                *evaluate(dataset.test_images, dataset.test_labels),
            )
            for curve, value in zip(names, values, strict=True):
                curves[curve].append(float(value))
            checkpoint.save(variables, curves)
    return curves


def multiply_adds(model: Any) -> int:
    """Multiplications (each with an addition) of one example's forward pass through Conv2D and Dense layers."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1], dtype=int)  # 1 for Dense, the picture's pixels for Conv2D
            total += int(places * np.prod(layer.kernel.shape))
    return total


def evaluator(model: Any) -> Callable[[np.ndarray, np.ndarray], tuple[float, float]]:
    """Compile the clean evaluation: evaluate(inputs, labels) -> (mean loss, accuracy), dropout off."""

    @tf.function(autograph=False, jit_compile=False, reduce_retracing=True)
    def total(inputs: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(inputs, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.reduce_sum(losses), tf.reduce_sum(_correct(logits, labels))

    def evaluate(inputs: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        loss = correct = 0.0
        for first in range(0, len(inputs), EVALUATION_BATCH):
            part = slice(first, first + EVALUATION_BATCH)
            sums = total(tf.constant(inputs[part]), tf.constant(labels[part]))
            loss += float(sums[0])
            correct += float(sums[1])
        return loss / len(inputs), correct / len(inputs)

    return evaluate


def _correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
