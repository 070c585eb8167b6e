"""What a user of Keras would write: `compile` and `fit` or `evaluate`, one net at a time, nothing set or forced.

`fit` is left as it is but for verbose=0; `fit tuned` takes the fastest of some `steps_per_execution`, and evaluates in
large batches. Jacobians and Hessians are what GradientTape gives.
"""

import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from contenders import examples
from contenders.work import TRAINING, Work, script_module

Steps = Callable[[int], float]
STEPS_PER_EXECUTION = (1, 8, 64)
ENOUGH_SECONDS = 1.0  # of `fit` at a time
EVALUATION_BATCH = 1000  # of `fit tuned`
JACOBIAN_BATCH = 500  # images at once


def build_model(script: str, net: tuple) -> keras.Model:
    """The net of a script in Keras; of minimal_ratio, which computes its nets in NumPy, the same net in float64."""
    module = script_module(script)
    if hasattr(module, "build_model"):
        return module.build_model(*net)
    *hidden, outputs = module.WIDTHS[net[0]]
    layers = [keras.layers.Dense(units, activation="tanh", dtype="float64") for units in hidden]
    return keras.Sequential([keras.Input((1,), dtype="float64"), *layers, keras.layers.Dense(outputs, dtype="float64")])


def describe(script: str, net: tuple) -> list[dict[str, Any]]:
    """The layers of a net: `kind`, what its other makers need, `parameters`, and `multiply_adds` of one example."""
    found = []
    for layer in build_model(script, net).layers:
        about: dict[str, Any] = {"kind": type(layer).__name__, "parameters": layer.count_params(), "multiply_adds": 0}
        if hasattr(layer, "kernel"):
            places = np.prod(layer.output.shape[1:-1], dtype=int)  # 1 for Dense
            about["multiply_adds"] = int(places * np.prod(layer.kernel.shape))
            about |= {"inputs": layer.kernel.shape[-2], "outputs": layer.kernel.shape[-1], "bias": layer.use_bias}
            about |= {"activation": layer.activation.__name__, "padding": getattr(layer, "padding", "")}
        if about["kind"] == "Dropout":
            about["rate"] = layer.rate
        if about["kind"] == "Flatten":
            about["shape"] = list(layer.input.shape[1:])
        found.append(about)
    return found


def load(work: Work, name: str, layers: list) -> tuple[Steps, str]:
    """run(steps) -> seconds, and what was tuned."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = build_model(work.script, work.net)
    if work.kind in TRAINING:
        return fit(work, model, name == "fit tuned")
    if work.kind == "hessian":
        return hessians(work, model), "nested GradientTape"
    if work.kind in ("jacobian", "sensitivity"):
        return jacobian(work, model), f"batch_jacobian, {JACOBIAN_BATCH} images at once"
    if work.kind in ("norms", "norms of regression"):
        return norms(work, model), "GradientTape"
    return evaluate(work, model, name == "fit tuned")


def arrays(work: Work, model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Examples of a classifier, or of a net that learns a function."""
    if model.output_shape[-1] == 1:
        inputs, targets = examples.points(work.examples)
        return inputs[:, None], targets[:, None]
    return examples.pictures(model.input_shape[1:], work.examples)


def compiled(work: Work, model: keras.Model, **options: Any) -> keras.Model:
    """The model with optimizer, loss and, of a classifier, accuracy."""
    optimizer = {
        "adam": lambda: keras.optimizers.Adam(work.learning_rate),
        "sgd": lambda: keras.optimizers.SGD(work.learning_rate),
        "momentum": lambda: keras.optimizers.SGD(work.learning_rate, momentum=0.9),
    }[work.optimizer]()
    if model.output_shape[-1] == 1:
        model.compile(optimizer, "mse", **options)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model


class WithNorm(keras.Model):
    """A model whose `fit` shows the norm of the batch's gradient."""

    def train_step(self, data: tuple) -> dict[str, Any]:
        inputs, targets = data
        with tf.GradientTape() as tape:
            outputs = self(inputs, training=True)
            loss = self.compute_loss(y=targets, y_pred=outputs)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        for metric in self.metrics:
            metric.update_state(*((loss,) if metric.name == "loss" else (targets, outputs)))
        shown = {metric.name: metric.result() for metric in self.metrics}
        return shown | {"gradient_norm": tf.linalg.global_norm(gradients)}


class Epochs(keras.callbacks.Callback):
    """When the first epoch began and the last one ended: what `fit` does before and after is not a step."""

    began = ended = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.began = self.began or time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.ended = time.perf_counter()


def fit(work: Work, model: keras.Model, tuned: bool) -> tuple[Steps, str]:
    """`fit` on whole epochs, or on one epoch of a part of the examples where a whole one takes long.

    It does about a second's worth of steps at least, since beginning an epoch takes time that belongs to many steps;
    the seconds are scaled to the steps asked for.
    """
    inputs, targets = arrays(work, model)
    per_epoch = -(-len(inputs) // work.batch_size)
    if work.kind.endswith("norms"):
        model = WithNorm(model.inputs, model.outputs)

    a_step = ENOUGH_SECONDS  # seconds, as known so far

    def run(steps: int) -> float:
        nonlocal a_step
        wanted = max(steps, int(ENOUGH_SECONDS / a_step))
        clock, epochs = Epochs(), max(1, round(wanted / per_epoch))
        part = slice(None) if wanted >= per_epoch else slice(wanted * work.batch_size)
        about = {"batch_size": work.batch_size, "epochs": epochs, "verbose": 0, "callbacks": [clock]}
        model.fit(inputs[part], targets[part], **about)
        a_step = (clock.ended - clock.began) / (epochs * min(wanted, per_epoch))
        return a_step * steps

    compiled(work, model)
    run(1)
    if not tuned:
        return run, "defaults"
    took: dict[int, float] = {}
    for count in STEPS_PER_EXECUTION:
        if took and count * took[1] > ENOUGH_SECONDS:
            break  # with steps this long it gains nothing
        compiled(work, model, steps_per_execution=count)
        run(2 * count)  # traces
        run(2 * count)
        took[count] = run(2 * count) / (2 * count)
    best = min(took, key=took.__getitem__)
    compiled(work, model, steps_per_execution=best)
    run(2 * best)
    return run, f"steps_per_execution {best}"


def evaluate(work: Work, model: keras.Model, tuned: bool) -> tuple[Steps, str]:
    """`evaluate` on all examples; of a "line" with the weights set anew before."""
    inputs, targets = arrays(work, model)
    compiled(work, model)
    options = {"verbose": 0, **({"batch_size": EVALUATION_BATCH} if tuned else {})}
    weights = model.get_weights()

    def step() -> None:
        if work.kind == "line":
            model.set_weights(weights)
        model.evaluate(inputs, targets, **options)

    step()
    return examples.repeated(step), f"batch {EVALUATION_BATCH}" if tuned else "defaults"


def norms(work: Work, model: keras.Model) -> Steps:
    """Loss and gradient norm on all examples at once."""
    inputs, targets = map(tf.constant, arrays(work, model))
    compiled(work, model)

    @tf.function
    def measure() -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=targets, y_pred=model(inputs))
        return loss, tf.linalg.global_norm(tape.gradient(loss, model.trainable_variables))

    measure()
    return examples.repeated(lambda: [each.numpy() for each in measure()])


def jacobian(work: Work, model: keras.Model) -> Steps:
    """Norms of the Jacobian of the softmax, an image at a time."""
    images, _ = arrays(work, model)

    @tf.function
    def lengths(batch: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(batch)
            shares = tf.nn.softmax(model(batch))
        found = tape.batch_jacobian(shares, batch)
        return tf.norm(tf.reshape(found, (len(batch), -1)), axis=1)

    def step() -> None:
        for first in range(0, len(images), JACOBIAN_BATCH):
            lengths(tf.constant(images[first : first + JACOBIAN_BATCH])).numpy()

    step()
    return examples.repeated(step)


def hessians(work: Work, model: keras.Model) -> Steps:
    """Loss, gradient and Hessian of one net after another, float64."""
    inputs, targets = (tf.constant(array[:, None]) for array in examples.points(work.examples, np.float64))
    weights = [variable.value for variable in model.trainable_variables]

    @tf.function
    def measure() -> tuple:
        with tf.GradientTape(persistent=True) as outer:
            with tf.GradientTape() as inner:
                loss = tf.reduce_mean(tf.square(model(inputs) - targets))
            slope = tf.concat([tf.reshape(each, [-1]) for each in inner.gradient(loss, weights)], 0)
        rows = outer.jacobian(slope, weights)
        return loss, slope, tf.concat([tf.reshape(each, (len(slope), -1)) for each in rows], 1)

    def step() -> None:
        for _ in range(work.nets):
            measure()

    step()
    return examples.repeated(step)
