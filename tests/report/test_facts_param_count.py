"""Facts of parameters against generalization: guards, claim C9 by its second rule, and double descent."""

from typing import Any

from common import training

import numpy as np
import pytest
import scaffold

from hw1_3 import param_count as script
from hw1_3 import ten_nets
from report import claims
from report.facts import param_count as reported

WIDTHS = list(script.PARAMETERS)
HUMP = {2: 0.42, 4: 0.4, 8: 0.3, 16: 0.45, 32: 0.35, 64: 0.2}  # test errors of nets that learn wrong labels
LEARNT = {2: 0.2, 4: 0.6, 8: 0.9, 16: 0.98, 32: 1.0, 64: 1.0}
SHIFTS = np.linspace(-0.01, 0.01, 8)


def unit(width: int, seeds: int, **curves: Any) -> dict[str, Any]:
    """Results of nets of one width whose curves are these values, (seeds,) or (seeds, epochs), or level at 0.5."""
    shape = max((np.shape(curve) for curve in curves.values() if np.ndim(curve) == 2), default=(seeds, 6))
    level = {name: np.full(shape, 0.5) for name in (*ten_nets.CURVES, "wrong_learnt")}
    for name, curve in curves.items():
        level[name] = np.broadcast_to(curve if np.ndim(curve) == 2 else np.reshape(curve, (-1, 1)), shape)
    about = {"width": width, "parameters": script.parameter_count(width), "seeds": list(range(seeds))}
    return about | {"dead": [False] * seeds, "epochs": list(range(1, shape[1] + 1))} | level


def first_and_last(first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """(seeds, 6): a curve that has its last value from the second epoch on."""
    return np.stack([first, *[last] * 5], axis=1)


def history(
    errors: dict[int, Any] | None = None,
    worse: int = 0,
    wider: float = 0.0,
    seeds: int = 3,
    reverse: bool = False,
    turning: float = 1.5,
    falling: float = 0.0,
    best: float | None = None,
    learnt: dict[int, float] = LEARNT,
    beyond: float = 0.0001,
    harder: float = 0.0,
) -> dict[str, Any]:
    """Ten nets that improve up to 512 units and are then level; nets whose test loss and error have a hump.

    errors: of the nets with wrong labels, in place of a hump. worse: seeds in which training gets worse from 512 to
    1,024 units. wider: accuracy gained at 4,000. turning: test loss at the end over its lowest. falling: accuracy lost
    since then. best: error at the best epoch of nets with wrong labels.
    beyond: accuracy gained with each width above 512. harder: what training loss gains at 1,024 and keeps.
    """
    results = {}
    loss = np.full(seeds, 0.2)
    for place, width in enumerate(WIDTHS):
        loss = loss - np.where((width == 1024) & (np.arange(seeds) < worse), -0.01, 0.01) + harder * (width == 1024)
        accuracy = 0.97 + 0.002 * min(place, 5) + beyond * max(0, place - 5) + wider * (width == 4000)
        accuracy = accuracy + 0.002 * (np.arange(seeds) - (seeds - 1) / 2)
        test = np.stack([loss, *[turning * loss] * 5], axis=1)
        curves = {
            "train_loss": loss,
            "test_loss": test,
            "test_accuracy": np.stack([accuracy + falling, *[accuracy] * 5], axis=1),
        }
        results[f"width-{width:04d}/seed-0-to-{seeds - 1}"] = unit(
            WIDTHS[-1 - place] if reverse else width, seeds, **curves
        )
    for width, error in (errors or {width: error + SHIFTS for width, error in HUMP.items()}).items():
        error = np.broadcast_to(error, (8,))
        first = error if best is None else np.full(8, best)
        curves = {
            "test_accuracy": 1 - np.stack([first, *[error] * 5], axis=1),
            "test_loss": 2 * np.stack([first, *[error] * 5], axis=1),
        }
        curves |= {"train_accuracy": [learnt.get(width, 1.0)] * 8, "wrong_learnt": [learnt.get(width, 1.0)] * 8}
        results[f"noisy/width-{width:04d}/seed-0-to-7"] = unit(width, 8, **curves)
    data = {"name": "MNIST", "fingerprint": "", "source": "60,000 training and 10,000 test images"}
    return scaffold.made_up("hw1_3/param_count", results, data=data)


def disputed() -> dict[str, Any]:
    """A hump that half of the seeds lack."""
    one = {width: error + SHIFTS for width, error in HUMP.items()}
    one[32][:4] = 0.2
    return history(one)


def high_after() -> dict[str, Any]:
    return history({width: max(error, 0.31) + SHIFTS for width, error in HUMP.items()})


GUARDS = {
    "accuracy_rises": (history, lambda: history(reverse=True)),
    "no_gain_beyond": (history, lambda: history(beyond=0.001)),
    "larger_fit_worse": (lambda: history(harder=0.2), history),
    "nothing_crosses": (lambda: history(worse=2), lambda: history(worse=3)),
    "surer_not_worse": (history, lambda: history(turning=1.0)),
    "double_descent": (history, disputed),
    "every_seed": (history, disputed),
    "largest_is_best": (history, high_after),
    "error_only_falls": (disputed, history),
    "stopping_helps": (lambda: history(best=0.1), history),
}
test_guards = scaffold.guard_tests(reported.facts, GUARDS)
test_partial = scaffold.partial_tests(reported.facts, history)


def nets_of(kept: dict[str, Any]) -> tuple[dict, dict]:
    return ten_nets.by_width(kept), ten_nets.by_width(kept, noisy=True)


def test_accuracy_that_falls_with_the_loss_is_not_called_still() -> None:
    assert reported.facts(history(falling=0.01))["guards"]["surer_not_worse"] is False


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"worse": 3}, claims.HOLDS),
        ({"worse": 2}, claims.FAILS),  # a contrary seed in every pair
        ({"worse": 3, "wider": 0.01}, claims.FAILS),
        ({"worse": 3, "reverse": True}, claims.FAILS),
        ({"worse": 1, "seeds": 1}, claims.UNCLEAR),
        ({"seeds": 1}, claims.FAILS),  # one seed is enough to deny "in all seeds"
    ],
)
def test_the_second_rule_of_c9(changes: dict, verdict: str) -> None:
    (claim,) = reported.facts(history(**changes))["claims"]
    assert (claim["name"], claim["verdict"]) == ("C9", verdict)


def test_c9_is_open_where_a_pair_is_not_measured() -> None:
    whole = history()
    lacking = scaffold.without(whole, "width-0512/seed-0-to-2")
    assert reported.c9(nets_of(lacking)[0])[3]["verdict"] == claims.UNCLEAR
    assert reported.facts(lacking)["claims"][0]["verdict"] == claims.UNCLEAR


@pytest.mark.parametrize(
    ("losses", "correlation", "verdict"),
    [
        ((6, 5, 4, 3, 1, 2), 1 - 6 * 2 / 210, claims.HOLDS),  # 1 - 6 sum d^2 / n (n^2 - 1)
        ((6, 5, 4, 1, 3, 2), 1 - 6 * 6 / 210, claims.UNCLEAR),
        ((1, 6, 5, 4, 3, 2), 1 - 6 * 30 / 210, claims.FAILS),
    ],
)
def test_the_rule_of_the_rise(losses: tuple, correlation: float, verdict: str) -> None:
    nets, _ = nets_of(history())
    for width, loss in zip(WIDTHS, losses, strict=False):
        nets[width]["train_loss"][:] = loss
    part = reported.c9(nets)[0]
    assert (part["value"], part["verdict"]) == (pytest.approx(correlation), verdict)


def test_the_hump_is_measured_at_widths_that_training_chooses() -> None:
    _, nets = nets_of(history())
    errors = {width: 1 - net["test_accuracy"][:, -1] for width, net in nets.items()}
    margins = reported.hump_margins(nets, errors, ten_nets.fitting_width(nets))  # 32 units, so 8, 32, 64
    assert margins[0] == pytest.approx(0.05) and margins[1] == pytest.approx(0.15)
    nets[32]["dead"][0] = 1
    assert reported.hump_margins(nets, errors, 32).shape == (2, 7)
    assert reported.hump(reported.hump_margins(nets, errors, None)) is None
    errors[8][:] = np.nan
    assert reported.hump(reported.hump_margins(nets, errors, 32)) is None


@pytest.mark.parametrize(
    ("learnt", "there"),
    [({16: 1.0}, True), ({32: 0.9}, None), ({4: 1.0}, None), ({8: 1.0, 16: 1.0}, False)],
)
def test_double_descent_peaks_where_the_labels_are_just_fitted(learnt: dict, there: bool | None) -> None:
    """The peak is at 16 units. None: no net is a quarter of the one that fits, or none is wider."""
    assert reported.facts(history(learnt=LEARNT | learnt))["guards"]["double_descent"] is there


def test_the_reference_has_the_ten_nets() -> None:
    assert list(ten_nets.REFERENCE) == WIDTHS
    assert (ten_nets.CURVES, ten_nets.LAST) == (training.CURVES, script.LAST)
