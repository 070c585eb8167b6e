"""Sensitivity and batch size: what is measured and when, a tiny run from end to end."""

from dataclasses import replace

from common import backend, history

import numpy as np
import pytest
import trial_runs

from hw1_3 import jacobians, sensitivity

backend.start()
from common import seedwise

import keras

# --------------------------------------------------------------------------------------------- measurement


def test_a_distribution_says_mean_quartiles_and_tails():
    norms = np.concatenate([np.full(150, 0.5), np.arange(50) / 49, [100.0, 300.0]])
    found = sensitivity.distribution(np.random.default_rng(0).permutation(norms))
    assert found["mean"] == pytest.approx(norms.mean())
    for name, share in (("lower_quartile", 0.25), ("median", 0.5), ("upper_quartile", 0.75)):
        assert found[name] == np.quantile(norms, share)
    assert found["share_above_1"] == 2 / 202  # 1 itself is not above
    assert found["share_of_top_percent"] == pytest.approx(400 / norms.sum())  # a percent of 202 are 2
    assert np.isnan(sensitivity.distribution(np.zeros(5))["share_of_top_percent"])


def test_the_way_from_the_initial_weights():
    birth = [np.zeros((2, 2)), np.ones((1, 3))]
    found = sensitivity.distances(birth, [np.full((2, 2), 1.5), np.ones((1, 3))])
    assert found["layer_distances"] == pytest.approx([3, 0])
    assert found["layer_norms"] == pytest.approx([3, np.sqrt(3)])
    assert found["distance"] == pytest.approx(3)
    assert found["weight_norm"] == pytest.approx(np.sqrt(12))


def test_a_measurement_is_of_these_images(digits):
    keras.utils.set_random_seed(0)
    model = sensitivity.build_model()
    images, labels = digits.test_images, digits.test_labels
    found = sensitivity.measure(model.get_weights(), images, labels)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    loss, accuracy = model.evaluate(images, labels, verbose=0)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    norms = jacobians.jacobian_norms(model.get_weights(), images)
    for name in ("softmax", "logits"):
        assert found[name] == sensitivity.distribution(norms[name])
    assert found["mean_loss_gradient"] >= found["loss_gradient"]["mean"] / np.sqrt(
        len(images)
    )  # mean <= root mean square


# ------------------------------------------------------------------------------------------------ training


TINY = sensitivity.Settings(
    steps=60,
    epochs=3,
    target_loss=1.5,
    most_steps=80,
    check_every=10,
    fixed_images=100,
    seeds=3,
    batch_sizes=(12, 500, 1000, 2000),
    medium_seeds=(0, 1),
    large_seeds=(2,),
)


def test_units_are_stacks_of_small_batches_and_single_seeds_of_larger_ones():
    names = ["batch-12", "batch-500", "batch-1000/seed-0", "batch-1000/seed-1", "batch-2000/seed-2"]
    assert sensitivity.units_of(TINY) == names
    more = replace(TINY, large_seeds=(2, 0))
    assert set(sensitivity.units_of(more)) == {*names, "batch-2000/seed-0"}
    paper = sensitivity.units_of(sensitivity.PAPER)
    assert len(paper) == 6 + 8 + 2 * 3
    assert paper[-1] == "batch-10000/seed-2"


@pytest.fixture(scope="module")
def small(digits, nowhere) -> dict:
    return sensitivity.train(TINY, digits, "batch-12", nowhere)


def test_each_budget_is_measured_when_it_ends(small):
    assert small["steps_per_epoch"] == 20
    assert small["seeds"] == [0, 1, 2]
    budgets = small["budgets"]
    assert [found["step"] for found in budgets["start"]] == [0, 0, 0]
    assert [found["step"] for found in budgets["steps"]] == [60, 60, 60]
    assert budgets["epochs"] == budgets["steps"]  # 3 epochs of 20 steps
    assert all(found["distance"] == 0 for found in budgets["start"])
    checks = np.array(small["checks"]["loss"])
    for net, found in enumerate(budgets["loss"]):
        looked = np.flatnonzero(checks[:, net] <= TINY.target_loss)
        assert found["step"] == small["checks"]["steps"][looked[0]]
        assert found["train"]["loss"] == pytest.approx(checks[looked[0], net], rel=1e-5)
        assert found["distance"] > 0
    assert len(checks) == max(found["step"] for found in budgets["loss"]) / TINY.check_every
    assert small["summary"]["reached after"] == [found["step"] for found in budgets["loss"]]


def test_a_batch_larger_than_the_set_is_the_whole_set(digits, nowhere):
    found = sensitivity.train(replace(TINY, steps=20), digits, "batch-2000/seed-2", nowhere)
    assert (found["batch_size"], found["images_per_step"], found["steps_per_epoch"]) == (2000, 240, 1)
    assert found["budgets"]["epochs"][0]["step"] == 3
    assert found["budgets"]["steps"][0]["epoch"] == 20
    twin = sensitivity.train(replace(TINY, steps=20), digits, "batch-1000/seed-2", nowhere)
    assert twin["budgets"] == found["budgets"]


def test_all_batch_sizes_start_from_the_same_weights(small, digits, nowhere):
    other = sensitivity.train(replace(TINY, steps=10), digits, "batch-1000/seed-1", nowhere)
    assert other["budgets"]["start"][0] == small["budgets"]["start"][1]
    assert small["budgets"]["start"][0] != small["budgets"]["start"][1]


def test_a_net_that_does_not_reach_the_loss_is_not_measured_there(digits, nowhere):
    far = replace(TINY, target_loss=1e-6, steps=20, epochs=1, most_steps=35)
    found = sensitivity.train(far, digits, "batch-12", nowhere)
    assert found["budgets"]["loss"] == [None, None, None]
    assert found["checks"]["steps"] == [10, 20, 30]
    assert found["summary"]["at equal loss"] == []
    assert np.isfinite(history.plain(found["summary"]["softmax Jacobian"])).all()


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_resumed_training_equals_uninterrupted(small, digits, tmp_path, stop):
    again = tmp_path / "unit", stop
    resumed = trial_runs.resumed(lambda checkpoint: sensitivity.train(TINY, digits, "batch-12", checkpoint), *again)
    trial_runs.assert_same_bits(resumed, small)


def test_a_loss_that_is_not_finite_is_one_message(digits, nowhere):
    from common import settings

    with pytest.raises(settings.Problem, match="smaller learning rate"):
        sensitivity.train(replace(TINY, learning_rate=1e9, steps=10), digits, "batch-12", nowhere)


def test_seeds_are_those_of_every_stack(small, digits):
    models = seedwise.build(sensitivity.build_model, range(2))
    for model, found in zip(models, small["budgets"]["start"], strict=False):
        assert found["weight_norm"] == sensitivity.distances(model.get_weights(), model.get_weights())["weight_norm"]


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_3/sensitivity").history
    assert list(kept["results"]) == ["batch-50", "batch-10", "batch-1000/seed-0"]
    for unit, results in kept["results"].items():
        assert results["seeds"] == ([0] if "/" in unit else [0, 1, 2])
        assert results["images_per_step"] == min(results["batch_size"], 320)
        for budget, steps in (("start", 0), ("steps", 40), ("epochs", 2 * results["steps_per_epoch"])):
            for found in results["budgets"][budget]:
                assert found["step"] == steps
                for images in ("train", "test"):
                    for measure in ("softmax", "logits", "loss_gradient"):
                        spread = found[images][measure]
                        assert spread["lower_quartile"] <= spread["median"] <= spread["upper_quartile"]
                        assert 0 < spread["mean"] < np.inf
        for first, last in zip(results["budgets"]["start"], results["budgets"]["steps"], strict=True):
            assert last["train"]["loss"] < first["train"]["loss"]
