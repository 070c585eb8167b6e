"""Random labels: what is shuffled and what is not, when labels count as fitted, a tiny run end to end, claim C8."""

import copy
import functools
import json
from pathlib import Path
from types import SimpleNamespace

from common import backend, history
from common.checkpoint import Checkpoint

import numpy as np
import pytest
import trial_runs

ROOT = Path(__file__).resolve().parents[1]

from hw1_3 import plot_random_labels, random_labels
from report import claims
from report import random_labels as reported

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


def shuffled_stripes(count: int) -> trial_runs.Digits:
    """Striped digits whose classes come in no order."""
    return trial_runs.stripes(count, labels=np.random.default_rng(1).permutation(np.arange(count) % 10))


@pytest.fixture(scope="module")
def digits() -> SimpleNamespace:
    return trial_runs.dataset(shuffled_stripes(320), 240)


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
        stopping = trial_runs.Saving(tmp_path / f"{last}.npz", {"unit": unit})
        stopping.last = last
        with pytest.raises(trial_runs.Stopped):
            random_labels.train(TINY, digits, unit, stopping)
        resumed = random_labels.train(TINY, digits, unit, Checkpoint(tmp_path / f"{last}.npz", {"unit": unit}))
        as_text = [json.dumps(history.plain(results), sort_keys=True) for results in (whole, resumed)]
        assert as_text[0] == as_text[1]


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


def test_the_net_has_the_references_layers():
    model = random_labels.build_model()
    assert [layer.units for layer in model.layers[1:]] == [512, 512, 512, 10]
    assert model.count_params() == 784 * 512 + 512 + 2 * (512 * 512 + 512) + 512 * 10 + 10


# -------------------------------------------------------------------------------------------- end to end

FLAGS = ["--scale", "quick", "--epochs", "4", "--true-epochs", "3", "--share-epochs", "15", "--share-images", "60"]
FLAGS += [
    "--batch-size",
    "32",
    "--probe-images",
    "50",
    "--fit-epochs",
    "2",
    "--shares",
    "0",
    "0.5",
    "--seeds",
    "0",
    "1",
]


@pytest.fixture(scope="module")
def checkout(checkout: Path) -> Path:
    """The copy of the code, with striped digits."""
    return trial_runs.with_digits(checkout, shuffled_stripes(240), shuffled_stripes(80))


start = functools.partial(trial_runs.start, timeout=300)


@pytest.fixture(scope="module")
def path(checkout) -> Path:
    done = start(checkout, "hw1_3/random_labels.py", *FLAGS)
    return trial_runs.history_path(done)


def test_a_tiny_run_records_everything(path):
    kept = history.read(path)
    assert kept["complete"]
    sweep = [f"share-{share}/seed-{seed}" for seed in (0, 1) for share in ("0", "0.5")]
    assert list(kept["units"]) == [*sweep, "true/seed-0", "true/seed-1", "full/seed-0", "full/seed-1"]
    for unit, results in kept["results"].items():
        lengths = {len(results[name]) for name in random_labels.CURVES}
        assert lengths == {results["summary"]["epochs"]}
        assert np.isfinite([results[name] for name in random_labels.CURVES]).all()
        assert results["train_loss"][-1] < results["train_loss"][0], unit
        assert results["majority"] == 0.1


def test_a_second_run_trains_nothing_and_one_unit_can_be_retrained(checkout, path):
    before, results = path.read_bytes(), json.dumps(history.read(path)["results"])
    assert "kept" in start(checkout, "hw1_3/random_labels.py", *FLAGS).stderr
    assert path.read_bytes() == before
    check = start(checkout, "hw1_3/random_labels.py", *FLAGS, "--check")
    assert (check.returncode, check.stdout[:10]) == (0, "up to date")
    again = start(checkout, "hw1_3/random_labels.py", *FLAGS, "--force", "--unit", "share-0.5/seed-1")
    assert again.returncode == 0, again.stderr
    assert json.dumps(history.read(path)["results"]) == results


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--shares", "1.5"], "--shares"),
        (["--fit-accuracy", "1"], "--fit-accuracy"),
        (["--unit", "none"], "share-0.5"),
    ],
)
def test_bad_settings_are_one_message(checkout, flags, words):
    done = start(checkout, "hw1_3/random_labels.py", "--scale", "quick", *flags)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def inked(path: Path, rows: int, columns: int) -> list[float]:
    """Share of dark or coloured pixels in each cell of a picture, row by row."""
    from matplotlib import image

    dark = image.imread(path)[..., :3].min(axis=2) < 0.8
    return [part.mean() for row in np.array_split(dark, rows) for part in np.array_split(row, columns, axis=1)]


def test_the_figures_are_drawn_and_not_blank(checkout, path):
    done = start(checkout, "hw1_3/plot_random_labels.py", "--history", str(path))
    assert done.returncode == 0, done.stderr
    folder = path.parents[2] / "figures"
    assert all(0.005 < share < 0.6 for share in inked(folder / "random_labels.png", 3, 2))
    assert all(0.005 < share < 0.6 for share in inked(folder / "random_labels_share.png", 1, 3))
    assert set(plot_random_labels.FIGURES) == set(reported.FIGURES)
    assert "up to date" in start(checkout, "hw1_3/plot_random_labels.py", "--history", str(path)).stderr


def only(kept: dict, *beginnings: str) -> dict:
    """A history of which only the units that begin so are measured."""
    return kept | {"results": {unit: kept["results"][unit] for unit in kept["units"] if unit.startswith(beginnings)}}


@pytest.mark.parametrize("beginnings", [("share-",), ("full",), ("true",), ("share-0.5/seed-1", "full/seed-0")])
def test_what_is_not_measured_yet_leaves_a_figure_with_words(path, beginnings):
    from common import figures

    figures.use_style()
    kept = only(history.read(path), *beginnings)
    for draw in plot_random_labels.FIGURES.values():
        figures.encode(draw(kept), ".png", "history 0")
    if "share" in str(beginnings):
        said = plot_random_labels.draw_share(kept).get_suptitle()
        assert ("of 5 trainings" in said or "seeds" in said) == (len(beginnings) > 1), said
    columns = ("full" in str(beginnings)) + ("true" in str(beginnings))
    assert len(plot_random_labels.draw_training(kept).axes) == max(3 * columns, 1)
    assert len(plot_random_labels.draw_share(kept).axes) == (3 if "share" in str(beginnings) else 1)


# --------------------------------------------------------------------------------------- claim and report


def planted(accuracies: list[float], losses: list[float], reached: list[int], epochs: int = 530) -> dict:
    """A history of nets with all labels shuffled that ended so."""
    results = {
        f"full/seed-{seed}": {
            "reference_epoch": reached[seed],
            "fit_epoch": reached[seed],
            "test_accuracy": [0.3] * (epochs - 1) + [accuracies[seed]],
            "test_loss": [1.0] * (epochs - 1) + [losses[seed]],
            "train_loss": [0.05 if 0 < reached[seed] <= epoch else 1.0 for epoch in range(1, epochs + 1)],
            "train_accuracy": [0.99] * epochs,
            "running_loss": [0.06] * epochs,
            "running_accuracy": [0.98] * epochs,
            "majority": 0.1135,
            "all_images": {"train_loss": 0.06, "train_accuracy": 0.98},
        }
        for seed in range(len(accuracies))
    }
    return {"units": dict.fromkeys(results), "results": results, "settings": history.plain(vars(random_labels.PAPER))}


@pytest.mark.parametrize(
    ("accuracies", "losses", "reached", "verdicts"),
    [
        ([0.1, 0.11, 0.09], [9, 10, 2.31], [100, 530, 1], [claims.HOLDS] * 3),
        ([0.1, 0.11, 0.09], [9, 10, 11], [100, 0, 90], [claims.UNCLEAR, claims.HOLDS, claims.HOLDS]),
        ([0.1, 0.11, 0.09], [9, 10, 11], [0, 0, 0], [claims.FAILS, claims.HOLDS, claims.HOLDS]),
        ([0.12, 0.05, 0.3], [9, 10, 11], [9, 9, 9], [claims.HOLDS, claims.FAILS, claims.HOLDS]),
        ([0.1, 0.1, 0.12], [2.2, 1, 2.3], [9, 9, 9], [claims.HOLDS, claims.UNCLEAR, claims.FAILS]),
        ([0.1], [9], [100], [claims.UNCLEAR] * 3),
        ([0.1, 0.1], [9, float("nan")], [5, 5], [claims.HOLDS, claims.HOLDS, claims.UNCLEAR]),
        ([], [], [], [claims.UNCLEAR] * 3),
    ],
)
def test_the_rule_of_the_claim(accuracies, losses, reached, verdicts):
    found = reported.c8(planted(accuracies, losses, reached))
    assert [part["verdict"] for part in found["parts"]] == verdicts
    assert found["verdict"] == claims.combined(verdicts)
    assert [part["seeds"] for part in found["parts"]] == [len(accuracies)] * 3


def test_a_training_cut_short_decides_nothing_about_530_epochs():
    assert reported.c8(planted([0.1] * 3, [9] * 3, [0] * 3, epochs=60))["parts"][0]["verdict"] == claims.UNCLEAR
    late = planted([0.1] * 3, [9] * 3, [531] * 3, epochs=600)
    assert reported.c8(late)["parts"][0]["verdict"] == claims.FAILS


def test_sentences_follow_the_numbers():
    good = planted([0.1, 0.11, 0.1], [9, 9.5, 10], [100, 110, 0])
    said = reported.comment(good, reported.c8(good), 10_000)
    assert "remains unclear" in said["result"][0]
    assert "on 10,000 fixed training images in 2 of 3 seeds at epoch 100 and 110" in said["result"][1]
    assert "it holds in 431, 421 and 0 epochs of 530, and after the last one in 2 of 3 seeds" in said["result"][1]
    assert "judged after" not in said["result"][1]  # which would be the same
    lost = planted([0.1] * 3, [9] * 3, [100] * 3)
    lost["results"]["full/seed-1"]["train_loss"][-1] = 1.0
    assert (
        "after the last epoch this part would be: unclear" in reported.comment(lost, reported.c8(lost), 1)["result"][1]
    )
    assert "always the most frequent class in 11.35" in said["test"][0]
    assert "sure of answers that are wrong" in said["test"][1]
    evidence = reported.claim_8(reported.c8(good))["evidence"]
    assert (
        "reached in 2 of 3 seeds (first at epoch 105 [100, 110], and after the last one in 2 of 3 seeds); " in evidence
    )
    assert "chance in 3 of 3 seeds (10.00 [10.00, 11.00]\N{NO-BREAK SPACE}%)" in evidence
    assert "ln 10 in 3 of 3 seeds (9.50 [9.00, 10.0] nats)" in evidence
    assert "on the 10,000 fixed training images" in reported.c8(good)["parts"][0]["words"]
    bad = planted([0.5] * 3, [2.0] * 3, [0] * 3)
    said = reported.comment(bad, reported.c8(bad), 10_000)
    assert "does not hold" in said["result"][0]
    assert "within 530 epochs" in said["result"][1]
    assert "is not reached on 10,000" in said["result"][1]
    assert "(not within 530 epochs)" in reported.claim_8(reported.c8(bad))["evidence"]
    assert said["test"][1].endswith("ln 10 = 2.30.")
    assert said["truth"] == said["fit"] == said["peak"] == []
    answer = {
        name: reported.answer(found, reported.c8(found))
        for name, found in (
            ("whole", planted([0.1] * 3, [9] * 3, [100] * 3)),
            ("bad", planted([0.5] * 3, [9] * 3, [0] * 3)),
            ("good", good),
        )
    }
    assert answer["whole"].startswith(
        "Yes, at some epoch as well as the earlier report's net; at the end it gives 98.0"
    )
    assert "test images it is right as often as a guess" in answer["whole"]
    assert answer["bad"].startswith("Not as well as") and "it is not right as often as a guess" in answer["bad"]
    assert answer["good"].startswith("Whether as well as")


def ended(accuracy: float, epoch: int) -> dict:
    """A training that reached the reference's training result at this epoch, where its test accuracy was this."""
    return {"test_accuracy": [*[0.3] * (epoch - 1), accuracy, 0.2], "reference_epoch": epoch}


def test_what_true_labels_tell_needs_the_same_training_result_and_a_clear_distance():
    shuffled, true = [ended(0.1, 100), ended(0.11, 120)], [ended(0.98, 4), ended(0.97, 6)]
    said = reported.truth_sentences(shuffled, true)
    assert "at epoch 110 [100, 120] with shuffled and at epoch 5 [4, 6] with true labels" in said[1]
    assert "are 10.50 [10.00, 11.00]" in said[1] and "97.50 [97.00, 98.00]" in said[1]
    assert "neither the size of a net nor its training error alone tells" in said[2]
    assert "says nothing about size" in reported.truth_sentences(shuffled, [true[0], ended(0.11, 6)])[2]
    never = ended(0.1, 5) | {"reference_epoch": 0}
    for full, truth, missed in (
        ([shuffled[0], never], true, "shuffled"),
        (shuffled, [true[0], never], "true"),
        ([never], [never], "shuffled and true"),
    ):
        said = reported.truth_sentences(full, truth)
        assert f"Not every seed with {missed} labels reaches" in said[1]
        assert not any("alone tells" in sentence for sentence in said)
    assert len(reported.truth_sentences([], true)) == 1


def swept(share: float, fit: int, peak: float, end: float, true: float) -> dict:
    """A training with a share of the labels shuffled: four epochs, the peak after the second."""
    curves = {"test_accuracy": [0.2, peak, end, end], "true_accuracy": [0.3, true, 0.1, 0.1]}
    about = {"wrong_labels": 0.9 * share, "fit_epoch": fit, "peak_test_epoch": 2, "peak_test_accuracy": peak}
    return about | curves | {"share": share}


def test_the_sweep_in_words():
    runs = {
        0.0: {"0": swept(0, 5, 0.95, 0.95, 1.0), "1": swept(0, 5, 0.95, 0.95, 1.0)},
        0.25: {"0": swept(0.25, 8, 0.9, 0.8, 0.95), "1": swept(0.25, 10, 0.9, 0.8, 0.95)},
        0.5: {"0": swept(0.5, 20, 0.85, 0.6, 0.8)},
    }
    assert "5 at 0\N{NO-BREAK SPACE}%, 9 at 25" in reported.share_fits(runs)[0]
    assert "the longer they take to fit in 1 of 1 seed." in reported.share_fits(runs)[0]
    fall, better = reported.share_peaks(runs, 10_000)
    assert fall.startswith("With 25\N{NO-BREAK SPACE}% and 50\N{NO-BREAK SPACE}% shuffled the test accuracy falls")
    assert "deepest with 50\N{NO-BREAK SPACE}%: from 85.0" in fall
    assert "80.0\N{NO-BREAK SPACE}% of its training images, although only 55.0" in better
    assert reported.share_row(0.25, list(runs[0.25].values()))["fit"] == "9\n[8, 10]"
    runs[0.25]["0"]["fit_epoch"] = 0
    assert reported.share_row(0.25, list(runs[0.25].values()))["fit"] == "10\n1 of 2 never"
    assert "Not every seed" in reported.share_fits(runs)[0]
    assert reported.share_peaks({0.0: runs[0.0]}, 10_000) == []
    assert reported.memory({0.0: runs[0.0]}, 10_000) == {"common": "", "early": ""}


def test_the_order_of_the_epochs_to_fit_is_counted_in_seeds():
    def judged(*by_seed: tuple[int, ...]) -> str:
        shares = (0.0, 0.5, 1.0)
        runs = {
            share: {str(seed): {"fit_epoch": epochs[place]} for seed, epochs in enumerate(by_seed)}
            for place, share in enumerate(shares)
        }
        return reported.share_fits(runs)[0]

    assert "the longer they take to fit in 2 of 3 seeds." in judged((1, 2, 3), (4, 5, 6), (9, 9, 10))
    turning = judged((1, 3, 2), (4, 6, 5), (4, 3, 5))
    assert "longer at 50\N{NO-BREAK SPACE}% than at 0\N{NO-BREAK SPACE}% in 2 of 3 seeds" in turning
    assert "from there on rising throughout in 1, falling throughout in 2." in turning
    assert "the sooner they are fitted in 2 of 2 seeds." in judged((3, 2, 1), (6, 5, 4))
    apart = {0.0: {"0": {"fit_epoch": 1}}, 1.0: {"1": {"fit_epoch": 2}}}
    assert "no seed is measured at all of these shares" in reported.share_fits(apart)[0]


def test_a_fall_counts_only_beyond_noise():
    def judged(images: int | None, *ends: float, true: float = 0.8) -> tuple[str, dict]:
        runs = {0.5: {str(seed): swept(0.5, 20, 0.6, end, true) for seed, end in enumerate(ends)}}
        return " ".join(reported.share_peaks(runs, images)), reported.memory(runs, images)

    said, memory = judged(10_000, 0.58, 0.58)  # one standard error is 0.0049
    assert "falls after its peak in every seed" in said
    assert memory == {"common": "yes", "early": "yes"}
    for ends in ((0.595, 0.595), (0.5, 0.595), (0.6, 0.6)):
        said, memory = judged(10_000, *ends)
        assert "no fall beyond noise" in said
        assert "falls after its peak" not in said
        assert memory == {"common": "yes", "early": "no"}
    assert judged(100, 0.58, 0.58)[1]["early"] == "no"  # fewer images, more noise
    said, memory = judged(None, 0.1, 0.1)
    assert "cannot be told from noise" in said
    assert memory["early"] == ""
    said, memory = judged(10_000, 0.5, true=0.5)  # 0.55 of its labels are true
    assert "by heart" not in said
    assert "not every seed names more true classes" in said
    assert memory["common"] == "no"


def test_the_figure_and_the_report_have_the_same_reference():
    drawn = [getattr(plot_random_labels, name) for name in ("REFERENCE_LOSS", "CHANCE", "UNIFORM_LOSS")]
    assert drawn == pytest.approx([claims.C8_REACHED["loss"], claims.C8_CHANCE, claims.UNIFORM_LOSS])
    assert set(plot_random_labels.ARMS) == set(reported.ARMS)


@pytest.mark.parametrize("there", ["everything", "the sweep", "shuffled labels", "the opposite", "nothing"])
def test_the_section_can_be_set(there, path):
    kept = history.read(path)
    kept = {"the sweep": only(kept, "share-"), "shuffled labels": only(kept, "full")}.get(there, kept)
    if there == "everything":
        kept = copy.deepcopy(kept)
        kept["results"]["true/seed-0"]["test_loss"][-1] = float("nan")
    assert all(name in results for results in kept["results"].values() for name in reported.NEEDED)
    if there == "the opposite":
        for results in kept["results"].values():
            results["true_accuracy"] = [0.0] * len(results["true_accuracy"])
    trial_runs.typeset("random_labels", None if there == "nothing" else reported.section(kept))


def test_the_reports_reference_is_the_scripts():
    assert random_labels.REFERENCE | {"epochs": random_labels.PAPER.epochs} == claims.C8_REACHED
