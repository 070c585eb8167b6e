"""Keskar's sharpness: quadratics in a box, whose highest points are known, and the search that ends at once."""

import itertools

import numpy as np
import pytest

from hw1_3 import box

CENTRE = np.array([0.0, 1.0, -3.0, 0.5])
EPSILON = 0.01
SIDES = np.array([0.01, 0.02, 0.04, 0.015])  # eps (|x| + 1)


def quadratic(matrix: np.ndarray, slope: np.ndarray, lowest: float = 0.2) -> box.Loss:
    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        move = at - CENTRE
        return lowest + slope @ move + move @ matrix @ move / 2, slope + matrix @ move

    return loss


def highest_corner(loss: box.Loss) -> float:
    """Sharpness by trying all corners: a convex function is highest in one."""
    corners = [np.array(signs) * SIDES for signs in itertools.product((-1, 1), repeat=4)]
    return 100 * (max(loss(CENTRE + corner)[0] for corner in corners) - loss(CENTRE)[0]) / (1 + loss(CENTRE)[0])


def test_the_box_is_that_of_the_docstring():
    np.testing.assert_allclose(box.bounds(CENTRE, EPSILON), SIDES)


@pytest.mark.parametrize("seed", range(6))
def test_the_highest_corner_of_a_convex_quadratic(seed):
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(4, 4))
    loss = quadratic(root @ root.T, 0.3 * generator.normal(size=4))
    starts = generator.uniform(-1, 1, (12, 4))
    searches = [box.long_search(loss, CENTRE, EPSILON, start, 60, 1e-6) for start in starts]
    best = max(searches, key=lambda each: each["rise"])
    assert best["rise"] == pytest.approx(highest_corner(loss), rel=1e-6)
    assert best["share_at_bounds"] == 1
    assert best["further_rise"] == pytest.approx(0, abs=1e-9)
    value = loss(CENTRE + best["move"])[0]
    assert best["rise"] == pytest.approx(100 * (value - 0.2) / 1.2, rel=1e-9)


def test_a_summit_inside_the_box_is_found_there():
    summit = np.array([0.004, -0.01, 0.02, 0.0])
    loss = quadratic(-np.eye(4), summit)  # highest where the slope vanishes
    found = box.long_search(loss, CENTRE, EPSILON, np.full(4, 0.9), 60, 1e-9)
    np.testing.assert_allclose(found["move"], summit, atol=1e-6)
    assert found["rise"] == pytest.approx(100 * (summit @ summit / 2) / 1.2, rel=1e-6)
    assert found["share_at_bounds"] == 0
    assert found["further_rise"] < 1e-4 * found["rise"]


def test_the_short_search_stands_still_at_a_minimum_and_the_long_one_does_not():
    loss = quadratic(np.diag([1.0, 2, 3, 4]), np.zeros(4))
    short = box.short_search(loss, CENTRE, EPSILON, 10)
    assert (short["iterations"], short["rise"]) == (0, 0)
    long = box.long_search(loss, CENTRE, EPSILON, np.array([0.1, -0.2, 0.3, -0.4]), 60, 1e-6)
    assert long["rise"] == pytest.approx(highest_corner(loss), rel=1e-6)
    np.testing.assert_allclose(long["move"], np.array([1, -1, 1, -1]) * SIDES)


def test_the_short_search_climbs_along_a_slope():
    loss = quadratic(np.zeros((4, 4)), np.array([1.0, -2, 0.5, 1]))
    short = box.short_search(loss, CENTRE, EPSILON, 10)
    assert short["rise"] == pytest.approx(highest_corner(loss), rel=1e-9)
    assert 0 < short["iterations"] <= 10


def test_a_flat_loss_is_not_sharp():
    flat = quadratic(np.zeros((4, 4)), np.zeros(4))
    for found in (
        box.short_search(flat, CENTRE, EPSILON, 10),
        box.long_search(flat, CENTRE, EPSILON, np.ones(4), 9, 1e-4),
    ):
        assert (found["rise"], found["further_rise"]) == (0, 0)
