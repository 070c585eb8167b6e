"""Facts of grad_norm on made-up records: guards, C5, gradient noise, dead nets."""

import numpy as np
import pytest
import scaffold

from report import claims
from report.facts.grad_norm import STATISTICS, facts, of_seeds

SEEDS = 8
MNIST = {"large_scale": 0.75, "small_scale": 0.8, "batch_with_fixed": 0.1, "norm_trend": -0.4, "loss_trend": -0.8}
F1 = {"large_scale": np.linspace(-0.3, 0.8, SEEDS), "small_scale": 0.3, "batch_with_fixed": 0.9}


def arm(statistics: dict, batch: float, lowest: float = 0.1, stalled: tuple = (), **about) -> dict:
    """Records of SEEDS nets: norms of 1 on the fixed set in the window, and `batch` on mini-batches."""
    spread = np.linspace(-0.01, 0.01, SEEDS)
    loss = np.full((SEEDS, 3), 0.01)
    loss[list(stalled), -1] = 1.0
    return {
        "window": {"gradient_norm": np.full((SEEDS, 10), batch), "fixed_gradient_norm": np.ones((SEEDS, 10))},
        "fixed": {"loss": loss, "gradient_norm": np.full((SEEDS, 3), lowest)},
        "statistics": {name: np.broadcast_to(statistics.get(name, 0.5), SEEDS) + spread for name in STATISTICS},
        **about,
    }


def record(adam=MNIST, momentum=MNIST, f1=F1, batch=4.0, f1_batch=1.05, lowest=0.1, stalled=(2, 5)) -> scaffold.History:
    """A history in which the claim holds on MNIST, where the jumps are the batch's."""
    results = {
        "mnist/adam": arm(adam, batch, lowest),
        "mnist/sgd": arm(momentum, batch, lowest),
        "f1/adam": arm(f1, f1_batch, stalled=stalled, dead=[False] * SEEDS),
    }
    return scaffold.made_up("hw1_2/grad_norm", results)


GUARDS = {
    "fall_together": (record, lambda: record(adam=MNIST | {"large_scale": 0.4})),
    "bumps_match": (record, lambda: record(adam=MNIST | {"small_scale": 0.4})),
    "momentum_agrees": (record, lambda: record(momentum=MNIST | {"large_scale": 0.4})),
    "f1_differs": (record, lambda: record(f1=F1 | {"large_scale": 0.3})),
    "jumps_of_the_batch": (record, lambda: record(momentum=MNIST | {"batch_with_fixed": 0.6})),
    "jumps_of_the_landscape": (record, lambda: record(f1=F1 | {"batch_with_fixed": 0.4})),
    "mostly_noise": (record, lambda: record(batch=2.0)),
    "hardly_noise_on_f1": (record, lambda: record(f1_batch=2.0)),
    "several_times": (record, lambda: record(batch=2.0)),
    "never_critical": (record, lambda: record(lowest=0.001)),
    "f1_stalls": (record, lambda: record(stalled=())),
    "both_fall": (record, lambda: record(adam=MNIST | {"loss_trend": 0.2})),
}
test_guards = scaffold.guard_tests(facts, GUARDS)
test_partial = scaffold.partial_tests(facts, record)


def exchanged() -> scaffold.History:
    """`record` in which MNIST and f1 have each other's results."""
    return record(F1, F1, MNIST, batch=1.05, f1_batch=4.0)


def test_no_sentence_on_the_two_tasks_survives_their_exchange():
    guards = facts(exchanged())["guards"]
    of_tasks = ("jumps_of_the_batch", "jumps_of_the_landscape", "mostly_noise", "hardly_noise_on_f1", "f1_differs")
    assert [name for name in of_tasks if guards[name]] == []


@pytest.mark.parametrize(
    ("large", "small", "verdict"),
    [
        (0.8, 0.8, claims.HOLDS),
        (-0.8, 0.8, claims.FAILS),
        (0.8, 0.15, claims.FAILS),
        (0.8, 0.3, claims.UNCLEAR),
    ],
)
def test_c5_needs_both_parts_and_adam_on_mnist_alone_decides(large, small, verdict):
    found = facts(record(adam=MNIST | {"large_scale": large, "small_scale": small}))
    assert found["claims"][0]["verdict"] == verdict
    assert facts(scaffold.without(record(), "mnist/adam"))["claims"][0]["verdict"] == claims.UNCLEAR


def test_the_noise_is_what_a_batch_adds_to_the_squared_norm():
    random = np.random.default_rng(0)
    gradients, batch = random.normal(0.05, 1, (2000, 30)), 20  # of single examples
    norms = [np.linalg.norm(gradients[random.permutation(2000)[:batch]].mean(axis=0)) for _ in range(2000)]
    full = np.linalg.norm(gradients.mean(axis=0))
    history = record()
    window = {"gradient_norm": [norms] * SEEDS, "fixed_gradient_norm": [[full] * len(norms)] * SEEDS}
    history["results"]["mnist/adam"]["window"] = window
    expected = gradients.var(axis=0).sum() / batch
    found = of_seeds(history, "mnist_adam")
    assert found["noise_share"] == pytest.approx(expected / (full**2 + expected), abs=0.02)
    assert found["norm_ratio"] == pytest.approx(np.sqrt(1 + expected / full**2), rel=0.03)


def test_dead_nets_are_no_evidence_and_stalled_ones_keep_their_numbers():
    history = record()
    history["results"]["f1/adam"]["dead"][0] = True
    history["results"]["f1/adam"]["statistics"]["batch_with_fixed"][0] = -1.0
    found = facts(history)
    assert found["guards"]["jumps_of_the_landscape"] is True
    assert found["numbers"]["f1_stalled_seeds"] == [2, 5]
