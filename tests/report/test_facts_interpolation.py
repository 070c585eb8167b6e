"""Facts of the lines between two solutions: each guard true and false, and the rule of C10."""

from typing import Any

import numpy as np
import pytest
import scaffold

from hw1_3 import lines, two_ends
from report import claims
from report.facts import interpolation

SEEDS = 8
LIMIT = 0.1 * (np.log(10) - 0.1)
NOISE = np.linspace(-1, 1, SEEDS)
REAL = {  # all that the report says holds: barriers, lengths of the line, ways from the start, distances to a rise
    "barriers": {"shared": 0.01, "independent": 3.0, "matched": 0.35},
    "lengths": {"shared": 1.0, "independent": 10.0, "matched": 8.0},
    "moved": {"small": 4.0, "large": 4.0},
    "distances": {"small": 0.2, "large": 0.18},
    "accuracy": {"small": 0.97, "large": 0.97},
}
ADAM = {"barriers": {"shared": 0.4, "independent": 4.0, "matched": 0.4}, "moved": {"small": 40.0, "large": 140.0}}


def stage(chosen: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Results of one stage in which the seeds scatter around these values."""
    alpha = lines.places(2)
    ends = {
        end: {
            "train_loss": [0.1] * SEEDS,
            "test_loss": [0.2] * SEEDS,
            "train_accuracy": [0.99] * SEEDS,
            "test_accuracy": (chosen["accuracy"][end] + (1e-4 if end == "large" else 0) * NOISE).tolist(),
            "start_norm": [10.0] * SEEDS,
            "moved": [chosen["moved"][end]] * SEEDS,
        }
        for end in two_ends.ENDS
    }
    results: dict[str, Any] = {"alpha": alpha.tolist(), "ends": ends, "lines": {}, "flatness": {}}
    for start, height in chosen["barriers"].items():
        hill = np.where(alpha == 0.5, height, 0) + (1e-3 * NOISE)[:, None] * (alpha == 0.5) * (start != "shared")
        curves = {
            name: 0.1 + hill if name.endswith("loss") else 0.97 - 0.01 * hill
            for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        }
        described = lines.described(alpha, curves, 0.05, 0.01)
        results["lines"][start] = {"length": [chosen["lengths"][start]] * SEEDS, **described}
    for end, distance in chosen["distances"].items():
        results["flatness"][end] = np.tile((distance * (1 + 1e-2 * NOISE))[:, None, None], (1, 3, 2)).tolist()
    return results


def planted(sgd: dict | None = None, adam: dict | None = None) -> dict[str, Any]:
    """A history like the real one, but for these values: of SGD at all stages, of Adam."""
    batches = {name: values | (sgd or {}).get(name, {}) for name, values in REAL.items()}
    rates = {name: values | ADAM.get(name, {}) | (adam or {}).get(name, {}) for name, values in REAL.items()}
    units = {unit: stage(rates if name == "adam" else batches) for name, unit in two_ends.STAGES.items()}
    data = {"source": "60,000 training and 10,000 test images"}
    return scaffold.made_up("hw1_3/interpolation", units, {"seeds": SEEDS}, data)


test_partial = scaffold.partial_tests(interpolation.facts, planted)


def test_all_guards_hold_where_the_results_are_such():
    guards = interpolation.facts(planted())["guards"]
    assert guards == dict.fromkeys(guards, True)


@pytest.mark.parametrize(
    ("name", "sgd", "adam"),
    [
        ("flat_road", {"barriers": {"shared": 1.0}}, {}),
        ("mountain", {"barriers": {"independent": 0.1}}, {}),
        ("worse_than_guessing", {"barriers": {"independent": 2.0}}, {}),
        ("nine_tenths", {"barriers": {"matched": 0.6}}, {}),
        ("nine_tenths", {"barriers": {"matched": 0.1}}, {}),
        ("hill_is_left", {"barriers": {"matched": 0.1}}, {}),
        ("distance_is_left", {"lengths": {"matched": 5.0}}, {}),
        ("shared_stay_close", {"lengths": {"shared": 3.0}}, {}),
        ("adam_hill", {}, {"barriers": {"shared": 0.01}}),
        ("adam_only_numbering", {}, {"barriers": {"shared": 0.2}}),
        ("adam_only_numbering", {}, {"barriers": {"matched": 1.0}}),
        ("adam_outgrows_its_start", {}, {"moved": {"large": 40.0}}),
        ("small_is_flatter", {"distances": {"large": 0.2}}, {}),
        ("small_stays_flatter", {"distances": {"large": 0.22}}, {}),
        ("flatter_is_not_better", {"accuracy": {"large": 0.965}}, {}),
        ("early_curve_is_noise", {"barriers": {"shared": 2.0}}, {}),
    ],
)
def test_a_guard_is_false_where_its_sentence_would_be(name, sgd, adam):
    assert interpolation.facts(planted(sgd, adam))["guards"][name] is False


def test_swapped_results_withdraw_what_ranks_them():
    found = planted()
    for results in found["results"].values():
        for kind in ("lines", "flatness", "ends"):
            one, two = ("shared", "independent") if kind == "lines" else two_ends.ENDS
            results[kind][one], results[kind][two] = results[kind][two], results[kind][one]
    guards = interpolation.facts(found)["guards"]
    ranking = ("flat_road", "mountain", "shared_stay_close", "nine_tenths", "small_is_flatter", "small_stays_flatter")
    assert {name for name in ranking if guards[name]} == set()


@pytest.mark.parametrize(
    ("independent", "large", "verdicts"),
    [
        (0.02, 0.22, [claims.HOLDS, claims.HOLDS, claims.HOLDS]),
        (1.0, 0.22, [claims.HOLDS, claims.FAILS, claims.HOLDS]),
        (0.02, 0.18, [claims.HOLDS, claims.HOLDS, claims.FAILS]),
        (0.02, 0.2, [claims.HOLDS, claims.HOLDS, claims.UNCLEAR]),
        (LIMIT, 0.22, [claims.HOLDS, claims.UNCLEAR, claims.HOLDS]),  # the seeds lie on both sides
    ],
)
def test_c10(independent, large, verdicts):
    found = planted({"barriers": {"independent": independent}, "distances": {"large": large}})
    (claim,) = interpolation.facts(found)["claims"]
    assert [part["verdict"] for part in claim["parts"]] == verdicts
    assert claim["verdict"] == claims.combined(verdicts)
    assert claim["parts"][0]["mean"] == pytest.approx(LIMIT - 0.01)


def test_only_the_stages_of_the_claim_decide_it():
    found = planted({"barriers": {"independent": 0.01}, "distances": {"large": 0.22}})
    beside = scaffold.without(found, "sgd/late", "adam/converged")
    assert interpolation.facts(beside)["claims"][0]["verdict"] == claims.HOLDS
    assert interpolation.facts(scaffold.without(found, "sgd/converged"))["claims"][0]["verdict"] == claims.UNCLEAR
