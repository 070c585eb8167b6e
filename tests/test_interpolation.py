"""Lines between solutions: the measures against closed forms, trainings that carry on, a tiny run."""

import json
from pathlib import Path
from types import SimpleNamespace

from common import backend, figures, history, landscape, plain_pickle, weights
from common.history_file import LARGEST_WRITTEN

import numpy as np
import pytest
import trial_runs

ROOT = Path(__file__).resolve().parents[1]

from hw1_3 import interpolation, lines, plot_interpolation

UNITS = interpolation.PAPER.arms

backend.start()

from common import seedwise

# ------------------------------------------------------------------------- the measures against closed forms

SHAPES = [(12, 7), (7, 6), (6, 5)]


def random_net(seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) / np.sqrt(shape[0]) for shape in SHAPES]


def by_hand(net: list[np.ndarray], images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and accuracy in float64."""
    hidden = images.reshape(len(images), -1).astype(np.float64)
    for kernel in net[:-1]:
        hidden = np.maximum(hidden @ kernel, 0)
    logits = hidden @ net[-1]
    shifted = logits - logits.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(labels)), labels]
    losses = np.log(np.exp(shifted).sum(axis=1)) - own
    return float(losses.mean()), float(np.mean(logits.argmax(axis=1) == labels))


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    return generator.normal(size=(50, 4, 3, 1)).astype(np.float32), generator.integers(0, 5, 50).astype(np.int32)


@pytest.mark.parametrize("intervals", [3, 7, 20, 40, 49, 50, 99])
def test_both_solutions_are_among_the_places(intervals):
    alpha = lines.places(intervals)
    assert (alpha[0], alpha[intervals], alpha[2 * intervals], alpha[-1]) == (-1, 0, 1, 2)
    np.testing.assert_allclose(np.diff(alpha), 1 / intervals)


def test_there_are_enough_places():
    assert min(len(lines.places(chosen.intervals)) for chosen in (interpolation.PAPER, interpolation.QUICK)) >= 121


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


def test_what_is_described_is_each_seeds_own():
    alpha = lines.places(10)
    hill = alpha * (1 - alpha)
    curves = {"train_loss": np.stack([hill, 2 * hill]), "test_accuracy": np.stack([1 - hill, 1 - hill**2])}
    found = lines.described(alpha, curves, 0.05, 0.01)
    np.testing.assert_allclose(found["barrier"]["train_loss"]["height"], [0.25, 0.5])
    np.testing.assert_allclose(found["barrier"]["test_accuracy"]["height"], [0.25, 0.0625])
    assert found["widths"]["train_loss"]["small"]["inward"][1] < found["widths"]["train_loss"]["small"]["inward"][0]
    assert found["train_loss"] is curves["train_loss"]


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
            assert by_hand(moved, *blobs)[0] - by_hand(net, *blobs)[0] == pytest.approx(0.05, abs=1e-4)


def test_a_sharper_net_rises_sooner(blobs):
    images, _ = blobs
    net, line = random_net(5), None
    hidden = images.reshape(50, -1)
    for kernel in net[:-1]:
        hidden = np.maximum(hidden @ kernel, 0)
    labels = (hidden @ net[-1]).argmax(axis=1).astype(np.int32)  # which it knows
    line = landscape.evaluator(images, labels)
    sure = [*net[:-1], 20 * net[-1]]  # the same answers, with little loss, which a wrong one raises by more
    assert np.mean(lines.flatness(line, sure, 0.05, 4, 0)) < np.mean(lines.flatness(line, net, 0.05, 4, 0))


def test_the_starts_pair_the_seeds_as_they_say():
    small = [random_net(seed) for seed in range(3)]
    orders = [np.random.default_rng(seed).permutation(7) for seed in range(3)]
    renumbered = [[net[0][:, order], net[1][order], net[2]] for net, order in zip(small, orders, strict=True)]
    large = [renumbered[2], renumbered[0], renumbered[1]]  # so that the one of the next seed is the own one renumbered
    by_start = interpolation.pairs_of(small, large)
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
def digits() -> SimpleNamespace:
    return trial_runs.dataset(trial_runs.stripes(320), 240)


@pytest.fixture(scope="module")
def whole(digits, nowhere) -> dict[str, dict]:
    """The results of uninterrupted trainings, {unit: results} of each."""
    return {name: history.plain(interpolation.train(TINY, digits, name, nowhere)) for name in interpolation.STAGES}


# Of sgd's 7 segments an end, 3 times 9 lines and 3 times 6 nets; each is saved, a training also at its end
@pytest.mark.parametrize(("training", "saves"), [("sgd", 3), ("sgd", 11), ("sgd", 25), ("sgd", 40), ("adam", 20)])
def test_resumed_equals_uninterrupted(monkeypatch, whole, digits, tmp_path, training, saves):
    monkeypatch.setattr(interpolation, "STEPS_A_SEGMENT", 7)
    resumed = trial_runs.resumed(
        lambda checkpoint: interpolation.train(TINY, digits, training, checkpoint), tmp_path / "state", saves
    )
    assert json.dumps(history.plain(resumed)) == json.dumps(whole[training])  # NaN and all


def test_the_ends_of_a_line_are_the_solutions(whole):
    for unit, results in (item for units in whole.values() for item in units.items()):
        first, last = (results["alpha"].index(end) for end in (0.0, 1.0))
        for name in interpolation.QUANTITIES:
            small, large = (results["ends"][end][name] for end in interpolation.ENDS)
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
    small, large = (trained(same, digits, end, 1) for end in interpolation.ENDS)
    began = seedwise.flat_weights(seedwise.build(interpolation.build_model, range(2)))
    assert not np.array_equal(small, large)  # other batches
    assert np.linalg.norm(small - began) < 0.05 * np.linalg.norm(began)  # one step from the same weights
    assert np.linalg.norm(large - began) < 0.05 * np.linalg.norm(began)
    assert np.linalg.norm(began[0] - began[1]) > 0.5 * np.linalg.norm(began[0])


def test_gradient_descent_with_everything_in_a_batch_is_that_of_the_textbook(digits):
    every = interpolation.Settings(large_batch=1000, sgd_learning_rate=0.1, seeds=2)
    reached = trained(every, digits, "large", 3)
    for seed, model in enumerate(seedwise.build(interpolation.build_model, range(2))):
        net = [array.astype(np.float64) for array in model.get_weights()]
        inputs, wanted = digits.train_images.reshape(240, -1).astype(np.float64), np.eye(10)[digits.train_labels]
        for _ in range(3):
            layers = [inputs]
            for kernel in net[:-1]:
                layers.append(np.maximum(layers[-1] @ kernel, 0))
            logits = layers[-1] @ net[-1]
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            back = (shares / shares.sum(axis=1, keepdims=True) - wanted) / len(inputs)
            for place in reversed(range(3)):
                gradient = layers[place].T @ back
                back = (back @ net[place].T) * (layers[place] > 0)
                net[place] = net[place] - 0.1 * gradient
        np.testing.assert_allclose(reached[seed], weights.flatten(net), atol=1e-6)


def test_the_net_is_that_of_the_homework(monkeypatch):
    model = interpolation.build_model()
    assert model.count_params() == 784 * 64 + 64 * 64 + 64 * 10
    assert not any("bias" in weight.name for weight in model.weights)
    monkeypatch.setattr(interpolation, "PARAMETERS", 1)
    with pytest.raises(ValueError, match="54912 parameters, not 1"):
        interpolation.build_model()


def test_a_paper_history_is_small_enough():
    chosen = interpolation.PAPER
    alpha, generator = lines.places(chosen.intervals), np.random.default_rng(0)
    curves = {name: generator.random((chosen.seeds, len(alpha))) for name in interpolation.QUANTITIES}
    line = {"length": [0.1] * chosen.seeds} | lines.described(alpha, curves, chosen.rise, chosen.fall)
    distances = generator.random((chosen.seeds, chosen.directions, 2))
    unit = {"alpha": alpha, "flatness": dict.fromkeys(interpolation.ENDS, distances), "summary": {}}
    unit["lines"] = dict.fromkeys(("shared", "independent", "matched"), line)
    encoded = [len(plain_pickle.dumps(history.plain({name: unit}))) for name in UNITS]
    assert sum(encoded) < 0.5 * LARGEST_WRITTEN


# -------------------------------------------------------------------------------------------- end to end

FLAGS = [
    "--scale",
    "quick",
    "--early-steps",
    "20",
    "--late-steps",
    "40",
    "--converged-steps",
    "60",
    "--adam-steps",
    "40",
]
FLAGS += ["--small-batch", "16", "--large-batch", "100", "--sgd-learning-rate", "0.1", "--intervals", "10"]
FLAGS += ["--probe-images", "80", "--directions", "2"]


@pytest.fixture(scope="module")
def checkout(checkout: Path) -> Path:
    """The copy of the code, with striped digits."""
    return trial_runs.with_digits(checkout, trial_runs.stripes(320), trial_runs.stripes(100))


@pytest.fixture(scope="module")
def path(checkout) -> Path:
    done = trial_runs.start(checkout, "hw1_3/interpolation.py", *FLAGS)
    return trial_runs.history_path(done)


def test_a_tiny_run_records_everything(path):
    kept = history.read(path)
    assert kept["complete"]
    assert set(kept["results"]) == set(UNITS)
    assert (kept["environment"]["intra_threads"], kept["environment"]["inter_threads"]) == (1, 2)
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
        distances = np.array([results["flatness"][end] for end in interpolation.ENDS])
        assert distances.shape == (2, 2, 2, 2)  # ends, seeds, directions, signs
        assert (distances > 0).all()
    losses = [kept["results"][f"sgd/{stage}"]["ends"]["small"]["train_loss"][0] for stage in ("early", "converged")]
    assert losses[1] < losses[0] < np.log(10)


def test_the_solutions_checkpoints_are_gone_and_a_second_run_trains_nothing(checkout, path):
    assert not list((checkout / "out" / "checkpoints").rglob("*.state"))
    before = path.read_bytes()
    assert "up to date" in trial_runs.start(checkout, "hw1_3/interpolation.py", *FLAGS).stderr
    assert path.read_bytes() == before
    check = trial_runs.start(checkout, "hw1_3/interpolation.py", *FLAGS, "--check")
    assert (check.returncode, check.stdout[:10]) == (0, "up to date")


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--late-steps", "100"], "--early-steps"), (["--seeds", "1"], "--seeds"), (["--arms", "sgd/never"], "sgd/late")],
)
def test_bad_settings_are_one_message(checkout, flags, words):
    done = trial_runs.start(checkout, "hw1_3/interpolation.py", "--scale", "quick", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_figures_are_drawn_and_not_blank(checkout, path):
    trial_runs.draws(checkout, "hw1_3/interpolation", path, plot_interpolation.FIGURES)


@pytest.mark.parametrize("unit", UNITS)
def test_a_partial_history_is_drawn(path, unit):
    figures.use_style()
    kept = history.read(path)
    kept["results"] = {unit: kept["results"][unit]}
    for draw in plot_interpolation.FIGURES.values():
        draw(kept).draw_without_rendering()
