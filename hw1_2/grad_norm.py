"""Do the norm of the gradient and the loss move together during training?

Homework 1-2, "Observe gradient norm during training". With L the mean loss of some examples and theta all weights,

    |grad L(theta)| = sqrt(sum over theta of (dL / dtheta)^2)

1. Train eight nets of an arm side by side, one for each seed. On MNIST they have two hidden layers of 64 without biases
   and learn by Adam (Kingma and Ba 2015) or by gradient descent with momentum. On f1(x) = sin(exp(pi x)) they are the
   nets of param_pca.py and learn by Adam.
2. Before every update, record L and |grad L| of the mini-batch.
3. Every 100 iterations, and at every iteration of one window, record L and |grad L| of a fixed set of examples. A bump
   of the norm of mini-batches may come from the batch, as hard pictures raise norm and loss alike. A bump of the norm
   of the fixed set can only come from the landscape.
4. Correlate the ranks of norm and loss: over the whole training, on the fixed set; and within windows of successive
   mini-batches, after the straight trend of each window is removed (`norm_and_loss.statistics`).
5. Evaluate the nets at the end.

    python hw1_2/grad_norm.py --scale paper      about 7 minutes on two CPU cores
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import backend, data, history, optimizers, seeds, seedwise, settings, stacked, training
from common.lazy import keras, tf

import numpy as np

from hw1_2 import norm_and_loss, param_pca

REVISION = 1
ARMS = ("mnist/adam", "mnist/sgd", "f1/adam")
PARAMETERS = {"mnist": 54_912, "f1": param_pca.PARAMETERS}


@dataclass(frozen=True)
class Settings:
    iterations: settings.Count = 15_000  # updates of each net
    batch_size: settings.Count = 100  # images
    adam_learning_rate: settings.Positive = 0.01  # of Adam on MNIST
    sgd_learning_rate: settings.Positive = 0.01  # of gradient descent with momentum on MNIST
    momentum: settings.Share = 0.9  # of gradient descent
    function_points: settings.Count = 20_000  # of f1, on an even grid of [-1, 1]
    function_batch_size: settings.Count = 256  # points
    function_learning_rate: settings.Positive = 1e-3  # of Adam on f1
    fixed_examples: settings.Count = 10_000  # training images or points of the fixed set
    fixed_every: settings.Count = 100  # iterations between two measurements on it
    window: Annotated[int, settings.Range(10, 10**6)] = 200  # iterations of a window
    window_start: Annotated[int, settings.Range(0, 10**9)] = 7500  # first iteration of the window of the fixed set
    seeds: settings.Count = 8  # nets of an arm, each from its own initial weights; on f1 those of param_pca.py
    arms: tuple[Literal["mnist/adam", "mnist/sgd", "f1/adam"], ...] = ARMS  # task and optimizer

    def __post_init__(self) -> None:
        settings.check_ranges(self)
        if self.window_start + self.window > self.iterations:
            end = f"--window-start {self.window_start} with --window {self.window}"
            raise ValueError(f"{end} must end within --iterations {self.iterations}")


PAPER = Settings()
QUICK = replace(PAPER, iterations=1200, function_points=2000, fixed_examples=1000, window_start=600)


def build_model():
    """The net for MNIST as a keras.Sequential, from (28, 28, 1) images to ten logits."""
    hidden = [keras.layers.Dense(64, activation="relu", use_bias=False) for _ in range(2)]
    model = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), *hidden, keras.layers.Dense(10, use_bias=False)],
    )
    training.require_parameters(model, PARAMETERS["mnist"])
    return model


def gradient_norm(gradients: list) -> Any:
    """Scalar: |grad L| of one net. gradients: of L by each of its variables."""
    return tf.sqrt(2 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))  # l2_loss: half the sum


def image_nets(chosen: Settings, optimizer: str) -> tuple[Callable, Callable, list, Any]:
    """The nets for MNIST. Returns values(images, labels) -> (losses, norms, gradients), the first two (seeds,);
    apply(gradients); all variables that training changes; and the Keras models."""
    models = seedwise.build(build_model, range(chosen.seeds))
    variables = seedwise.trainable(models)
    if optimizer == "adam":
        apply, slots = optimizers.adam(variables, chosen.adam_learning_rate)
    else:
        apply, slots = optimizers.sgd(variables, chosen.sgd_learning_rate, chosen.momentum)

    def values(images, labels) -> tuple:
        losses, gradients, _ = seedwise.losses_and_gradients(models, images, labels)
        norms = tf.stack([gradient_norm(each) for each in gradients])
        return losses, norms, [gradient for net in gradients for gradient in net]

    return values, apply, [*variables, *slots], models


def function_nets(chosen: Settings) -> tuple[Callable, Callable, list, Any]:
    """The nets for f1. Returns the same, but outputs(points) -> (seeds, points) in place of the models."""
    forward = stacked.copies_of(param_pca.build_model())
    stack = tf.Variable(param_pca.initial_weights(chosen.seeds))  # (seeds, parameters)
    apply, slots = optimizers.adam([stack], chosen.function_learning_rate)

    def values(points, targets) -> tuple:
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean(tf.square(forward(stack, points) - targets), axis=1)
            total = tf.reduce_sum(losses)  # a net's loss depends on its own row of the stack alone
        gradient = tape.gradient(total, stack)
        return losses, tf.norm(gradient, axis=1), [gradient]

    return values, apply, [stack, *slots], lambda points: forward(stack, tf.constant(points)).numpy()


def function_data(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of an even grid of [-1, 1], and the values of f1 there; float32."""
    inputs = np.linspace(-1, 1, points)
    return inputs.astype(np.float32), param_pca.target(inputs).astype(np.float32)


def stops_of(chosen: Settings) -> list[int]:
    """After how many updates the fixed set is measured: multiples of `fixed_every`, all of the window, and the last."""
    regular = range(0, chosen.iterations, chosen.fixed_every)
    return sorted({*regular, *range(chosen.window_start, chosen.window_start + chosen.window), chosen.iterations})


def train(chosen: Settings, digits: data.Dataset, unit: str, checkpoint: history.Checkpoint) -> dict[str, Any]:
    """Train all nets of one arm. Returns what `norm_and_loss.results_of` makes of the records, and the evaluation."""
    # 1. The nets of the arm
    task, optimizer = unit.split("/")
    if task == "mnist":
        arrays, batch_size = (digits.train_images, digits.train_labels), chosen.batch_size
        values, apply, variables, nets = image_nets(chosen, optimizer)
    else:
        arrays, batch_size = function_data(chosen.function_points), chosen.function_batch_size
        values, apply, variables, nets = function_nets(chosen)

    # 2. An update that records loss and norm of its mini-batch, before it changes the weights
    def update(inputs, targets) -> dict[str, Any]:
        losses, norms, gradients = values(inputs, targets)
        apply(gradients)
        return {"loss": losses, "gradient_norm": norms}

    # 3. Loss and norm of the fixed set, between updates
    examples = [tf.constant(array) for array in seeds.fixed_examples(arrays, chosen.fixed_examples)]
    measure = tf.function(lambda: tf.stack(values(*examples)[:2]), autograph=False, jit_compile=False)

    run = training.loop(update, arrays, batch_size, seeds.stream(0, "batches"), jit_compile=task == "f1")
    stops = stops_of(chosen)
    batch = np.zeros((2, chosen.iterations, chosen.seeds), np.float32)  # [0] losses, [1] norms
    fixed = np.zeros((2, len(stops), chosen.seeds), np.float32)
    checkpoint.restore([*variables, batch, fixed], {})
    for stop, recorded in training.segments(run, stops, checkpoint):
        if recorded:
            batch[:, stop - len(recorded["loss"]) : stop] = recorded["loss"], recorded["gradient_norm"]
        fixed[:, stops.index(stop)] = measure().numpy()

    # 4. Correlations
    epoch = training.steps_per_epoch(len(arrays[0]), batch_size)
    window = range(chosen.window_start, chosen.window_start + chosen.window)
    records = batch.astype(np.float64), fixed.astype(np.float64), np.array(stops)
    results = norm_and_loss.results_of(*records, chosen.fixed_every, window, epoch)

    # 5. Evaluation
    if task == "mnist":
        results["test_accuracy"] = seedwise.evaluator(nets)(digits.test_images, digits.test_labels)[1]
    else:
        results["dead"] = training.dead_nets(nets(arrays[0]))
    results |= {"parameters": PARAMETERS[task], "iterations_per_epoch": epoch, "fixed_examples": len(examples[0])}
    correlations = ("large_scale", "small_scale", "window_fixed")  # explained at `norm_and_loss.statistics`
    results["summary"] = {"end loss": results["fixed"]["loss"][:, -1]}
    results["summary"] |= {name.replace("_", " "): results["statistics"][name] for name in correlations}
    return results


def main() -> None:
    run = settings.parse(__file__, __doc__, PAPER, QUICK)
    digits = data.mnist(run)
    experiment = history.start(run, REVISION, run.settings.arms, digits)
    for unit in experiment.missing():
        backend.start(intra_threads=1, inter_threads=2)  # the layers are too small to share out, the nets are not
        experiment.keep(unit, train(run.settings, digits, unit, experiment.checkpoint(unit)))
    experiment.report()


if __name__ == "__main__":
    with settings.one_message():
        main()
