"""Lines between solutions: the measures against closed forms, trainings that carry on, a tiny run."""

import json

from common import backend, history, landscape, weights

import numpy as np
import pytest
import trial_runs
from trial_runs import loss_and_accuracy

from hw1_3 import interpolation, lines

UNITS = interpolation.PAPER.arms

backend.start()

from common import seedwise

# ------------------------------------------------------------------------- the measures against closed forms

SHAPES = [(12, 7), (7, 6), (6, 5)]


def random_net(seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) / np.sqrt(shape[0]) for shape in SHAPES]


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(size=(50, 4, 3, 1)).astype(np.float32), generator.integers(0, 5, 50).astype(np.int32)


@pytest.mark.parametrize("intervals", [3, 7, 20, 40, 49, 50, 99])
def test_both_solutions_are_among_the_places(intervals):
    alpha = lines.places(intervals)
    assert (alpha[0], alpha[intervals], alpha[2 * intervals], alpha[-1]) == (-1, 0, 1, 2)
    np.testing.assert_allclose(np.diff(alpha), 1 / intervals)


def test_a_barrier_is_the_height_above_the_straight_line():
    alpha = lines.places(20)
    found = lines.barrier(alpha, 3 + 2 * alpha + 4 * 0.7 * alpha * (1 - alpha))  # 0.7 above it in the middle
    assert found["height"] == pytest.approx(0.7)
    assert found["place"] == 0.5
    assert lines.barrier(alpha, alpha**2)["height"] == 0  # convex: never above
    outside = np.where((alpha < 0) | (alpha > 1), 100.0, 1.0)
    assert lines.barrier(alpha, outside)["height"] == 0


def test_a_width_is_where_the_limit_is_reached_first():
    distance = np.linspace(0, 2, 21)
    assert lines.width(distance, 0.2 * distance, 0.05) == pytest.approx(0.25)
    assert lines.width(distance, np.sin(5 * distance), 0.5) == pytest.approx(np.pi / 30, abs=0.01)
    assert np.isnan(lines.width(distance, 0.01 * distance, 0.05))


def test_widths_go_both_ways_from_both_ends():
    alpha = lines.places(100)
    loss = np.where(alpha < 0.5, alpha**2, 0.25 * (alpha - 1) ** 2)  # a narrow valley at 0 and a wide one at 1
    change = loss - np.array([[loss[100]], [loss[200]]])
    found = lines.widths(alpha, change, 0.04)
    assert found["small"]["outward"] == pytest.approx(0.2)
    assert found["small"]["inward"] == pytest.approx(0.2)
    assert found["large"]["outward"] == pytest.approx(0.4)
    assert found["large"]["inward"] == pytest.approx(0.4)


def test_a_rise_is_found_where_it_is():
    assert lines.first_rise(lambda t: 1 + t**2, 0.05) == pytest.approx(np.sqrt(0.05), abs=1e-4)
    assert lines.first_rise(lambda t: 400 * t, 0.05) == pytest.approx(0.05 / 400, abs=1e-5)  # before the first try
    assert lines.first_rise(lambda t: np.sin(3 * t), 0.5) == pytest.approx(np.pi / 18, abs=1e-4)  # and falls again
    assert lines.first_rise(lambda t: -t + t**2, 0.05) == pytest.approx((1 + np.sqrt(1.2)) / 2, abs=1e-4)
    assert np.isnan(lines.first_rise(lambda t: 0.001 * t, 0.05))


def test_flatness_is_where_the_loss_has_risen(blobs):
    net, through = random_net(4), landscape.evaluator(*blobs)
    distances = lines.flatness(through, net, 0.05, 3, seed=7)
    assert np.shape(distances) == (3, 2)
    generator = np.random.default_rng(7)
    for both in distances:
        direction = weights.filter_normalised(generator, net)
        assert np.linalg.norm(weights.flatten(direction)) == pytest.approx(np.linalg.norm(weights.flatten(net)))
        for sign, distance in zip((1, -1), both, strict=True):
            moved = [kernel + sign * distance * step for kernel, step in zip(net, direction, strict=True)]
            assert loss_and_accuracy(moved, *blobs)[0] - loss_and_accuracy(net, *blobs)[0] == pytest.approx(
                0.05, abs=1e-4
            )


def test_the_starts_pair_the_seeds_as_they_say():
    small = [random_net(seed) for seed in range(3)]
    orders = [np.random.default_rng(seed).permutation(7) for seed in range(3)]
    renumbered = [[net[0][:, order], net[1][order], net[2]] for net, order in zip(small, orders, strict=True)]
    large = [renumbered[2], renumbered[0], renumbered[1]]  # so that the one of the next seed is the own one renumbered
    by_start = interpolation.lines_by_start(small, large)
    assert list(by_start) == ["shared", "independent", "matched"]
    for seed in range(3):
        assert all(by_start[start][seed][0] is small[seed] for start in by_start)
        assert by_start["shared"][seed][1] is large[seed]
        assert by_start["independent"][seed][1] is renumbered[seed]
        for found, expected in zip(by_start["matched"][seed][1], small[seed], strict=True):
            np.testing.assert_array_equal(found, expected)


# ---------------------------------------------------------------------------------------------- training

TINY = interpolation.Settings(
    early_steps=10,
    late_steps=25,
    converged_steps=40,
    adam_steps=30,
    small_batch=16,
    large_batch=100,
    sgd_learning_rate=0.1,
    intervals=5,
    probe_images=60,
    directions=2,
    seeds=3,
)


@pytest.fixture(scope="module")
def whole(digits, nowhere) -> dict[str, dict]:
    """The results of uninterrupted trainings, {unit: results} of each."""
    return {name: history.plain(interpolation.train(TINY, digits, name, nowhere)) for name in interpolation.STAGES}


# Of sgd's 7 segments an end, 3 times 9 lines and 3 times 6 nets; each is saved, a training also at its end
@pytest.mark.parametrize(("training", "saves"), [("sgd", 3), ("sgd", 11), ("sgd", 25), ("sgd", 40), ("adam", 20)])
def test_resumed_equals_uninterrupted(monkeypatch, whole, digits, tmp_path, training, saves):
    monkeypatch.setattr(interpolation, "SAVE_EVERY", 7)
    resumed = trial_runs.resumed(
        lambda checkpoint: interpolation.train(TINY, digits, training, checkpoint), tmp_path / "state", saves
    )
    assert json.dumps(history.plain(resumed)) == json.dumps(whole[training])  # NaN and all


def test_the_ends_of_a_line_are_the_solutions(whole):
    for unit, results in (item for units in whole.values() for item in units.items()):
        first, last = (results["alpha"].index(end) for end in (0.0, 1.0))
        for name in interpolation.QUANTITIES:
            small, large = (results["ends"][end][name] for end in interpolation.PAIR)
            beside = {"shared": large, "independent": np.roll(large, -1), "matched": np.roll(large, -1)}
            for start, expected in beside.items():
                curves = np.array(results["lines"][start][name])
                np.testing.assert_allclose(curves[:, first], small, rtol=2e-6, err_msg=f"{unit} {start} {name}")
                np.testing.assert_allclose(curves[:, last], expected, rtol=2e-6, err_msg=f"{unit} {start} {name}")


def trained(chosen, digits, end: str, steps: int) -> np.ndarray:
    """The weights (seeds, parameters) of one end after some steps of gradient descent."""
    images = digits.train_images, digits.train_labels
    models, run, _ = interpolation.training_of(chosen, images, "sgd", end)
    run(0, steps)
    return seedwise.flat_weights(models)


def test_a_shared_start_is_one_and_the_batches_are_not(digits):
    same = interpolation.Settings(small_batch=16, large_batch=16, seeds=2)
    small, large = (trained(same, digits, end, 1) for end in interpolation.PAIR)
    began = seedwise.flat_weights(seedwise.build(interpolation.build_model, range(2)))
    assert not np.array_equal(small, large)  # other batches
    assert np.linalg.norm(small - began) < 0.05 * np.linalg.norm(began)  # one step from the same weights
    assert np.linalg.norm(large - began) < 0.05 * np.linalg.norm(began)
    assert np.linalg.norm(began[0] - began[1]) > 0.5 * np.linalg.norm(began[0])


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_3/interpolation").history
    assert set(kept["results"]) == set(UNITS)
    for results in kept["results"].values():
        assert results["alpha"] == lines.places(10).tolist()
        for line in results["lines"].values():
            curves = np.array([line[name] for name in interpolation.QUANTITIES])
            assert curves.shape == (4, 2, 31)
            assert np.isfinite(curves).all()
            assert np.isfinite(line["barrier"]["train_loss"]["height"]).all()
            assert set(line["widths"]) == set(interpolation.QUANTITIES)
        lengths = [np.array(results["lines"][start]["length"]) for start in ("shared", "independent", "matched")]
        assert (lengths[0] < lengths[2]).all()
        assert (lengths[2] < lengths[1]).all()
        distances = np.array([results["flatness"][end] for end in interpolation.PAIR])
        assert distances.shape == (2, 2, 2, 2)  # ends, seeds, directions, signs
        assert (distances > 0).all()
    losses = [kept["results"][f"sgd/{stage}"]["ends"]["small"]["train_loss"][0] for stage in ("early", "converged")]
    assert losses[1] < losses[0] < np.log(10)
