"""Flat vectors, filter-normalised directions and the matching of units, against closed forms and all orders."""

import itertools

from common import weights

import numpy as np
import pytest

DEEP = (1, 5, 10, 15, 20, 25, 20, 15, 10, 5, 1)  # the 2,136-parameter net of param_pca.py


def net(widths, seed=0, biases=True, dtype=np.float32):
    """Random weights as Keras lists them."""
    generator = np.random.default_rng(seed)
    arrays = []
    for rows, columns in itertools.pairwise(widths):
        arrays.append(generator.normal(size=(rows, columns)).astype(dtype))
        if biases:
            arrays.append(generator.normal(size=columns).astype(dtype))
    return arrays


def shuffled(arrays, widths, seed):
    """The net with its hidden units in a random order, written out index by index."""
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(width) for width in widths[1:-1]]
    with_biases = any(array.ndim == 1 for array in arrays)
    moved = []
    for layer, (rows, columns) in enumerate(itertools.pairwise(widths)):
        kernel = arrays[2 * layer if with_biases else layer]
        sources = orders[layer - 1] if layer else range(rows)
        targets = orders[layer] if layer < len(orders) else range(columns)
        moved.append(np.array([[kernel[i, j] for j in targets] for i in sources]))
        if with_biases:
            moved.append(np.array([arrays[2 * layer + 1][j] for j in targets]))
    return moved, orders


def outputs(arrays, inputs):
    """Of a ReLU net with biases."""
    layers = list(zip(arrays[::2], arrays[1::2], strict=True))
    for kernel, bias in layers[:-1]:
        inputs = np.maximum(inputs @ kernel + bias, 0)
    return inputs @ layers[-1][0] + layers[-1][1]


def distance(one, other):
    return float(np.linalg.norm(weights.flatten(one) - weights.flatten(other)))


def test_flat_vectors_go_there_and_back():
    arrays = net((3, 4, 2))
    vector = weights.flatten(arrays)
    assert vector.dtype == np.float64 and vector.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert vector[:5].tolist() == [*arrays[0][0].tolist(), float(arrays[0][1, 0])]
    back = weights.unflatten(vector, [array.shape for array in arrays])
    for one, other in zip(back, arrays, strict=True):
        assert one.dtype == np.float64 and one.shape == other.shape and (one == other).all()


def test_each_filter_of_a_direction_is_as_long_as_the_unit_s():
    generator = np.random.default_rng(0)
    arrays = [generator.normal(size=(7, 5)).astype(np.float32), np.ones(5), generator.normal(size=(3, 3, 2, 4))]
    direction = weights.filter_normalised(np.random.default_rng(1), arrays)
    assert [each.dtype for each in direction] == [np.float64] * 3
    for unit in range(5):  # a Keras Dense kernel is (inputs, outputs): a unit's weights are a column
        assert np.linalg.norm(direction[0][:, unit]) == pytest.approx(np.linalg.norm(arrays[0][:, unit]), rel=1e-6)
    assert not direction[1].any()
    for unit in range(4):
        found, expected = (np.sqrt(np.sum(each[..., unit] ** 2)) for each in (direction[2], arrays[2]))
        assert found == pytest.approx(expected, rel=1e-12)
    assert np.linalg.norm(direction[0], axis=1) != pytest.approx(np.linalg.norm(arrays[0], axis=1), rel=0.01)


def test_a_unit_without_weights_is_not_moved_and_draws_differ():
    kernel = np.ones((4, 3))
    kernel[:, 1] = 0
    generator = np.random.default_rng(2)
    first, second = (weights.filter_normalised(generator, [kernel])[0] for _ in range(2))
    assert not first[:, 1].any() and np.isfinite(first).all()
    assert not np.allclose(first, second)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("widths", "biases"), [(DEEP, True), (DEEP, False), ((6, 40, 3), True), ((10, 30, 30, 4), False)]
)
def test_matching_undoes_a_random_permutation_exactly(widths, biases, seed):
    arrays = net(widths, seed, biases)
    moved, orders = shuffled(arrays, widths, seed + 100)
    assert distance(arrays, moved) > 0
    matched, found = weights.match_units(arrays, moved)
    for one, other in zip(matched, arrays, strict=True):
        assert one.dtype == other.dtype and (one == other).all()
    for order, undone in zip(orders, found, strict=True):
        assert order[undone].tolist() == list(range(len(order)))


@pytest.mark.parametrize("seed", range(4))
def test_with_one_hidden_layer_no_order_of_units_is_closer(seed):
    one, other = net((3, 5, 2), seed), net((3, 5, 2), seed + 50)
    least = min(
        distance(one, [other[0][:, order], other[1][list(order)], other[2][list(order)], other[3]])
        for order in map(list, itertools.permutations(range(5)))
    )
    assert distance(one, weights.match_units(one, other)[0]) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_matching_changes_no_output_and_no_distance_grows(seed):
    one, other = net(DEEP, seed, dtype=np.float64), net(DEEP, seed + 50, dtype=np.float64)
    before = [array.copy() for array in other]
    matched, found = weights.match_units(one, other)
    inputs = np.linspace(-1, 1, 50)[:, None]
    np.testing.assert_allclose(outputs(matched, inputs), outputs(other, inputs), rtol=1e-9)
    assert distance(one, matched) < distance(one, other)
    assert len(found) == len(DEEP) - 2
    for array, copy in zip(other, before, strict=True):
        assert (array == copy).all()  # the caller's arrays are left alone


def test_nets_that_cannot_be_matched_are_refused():
    with pytest.raises(ValueError, match="same shape"):
        weights.match_units(net((2, 3, 1)), net((2, 4, 1)))
    with pytest.raises(ValueError, match="Dense kernel"):
        weights.match_units([np.zeros((2, 2, 3))], [np.zeros((2, 2, 3))])
