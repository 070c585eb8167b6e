"""Hessian-vector products, extreme eigenvalues and traces against closed forms, TensorFlow and numpy.linalg."""

from common import backend

import numpy as np
import pytest

from hw1_3 import hessian

EXAMPLES, PIXELS, CLASSES = 40, 7, 4
SHAPES = ((7, 6), (6,), (6, 5), (5,), (5, 4), (4,))
TOLERANCE = 1e-8


@pytest.fixture
def examples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    return generator.normal(size=(EXAMPLES, PIXELS)), generator.integers(0, CLASSES, EXAMPLES)


def drawn(shapes: tuple, seed: int = 2) -> np.ndarray:
    return 0.7 * np.random.default_rng(seed).normal(size=sum(int(np.prod(shape)) for shape in shapes))


def columns(product: hessian.Product, size: int) -> np.ndarray:
    """The whole matrix, a product for each column."""
    return np.stack([product(each) for each in np.eye(size)], axis=1)


def with_ones(inputs: np.ndarray) -> np.ndarray:
    return np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)


def test_softmax_regression_has_its_closed_form(examples):
    inputs, labels = examples
    shapes = ((PIXELS, CLASSES), (CLASSES,))
    vector = drawn(shapes)
    loss, gradient, product = hessian.passes(vector, shapes, inputs, labels)
    table, extended = vector.reshape(PIXELS + 1, CLASSES), with_ones(inputs)  # the bias is the kernel's last row
    logits = extended @ table
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.mean(np.log(shares[np.arange(EXAMPLES), labels])), abs=TOLERANCE)
    wanted = extended.T @ (shares - np.eye(CLASSES)[labels]) / EXAMPLES
    np.testing.assert_allclose(gradient, wanted.ravel(), atol=TOLERANCE)
    closed = np.zeros((len(vector), len(vector)))
    for x, p in zip(extended, shares, strict=True):
        closed += np.kron(np.outer(x, x), np.diag(p) - np.outer(p, p)) / EXAMPLES
    np.testing.assert_allclose(columns(product, len(vector)), closed, atol=TOLERANCE)
    assert hessian.exact_trace(vector, shapes, inputs) == pytest.approx(np.trace(closed), abs=TOLERANCE)


def half_squares(outputs: np.ndarray, targets: np.ndarray):
    errors = outputs - targets
    return np.sum(errors**2, axis=1) / 2, errors, lambda changes: changes


def test_linear_regression_has_its_closed_form(examples):
    inputs, _ = examples
    shapes, targets = ((PIXELS, 3), (3,)), np.random.default_rng(4).normal(size=(EXAMPLES, 3))
    vector = drawn(shapes)
    loss, gradient, product = hessian.passes(vector, shapes, inputs, targets, half_squares)
    extended = with_ones(inputs)
    errors = extended @ vector.reshape(PIXELS + 1, 3) - targets
    assert loss == pytest.approx(np.sum(errors**2) / 2 / EXAMPLES, abs=TOLERANCE)
    np.testing.assert_allclose(gradient, (extended.T @ errors / EXAMPLES).ravel(), atol=TOLERANCE)
    closed = np.kron(extended.T @ extended / EXAMPLES, np.eye(3))
    np.testing.assert_allclose(columns(product, len(vector)), closed, atol=TOLERANCE)
    found = hessian.extreme_eigenvalues(product, np.ones(len(vector)) + drawn(shapes, 5), 1e-10)
    values = np.linalg.eigvalsh(closed)
    assert (found["bottom"], found["top"]) == pytest.approx((values[0], values[-1]), abs=TOLERANCE)


def by_automatic_differentiation(vector: np.ndarray, inputs: np.ndarray, labels: np.ndarray):
    """Loss, gradient and Hessian of the net with two hidden layers, by TensorFlow in float64."""
    backend.start()
    import tensorflow as tf

    flat = tf.constant(vector)
    with tf.GradientTape() as outer:
        outer.watch(flat)
        with tf.GradientTape() as inner:
            inner.watch(flat)
            sizes = [int(np.prod(shape)) for shape in SHAPES]
            parts = [tf.reshape(part, shape) for part, shape in zip(tf.split(flat, sizes), SHAPES, strict=True)]
            hidden = tf.constant(inputs)
            for layer in range(3):
                hidden = hidden @ parts[2 * layer] + parts[2 * layer + 1]
                hidden = tf.nn.relu(hidden) if layer < 2 else hidden
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, hidden))
        gradient = inner.gradient(loss, flat)
    return float(loss), gradient.numpy(), outer.jacobian(gradient, flat).numpy()


def test_the_net_agrees_with_automatic_differentiation(examples):
    vector = drawn(SHAPES)
    loss, gradient, product = hessian.passes(vector, SHAPES, *examples)
    theirs = by_automatic_differentiation(vector, *examples)
    assert loss == pytest.approx(theirs[0], abs=TOLERANCE)
    np.testing.assert_allclose(gradient, theirs[1], atol=TOLERANCE)
    np.testing.assert_allclose(columns(product, len(vector)), theirs[2], atol=TOLERANCE)
    assert hessian.exact_trace(vector, SHAPES, examples[0]) == pytest.approx(np.trace(theirs[2]), abs=TOLERANCE)
    values = np.linalg.eigvalsh(theirs[2])
    assert values[0] < -1e-3  # a matrix with both signs
    found = hessian.extreme_eigenvalues(product, drawn(SHAPES, 9), 1e-9)
    assert (found["bottom"], found["top"]) == pytest.approx((values[0], values[-1]), abs=TOLERANCE)


def test_large_logits_do_not_overflow():
    losses, gradient, curvature = hessian.cross_entropy(np.array([[1000.0, 0.0], [-1000.0, 0.0]]), np.array([0, 0]))
    np.testing.assert_array_equal(losses, [0, 1000])
    assert np.isfinite(gradient).all()
    assert np.isfinite(curvature(np.ones((2, 2)))).all()


# --------------------------------------------------------------------------------- eigenvalues and trace


def symmetric(values: np.ndarray, seed: int = 0) -> np.ndarray:
    """A matrix with these eigenvalues and random eigenvectors."""
    vectors, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return (vectors * values) @ vectors.T


@pytest.mark.parametrize(
    "values",
    [np.linspace(-0.3, 5, 60), np.r_[np.zeros(50), 1e-3 * np.arange(8), -0.01, 7.0], -np.arange(60.0), np.zeros(60)],
    ids=["spread", "outlier", "negative", "nothing"],
)
def test_lanczos_finds_both_ends(values):
    matrix = symmetric(values)
    found = hessian.extreme_eigenvalues(lambda v: matrix @ v, np.random.default_rng(1).normal(size=60), 1e-6)
    largest = np.abs(values).max() or 1
    assert found["top"] == pytest.approx(values.max(), abs=1e-6 * largest)
    assert found["bottom"] == pytest.approx(values.min(), abs=1e-6 * largest)
    assert max(found["top_residual"], found["bottom_residual"]) <= 1e-6
    assert found["products"] <= 60


def test_lanczos_says_when_it_was_cut_off():
    matrix = symmetric(np.linspace(-1, 1, 200))
    found = hessian.extreme_eigenvalues(lambda v: matrix @ v, np.random.default_rng(1).normal(size=200), 1e-6, 10)
    assert found["products"] == 10
    assert found["top_residual"] > 1e-3
    assert abs(found["top"] - 1) > 1e-3


def test_hutchinson_lies_within_its_standard_error():
    matrix = symmetric(np.r_[np.linspace(-1, 3, 80), 20.0])
    generator = np.random.default_rng(3)
    estimates = [hessian.hutchinson(lambda v: matrix @ v, 81, 30, generator) for _ in range(40)]
    assert abs(estimates[0][0] - np.trace(matrix)) < 3 * estimates[0][1]
    spread = np.std([trace for trace, _ in estimates], ddof=1)
    assert np.mean([error for _, error in estimates]) == pytest.approx(spread, rel=0.35)  # 3 errors of 40 draws' spread
    diagonal = np.diag(np.arange(5.0))
    assert hessian.hutchinson(lambda v: diagonal @ v, 5, 4, generator) == (10.0, 0.0)  # exact for a diagonal
    assert np.isnan(hessian.hutchinson(lambda v: diagonal @ v, 5, 1, generator)[1])
