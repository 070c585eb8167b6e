"""Facts of sensitivity and batch size: each guard true and false, and the rules of C11 and C12."""

from typing import Any

import numpy as np
import pytest
import scaffold

from hw1_3.batch_nets import BUDGETS
from report import claims
from report.facts import sensitivity

SIZES = (1, 5, 10, 50, 100, 500)
SEEDS = 8
DOWN, UP, FLAT = (6, 5, 4, 3, 2, 1), (1, 2, 3, 4, 5, 6), (3, 1, 2, 3, 1, 2)
REAL: dict[str, dict[str, tuple[float, ...]]] = {  # all that the report says holds: by budget, values by batch size
    "steps": {
        "softmax": (4.4, 2, 3, 4, 5.5, 6),
        "wobble": (2.1, 0, 0, 0, 0, 0),  # on every second seed's softmax
        "softmax_train": DOWN,
        "median": (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7),
        "logits": UP,
        "gradient": UP,
        "train_loss": (0.2, 0.1, 0.05, 0.01, 0.001, 1e-5),
        "loss": (0.2, 0.10, 0.11, 0.15, 0.2, 0.3),
        "accuracy": (0.94, 0.96, 0.97, 0.98, 0.9802, 0.9799),
        "top_percent": (0.1, 0.2, 0.3, 0.4, 0.5, 0.7),
        "distance": UP,
    },
    "epochs": {
        "softmax": UP,
        "logits": DOWN,
        "loss": (0.4, 0.3, 0.2, 0.12, 0.11, 0.1),
        "distance": DOWN,
    },
    "loss": {
        "reached": (0, 0, 1, 1, 1, 1),
        "softmax": UP,
        "loss": (0.1,) * 6,
        "accuracy": (0.98, 0.98, 0.98, 0.98, 0.978, 0.976),
        "distance": DOWN,
    },
}
PLAIN = {
    "train_loss": (0.01,) * 6,
    "loss": (0.1,) * 6,
    "accuracy": (0.98,) * 6,
    "top_percent": (0.3,) * 6,
    "wobble": (0,) * 6,
    "reached": (1,) * 6,  # 0 for a net that does not come to what the budget asks for
}


def net(values: dict[str, float], seed: int) -> dict[str, Any]:
    """What is measured of one net."""

    def images(softmax: float, loss: float) -> dict[str, Any]:
        norms = {"mean": softmax, "median": values["median"], "share_of_top_percent": values["top_percent"]}
        about = {"loss": loss, "accuracy": values["accuracy"] + 1e-5 * seed, "softmax": norms}
        return about | {"logits": {"mean": values["logits"]}, "mean_loss_gradient": values["gradient"]}

    found = {"train": images(values["softmax_train"], values["train_loss"])}
    found["test"] = images(values["softmax"] + seed % 2 * values.get("wobble", 0), values["loss"] + 1e-4 * seed)
    return found | {"distance": values["distance"], "epoch": 20.0}


def planted(sizes: tuple[int, ...] = SIZES, seeds: int = SEEDS, **changed: dict[str, tuple]) -> dict[str, Any]:
    """A history like the real one, but for these values; without a value a measure has no trend."""
    results = {}
    for place, size in enumerate(sizes):
        budgets = {}
        for budget in BUDGETS:
            by_size = (
                dict.fromkeys((*sensitivity.COLUMNS, "softmax_train"), FLAT)
                | {"gradient": FLAT, "wobble": (0,) * len(sizes)}
                | PLAIN
            )
            by_size |= REAL[budget] | changed.get(budget, {})
            values = {name: each[place] for name, each in by_size.items()}
            budgets[budget] = [net(values, seed) if values["reached"] else None for seed in range(seeds)]
        results[f"batch-{size}"] = {"batch_size": size, "seeds": list(range(seeds)), "budgets": budgets}
    return scaffold.made_up("hw1_3/sensitivity", results)


test_partial = scaffold.partial_tests(sensitivity.facts, planted)


def test_all_guards_hold_where_the_results_are_such():
    guards = sensitivity.facts(planted())["guards"]
    assert guards == dict.fromkeys(guards, True)


@pytest.mark.parametrize(
    ("name", "budget", "changed"),
    [
        ("measures_disagree", "steps", {"softmax_train": UP, "median": UP}),
        ("logits_turn", "epochs", {"logits": UP}),
        ("logits_turn", "steps", {"logits": FLAT}),
        ("rises_at_equal_loss", "loss", {"softmax": FLAT}),
        ("smallest_never_reach", "loss", {"reached": (1,) * 6}),
        ("rises_at_sizes_that_reach", "steps", {"softmax": (4.4, 2, 6, 5, 4, 3)}),
        ("unclear_at_equal_updates", "steps", {"softmax": UP}),
        ("smallest_breaks_the_order", "steps", {"softmax": UP, "wobble": FLAT}),
        ("smallest_breaks_the_order", "steps", {"softmax": (5, 2, 3, 2, 5, 6)}),
        ("training_falls", "steps", {"softmax_train": FLAT}),
        ("median_vanishes", "steps", {"median": UP}),
        ("median_vanishes", "steps", {"median": DOWN}),
        ("unequal_stages", "steps", {"train_loss": (0.2,) * 6}),
        ("few_carry_the_mean", "steps", {"top_percent": (0.1, 0.1, 0.1, 0.1, 0.1, 0.4)}),
        ("worse_at_equal_loss", "loss", {"accuracy": (0.98,) * 6}),
        ("worse_at_equal_updates", "steps", {"loss": (0.1,) * 6}),
        ("small_batches_win", "steps", {"loss": (0.2, 0.1, 0.16, 0.15, 0.2, 0.3)}),
        ("best_moves", "epochs", {"loss": (0.4, 0.3, 0.2, 0.1, 0.2, 0.3)}),
        ("accuracy_level", "steps", {"accuracy": (0.94, 0.96, 0.97, 0.98, 0.97, 0.96)}),
        ("stay_near", "loss", {"distance": UP}),
        ("farther_at_equal_updates", "steps", {"distance": FLAT}),
    ],
)
def test_a_guard_is_false_where_its_sentence_would_be(name, budget, changed):
    assert sensitivity.facts(planted(**{budget: changed}))["guards"][name] is False


@pytest.mark.parametrize("swapped", [(1, 500), (50, 500)])
def test_swapped_results_withdraw_what_ranks_them(swapped):
    found = planted()
    one, two = (found["results"][f"batch-{size}"] for size in swapped)
    one["budgets"], two["budgets"] = two["budgets"], one["budgets"]
    guards = sensitivity.facts(found)["guards"]
    ranking = {"worse_at_equal_loss", "worse_at_equal_updates"} if 50 in swapped else {
        "logits_turn", "smallest_breaks_the_order", "training_falls", "median_vanishes", "unequal_stages",
        "few_carry_the_mean", "stay_near", "farther_at_equal_updates", "rises_at_equal_loss",
        "smallest_never_reach", "rises_at_sizes_that_reach",
    }  # fmt: skip
    assert {name for name in ranking if guards[name]} == set()


def softmax(values: dict[int, list[float]]) -> dict[str, Any]:
    """A history of these sensitivities, {batch size: a value a seed}, the same at each budget."""
    results = {}
    for size, seeds in values.items():
        nets = [
            net(dict.fromkeys((*sensitivity.COLUMNS, "softmax_train", "gradient", "accuracy", "loss"), value), 0)
            for value in seeds
        ]
        numbers = list(range(len(seeds)))
        results[f"batch-{size}"] = {"batch_size": size, "seeds": numbers, "budgets": dict.fromkeys(BUDGETS, nets)}
    return scaffold.made_up("hw1_3/sensitivity", results)


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({1: [1.0] * 8, 5: [2.0] * 8, 10: [3.0] * 8}, claims.HOLDS),
        ({1: [3.0] * 8, 5: [2.0] * 8, 10: [1.0] * 8}, claims.FAILS),
        ({1: [1.0] * 8, 5: [3.0] * 8, 10: [2.0] * 8}, claims.UNCLEAR),  # 0.5 itself is on neither side
        ({1: [0.2] * 3, 5: [0.2] * 3, 10: [0.2] * 3}, claims.FAILS),  # no trend at all
        ({1: [1.0] * 3, 5: [2.0] * 3, 10: [3.0] * 3}, claims.HOLDS),
        ({1: [1.0], 5: [2.0], 10: [3.0]}, claims.UNCLEAR),
        ({1: [1.0] * 8, 5: [2.0] * 8}, claims.UNCLEAR),  # too few batch sizes
        ({1: [1.0] * 8, 5: [2.0] * 8, 10: [3.0] * 8, 5000: [0.0] * 3}, claims.HOLDS),  # fewer seeds decide nothing
    ],
)
def test_c11(values, verdict):
    facts = sensitivity.facts(softmax(values))
    assert facts["claims"][0]["verdict"] == verdict
    trend = facts["tables"]["trends"][0]["steps"]
    if 5000 in values:  # over all sizes, in the three seeds that they share
        assert trend["all_sizes"] == pytest.approx([-0.2] * 3)


def test_nets_that_do_not_reach_the_loss_are_left_out():
    found = softmax({1: [3.0] * 8, 5: [2.0] * 8, 10: [1.0] * 8, 50: [0.5] * 8, 100: [0.1] * 8})
    for size, reached in ((1, 0), (5, 0), (10, 3)):
        about = found["results"][f"batch-{size}"]
        about["budgets"] = about["budgets"] | {"loss": about["budgets"]["loss"][:reached] + [None] * (8 - reached)}
    assert sensitivity.facts(found)["claims"][0]["parts"][1]["seeds"] == 3


@pytest.mark.parametrize(
    ("changed", "failing"),
    [({}, []), ({10: (0.09, 0.95)}, [(10, "loss")]), ({500: (0.2, 0.9805)}, [(500, "accuracy")])],
)
def test_c12_compares_with_the_twin_at_50(changed, failing):
    sizes = (*claims.C12_SMALLER, *claims.C12_LARGER)
    values = dict.fromkeys(sizes, (0.2, 0.95)) | {50: (0.1, 0.98)} | changed
    curves = {
        "loss": tuple(loss for loss, _ in values.values()),
        "accuracy": tuple(each for _, each in values.values()),
    }
    others = dict.fromkeys(
        (*sensitivity.COLUMNS, "softmax_train", "gradient", "wobble", "reached"), np.ones(len(values))
    )
    found = planted(tuple(values), **dict.fromkeys(BUDGETS, others | curves))
    _, claim = sensitivity.facts(found)["claims"]
    assert [(part["size"], part["quantity"]) for part in claim["parts"] if part["verdict"] == claims.FAILS] == failing
    assert claim["verdict"] == (claims.FAILS if failing else claims.HOLDS)
    assert len(claim["parts"]) == 14
    del found["results"]["batch-5000"]
    assert sensitivity.facts(found)["claims"][1]["verdict"] == (claims.FAILS if failing else claims.UNCLEAR)
