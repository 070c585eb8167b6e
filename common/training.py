"""A compiled training loop, whose batches follow from (seed, step) alone; its segments; and evaluation.

    apply, slots = optimizers.adam(model.trainable_variables, 1e-3)
    run = training.loop(training.classifier_update(model, apply), (images, labels), batch_size, seed)
    curve = checkpoint.restore([*model.variables, *slots], {"loss": []})
    for stop, recorded in training.segments(run, [100, 200, 300], checkpoint):
        curve["loss"].append(evaluate(*test)[0])

trains to step 300 and evaluates every 100 steps. A killed run continues from its last save and gives the same bits.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from common import backend, optimizers, progress, seeds
from common.lazy import tf
from common.settings import Problem

import numpy as np

CALL_SECONDS = 0.5  # aimed at: a compiled call does not see Ctrl-C until it returns
JIT_STEPS = 16_384  # of one call, at most: XLA needs arrays of a fixed size for what the steps record
EVALUATION_BATCH = 500  # images; a larger batch is no faster and takes more memory
ROUND_OFF = 1e-6  # the outputs of a dead net differ by less than this, those of a live net by far more

CURVES = ("running_loss", "running_accuracy", "train_loss", "train_accuracy", "test_loss", "test_accuracy")

Update = Callable[..., dict[str, Any]]  # a batch -> tensors to record
Run = Callable[..., dict[str, np.ndarray]]  # (first step, steps, tell) -> what the steps recorded


def segments(
    run: Run,
    stops: Sequence[int],
    checkpoint: Any,
    name: str = "",
    until: Callable[[int], bool] | None = None,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Train from stop to stop. Yields (stop, what the steps since the last stop recorded), for the caller to measure.

    run: of `loop`. stops: steps in rising order; a first stop of 0 comes before any training, with nothing recorded.
    checkpoint: on which the caller has called `restore`; segments that an interrupted run has done are skipped, and
    the state is saved after each. name: of this training, where a unit has several. until(steps so far): called before
    each segment; True ends the training. Problem where a recorded loss is not finite.
    """
    done = checkpoint.done.get(name, -1)
    last = max(done, 0)
    with progress.shown(checkpoint.label(name), stops[-1], last) as tell:
        for stop in (stop for stop in stops if stop > done):
            if until is not None and until(last):
                break
            recorded = run(last, stop - last, tell) if stop > last else {}
            if not np.isfinite(recorded.get("loss", 0.0)).all():
                raise Problem(f"{checkpoint.label(name)}: the loss is no longer finite: take a smaller learning rate")
            yield stop, recorded
            last = stop
            checkpoint.reached(name, stop)
    checkpoint.save(now=True)


def loop(update: Update, arrays: Sequence[np.ndarray], batch_size: int, seed: int, jit_compile: bool = False) -> Run:
    """A compiled loop of `update` over shuffled batches; returns run(first_step, steps, tell).

    update(*batch) changes variables and returns what to record, a dict of tensors. arrays: (examples, ...) each.
    Epoch e visits the examples in the order of a stateless shuffle by (seed, e), so that any step can be run without
    those before it. The last batch of an epoch may be smaller, as in Keras.
    run returns a dict of arrays (steps, ...), and compiles when it is first called. tell(step, **means) is called
    between compiled calls, with the means of what the last step recorded.

    jit_compile: on a CPU, let XLA compile the whole loop as one program, where this TensorFlow can. Nets of a few
    units, or batches of a few examples, are then 2 to 15 times as fast; wide layers and large batches are slower.
    On a GPU, XLA always compiles the loop.
    """
    call: Callable | None = None
    most = JIT_STEPS if backend.jit_compiles(jit_compile) else None
    seconds_per_step = 0.0

    def run(first: int, steps: int, tell: Callable[..., None] | None = None) -> dict[str, np.ndarray]:
        nonlocal call, seconds_per_step
        if call is None:
            call = _compiled(update, arrays, batch_size, seed, jit_compile=most is not None)
        parts: list[dict[str, np.ndarray]] = []
        done = 0
        while done < steps:
            count = min(steps - done, max(1, int(CALL_SECONDS / seconds_per_step)) if seconds_per_step else 1)
            count = min(count, most or count)
            started = time.perf_counter()
            values = call(tf.constant(first + done), tf.constant(count))
            parts.append({name: value.numpy() for name, value in values.items()})
            if seconds_per_step or done:  # the first call also compiles: its time says little
                seconds_per_step = (time.perf_counter() - started) / count
            done += count
            if tell is not None:
                tell(first + done, **{name: float(np.mean(value[-1])) for name, value in parts[-1].items()})
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return run


def _compiled(update: Update, arrays: Sequence[np.ndarray], batch_size: int, seed: int, jit_compile: bool) -> Callable:
    """call(first step, steps) -> what the steps record.

    The examples are shuffled beforehand, epoch by epoch. jit_compile: XLA needs fixed sizes, so that a call has at most
    JIT_STEPS steps, and a smaller last batch is a case of its own.
    """
    examples = len(arrays[0])
    per_epoch = steps_per_epoch(examples, batch_size)
    whole, rest = divmod(examples, batch_size)
    longest = ((JIT_STEPS - 1) // per_epoch + 2) * examples if jit_compile else None  # of all epochs of a call in a row
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    shapes = _recorded(update, tensors)

    @tf.function(autograph=False, jit_compile=False)
    def orders(first: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """The orders of all epochs of these steps, one after the other; for XLA padded with zeros."""

        def shuffled(epoch: tf.Tensor) -> tf.Tensor:
            key = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
            return tf.random.experimental.stateless_shuffle(tf.range(examples), seed=key)

        epochs = tf.range(first // per_epoch, (first + steps - 1) // per_epoch + 1)
        order = tf.reshape(tf.map_fn(shuffled, epochs, fn_output_signature=tf.int32), [-1])
        return tf.pad(order, [[0, longest - tf.size(order)]]) if jit_compile else order

    numbers = tf.TensorSpec([longest], tf.int32), tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.int32)

    @tf.function(autograph=False, jit_compile=jit_compile, input_signature=numbers)
    def program(order: tf.Tensor, position: tf.Tensor, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        def one(index: tf.Tensor) -> dict[str, tf.Tensor]:
            epoch, place = (position + index) // per_epoch, (position + index) % per_epoch
            begin = epoch * examples + place * batch_size

            def step(size: int | tf.Tensor) -> dict[str, tf.Tensor]:
                indices = tf.gather(order, begin + tf.range(size))  # tf.slice would compile anew
                return update(*[tf.gather(array, indices) for array in tensors])

            if not jit_compile:
                return step(tf.minimum(batch_size, examples - place * batch_size))
            if not rest:
                return step(batch_size)
            if not whole:
                return step(rest)
            return tf.cond(place < whole, lambda: step(batch_size), lambda: step(rest))

        return _while(steps, JIT_STEPS if jit_compile else steps, shapes, one)

    def call(first: tf.Tensor, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        recorded = program(orders(first, steps), first % per_epoch, steps)
        return {name: values[:steps] for name, values in recorded.items()}

    return call


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Batches of one pass over the examples, the last of which may be smaller."""
    return -(-examples // batch_size)


def epoch_ends(epochs: int, examples: int, batch_size: int) -> list[int]:
    """The step after which each of the epochs ends, for `segments`."""
    steps = steps_per_epoch(examples, batch_size)
    return [epoch * steps for epoch in range(1, epochs + 1)]


def running_means(recorded: dict[str, np.ndarray], examples: int, batch_size: int) -> dict[str, np.ndarray]:
    """Means over whole epochs of what a loop recorded, as `fit` shows them: weighted by the sizes of the batches.

    recorded: (steps, ...) each, of one or more whole epochs; the means are (...).
    """
    steps = steps_per_epoch(examples, batch_size)
    sizes = np.full(steps, batch_size)
    sizes[-1] = examples - sizes[:-1].sum()
    return {
        name: np.average(values, axis=0, weights=np.tile(sizes, len(values) // steps))
        for name, values in recorded.items()
    }


def dead_nets(outputs: np.ndarray) -> np.ndarray:
    """(nets,) booleans: which nets have the same output for all examples, up to round-off.

    outputs: (nets, examples, ...).
    """
    return np.ptp(outputs, axis=1).reshape(len(outputs), -1).max(axis=1) <= ROUND_OFF


def _recorded(update: Update, tensors: Sequence[tf.Tensor]) -> dict[str, tf.TensorSpec]:
    """Shapes and types of what `update` returns, by tracing it once, without running it."""
    specs = [tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in tensors]
    traced = tf.function(update, autograph=False).get_concrete_function(*specs)
    return {name: tf.TensorSpec(value.shape, value.dtype) for name, value in traced.structured_outputs.items()}


def _while(steps: tf.Tensor, size: Any, shapes: dict[str, tf.TensorSpec], one: Callable) -> dict[str, tf.Tensor]:
    """`steps` calls of one(index) -> values, in order; returns the values, (size, ...) each."""

    def body(index: tf.Tensor, recorded: dict) -> tuple:
        values = one(index)
        return index + 1, {name: recorded[name].write(index, values[name]) for name in recorded}

    recorded = {name: tf.TensorArray(spec.dtype, size=size, element_shape=spec.shape) for name, spec in shapes.items()}
    start = tf.constant(0), recorded
    _, recorded = tf.while_loop(lambda index, _: index < steps, body, start, parallel_iterations=1)
    return {name: array.stack() for name, array in recorded.items()}


def classifier_update(model: Any, apply: Callable[[Sequence[tf.Tensor]], None]) -> Update:
    """A step of training on (inputs, labels): mean cross-entropy of the logits, dropout on.

    Records `loss` and `accuracy` of the batch before its update, the running values that `fit` averages. The parts of a
    batch (`backend.parts`) go through the net at the same time, so that cores wait less for each other. Only round-off
    differs from a step on the whole batch.
    """
    parts = backend.parts()
    targets = [variable.value for variable in model.trainable_variables]

    def update(inputs: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        count = tf.shape(labels)[0]
        cuts = [count * part // parts for part in range(parts + 1)]
        shares, gradients = [], []
        for first, last in itertools.pairwise(cuts):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(targets)
                some = slice(first, tf.maximum(last, first + 1))  # never empty, but an empty part has the weight 0
                weight = tf.cast(last > first, tf.float32) / tf.cast(count, tf.float32)
                loss, right = sums_of(model(inputs[some], training=True), labels[some])
                loss, right = weight * loss, weight * right
            gradients.append(tape.gradient(loss, targets))
            shares.append((loss, right))
        apply([tf.add_n(each) for each in zip(*gradients, strict=True)])
        loss, accuracy = (tf.add_n(each) for each in zip(*shares, strict=True))
        return {"loss": loss, "accuracy": accuracy}

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
    further: Callable[..., dict[str, float]] | None = None,
) -> dict[str, list[float]]:
    """Train a Keras classifier with Adam, and evaluate it after each epoch.

    Returns lists over epochs: `running_*` as `fit` averages them, with dropout on; and with dropout off `train_*`, on
    the first probe_images of a fixed shuffle of the training images, and `test_*`. further(images, labels) returns
    what else to evaluate on both sets: its `name` becomes the curves `train_name` and `test_name`.
    """
    arrays = dataset.train_images, dataset.train_labels
    fixed = [tf.constant(array) for array in seeds.fixed_examples(arrays, probe_images)]
    test = [tf.constant(array) for array in (dataset.test_images, dataset.test_labels)]
    apply, slots = optimizers.adam(model.trainable_variables, learning_rate)
    run = loop(classifier_update(model, apply), arrays, batch_size, seed)
    evaluate = evaluator(model)

    variables = [variable.value for variable in model.variables] + slots
    curves = checkpoint.restore(variables, {name: [] for name in CURVES})
    for _, recorded in segments(run, epoch_ends(epochs, len(arrays[0]), batch_size), checkpoint):
        running = running_means(recorded, len(arrays[0]), batch_size)
        values = running["loss"], running["accuracy"], *evaluate(*fixed), *evaluate(*test)
        measured = dict(zip(CURVES, map(float, values), strict=True))
        for part, images_and_labels in (("train", fixed), ("test", test)) if further else ():
            measured |= {f"{part}_{curve}": value for curve, value in further(*images_and_labels).items()}
        for curve, value in measured.items():
            curves.setdefault(curve, []).append(value)
    return curves


def require_parameters(model: Any, count: int) -> None:
    """Problem where a model has another number of parameters, so that results are not taken for those of its net."""
    if model.count_params() != count:
        raise Problem(
            f"the net has {model.count_params():,} parameters, not {count:,}: with another net, change PARAMETERS in "
            "the script and raise its REVISION"
        )


def multiply_adds(model: Any) -> int:
    """Multiplications, each with an addition, of one example's forward pass through Conv2D and Dense layers."""
    total = 0
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1], dtype=int)  # 1 for Dense, the picture's pixels for Conv2D
            total += int(places * np.prod(layer.kernel.shape))
    return total


def evaluator(model: Any) -> Callable[[Any, Any], tuple[float, float]]:
    """Compile evaluate(inputs, labels) -> (mean loss, accuracy), with dropout off.

    inputs (examples, ...) and labels (examples,): arrays, or tensors, which saves a copy at each evaluation.
    """
    means = batchwise(lambda inputs, labels: tf.stack(sums_of(model(inputs, training=False), labels)))

    def evaluate(inputs: Any, labels: Any) -> tuple[float, float]:
        loss, accuracy = means(inputs, labels)
        return float(loss), float(accuracy)

    return evaluate


def batchwise(sums: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]) -> Callable[[Any, Any], np.ndarray]:
    """Compile means(inputs, labels): over all examples, of the sums that sums(inputs, labels) returns for a batch.

    Two batches are computed at a time: where layers are too small for several cores, that keeps two cores busy.
    """

    @tf.function(autograph=False, jit_compile=False, reduce_retracing=True)
    def means(inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        examples = tf.shape(inputs)[0]

        def body(first: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            part = slice(first, first + EVALUATION_BATCH)
            return first + EVALUATION_BATCH, total + tf.cast(sums(inputs[part], labels[part]), tf.float64)

        shape = sums(inputs[:0], labels[:0]).shape
        start = (tf.constant(0), tf.zeros(shape, tf.float64))
        _, total = tf.while_loop(lambda first, _: first < examples, body, start, parallel_iterations=2)
        return total / tf.cast(examples, tf.float64)

    return lambda inputs, labels: means(tf.convert_to_tensor(inputs), tf.convert_to_tensor(labels)).numpy()


def sums_of(logits: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Scalars: summed cross-entropy, and the number of correct answers. logits: (examples, classes)."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return tf.reduce_sum(losses), tf.reduce_sum(correct(logits, labels))


def correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """(examples,): 1.0 where the largest logit is the label's, else 0.0."""
    return tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
