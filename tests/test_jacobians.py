"""Norms of Jacobians: against closed forms of linear models, finite differences and autograd; nets that are sure."""

import itertools
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

from hw1_3 import jacobians


def net(widths: tuple[int, ...], biases: bool, seed: int = 0) -> list[np.ndarray]:
    """Weights of a Dense net, as Keras lists them; float64."""
    generator, arrays = np.random.default_rng(seed), []
    for inputs, outputs in itertools.pairwise(widths):
        arrays.append(generator.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs))
        arrays += [0.3 * generator.normal(size=outputs)] if biases else []
    return arrays


def outputs(arrays: list[np.ndarray], biases: bool, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits and softmax of one image, written without anything of `jacobians`."""
    step = 2 if biases else 1
    for index in range(0, len(arrays), step):
        image = image @ arrays[index] + (arrays[index + 1] if biases else 0)
        if index + step < len(arrays):
            image = np.where(image > 0, image, 0)
    shares = np.exp(image)
    return image, shares / shares.sum()


def central_differences(function, image: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """(outputs, pixels): the Jacobian of function(image) by central differences."""
    columns = []
    for pixel in range(len(image)):
        moved = np.zeros(len(image))
        moved[pixel] = step
        columns.append((function(image + moved) - function(image - moved)) / (2 * step))
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("widths", [(12, 7, 5, 4), (6, 9, 3), (20, 6, 6, 6, 6, 3), (5, 4)])
def test_norms_and_gradients_are_those_of_finite_differences(widths, biases):
    arrays, generator = net(widths, biases), np.random.default_rng(1)
    images, labels = generator.random((9, widths[0])), generator.integers(0, widths[-1], 9)
    found = jacobians.sensitivities(arrays, images, labels)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):

        def loss(x, label=label):
            return -np.log(outputs(arrays, biases, x)[1][[label]])

        logits = central_differences(lambda x: outputs(arrays, biases, x)[0], image)
        softmax = central_differences(lambda x: outputs(arrays, biases, x)[1], image)
        gradient = central_differences(loss, image)
        assert found["logits"][index] == pytest.approx(np.linalg.norm(logits), rel=1e-7)
        assert found["softmax"][index] == pytest.approx(np.linalg.norm(softmax), rel=1e-7)
        assert found["loss_gradient"][index] == pytest.approx(np.linalg.norm(gradient), rel=1e-7)
        assert found["loss"][index] == pytest.approx(loss(image)[0], rel=1e-12)
        assert found["correct"][index] == (np.argmax(outputs(arrays, biases, image)[0]) == label)


def test_a_linear_model_has_its_closed_form():
    (kernel, bias), generator = net((11, 4), biases=True), np.random.default_rng(2)
    images, labels = generator.random((30, 11)), generator.integers(0, 4, 30)
    found = jacobians.sensitivities([kernel, bias], images, labels)
    np.testing.assert_allclose(found["logits"], np.sqrt(np.trace(kernel.T @ kernel)), rtol=1e-13)
    for index, image in enumerate(images):
        p = np.exp(image @ kernel + bias) / np.exp(image @ kernel + bias).sum()
        slope = np.diag(p) - np.outer(p, p)
        assert found["softmax"][index] == pytest.approx(np.sqrt(np.trace(slope @ kernel.T @ kernel @ slope)), rel=1e-12)
        away = p - np.eye(4)[labels[index]]
        assert found["loss_gradient"][index] == pytest.approx(np.sqrt(away @ kernel.T @ kernel @ away), rel=1e-12)


@pytest.mark.parametrize("biases", [False, True])
def test_the_jacobian_is_that_of_autograd_for_the_nets_of_the_question(biases):
    from common import backend

    backend.start()
    import keras
    import tensorflow as tf
    from keras import layers

    hidden = [layers.Dense(64, activation="relu", use_bias=biases) for _ in range(2)]
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *hidden, layers.Dense(10, use_bias=biases)])
    images = np.random.default_rng(3).random((40, 28, 28, 1)).astype(np.float32)
    labels = np.arange(40) % 10
    inputs = tf.constant(images)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        logits = model(inputs)
        shares = tf.nn.softmax(logits)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    found = jacobians.sensitivities(model.get_weights(), images, labels)
    for name, tensor in (("logits", logits), ("softmax", shares)):
        whole = tape.batch_jacobian(tensor, inputs).numpy().reshape(40, -1)
        np.testing.assert_allclose(found[name], np.linalg.norm(whole, axis=1), rtol=1e-5)
    theirs = np.linalg.norm(tape.gradient(loss, inputs).numpy())
    assert jacobians.mean_loss_gradient(found["loss_gradient"]) == pytest.approx(theirs, rel=1e-5)
    assert found["loss"].mean() == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("count", [1, jacobians.BATCH, jacobians.BATCH + 1])
def test_batches_do_not_show(count):
    arrays, images = net((6, 5, 3), biases=False), np.random.default_rng(4).random((count, 2, 3))
    labels = np.arange(count) % 3
    norms, whole = jacobians.jacobian_norms(arrays, images), jacobians.sensitivities(arrays, images, labels)
    one = jacobians.sensitivities(arrays, images[-1:], labels[-1:])
    for name, values in whole.items():
        assert values.shape == (count,)
        assert values[-1] == pytest.approx(one[name][0], rel=1e-12)
    for name, values in norms.items():
        np.testing.assert_array_equal(values, whole[name])


def test_float32_weights_and_images_are_measured_in_float64():
    arrays = [array.astype(np.float32) for array in net((6, 5, 3), biases=True)]
    images = np.random.default_rng(5).random((4, 6)).astype(np.float32)
    norms = jacobians.jacobian_norms(arrays, images)
    exact = jacobians.jacobian_norms([array.astype(np.float64) for array in arrays], images.astype(np.float64))
    for name, values in norms.items():
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, exact[name])


def test_dead_units_pass_nothing_on():
    kernel, last = -np.ones((4, 3)), np.ones((3, 2))
    found = jacobians.sensitivities([kernel, last], np.ones((2, 4)), np.array([0, 1]))
    for name in ("logits", "softmax", "loss_gradient"):
        np.testing.assert_array_equal(found[name], 0)
    np.testing.assert_allclose(found["loss"], np.log(2))


@pytest.mark.parametrize("shapes", [[], [(3,)], [(4, 3), (2,)], [(4, 3), (5, 2)], [(3, 3, 1, 2)]])
def test_what_is_no_dense_net_is_refused(shapes):
    with pytest.raises(ValueError, match=r"Dense kernel"):
        jacobians.sensitivities([np.zeros(shape) for shape in shapes], np.zeros((2, 4)), np.zeros(2, int))


def test_two_classes_of_one_pixel_are_the_logistic_function():
    """softmax of (a x, 0) is the logistic function of a x, whose slope is a p (1 - p), once up and once down."""
    slope, pixels = 3.0, np.linspace(-40, 40, 41)[:, None]  # where 1 - p is 1e-52
    found = jacobians.sensitivities([np.array([[slope, 0.0]])], pixels, np.zeros(41, int))
    away = np.exp(-slope * pixels[:, 0])  # (1 - p) / p
    np.testing.assert_allclose(found["softmax"], np.sqrt(2) * slope * away / (1 + away) ** 2, rtol=1e-12)
    np.testing.assert_allclose(found["loss_gradient"], slope * away / (1 + away), rtol=1e-12)
    np.testing.assert_allclose(found["loss"], np.log1p(away), rtol=1e-12)
