"""Random labels: what is shuffled and what is not, when labels count as fitted, a tiny run end to end."""

from common import backend

import numpy as np
import pytest
import trial_runs

from hw1_3 import random_labels

backend.start()
from common import training

# ------------------------------------------------------------------------------------------- the labels


def test_a_share_of_the_labels_is_shuffled_among_itself():
    labels = np.arange(1000, dtype=np.int32)  # each label its own, so that every move shows
    moved = {}
    for share in random_labels.PAPER.shares:
        given = random_labels.shuffled(labels, share, seed=5)
        assert given.dtype == labels.dtype
        assert sorted(given) == labels.tolist()
        moved[share] = set(np.flatnonzero(given != labels))
        assert 1000 * share - 8 <= len(moved[share]) <= 1000 * share  # a permutation keeps one in place on average
    assert not moved[0]
    for smaller, larger in zip(random_labels.PAPER.shares, random_labels.PAPER.shares[1:], strict=False):
        assert len(moved[smaller] - moved[larger]) <= 8  # but for those that its own permutation kept in place


def test_shuffled_labels_follow_the_seed_and_say_nothing_about_the_truth():
    labels = np.repeat(np.arange(10, dtype=np.int32), 1000)
    given = random_labels.shuffled(labels, 1.0, seed=1)
    np.testing.assert_array_equal(given, random_labels.shuffled(labels, 1.0, seed=1))
    assert (given != random_labels.shuffled(labels, 1.0, seed=2)).any()
    np.testing.assert_array_equal(np.bincount(given), np.bincount(labels))
    assert abs(np.mean(given == labels) - 0.1) < 4 * np.sqrt(0.09 / 10_000)
    table = np.zeros((10, 10))
    np.add.at(table, (labels, given), 1)
    assert np.abs(table - 100).max() < 5 * np.sqrt(81)  # every label as often given to every class


@pytest.mark.parametrize(
    ("losses", "accuracies", "held", "epoch"),
    [
        ([0.9, 0.05, 0.05], [0.5, 0.99, 1.0], 2, 2),
        ([0.9, 0.05, 0.05], [0.5, 0.99, 1.0], 3, 0),
        ([0.05, 0.06, 0.05, 0.05], [1.0] * 4, 2, 3),  # the row is broken by a loss
        ([0.01] * 4, [0.99, 0.98, 0.99, 0.99], 2, 3),  # and by an accuracy
        ([0.05], [0.99], 1, 1),  # the bounds are admitted
        ([float("nan")] * 3, [1.0] * 3, 1, 0),
        ([], [], 1, 0),
    ],
)
def test_when_labels_are_fitted(losses, accuracies, held, epoch):
    assert random_labels.first_epoch(losses, accuracies, 0.05, 0.99, held) == epoch


# ---------------------------------------------------------------------------------------------- training

TINY = random_labels.Settings(
    epochs=4, true_epochs=3, share_epochs=40, share_images=60, batch_size=32, probe_images=50, fit_epochs=2
)


@pytest.mark.parametrize("arm", ["full", "share-0.5", "true"])
def test_training_labels_are_shuffled_and_test_labels_stay_true(arm, digits, monkeypatch, nowhere):
    """Caught at the doors of training and of evaluation: every image with its label."""
    truth = {image.tobytes(): label for image, label in zip(digits.train_images, digits.train_labels, strict=True)}
    truth |= {image.tobytes(): label for image, label in zip(digits.test_images, digits.test_labels, strict=True)}
    trained, evaluated = [], []
    loop, evaluator = training.loop, training.evaluator

    def watched_loop(update, arrays, *others):
        trained.extend(arrays)
        return loop(update, arrays, *others)

    def watched_evaluator(model):
        evaluate = evaluator(model)

        def watched(images, labels):
            evaluated.append((np.array(images), np.array(labels)))
            return evaluate(images, labels)

        return watched

    monkeypatch.setattr(training, "loop", watched_loop)
    monkeypatch.setattr(training, "evaluator", watched_evaluator)
    results = random_labels.train(TINY, digits, f"{arm}/seed-0", nowhere)

    images, labels = trained
    count = 60 if arm == "share-0.5" else 240
    true_labels = np.array([truth[image.tobytes()] for image in images])
    assert len(labels) == len({image.tobytes() for image in images}) == count == results["images"]
    share = {"full": 1.0, "share-0.5": 0.5, "true": 0.0}[arm]
    wrong = np.mean(labels != true_labels)
    assert wrong == results["wrong_labels"]
    assert share * 0.75 <= wrong <= share
    np.testing.assert_array_equal(np.bincount(labels), np.bincount(true_labels))

    test_images = {image.tobytes() for image in digits.test_images}
    of_test = [(given, each) for given, each in evaluated if given[0].tobytes() in test_images]
    of_training = [(given, each) for given, each in evaluated if given[0].tobytes() not in test_images]
    assert len(of_test) == len(results["test_loss"])
    for given, each in of_test:  # all test images, each with its true label
        np.testing.assert_array_equal(given, digits.test_images)
        np.testing.assert_array_equal(each, [truth[image.tobytes()] for image in given])
    first = np.random.default_rng(0).permutation(240)[:50]
    passes = 2 if share else 1  # by given and by true labels, where they differ
    assert len(of_training) == passes * (len(of_test) + 1)  # at the end on all images
    for number, (given, each) in enumerate(of_training[:-passes]):
        np.testing.assert_array_equal(given, digits.train_images[first])
        np.testing.assert_array_equal(each, (labels, true_labels)[number % passes][:50])
    assert len(of_training[-1][0]) == count


def test_arms_of_a_seed_share_their_initial_weights(monkeypatch, digits, nowhere):
    born = []
    build = random_labels.build_model

    def watched():
        born.append(build())
        raise InterruptedError

    monkeypatch.setattr(random_labels, "build_model", watched)
    for unit in ("full/seed-1", "true/seed-1", "share-0.25/seed-1", "full/seed-2"):
        with pytest.raises(InterruptedError):
            random_labels.train(TINY, digits, unit, nowhere)
    kernels = [model.get_weights()[0] for model in born]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    np.testing.assert_array_equal(kernels[0], kernels[2])
    assert (kernels[0] != kernels[3]).any()


def test_labels_are_fitted_then_training_stops_and_resumes_to_the_same_bits(digits, tmp_path, nowhere):
    unit = "share-1/seed-0"
    whole = random_labels.train(TINY, digits, unit, nowhere)
    ends = len(whole["test_loss"])
    assert 1 < whole["fit_epoch"] == ends - 1 < 39  # held for two epochs, the second is the last
    assert whole["train_loss"][-1] <= TINY.fit_loss
    assert whole["train_accuracy"][-1] >= TINY.fit_accuracy
    assert whole["test_loss"][-1] > np.log(10)
    assert whole["wrong_labels"] > 0.75
    assert whole["true_accuracy"][-1] < 0.3
    for last in (2, ends):  # midway, and when it was done but not yet kept
        again = tmp_path / str(last), last
        resumed = trial_runs.resumed(lambda checkpoint: random_labels.train(TINY, digits, unit, checkpoint), *again)
        trial_runs.assert_same_bits(resumed, whole)


def test_what_is_not_fitted_says_so(digits, nowhere):
    results = random_labels.train(TINY, digits, "full/seed-0", nowhere)
    assert len(results["test_loss"]) == TINY.epochs
    assert results["fit_epoch"] == results["reference_epoch"] == 0
    assert np.isnan(results["summary"]["epochs to fit"])


def test_true_labels_are_trained_on_for_all_epochs_and_generalize(digits, nowhere):
    chosen = random_labels.Settings(true_epochs=12, batch_size=1000, probe_images=500, fit_epochs=1)
    results = random_labels.train(chosen, digits, "true/seed-0", nowhere)
    assert len(results["test_loss"]) == 12
    assert results["true_accuracy"] == results["train_accuracy"]
    assert results["all_images"]["train_loss"] == results["train_loss"][-1]  # the fixed images are all there are
    assert results["test_accuracy"][-1] > 0.5  # chance is 0.1
    assert results["peak_test_accuracy"] == max(results["test_accuracy"])
    assert results["test_accuracy"][results["peak_test_epoch"] - 1] == results["peak_test_accuracy"]


# -------------------------------------------------------------------------------------------- a tiny run


def test_a_tiny_run_records_everything(tiny_run):
    kept = tiny_run("hw1_3/random_labels").history
    sweep = [f"share-{share}/seed-{seed}" for seed in (0, 1) for share in ("0", "0.5")]
    assert list(kept["units"]) == [*sweep, "true/seed-0", "true/seed-1", "full/seed-0", "full/seed-1"]
    for unit, results in kept["results"].items():
        lengths = {len(results[name]) for name in random_labels.CURVES}
        assert lengths == {results["summary"]["epochs"]}
        assert np.isfinite([results[name] for name in random_labels.CURVES]).all()
        assert results["train_loss"][-1] < results["train_loss"][0], unit
        assert results["majority"] == 0.1
