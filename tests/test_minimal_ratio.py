"""Points of zero gradient: Hessians, searches and ratios against closed forms; a run from end to end."""

import dataclasses
import itertools
import math

from common import history, seeds, stacked

import numpy as np
import pytest

from hw1_2 import critical_points, earlier_recipe, minimal_ratio, newton

POINTS = np.linspace(-2, 2, 17)
TARGETS = np.sin(3 * POINTS)


# ------------------------------------------------------------------------------------ gradients and Hessians


def plain_loss(weights: list[float], widths: tuple[int, ...], ridge: float) -> float:
    """The loss of one net, number by number: the truth that shares no code with `newton`."""
    total = 0.0
    for point, target in zip(POINTS.tolist(), TARGETS.tolist(), strict=True):
        passed, place = [point], 0
        for depth, units in enumerate(widths):
            kernel, biases = weights[place:], weights[place + len(passed) * units :]
            sums = [
                biases[unit] + sum(value * kernel[row * units + unit] for row, value in enumerate(passed))
                for unit in range(units)
            ]
            place += (len(passed) + 1) * units
            passed = [math.tanh(each) for each in sums] if depth < len(widths) - 1 else sums
        total += (passed[0] - target) ** 2 / len(POINTS)
    return total + ridge * sum(weight**2 for weight in weights)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("widths", [(4, 1), (3, 2, 1)])
def test_losses_gradients_and_hessians_equal_finite_differences_of_a_plain_loss(widths, ridge):
    nets = stacked.glorot_uniform(widths, [1, 2]) + 0.1
    about = POINTS, TARGETS, widths, ridge
    losses, gradients, hessians = newton.hessians(nets, *about)
    step, size = 1e-4, nets.shape[1]

    def plain(net: int, *moves: tuple[int, float]) -> float:
        moved = nets[net].tolist()
        for index, by in moves:
            moved[index] += by
        return plain_loss(moved, widths, ridge)

    for net in range(2):
        assert losses[net] == pytest.approx(plain(net), rel=1e-13)
        slopes = [(plain(net, (one, step)) - plain(net, (one, -step))) / (2 * step) for one in range(size)]
        np.testing.assert_allclose(gradients[net], slopes, atol=1e-7)
        for one, other in itertools.combinations_with_replacement(range(size), 2):
            corners = [a * b * plain(net, (one, a * step), (other, b * step)) for a in (1, -1) for b in (1, -1)]
            assert hessians[net, one, other] == pytest.approx(sum(corners) / (4 * step**2), abs=1e-6)
        np.testing.assert_allclose(hessians[net], hessians[net].T, atol=1e-14)
    np.testing.assert_allclose(newton.losses(nets, *about), losses, rtol=1e-14)
    for other in (newton.gradients, newton.gauss_newton):
        np.testing.assert_allclose(other(nets, *about)[0], losses, rtol=1e-14)
        np.testing.assert_allclose(other(nets, *about)[1], gradients, rtol=1e-9, atol=1e-14)


def test_the_ridge_is_part_of_the_curvature_that_is_never_negative():
    nets = stacked.glorot_uniform((4, 1), [1])
    with_it, without = (newton.gauss_newton(nets, POINTS, TARGETS, (4, 1), ridge)[2] for ridge in (0.3, 0.0))
    np.testing.assert_allclose(with_it - without, 0.6 * np.eye(13)[None], atol=1e-14)


def test_of_points_that_agree_in_loss_and_spectrum_the_first_counts():
    loss = np.array([1.0, 1.0 + 5e-7, 1.0, 0.5, 1.0 + 3e-6])
    spectra = np.array([[-1.0, 2.0], [-1.0, 2.0 + 1e-6], [-1.0 + 1e-5, 2.0], [-1.0, 2.0], [-1.0, 2.0]])
    assert critical_points.distinct(loss, spectra) == [0, 2, 3, 4]
    assert critical_points.distinct(loss[:0], spectra[:0]) == []


def test_the_hessian_of_a_linear_net_is_that_of_least_squares():
    nets = np.array([[0.3, -0.2], [2.0, 5.0]])  # slope and bias: the loss is a quadratic
    loss, gradients, hessians = newton.hessians(nets, POINTS, TARGETS, (1,))
    inputs = np.stack([POINTS, np.ones_like(POINTS)], axis=1)
    errors = inputs @ nets.T - TARGETS[:, None]
    np.testing.assert_allclose(loss, np.mean(errors**2, axis=0), rtol=1e-12)
    np.testing.assert_allclose(gradients, 2 / 17 * errors.T @ inputs, rtol=1e-12, atol=1e-14)
    for found in (hessians, newton.gauss_newton(nets, POINTS, TARGETS, (1,))[2]):
        np.testing.assert_allclose(found, np.broadcast_to(2 / 17 * inputs.T @ inputs, (2, 2, 2)), atol=1e-14)


@pytest.mark.parametrize("net", minimal_ratio.WIDTHS)
def test_the_stack_predicts_what_keras_predicts(net):
    import keras

    widths = minimal_ratio.WIDTHS[net]
    weights = stacked.glorot_uniform(widths, [5])
    hidden = [keras.layers.Dense(units, activation="tanh", dtype="float64") for units in widths[:-1]]
    model = keras.Sequential([keras.Input((1,)), *hidden, keras.layers.Dense(1, dtype="float64")])
    model.set_weights(stacked.split(weights[0], widths))
    assert model.count_params() == weights.shape[1]
    expected = model.predict(POINTS[:, None], verbose=0)[:, 0]
    np.testing.assert_allclose(newton.activations(weights, POINTS, widths)[-1][0, 0], expected, rtol=1e-12)


def test_the_path_of_adam_is_that_of_keras():
    import keras

    matrix = np.array([[2.0, 0.5], [0.5, 1.0]])
    starts = np.array([[1.0, -2.0], [0.1, 0.3]])
    path = newton.adam_path(starts, lambda at: at @ matrix, 0.01, [0, 3, 20])
    for start, ends in zip(starts, np.array(path).swapaxes(0, 1), strict=True):
        variable = keras.Variable(start, dtype="float64")
        optimizer = keras.optimizers.Adam(0.01)
        optimizer.build([variable])
        for step in range(1, 21):
            optimizer.apply([matrix @ variable.numpy()])
            if step in (3, 20):
                np.testing.assert_allclose(
                    ends[1 if step == 3 else 2], variable.numpy(), rtol=1e-5
                )  # Keras has float32 constants
        np.testing.assert_array_equal(ends[0], start)


# ---------------------------------------------------------------------------------------------- the searches


def double_well(at: np.ndarray) -> newton.Evaluation:
    """x^2 / 2 + (y^2 - 1)^2 / 4: a saddle at the origin, minima at (0, -1) and (0, 1)."""
    x, y = at.T
    zero = np.zeros_like(x)
    gradient = np.stack([x, y * (y**2 - 1)], axis=1)
    hessian = np.array([[zero + 1, zero], [zero, 3 * y**2 - 1]]).transpose(2, 0, 1)
    return x**2 / 2 + (y**2 - 1) ** 2 / 4, gradient, hessian


def test_the_gradient_norm_is_minimised_to_the_nearest_critical_point_of_any_kind():
    starts = np.array([[0.4, 0.2], [-0.3, 0.8], [0.1, -1.4]])
    ends = newton.minimise_gradient_norm(double_well, starts, 100, 1e-12)
    np.testing.assert_allclose(ends, [[0, 0], [0, 1], [0, -1]], atol=1e-11)
    _, gradient, hessian = double_well(ends)
    found = critical_points.kinds(gradient, hessian)
    assert found["kind"].tolist() == ["saddle", "minimum", "minimum"]
    assert found["index"].tolist() == [1, 0, 0]
    np.testing.assert_array_equal(starts, [[0.4, 0.2], [-0.3, 0.8], [0.1, -1.4]])  # not changed


def test_the_loss_is_minimised_to_the_least_squares_solution():
    inputs = np.stack([POINTS, np.ones_like(POINTS)], axis=1)
    expected = np.linalg.lstsq(inputs, TARGETS, rcond=None)[0]
    ends = newton.minimise_loss(
        lambda at: newton.gauss_newton(at, POINTS, TARGETS, (1,)), np.array([[9.0, -4.0], [0.0, 0.0]]), 50, 1e-13
    )
    np.testing.assert_allclose(ends, [expected, expected], atol=1e-12)


# ------------------------------------------------------------------------------------------- kinds and ratios


def test_kinds_of_points():
    gradient = np.array([[0.0, 0.0], [0.0, 0.0], [0.0, 1e-3], [1e-3, 0.0], [0.0, 1e-7], [0.0, 0.0]])
    curvatures = np.array([[2.0, 1.0], [2.0, -1.0], [2.0, 1e-5], [2.0, 1.0], [100.0, 1.0], [2.0, -1e-14]])
    hessian = np.stack([np.diag(each) for each in curvatures])
    found = critical_points.kinds(gradient, hessian)
    # the last but one is critical because |H| is large, the last a minimum because -1e-14 is round-off
    assert found["kind"].tolist() == ["minimum", "saddle", "flat", "unfinished", "minimum", "minimum"]
    assert found["index"].tolist() == [0, 1, 0, 0, 0, 0]
    assert found["positive_share"].tolist() == [1, 0.5, 1, 1, 1, 0.5]
    assert found["negative_share"].tolist() == [0, 0.5, 0, 0, 0, 0]


def quadratic(curvatures: np.ndarray):
    return lambda at: 0.5 * np.sum(curvatures * at**2, axis=1)


@pytest.mark.parametrize("below", [1.0, 3.0, 0.05])
def test_a_saddle_is_sampled_as_predicted_and_as_its_closed_form(below):
    # P(z1^2 > c z2^2) over standard normal z is that of an angle: 1 - 2 atan(sqrt c) / pi
    curvatures, exact = np.array([1.0, -below]), 1 - 2 * math.atan(math.sqrt(below)) / math.pi
    found = critical_points.kinds(np.zeros((1, 2)), np.diag(curvatures)[None])
    assert found["positive_share"] == found["negative_share"] == 0.5
    draws = 40_000
    error = 3 * math.sqrt(exact * (1 - exact) / draws)  # three standard errors
    directions = np.random.default_rng(1).standard_normal((draws, 2))
    assert abs(minimal_ratio.sampled_ratio(quadratic(curvatures), np.zeros(2), directions, 0.1) - exact) < error
    assert abs(minimal_ratio.predicted_share(curvatures[None], draws, 2)[0] - exact) < error


# ---------------------------------------------------------------------------------------- units that count


def net_of(kernel: list[float], bias: list[float], outgoing: list[float], last: float = 0.1) -> np.ndarray:
    """A net with one hidden layer, (n,)."""
    return np.array([*kernel, *bias, *outgoing, last])


@pytest.mark.parametrize(
    ("kernel", "bias", "outgoing", "width"),
    [
        ([1, 2, 3], [0, 0, 0], [1, 1, 1], 3),
        ([1, 1, 3], [0.5, 0.5, 0], [1, 2, 1], 2),  # two that are equal
        ([1, -1, 3], [0.5, -0.5, 0], [1, 2, 1], 2),  # two that are opposite
        ([1, -1, 3], [0.5, -0.5, 0], [1, 1, 1], 1),  # and take each other away
        ([1, 0, 3], [0.5, 2, 0], [1, 5, 0], 1),  # a constant one, and one without effect
    ],
)
def test_effective_width_counts_distinct_units_with_an_effect(kernel, bias, outgoing, width):
    assert critical_points.effective_width(net_of(kernel, bias, outgoing), POINTS, (3, 1)) == width


def test_units_below_a_layer_without_effect_do_not_count():
    widths = (2, 2, 1)
    net = stacked.glorot_uniform(widths, [3])[0]
    assert critical_points.effective_width(net, POINTS, widths) == 4
    cut = net.copy()
    cut[-3:-1] = 0  # outgoing weights of the last hidden layer
    assert critical_points.effective_width(cut, POINTS, widths) == 0
    half = net.copy()
    half[-3] = 0
    assert critical_points.effective_width(half, POINTS, widths) == 3


def test_units_that_cancel_are_found():
    apart = net_of([1, 2], [0, 0.3], [1, 1])
    alike = net_of([1, 1.001], [0, 0], [1000, -1000])
    constant = net_of([0, 0], [1, 2], [3, 4])
    found = critical_points.cancellation(np.stack([apart, alike, constant]), POINTS, (2, 1))
    assert 1 <= found[0] < 1.1
    assert found[1] > 1000
    assert np.isnan(found[2])


def test_a_doubled_unit_keeps_the_function_and_bounds_the_gradient():
    widths = (3, 1)
    net = stacked.glorot_uniform(widths, [4])[0] + 0.05
    wider = critical_points.duplicate_unit(net, widths, 1, 0.3)
    same = newton.activations(wider[None], POINTS, (4, 1))[-1], newton.activations(net[None], POINTS, widths)[-1]
    np.testing.assert_allclose(*same, rtol=1e-12)
    before, after = (
        np.linalg.norm(newton.gradients(each[None], POINTS, TARGETS, shape)[1])
        for each, shape in ((net, widths), (wider, (4, 1)))
    )
    assert after != before and after <= math.sqrt(2) * before


# ------------------------------------------------------------------------------------------------ training

SMALL = dataclasses.replace(minimal_ratio.PAPER, seeds=12, draws=2000, nets=("1-4-1",))


def test_most_nets_reach_zero_gradient_at_minima_and_at_saddles():
    results = history.plain(minimal_ratio.train(SMALL, minimal_ratio.Arm("1-4-1")))
    norms = np.array(results["gradient_norm"])
    assert np.sum(norms < 1e-8) >= 9
    assert (norms <= results["adam_norm"]).all()
    assert {"minimum", "saddle"} <= set(results["kind"])
    widths, (points, targets) = (4, 1), minimal_ratio.grid(SMALL, "f1")
    weights = np.array(results["weights"])
    again = newton.gradients(weights, 3 * points, targets, widths)
    np.testing.assert_allclose(again[0], results["loss"], rtol=1e-12)
    np.testing.assert_allclose(newton.norms(again[1]), norms, rtol=1e-6)
    searched, kinds = np.array(results["search_norm"]), np.array(results["search_kind"])
    ends = np.arange(12), results["start"]
    np.testing.assert_allclose(searched[ends], norms, rtol=1e-6)
    assert (np.nanmin(searched, axis=1) == searched[ends]).all()
    assert kinds[ends].tolist() == results["kind"]
    assert ((kinds == "") == np.isnan(searched)).all()
    assert results["starts"][-2:] == ["2500", "2500 + least squares"]
    critical = [kind in ("minimum", "saddle") for kind in results["kind"]]
    sampled = np.array(results["sampled"])[:, 2]
    assert np.abs(sampled - results["predicted"])[critical].max() < 0.25  # 100 points each: five standard errors


def test_the_search_ends_when_every_net_is_at_zero_gradient():
    points, targets = minimal_ratio.grid(SMALL, "f1")
    constant = np.zeros((3, 2, 13))  # starts, nets, parameters of 1-4-1
    constant[..., -1] = targets.mean()  # the best constant output, where no slope is left
    found = minimal_ratio.search(constant, (3 * points, targets, (4, 1), 0.0), 250)
    assert np.allclose(found["weights"], constant[0], atol=1e-12)
    assert np.isfinite(found["search_norm"]).sum(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize("net", minimal_ratio.WIDTHS)
def test_with_a_ridge_trainings_end_in_points_whose_gradient_with_the_ridge_is_zero(net):
    chosen = dataclasses.replace(SMALL, seeds=4)
    results = history.plain(minimal_ratio.train(chosen, minimal_ratio.Arm(net, "f2", 1e-3)))
    assert (results["net"], results["function"], results["ridge"]) == (net, "f2", 1e-3)
    assert "doubled" not in results
    weights, (points, targets) = np.array(results["weights"]), minimal_ratio.grid(chosen, "f2")
    np.testing.assert_allclose(targets, np.cos(10 * points**3), rtol=1e-14)
    error, slope = newton.gradients(weights, 3 * points, targets, minimal_ratio.WIDTHS[net])
    np.testing.assert_allclose(results["loss"], error + 1e-3 * np.sum(weights**2, axis=1), rtol=1e-12)
    critical = [kind in ("minimum", "saddle") for kind in results["kind"]]
    assert sum(critical) >= 3
    assert newton.norms(slope + 2e-3 * weights)[critical].max() < 1e-7
    assert set(results["distinct"]) <= set(np.flatnonzero(critical))
    shares = np.array(results["sampled"])[:, 2] - results["predicted"]
    assert np.abs(shares[critical]).max() < 0.25  # the ratio is that of the loss with the ridge


def test_a_net_has_the_same_start_whichever_stand_beside_it():
    few = dataclasses.replace(SMALL, epochs=1, seeds=2, levenberg_steps=1, newton_steps=1, draws=10)
    more = dataclasses.replace(few, seeds=3)
    first, second = (minimal_ratio.train(chosen, minimal_ratio.Arm("1-4-1"))["adam_loss"] for chosen in (few, more))
    np.testing.assert_allclose(first, second[:2], rtol=1e-12)


def test_the_earlier_recipe_hardly_moves_and_its_ratio_follows_the_slope():
    points, targets = minimal_ratio.grid(dataclasses.replace(SMALL, points=32), "f1")
    found = earlier_recipe.train(points, targets, 3, 40, 50)
    initial = np.random.default_rng(seeds.stream(0, "recipe")).standard_normal(found["parameters"])
    assert found["parameters"] == 1761 == len(initial)
    np.testing.assert_allclose(found["norm_after"], found["norm_before"], rtol=1e-4)
    assert max(found["moved_share"]) < 0.2
    assert min(found["by_slope"]) > 0.7
    for name in ("ratio", "ties", "exact_ratio"):
        assert all(0 <= share <= 1 for share in found[name])
    untrained, hidden, rest = earlier_recipe.train(points, targets, 1, 0, 2), points[:, None], initial
    for rows, columns in ((1, 40), (40, 40), (40, 1)):
        kernel, bias, rest = np.split(rest, [rows * columns, (rows + 1) * columns])
        hidden = np.maximum(hidden, 0) if rows > 1 else hidden
        hidden = hidden @ kernel.reshape(rows, columns) + bias
    assert untrained["loss"][0] == pytest.approx(np.mean((hidden[:, 0] - targets) ** 2), rel=1e-4)


# ----------------------------------------------------------------------------------------------- a tiny run


def test_the_history_holds_what_the_claim_needs(tiny_run):
    kept = tiny_run("hw1_2/minimal_ratio").history
    assert kept["complete"] and kept["data"]["name"] == "computed"
    results = kept["results"]["1-4-1"]
    assert np.shape(results["sampled"]) == (5, 5) and np.shape(results["eigenvalues"]) == (5, 13)
    assert np.shape(results["search_norm"]) == np.shape(results["search_kind"]) == (5, len(results["starts"]))
    for name in ("loss", "gradient_norm", "positive_share", "negative_share", "predicted"):
        assert np.isfinite(results[name]).all() and len(results[name]) == 5
    assert (np.array(results["loss"]) < 0.5).all()
    assert sum(results["summary"][kind] for kind in ("minimum", "saddle", "flat", "unfinished")) == 5
    assert list(kept["results"]) == ["1-4-1", "1-40-40-1", "ridge-1e-3/f2/1-4-1"]
    assert len(kept["results"]["1-40-40-1"]["ratio"]) == 5
