"""Facts of cifar10_cnn on made-up curves: guards, equal arithmetic, C2."""

import numpy as np
import pytest
import scaffold

from report import claims
from report.facts.cifar10_cnn import at_equal_work, facts

EPOCHS = np.arange(1, 41)
WORK = {"shallow": 1, "middle": 2, "deep": 8}
TEST = {"shallow": 0.6, "middle": 0.65, "deep": 0.75}  # accuracy at the end
SPEED = {"shallow": 0.02, "middle": 0.08, "deep": 0.1}  # of the fall of the training loss by epoch
JPEG = {"name": "CIFAR-10 (JPEG copy)", "fingerprint": ""}


def cnn(test: dict = TEST, speed: dict = SPEED, work: dict = WORK, data: dict = JPEG, turn=1.3, dead=0.5, seeds=3):
    """A history in which the deep net learns most by epoch and least by work, and tests best; test losses turn."""
    results = {}
    for seed in range(seeds):
        for net in TEST:
            loss = 2 * np.exp(-speed[net] * EPOCHS) * (1 + 0.01 * seed)
            accuracy = test[net] * (1 - np.exp(-EPOCHS / 2)) - 0.001 * seed
            results[f"{net}/seed-{seed}"] = {
                "parameters": 100,
                "multiply_adds": work[net],
                "dead_hidden_share": dead,
                "train_loss": loss,
                "train_accuracy": 1 - loss / 3,
                "test_loss": np.interp(EPOCHS, [1, 20, 40], [2, 1, turn]),
                "test_accuracy": accuracy,
                "running_loss": loss,
                "running_accuracy": accuracy,
            }
    return scaffold.made_up("hw1_1/cifar10_cnn", results, data=data)


GUARDS = {
    "deep_fits_best": (cnn, lambda: cnn(speed=SPEED | {"middle": 0.2})),
    "deep_tests_best": (cnn, lambda: cnn(TEST | {"deep": 0.62})),
    "deep_fits_later": (cnn, lambda: cnn(speed=SPEED | {"deep": 1.0})),
    "deep_tests_ahead": (cnn, lambda: cnn(TEST | {"deep": 0.5})),
    "deep_works_most": (cnn, lambda: cnn(work=WORK | {"middle": 7})),
    "loss_rises_accuracy_stays": (cnn, lambda: cnn(turn=1.05)),
    "more_than_half_left": (cnn, lambda: cnn(TEST | {"deep": 0.9})),
    "shallow_units_dead": (cnn, lambda: cnn(dead=0.1)),
    "earlier_higher": (cnn, lambda: cnn(TEST | {"deep": 0.9})),
    "jpeg_copy": (cnn, lambda: cnn(data={"name": "CIFAR-10", "fingerprint": ""})),
}
test_guards = scaffold.guard_tests(facts, GUARDS)
test_partial = scaffold.partial_tests(facts, cnn)
RANKING = ["deep_fits_best", "deep_tests_best", "deep_fits_later", "deep_tests_ahead", "deep_works_most"]
test_swaps = scaffold.swap_tests(
    facts,
    [
        (cnn, "deep", "middle", RANKING),
        (cnn, "deep", "shallow", ["deep_fits_best", "deep_tests_ahead", "deep_works_most"]),
    ],
)


def test_equal_work_is_counted_in_epochs_of_middle():
    deep = {"multiply_adds": 4.0, "train_loss": np.array([4.0, 3.0, 1.0]), "test_accuracy": np.array([0.1, 0.6, 0.9])}
    middle = {"multiply_adds": 2.0, "train_loss": np.array([4.0, 2.0, 2.0, 1.0, 1.0]), "test_accuracy": np.full(5, 0.5)}
    found = at_equal_work(deep, middle)
    assert found == {
        "epochs": 2,
        "loss_ratio": 3,
        "test_lead": pytest.approx(0.1),
        "fits_ahead": 0,
        "tests_ahead_from": 2,
    }
    assert at_equal_work(deep | {"multiply_adds": 100.0}, middle)["epochs"] == 0


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        (cnn(), claims.HOLDS),
        (cnn(speed=SPEED | {"deep": 0.01}), claims.FAILS),
        (cnn(speed=SPEED | {"deep": SPEED["middle"]}), claims.UNCLEAR),
        (cnn(seeds=1), claims.UNCLEAR),
    ],
)
def test_c2_is_judged_by_epochs_seed_by_seed(history, verdict):
    assert facts(history)["claims"][0]["verdict"] == verdict


def test_one_seed_that_differs_leaves_c2_unclear_and_a_net_that_diverged_is_the_worst():
    history = cnn()
    history["results"]["middle/seed-1"]["train_loss"][-1] = 0.0
    assert facts(history)["claims"][0]["verdict"] == claims.UNCLEAR
    history["results"]["middle/seed-1"]["train_loss"][-1] = float("nan")
    assert facts(history)["claims"][0]["parts"][0]["agree"] == 3
