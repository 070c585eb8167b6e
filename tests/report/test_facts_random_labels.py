"""Facts of random labels on made-up trainings: each guard true and false, C8, what is not measured."""

import functools

from common import figures

import numpy as np
import pytest
import scaffold

from hw1_3 import plot_random_labels, random_labels
from report import claims
from report.facts import random_labels as reported

SHARES = (0, 0.25, 0.5, 1)


def full(accuracy: float = 0.1, loss: float = 30.0, reached: int = 100, epochs: int = 530, held: float = 0.5) -> dict:
    """A training on all images that reaches the reference's result, and holds it in a share of the epochs after."""
    good = [
        reached and epoch >= reached and (epoch == reached or epoch % 10 < 10 * held) for epoch in range(1, epochs + 1)
    ]
    return {
        "reference_epoch": reached,
        "running_reference_epoch": reached,
        "fit_epoch": 0,
        "images": 60_000,
        "majority": 0.1135,
        "wrong_labels": 0.9,
        "true_accuracy": [0.1] * epochs,
        "train_loss": [0.05 if each else 0.07 for each in good],
        "train_accuracy": [0.99] * epochs,
        "running_loss": [0.06] * epochs,
        "running_accuracy": [0.98] * epochs,
        "test_loss": [1.0] * (epochs - 1) + [loss],
        "test_accuracy": [accuracy] * epochs,
        "peak_test_accuracy": accuracy,
        "peak_test_epoch": 1,
        "all_images": {"train_loss": 0.05, "train_accuracy": 0.99},
    }


def part(share: float, **changes) -> dict:
    """A training on fewer images, a share of their labels shuffled: four epochs, its peak after the second."""
    right = 1 - 0.9 * share
    peak = 0.95 - 0.1 * share
    return (
        full(epochs=4)
        | {
            "images": 10_000,
            "wrong_labels": 1 - right,
            "fit_epoch": 40 if share else 5,
            "reference_epoch": 0,
            "test_accuracy": [0.2, peak, 0.5, right],
            "true_accuracy": [0.2, peak, 0.5, right],
            "peak_test_epoch": 2,
            "peak_test_accuracy": peak,
        }
        | changes
    )


def made_up() -> dict:
    """A history of two seeds in which every guard holds."""
    results = {f"share-{share:g}/seed-{seed}": part(share) for seed in (0, 1) for share in SHARES}
    results |= {f"full/seed-{seed}": full() for seed in (0, 1)}
    results |= {f"true/seed-{seed}": full(0.98, 0.1, reached=3, epochs=30, held=1) for seed in (0, 1)}
    data = {"name": "MNIST", "fingerprint": "", "source": "60,000 training and 10,000 test images"}
    return scaffold.made_up("hw1_3/random_labels", results, {}, data)


FALSE = {  # what makes each guard false
    "learnt": ("full", full(reached=0)),
    "guesses_on_test": ("full", "true"),
    "sure_and_wrong": ("full", "true"),
    "held_half": ("full", full(held=1)),
    "true_labels_generalize": ("full", "true"),
    "wrong_labels_take_longer": ("share-0", "share-0.25"),
    "number_does_not_matter": ("share-1", part(1, fit_epoch=200)),
    "common_first": ("share-0.25", part(0.25, true_accuracy=[0.2, 0.7, 0.5, 0.7])),
    "peaks_early": ("share-0.25", part(0.25, peak_test_epoch=30, true_accuracy=[1] * 30)),
    "falls_back": ("share-0.25", part(0.25, test_accuracy=[0.2, 0.92, 0.5, 0.92])),
    "more_wrong_is_worse": ("share-0.25", "share-0.5"),
    "ends_near_its_labels": ("share-0.5", part(0.5, test_accuracy=[0.2, 0.9, 0.5, 0.8])),
}


def with_change(change: tuple) -> dict:
    """The history with the results of two arms exchanged, or another training in the place of one."""
    arm, other = change
    if isinstance(other, str):
        return scaffold.swapped(made_up(), arm, other)
    history = made_up()
    history["results"][f"{arm}/seed-1"] = other
    return history


test_guards = scaffold.guard_tests(
    reported.facts, {name: (made_up, functools.partial(with_change, change)) for name, change in FALSE.items()}
)
test_partial = scaffold.partial_tests(reported.facts, made_up)


@pytest.mark.parametrize(
    ("runs", "verdicts"),
    [
        ([full(0.1), full(0.11), full(0.09, 2.31)], [claims.HOLDS] * 3),
        ([full(), full(reached=0)], [claims.UNCLEAR, claims.HOLDS, claims.HOLDS]),
        ([full(reached=0), full(reached=0)], [claims.FAILS, claims.HOLDS, claims.HOLDS]),
        ([full(reached=0, epochs=60)] * 2, [claims.UNCLEAR, claims.HOLDS, claims.HOLDS]),  # cut short
        ([full(reached=531, epochs=600)] * 2, [claims.FAILS, claims.HOLDS, claims.HOLDS]),  # too late
        ([full(0.3), full(0.05)], [claims.HOLDS, claims.FAILS, claims.HOLDS]),
        ([full(loss=2.2), full(loss=2.31)], [claims.HOLDS, claims.HOLDS, claims.UNCLEAR]),
        ([full(), full(loss=float("nan"))], [claims.HOLDS, claims.HOLDS, claims.UNCLEAR]),
        ([full()], [claims.UNCLEAR] * 3),
        ([], [claims.UNCLEAR] * 3),
    ],
)
def test_the_rule_of_the_claim(runs, verdicts):
    history = scaffold.made_up("hw1_3/random_labels", {f"full/seed-{seed}": run for seed, run in enumerate(runs)})
    (claim,) = reported.facts(history)["claims"]
    assert [part["verdict"] for part in claim["parts"]] == verdicts


def test_a_fall_counts_only_beyond_the_noise_of_so_many_images():
    run = {"peak_test_accuracy": 0.6, "test_accuracy": 0.58}
    assert reported.falls_back(run, 10_000) and not reported.falls_back(run, 100)


def test_script_figure_and_rule_have_one_reference():
    assert random_labels.REFERENCE | {"epochs": random_labels.PAPER.epochs} == claims.C8_REACHED
    drawn = (plot_random_labels.CHANCE, plot_random_labels.UNIFORM_LOSS, plot_random_labels.REFERENCE_LOSS)
    assert drawn == (claims.C8_CHANCE, claims.UNIFORM_LOSS, claims.C8_REACHED["loss"])


@pytest.mark.parametrize("lacking", ["", "full", "true", "share-", "share-0.5/seed-1"])
def test_figures_say_what_is_missing_and_no_words_overlap(lacking):
    from test_figures import assert_apart, canvas

    figures.use_style()
    history = made_up()
    history = scaffold.without(history, *(unit for unit in history["results"] if lacking and unit.startswith(lacking)))
    for title, draw in plot_random_labels.FIGURES.items():
        figure = draw(history)
        assert np.asarray(canvas(figure).buffer_rgba())[..., :3].std() > 5
        assert_apart(figure, title)
        unmeasured = sum("not measured yet" in text.get_text() for axes in figure.axes for text in axes.texts)
        expected = {"full": (2, 2), "share-": (2, 0), "true": (0, 1)}.get(lacking, (0, 0))
        assert unmeasured == expected[title.endswith("more")]
