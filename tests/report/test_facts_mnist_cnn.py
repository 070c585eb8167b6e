"""Facts of mnist_cnn on made-up curves: guards, C3 by its second rule, runs without the newer curves."""

import numpy as np
import pytest
import scaffold

from report import claims
from report.facts.mnist_cnn import facts

EPOCHS = 12
TRAINING = {"shallow": 0.01, "middle": 0.002, "deep": 0.005}  # loss, and five times the error
TEST = {"shallow": 0.985, "middle": 0.990, "deep": 0.995}
RISE = {"shallow": 1.1, "middle": 1.5, "deep": 1.05}  # of the test loss from its lowest value to the end


def cnn(training=TRAINING, test=TEST, rise=RISE, confidence=(0.6, 0.9), right=(0.01, 0.005), running=TRAINING, seeds=8):
    """A history in which middle fits best, deep tests best, and wrong answers grow surer."""
    results = {}
    for seed in range(seeds):
        for net in TEST:
            loss = np.linspace(10, 1, EPOCHS) * training[net] * (1 + 0.01 * seed)
            results[f"{net}/seed-{seed}"] = {
                "parameters": 100,
                "multiply_adds": 10,
                "train_loss": loss,
                "train_accuracy": 1 - loss / 5,
                "test_loss": np.interp(np.arange(EPOCHS), [0, 5, EPOCHS - 1], [0.2, 0.04, 0.04 * rise[net]]),
                "test_accuracy": np.minimum(np.linspace(0.9, 1.2, EPOCHS), test[net] - 1e-4 * seed),
                "running_loss": loss,
                "running_accuracy": np.full(EPOCHS, 1 - running[net]),
                "test_right_loss": np.linspace(*right, EPOCHS),
                "test_wrong_loss": np.linspace(*confidence, EPOCHS) * 3,
                "test_wrong_confidence": np.linspace(*confidence, EPOCHS),
            }
    data = {"name": "MNIST", "fingerprint": "", "source": "60,000 training and 10,000 test images"}
    return scaffold.made_up("hw1_1/mnist_cnn", results, data=data)


GUARDS = {
    "middle_fits_best": (cnn, lambda: cnn(TRAINING | {"deep": 0.001})),
    "training_lead_small": (cnn, lambda: cnn(TRAINING | {"deep": 0.009})),
    "deep_tests_best": (cnn, lambda: cnn(test=TEST | {"deep": 0.989})),
    "running_agrees": (cnn, lambda: cnn(running=TRAINING | {"deep": 0.001})),
    "loss_rises_accuracy_stays": (cnn, lambda: cnn(rise=RISE | {"middle": 1.05})),
    "fewer_than_half_left": (cnn, lambda: cnn(test=TEST | {"deep": 0.991})),
    "wrong_answers_surer": (cnn, lambda: cnn(confidence=(0.9, 0.6))),
    "right_answers_no_worse": (cnn, lambda: cnn(right=(0.005, 0.01))),
}
test_guards = scaffold.guard_tests(facts, GUARDS)
test_partial = scaffold.partial_tests(facts, lambda: cnn(seeds=2))
test_swaps = scaffold.swap_tests(
    facts,
    [
        (cnn, "middle", "deep", ["middle_fits_best", "deep_tests_best", "loss_rises_accuracy_stays"]),
        (cnn, "middle", "shallow", ["middle_fits_best"]),
        (cnn, "deep", "shallow", ["deep_tests_best"]),
    ],
)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        (cnn(), claims.HOLDS),
        (cnn(seeds=3), claims.HOLDS),  # fewer than eight: all agree
        (cnn(TRAINING | {"middle": 0.02}), claims.FAILS),
        (cnn(TRAINING | {"middle": 0.005}), claims.UNCLEAR),
        (cnn(seeds=1), claims.UNCLEAR),
    ],
)
def test_c3_is_judged_on_the_last_five_epochs(history, verdict):
    for results in history["results"].values():
        results["train_accuracy"][-1] = results["test_accuracy"][-1] = 1.0  # the last epoch alone shows nothing
    assert facts(history)["claims"][0]["verdict"] == verdict


def test_seeds_trained_after_the_rule_are_judged_alone_beside_it():
    rows = facts(cnn())["tables"]["parts"]
    assert {row["second_rule"]["seeds"] for row in rows} == {8} and rows[0]["second_rule"]["interval"][0] > 0
    assert {(row["new_seeds"]["seeds"], row["new_seeds"]["verdict"]) for row in rows} == {(5, claims.HOLDS)}


def test_without_the_new_curves_their_guards_are_not_measured():
    history = cnn()
    del history["results"]["middle/seed-0"]["test_wrong_loss"]
    found = facts(history)
    assert found["guards"]["wrong_answers_surer"] is None and found["guards"]["loss_rises_accuracy_stays"] is True
    assert found["numbers"]["standard_error"] == pytest.approx(0.001, abs=1e-4)
