"""Gradient norm and loss: the norm against closed forms, the statistics, a tiny run from end to end, claim C5."""

from common import backend, stacked

import numpy as np
import pytest
import trial_runs

from hw1_2 import grad_norm, norm_and_loss, param_pca, plot_grad_norm
from report import claims
from report.facts import grad_norm as reported

backend.start()
from common import seedwise, training

import keras
import tensorflow as tf

# ------------------------------------------------------------------------- the norm against closed forms


def linear_net() -> keras.Model:
    layers = keras.layers
    return keras.Sequential([keras.Input((4, 3, 1)), layers.Flatten(), layers.Dense(5, use_bias=False)])


def softmax_regression(images: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss of the linear net and its gradient X'(p - y) / n, in float64."""
    inputs = images.reshape(len(images), -1).astype(np.float64)
    logits = inputs @ weights
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    wanted = np.eye(weights.shape[1])[labels]
    return float(-np.mean(np.log((shares * wanted).sum(axis=1)))), inputs.T @ (shares - wanted) / len(images)


@pytest.fixture
def blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(size=(30, 4, 3, 1)).astype(np.float32), generator.integers(0, 5, 30).astype(np.int32)


def test_the_norm_of_a_linear_classifier_is_that_of_its_closed_form(blobs, monkeypatch):
    monkeypatch.setattr(grad_norm, "build_model", linear_net)
    chosen = grad_norm.Settings(seeds=3)
    values, apply, _, models = grad_norm.image_nets(chosen, "sgd")
    weights = [model.get_weights()[0].astype(np.float64) for model in models]
    speeds = [np.zeros_like(each) for each in weights]

    def update(images, labels):
        losses, norms, gradients = values(images, labels)
        apply(gradients)
        return {"loss": losses, "gradient_norm": norms}

    recorded = training.loop(update, blobs, 30, seed=0)(0, 6)  # one batch is everything, in any order
    assert recorded["gradient_norm"].shape == (6, 3)
    for step in range(6):
        for net in range(3):
            loss, gradient = softmax_regression(*blobs, weights[net])
            assert recorded["loss"][step, net] == pytest.approx(loss, rel=1e-5)
            assert recorded["gradient_norm"][step, net] == pytest.approx(np.sqrt(np.sum(gradient**2)), rel=1e-5)
            speeds[net] = chosen.momentum * speeds[net] - chosen.sgd_learning_rate * gradient
            weights[net] = weights[net] + speeds[net]


def test_the_norm_of_the_function_net_is_that_of_finite_differences():
    values, _, (stack, *_), _ = grad_norm.function_nets(grad_norm.Settings(seeds=2))
    points, targets = grad_norm.function_data(12)
    norms = values(tf.constant(points), tf.constant(targets))[1].numpy()

    def loss(flat: np.ndarray) -> float:
        hidden, position = points[:, None].astype(np.float64), 0
        for index, width in enumerate(param_pca.WIDTHS):
            rows = hidden.shape[1]
            kernel = flat[position : position + rows * width].reshape(rows, width)
            hidden = hidden @ kernel + flat[position + rows * width :][:width]
            position += rows * width + width
            if index < len(param_pca.WIDTHS) - 1:
                hidden = np.maximum(hidden, 0)
        return float(np.mean((hidden[:, 0] - targets) ** 2))

    flat = stack.numpy()[1].astype(np.float64)
    flat += 1e-3 * np.random.default_rng(0).normal(size=len(flat))  # zero biases lie on the kinks of units at x = 0
    stack.assign(np.stack([flat, flat]))
    norms = values(tf.constant(points), tf.constant(targets))[1].numpy()
    slopes = []
    for index in range(len(flat)):
        step = np.zeros(len(flat))
        step[index] = 1e-6
        slopes.append((loss(flat + step) - loss(flat - step)) / 2e-6)
    assert norms[1] == pytest.approx(np.linalg.norm(slopes), rel=1e-3)
    assert norms[0] == norms[1]


def test_the_nets_are_those_of_the_homework():
    assert grad_norm.build_model().count_params() == 784 * 64 + 64 * 64 + 64 * 10
    assert not any("bias" in weight.name for weight in grad_norm.build_model().weights)
    stack = grad_norm.function_nets(grad_norm.Settings(seeds=2))[2][0]
    np.testing.assert_array_equal(stack, param_pca.initial_weights(2))


# -------------------------------------------------------------------------------------------- statistics


def test_rank_correlation_knows_order_only():
    values = np.random.default_rng(0).normal(size=40)
    assert norm_and_loss.rank_correlation(values, np.exp(3 * values)) == pytest.approx(1)
    assert norm_and_loss.rank_correlation(values, -(values**3)) == pytest.approx(-1)
    # by hand: 1 - 6 sum d^2 / (n (n^2 - 1)), the ranks differing by 1, 1, 0, 0
    assert norm_and_loss.rank_correlation(np.array([1, 2, 3, 4]), np.array([2, 1, 3, 9])) == pytest.approx(0.8)


@pytest.mark.parametrize("first", [np.ones(5), np.arange(2.0)])
def test_what_does_not_vary_has_no_rank_correlation(first):
    assert np.isnan(norm_and_loss.rank_correlation(first, np.arange(float(len(first)))))


def test_a_straight_line_has_nothing_left_without_its_trend():
    steps = np.arange(200)
    wave = np.sin(2 * np.pi * (steps + 0.5) / 200 * 10)
    np.testing.assert_allclose(norm_and_loss.detrended(7 - 0.3 * steps), 0, atol=1e-12)
    np.testing.assert_allclose(
        norm_and_loss.detrended(5 + 0.3 * steps + wave), norm_and_loss.detrended(wave), atol=1e-9
    )
    assert not norm_and_loss.detrended(np.full(9, 0.1)).any()
    assert norm_and_loss.scatter(np.array([1.0, 3.0] * 100)) == pytest.approx(0.5, rel=1e-3)
    assert np.isnan(norm_and_loss.scatter(np.zeros(5)))


def made_up(iterations: int = 1000, window: int = 100) -> dict:
    """One net: the norm rises while the loss falls, after a first epoch in which both fall; their bumps are equal."""
    generator = np.random.default_rng(1)
    steps = np.arange(iterations)
    bumps = generator.normal(size=iterations)
    loss, norm = 50 - 0.05 * steps + bumps, 10 + 0.05 * steps + 3 * bumps
    at = np.arange(0, iterations + 1, 50)
    fixed = {"iterations": at, "loss": 100.0 - at, "gradient_norm": np.where(at < 300, 1000.0 - at, at)}
    inside = slice(400, 400 + window)
    still = {"fixed_loss": 2 - 0.001 * steps[inside], "fixed_gradient_norm": np.ones(window)}
    return {
        "loss": loss,
        "norm": norm,
        "fixed": fixed,
        "window": {"loss": loss[inside], "gradient_norm": norm[inside], **still},
    }


def test_each_statistic_finds_what_was_planted():
    found = norm_and_loss.statistics(**made_up(), epoch=300)
    assert found["large_scale"] == pytest.approx(-1)  # the first epoch, in which both fall, is left out
    assert found["small_scale"] == pytest.approx(1, abs=0.01)
    assert found["small_scale_differences"] == pytest.approx(1, abs=0.01)
    assert found["window"] == pytest.approx(1, abs=0.02)
    assert np.isnan(found["window_fixed"])  # the norm stands still there
    assert np.isnan(found["batch_with_fixed"])
    assert found["scatter_fixed"] == 0
    assert found["norm_trend"] == pytest.approx(1)
    assert found["loss_trend"] == pytest.approx(-1)


def test_a_window_whose_loss_is_zero_is_left_out():
    net = made_up()
    net["loss"][:300] = 0.0
    found = norm_and_loss.statistics(**net, epoch=300)
    assert found["small_scale"] == pytest.approx(1, abs=0.01)


def test_running_medians_are_those_of_the_slices():
    values = np.random.default_rng(0).normal(size=(430, 2))
    middles, medians = norm_and_loss.running_median(values)
    assert middles.tolist() == [100, 150, 200, 250, 300]
    for place, middle in enumerate(middles):
        np.testing.assert_array_equal(medians[:, place], np.median(values[middle - 100 : middle + 101], axis=0))
    assert norm_and_loss.running_median(values[:20])[1].shape == (2, 1)


def test_everything_kept_is_in_its_place():
    chosen = grad_norm.Settings(iterations=50, fixed_every=20, window=10, window_start=35, seeds=2)
    stops = np.array(grad_norm.stops_of(chosen))
    assert stops.tolist() == [0, 20, *range(35, 45), 50]
    batch = np.arange(200.0).reshape(2, 50, 2) % 37
    fixed = -np.arange(2.0 * len(stops) * 2).reshape(2, len(stops), 2) - 1
    kept = norm_and_loss.results_of(batch, fixed, stops, 20, range(35, 45), epoch=10)
    assert kept["fixed"]["iterations"].tolist() == [0, 20, 40, 50]
    assert kept["window"]["iterations"].tolist() == list(range(35, 45))
    for quantity, name in enumerate(("loss", "gradient_norm")):
        np.testing.assert_array_equal(kept["first_seed"][name], batch[quantity, :, 0])
        np.testing.assert_array_equal(kept["window"][name][1], batch[quantity, 35:45, 1])
        np.testing.assert_array_equal(kept["window"][f"fixed_{name}"][1], fixed[quantity, 2:12, 1])
        np.testing.assert_array_equal(kept["fixed"][name][1], fixed[quantity, [0, 1, 7, 12], 1])


# ---------------------------------------------------------------------------------------------- training


TINY = grad_norm.Settings(
    iterations=60,
    batch_size=16,
    function_points=200,
    function_batch_size=32,
    fixed_examples=80,
    fixed_every=20,
    window=20,
    window_start=30,
    seeds=3,
)


@pytest.mark.parametrize("unit", grad_norm.ARMS)
def test_resumed_training_equals_uninterrupted(unit, digits, tmp_path, nowhere):
    whole = grad_norm.train(TINY, digits, unit, nowhere)
    again = tmp_path / "unit", 9  # saves: within the window
    resumed = trial_runs.resumed(lambda checkpoint: grad_norm.train(TINY, digits, unit, checkpoint), *again)
    trial_runs.assert_same_bits(resumed, whole)


def test_a_fixed_set_of_everything_is_the_batch_of_everything(digits, nowhere):
    every = grad_norm.Settings(
        iterations=12, batch_size=240, fixed_examples=240, fixed_every=5, window=10, window_start=2, seeds=2
    )
    window = grad_norm.train(every, digits, "mnist/sgd", nowhere)["window"]
    np.testing.assert_allclose(window["fixed_loss"], window["loss"], rtol=1e-5)  # before the same update
    np.testing.assert_allclose(window["fixed_gradient_norm"], window["gradient_norm"], rtol=1e-4)


def test_dead_nets_are_named(monkeypatch, digits, nowhere):
    born = param_pca.initial_weights(3)
    born[1] = 0
    born[1, -1] = 0.3
    monkeypatch.setattr(param_pca, "initial_weights", lambda count: born[:count])
    results = grad_norm.train(TINY, digits, "f1/adam", nowhere)
    assert results["dead"].tolist() == [False, True, False]
    assert stacked.parameter_count(param_pca.WIDTHS) == results["parameters"]


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_2/grad_norm").history
    assert list(kept["results"]) == list(grad_norm.ARMS)
    for arm, results in kept["results"].items():
        series = {name: np.array(results["fixed"][name]) for name in ("loss", "gradient_norm", "iterations")}
        assert series["loss"].shape == series["gradient_norm"].shape == (3, 13)
        assert (series["loss"][:, -1] < series["loss"][:, 0]).all(), arm
        assert (series["gradient_norm"] > 0).all()
        window = results["window"]
        assert np.shape([window[name] for name in window if name != "iterations"]) == (4, 3, 20)
        for name in ("loss", "gradient_norm"):
            assert len(results["first_seed"][name]) == 60
            assert window[name][0] == results["first_seed"][name][30:50]
            np.testing.assert_array_equal(  # iterations 30, 35, 40 and 45 are measured once for both
                np.array(window[f"fixed_{name}"])[:, ::5], series[name][:, 6:10]
            )
        later = series["iterations"] >= results["iterations_per_epoch"]
        assert results["iterations_per_epoch"] == {"mnist": 20, "f1": 1}[arm.split("/")[0]]
        for seed in range(3):
            expected = norm_and_loss.rank_correlation(series["gradient_norm"][seed, later], series["loss"][seed, later])
            assert results["statistics"]["large_scale"][seed] == expected
    assert min(kept["results"]["mnist/adam"]["test_accuracy"]) > 0.5  # chance is 0.1


def test_seeds_of_the_images_are_those_of_every_stack():
    ours = seedwise.build(grad_norm.build_model, (0, 1))
    _, _, _, models = grad_norm.image_nets(grad_norm.Settings(seeds=2), "adam")
    for one, other in zip(ours, models, strict=True):
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])


def test_plot_and_facts_judge_by_the_same_limits():
    drawn = {statistic: plot_grad_norm.CORRELATIONS[statistic][1:] for statistic in claims.C5_PARTS}
    assert (drawn, plot_grad_norm.STALLED) == (claims.C5_PARTS, reported.STALLED)
