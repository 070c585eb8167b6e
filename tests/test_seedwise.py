"""Nets trained side by side in one step against plain Keras, one after the other."""

from common import backend, optimizers

import numpy as np
import pytest

backend.start()
from common import seedwise, training

import keras
import tensorflow as tf

EXAMPLES, BATCH = 40, 16  # so that the last batch of an epoch is a smaller one
OPTIMIZERS = {
    "adam": (lambda targets: optimizers.adam(targets, 0.01), lambda: keras.optimizers.Adam(0.01)),
    "sgd": (lambda targets: optimizers.sgd(targets, 0.1), lambda: keras.optimizers.SGD(0.1)),
    "sgd with momentum": (
        lambda targets: optimizers.sgd(targets, 0.05, 0.9),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    ),
}


def small_net() -> keras.Model:
    layers = keras.layers
    hidden = [layers.Dense(6, "relu", use_bias=False), layers.Dense(5, "relu")]
    return keras.Sequential([keras.Input((3, 4, 1)), layers.Flatten(), *hidden, layers.Dense(4)])


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    images = generator.normal(size=(EXAMPLES, 3, 4, 1)).astype(np.float32)
    return images, generator.integers(0, 4, EXAMPLES).astype(np.int32)


def batches(seed: int, steps: int) -> list[np.ndarray]:
    """Indices of the examples that the compiled loop takes at each step."""
    per_epoch = -(-EXAMPLES // BATCH)
    chosen = []
    for step in range(steps):
        order = tf.random.experimental.stateless_shuffle(tf.range(EXAMPLES), seed=[seed, step // per_epoch]).numpy()
        chosen.append(order[step % per_epoch * BATCH :][:BATCH])
    return chosen


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_step_of_every_net_is_that_of_plain_keras(optimizer, pictures):
    images, labels = pictures
    ours, theirs = OPTIMIZERS[optimizer]
    models = seedwise.build(small_net, (0, 1, 2))
    apply, _ = ours(seedwise.trainable(models))
    run = training.loop(seedwise.classifier_update(models, apply), (images, labels), BATCH, seed=7)
    plain = seedwise.build(small_net, (0, 1, 2))
    for each in plain:
        each.compile(theirs(), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    for step, chosen in enumerate(batches(7, 12)):
        recorded = run(step, 1)
        assert recorded["loss"].shape == recorded["accuracy"].shape == (1, 3)
        for net, (model, twin) in enumerate(zip(models, plain, strict=True)):
            twin.reset_metrics()
            loss, accuracy = twin.train_on_batch(images[chosen], labels[chosen])
            assert recorded["loss"][0, net] == pytest.approx(loss, rel=2e-5)
            assert recorded["accuracy"][0, net] == pytest.approx(accuracy, abs=1e-6)
            for one, other in zip(model.get_weights(), twin.get_weights(), strict=True):
                np.testing.assert_allclose(one, other, rtol=2e-4, atol=3e-6)


def test_a_net_does_not_depend_on_those_beside_it(pictures):
    def trained(numbers):
        models = seedwise.build(small_net, numbers)
        apply, _ = optimizers.sgd(seedwise.trainable(models), 0.05, 0.9)
        training.loop(seedwise.classifier_update(models, apply), pictures, BATCH, seed=1)(0, 9)
        return models

    alone, together = trained((5,))[0], trained((3, 5))[1]
    for one, other in zip(alone.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_evaluation_of_each_net_is_that_of_keras(pictures, monkeypatch):
    monkeypatch.setattr(training, "EVALUATION_BATCH", 15)
    models = seedwise.build(small_net, (0, 1))
    losses, accuracies = seedwise.evaluator(models)(*pictures)
    for net, model in enumerate(models):
        model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        assert (losses[net], accuracies[net]) == pytest.approx(model.evaluate(*pictures, verbose=0), rel=1e-5)


def test_float64_stays_float64():
    weights = tf.Variable(np.ones(2))
    apply, (velocity,) = optimizers.sgd([weights], 0.1, 0.5)
    apply([tf.constant([1.0, 2.0], tf.float64)])
    assert weights.dtype == velocity.dtype == tf.float64
    np.testing.assert_array_equal(weights.numpy(), [1 - 0.1 * 1.0, 1 - 0.1 * 2.0])
