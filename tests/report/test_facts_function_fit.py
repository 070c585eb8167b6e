"""Facts of function_fit on made-up losses: guards, C1, dead nets that share one loss, the chance to be born dead."""

import itertools

import numpy as np
import pytest
import scaffold

from report import claims
from report.facts import function_fit
from report.facts.function_fit import facts

SEEDS = 40
LOSSES = {  # by activation and net, on both functions, of the nets that are alive
    "relu": {"shallow": 0.06, "medium": 0.07, "deep": 0.12},
    "tanh": {"shallow": 0.05, "medium": 1e-5, "deep": 2e-4},
}
DEAD = {"medium": 0.1, "deep": 0.56}  # shares of ReLU nets
TOP = 0.289  # loss of a constant


def fit(
    losses: dict = LOSSES, dead: dict = DEAD, f2_medium: float = 0.05, seeds: int = SEEDS, tanh_dead: float = 0.0
) -> scaffold.History:
    """A history with these losses, the seeds a little apart; on f2 the medium ReLU net has one of its own."""
    results = {}
    spread = 1 + np.arange(seeds) / (10 * seeds)
    for function, activation, net in itertools.product(("f1", "f2"), ("relu", "tanh"), ("shallow", "medium", "deep")):
        middle = f2_medium if (function, activation, net) == ("f2", "relu", "medium") else losses[activation][net]
        share = tanh_dead if activation == "tanh" else dead.get(net, 0)
        gone = np.arange(seeds) < share * seeds
        results[f"{function}/{activation}/{net}"] = {
            "parameters": 91,
            "end_loss": np.where(gone, TOP * (1 + 1e-6 * np.arange(seeds)), middle * spread),
            "dead_at_birth": gone,
            "dead_at_end": gone,
        }
    return scaffold.made_up("hw1_1/function_fit", results)


def with_loss(activation: str, **nets: float):
    """`fit` with other losses of these nets."""
    return lambda: fit(LOSSES | {activation: LOSSES[activation] | nets})


GUARDS = {
    "relu_deep_worst": (fit, with_loss("relu", shallow=0.2)),
    "relu_medium_mixed": (fit, lambda: fit(f2_medium=0.07)),
    "most_deep_born_dead": (fit, lambda: fit(dead={"deep": 0.4})),
    "dead_as_chance_has_it": (fit, lambda: fit(dead={"deep": 0.9})),
    "alive_deep_worst": (fit, with_loss("relu", deep=0.055)),
    "no_tanh_dead": (fit, lambda: fit(tanh_dead=0.1)),
    "tanh_deeper_better": (fit, with_loss("tanh", deep=0.1)),
    "tanh_medium_best": (fit, with_loss("tanh", deep=1e-6)),
    "activation_outweighs": (fit, with_loss("tanh", medium=0.01)),
    "shallow_indifferent": (fit, with_loss("tanh", shallow=0.01)),
    "earlier_deep_beyond": (fit, with_loss("relu", deep=0.001)),
}
test_guards = scaffold.guard_tests(facts, GUARDS)
test_partial = scaffold.partial_tests(facts, fit)
test_swaps = scaffold.swap_tests(
    facts,
    [
        (fit, "deep", "shallow", ["relu_deep_worst", "most_deep_born_dead", "alive_deep_worst", "tanh_deeper_better"]),
        (fit, "medium", "deep", ["relu_deep_worst", "most_deep_born_dead", "alive_deep_worst", "tanh_medium_best"]),
        (fit, "medium", "shallow", ["relu_medium_mixed", "tanh_deeper_better", "tanh_medium_best"]),
        (fit, "relu", "tanh", ["relu_deep_worst", "no_tanh_dead", "tanh_deeper_better", "activation_outweighs"]),
    ],
)


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        (fit(), claims.FAILS),
        (fit(LOSSES | {"relu": {"shallow": 0.3, "medium": 0.1, "deep": 0.01}}, {}, 0.1), claims.HOLDS),
        (fit(LOSSES | {"relu": dict.fromkeys(("shallow", "medium", "deep"), 0.1)}, {}, 0.1), claims.UNCLEAR),
        (fit(seeds=1), claims.UNCLEAR),
    ],
)
def test_c1_is_judged_on_all_relu_nets(history, verdict):
    assert facts(history)["claims"][0]["verdict"] == verdict


def test_dead_nets_share_one_loss():
    deep_medium = facts(fit(dead={"medium": 0.5, "deep": 0.5}))["tables"]["pairs"][0]
    assert (deep_medium["deeper"], deep_medium["flatter"], deep_medium["alive"]) == ("deep", "medium", 0)
    assert deep_medium["all"] == pytest.approx(0.25 + 0.5 * 0.25)  # medium dead, deep alive; or both dead, a tie


def test_the_chance_of_a_side_that_is_off_is_that_of_drawn_nets():
    random = np.random.default_rng(0)
    for net, widths in function_fit.WIDTHS.items():
        signal = np.ones((4000, 1))
        for before, width in itertools.pairwise((1, *widths[:-1])):
            signal = np.maximum(np.einsum("ni,nio->no", signal, random.uniform(-1, 1, (4000, before, width))), 0)
        off = float(np.mean(~signal.any(axis=1)))
        assert off == pytest.approx(function_fit.one_side_off(net), abs=0.03)


def test_best_of_ten_says_what_diverged():
    best = function_fit.best_of(np.array([np.nan] * 10 + [0.5, *[np.inf] * 9, 7.0]))
    assert best.tolist() == [np.inf, 0.5]
