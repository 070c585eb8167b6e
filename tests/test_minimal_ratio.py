"""Gradients and Hessians of small tanh nets against finite differences, in float64; the kinds of points found."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "hw1_2"))
import newton

from common import stacked


@pytest.mark.parametrize("widths", [(4, 1), (3, 2, 1)])
def test_gradients_and_hessians_equal_finite_differences(widths):
    points = np.linspace(-2, 2, 17)
    targets = np.sin(3 * points)
    nets = stacked.glorot_uniform(widths, [1, 2]) + 0.1
    step = 1e-5
    _, gradients, hessians = newton.hessians(nets, points, targets, widths)
    np.testing.assert_allclose(gradients, newton.gradients(nets, points, targets, widths)[1], rtol=1e-12)
    for index in range(nets.shape[1]):
        move = np.zeros(nets.shape[1])
        move[index] = step
        ahead, behind = nets + move, nets - move
        loss_slope = newton.losses(ahead, points, targets, widths) - newton.losses(behind, points, targets, widths)
        np.testing.assert_allclose(gradients[:, index], loss_slope / (2 * step), atol=1e-8)
        ahead_slopes = newton.gradients(ahead, points, targets, widths)[1]
        behind_slopes = newton.gradients(behind, points, targets, widths)[1]
        np.testing.assert_allclose(hessians[:, index], (ahead_slopes - behind_slopes) / (2 * step), atol=1e-7)


def test_float32_is_refused():
    with pytest.raises(TypeError, match="float64"):
        newton.losses(np.zeros((1, 13), np.float32), np.zeros(3), np.zeros(3), (4, 1))
