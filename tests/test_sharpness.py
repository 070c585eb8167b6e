"""Measures of generalization: single measures, stops, resuming, a tiny run from end to end."""

import json
from types import SimpleNamespace

from common import backend, history, seeds, weights

import numpy as np
import pytest
import trial_runs

from hw1_3 import box, hessian, jacobians, measures, sharpness

backend.start()

from common import seedwise

TINY = sharpness.Settings(
    images=60, seeds=2, stop_loss=1.2, check_every=3, most_steps=200, epochs=4, box_starts=1, box_iterations=8, probes=3
)


@pytest.fixture(scope="module")
def digits() -> SimpleNamespace:
    """With columns that are black in all images."""
    return trial_runs.dataset(trial_runs.stripes(120, left=10), 80)


def net(seed: int = 0) -> list[np.ndarray]:
    return seedwise.build(sharpness.build_model, [seed])[0].get_weights()


# -------------------------------------------------------------------------------------------- measures


def test_the_path_norm_sums_over_all_paths():
    arrays = [
        np.array([[1.0, -2], [3, 0.5]]),
        np.array([0.5, 1]),
        np.array([[2.0], [-1]]),
        np.array([3.0]),
    ]
    paths = [(w * v) ** 2 for i in range(2) for w, v in zip(arrays[0][i], arrays[2][:, 0], strict=True)]
    paths += [(b * v) ** 2 for b, v in zip(arrays[1], arrays[2][:, 0], strict=True)] + [9.0]
    assert sharpness.path_norm(arrays) == pytest.approx(np.sqrt(sum(paths)))


def test_a_rescaled_twin_is_the_same_function_with_another_curvature(digits):
    arrays = net()
    arrays[1] += np.float32(0.1)
    twin = sharpness.rescaled(arrays, 4.0)
    images, labels = digits.train_images, digits.train_labels
    shapes, inputs = [array.shape for array in arrays], images.reshape(len(images), -1).astype(float)
    values = [hessian.passes(weights.flatten(each), shapes, inputs, labels)[0] for each in (arrays, twin)]
    assert values[0] == pytest.approx(values[1], rel=1e-12)
    assert sharpness.path_norm(twin) == pytest.approx(sharpness.path_norm(arrays), rel=1e-6)
    for name, norms in jacobians.jacobian_norms(twin, images).items():
        np.testing.assert_allclose(norms, jacobians.jacobian_norms(arrays, images)[name], rtol=1e-5)
    traces = [hessian.exact_trace(weights.flatten(each), shapes, inputs) for each in (arrays, twin)]
    assert traces[1] > 1.5 * traces[0]


def test_weights_of_black_pixels_do_not_count(digits):
    """The measures on the pixels seen are those of the whole net."""
    chosen, arrays = TINY, net()
    images, labels = digits.train_images, digits.train_labels
    found = sharpness.curvature(chosen, arrays, images, labels, seed=3)
    shapes, inputs = [array.shape for array in arrays], images.reshape(len(images), -1).astype(float)
    centre = weights.flatten(arrays)
    product = hessian.passes(centre, shapes, inputs, labels)[2]
    whole = hessian.extreme_eigenvalues(product, np.random.default_rng(0).standard_normal(len(centre)), 1e-8)
    assert (found["top"], found["bottom"]) == pytest.approx((whole["top"], whole["bottom"]), rel=1e-5, abs=1e-7)
    assert found["trace_exact"] == pytest.approx(hessian.exact_trace(centre, shapes, inputs), rel=1e-12)
    assert found["short_wide"] == pytest.approx(
        box.short_search(
            lambda at: hessian.passes(at, shapes, inputs, labels)[:2], centre, chosen.wide_box, chosen.short_iterations
        )["rise"],
        rel=1e-6,
    )


def test_all_numbers_of_a_net_fit_together(digits):
    arrays, born = net(), weights.flatten(net(1))
    images, labels = seeds.fixed_examples((digits.train_images, digits.train_labels), TINY.images)
    found = sharpness.measure(TINY, digits, [images, labels], arrays, born, seed=0)
    model = seedwise.build(sharpness.build_model, [0])
    for part, inputs, wanted in (("train", images, labels), ("test", digits.test_images, digits.test_labels)):
        loss, accuracy = seedwise.evaluator(model)(inputs, wanted)
        assert found[f"{part}_loss"] == pytest.approx(loss[0], rel=1e-5)
        assert found[f"{part}_accuracy"] == pytest.approx(accuracy[0])
    assert found["gap"] == found["test_loss"] - found["train_loss"]
    assert found["accuracy_gap"] == found["train_accuracy"] - found["test_accuracy"]
    assert found["distance"] == pytest.approx(np.linalg.norm(weights.flatten(arrays) - born))
    assert max(found["top_residual"], found["bottom_residual"]) <= 1e-6
    assert abs(found["trace"] - found["trace_exact"]) < 5 * found["trace_error"]  # 3 probes: a rough error
    for name in ("wide", "narrow"):
        assert found[name] >= found[f"{name}_lowest"] > 0
        assert found[name] >= found[f"short_{name}"] * (1 - 1e-9)  # one search goes on from its end
    assert found["wide"] > found["narrow"]
    assert all(isinstance(value, (int, float)) for value in found.values())


# -------------------------------------------------------------------------------------------- training


@pytest.fixture(scope="module")
def whole(digits, nowhere) -> dict:
    return sharpness.train(TINY, digits, "batch-0016", nowhere)


@pytest.mark.parametrize("saves", [2, 7])
def test_resumed_equals_uninterrupted(saves, whole, digits, tmp_path):
    steps = len({*range(3, max(*whole["steps"], 16) + 1, 3), 16})
    resumed = trial_runs.resumed(
        lambda checkpoint: sharpness.train(TINY, digits, "batch-0016", checkpoint),
        tmp_path / "state",
        saves if saves == 2 else steps + 3,  # in training, and among the measures
    )
    as_text = [json.dumps(history.plain(results), sort_keys=True) for results in (whole, resumed)]
    assert as_text[0] == as_text[1]


def test_each_net_stops_by_itself_where_the_loss_is_reached(whole):
    assert whole["last_step"] == 16  # 4 epochs of 4 batches, not a multiple of the checks' 3
    assert all(step % 3 == 0 for step in whole["steps"])
    losses = whole["equal_loss"]["train_loss"]
    assert all(0.6 < loss <= 1.2 for loss in losses)
    assert len(set(losses)) == 2
    assert len(set(whole["equal_loss"]["norm"])) == 2


def test_a_net_that_does_not_stop_has_no_measures_there(digits, nowhere):
    few = sharpness.replace(TINY, stop_loss=1e-9, most_steps=6, epochs=1)
    results = sharpness.train(few, digits, "batch-0060", nowhere)
    assert results["steps"] == [None, None]
    assert results["rescaled"] is None
    assert np.isnan(results["equal_loss"]["gap"]).all()
    assert np.isfinite(results["equal_epochs"]["gap"]).all()


def test_a_batch_larger_than_the_set_is_the_whole_set(digits, nowhere, monkeypatch):
    monkeypatch.setattr(sharpness, "measure", lambda *_: {"gap": 0.0, "wide": 0.0})
    results = sharpness.train(sharpness.replace(TINY, epochs=2), digits, "batch-4096", nowhere)
    assert (results["batch_size"], results["last_step"]) == (60, 2)


def test_no_two_nets_of_two_batch_sizes_start_alike(digits, nowhere, monkeypatch):
    numbers = []
    build = seedwise.build
    monkeypatch.setattr(seedwise, "build", lambda model, these: numbers.extend(these) or build(model, these))
    monkeypatch.setattr(sharpness, "measure", lambda *_: {"gap": 0.0, "wide": 0.0})
    for unit in ("batch-0016", "batch-0032"):
        sharpness.train(sharpness.replace(TINY, epochs=1, most_steps=3), digits, unit, nowhere)
    assert len(set(numbers)) == 4


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_3/sharpness").history
    assert list(kept["results"]) == ["batch-0008", "batch-0064"]
    for results in kept["results"].values():
        for stop in sharpness.STOPS:
            assert set(results[stop]) == set(results["rescaled"])
            assert np.shape([results[stop][name] for name in results[stop]]) == (len(results[stop]), 2)
            assert np.isfinite([results[stop][name] for name in results[stop]]).all()
            assert {*measures.MEASURES, *measures.BESIDE, *measures.GAPS} <= set(results[stop])
        assert results["rescaled"]["gap"] == pytest.approx(results["equal_loss"]["gap"][0], rel=1e-6)
        assert results["rescaled"]["trace_exact"] > 1.5 * results["equal_loss"]["trace_exact"][0]
