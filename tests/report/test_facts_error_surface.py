"""Facts of the error surface on made-up lines: each guard true and false, C7, partial and diverged histories."""

import functools
import math

from common import figures

import numpy as np
import pytest
import scaffold

from hw1_2 import plot_error_surface, surfaces
from report import claims
from report.facts import error_surface, plain

ALPHA = np.linspace(0, 1, 301)
AXIS = np.linspace(-1, 1, 3)
UNITS = ("sgd/seed-0", "sgd/seed-1", "adam/seed-0", "adam/seed-1")


def line(turns: float = 0.0, late: float = 1.0, bump: float = 0.0) -> dict:
    """Losses that fall to 0.1 in the shape of a bowl. turns: slope of the test loss behind two thirds."""
    training = 0.1 + 2.3 * (1 - ALPHA**late) ** 2 + bump * np.exp(-(((ALPHA - 0.6) / 0.02) ** 2))
    training += 0.02 * np.maximum(ALPHA - 0.9, 0) * (turns > 0)
    turned = 0.1 + 2.3 * np.minimum(ALPHA - 2 / 3, 0) ** 2 + turns * np.maximum(ALPHA - 2 / 3, 0)
    losses = {"train_loss": training, "test_loss": turned if turns else training}
    shape = {name: surfaces.line_shape(ALPHA, loss) for name, loss in losses.items()}
    return {
        "alpha": ALPHA,
        **losses,
        "test_accuracy": np.minimum(0.5 + ALPHA, 0.98),
        "train_accuracy": ALPHA,
        "shape": shape,
    }


def run(adam: bool) -> dict:
    plane = {"x": AXIS, "y": AXIS, "loss": 0.05 + AXIS**2 + (AXIS[:, None] - 1) ** 2 / 100}
    return {
        "parameters": 7,
        "line": line(turns=0.3 if adam else 0),
        "unrelated_line": line(late=4),
        "random_plane": plane | {"share_of_displacement": 1e-6},
        "path_plane": plane | {"share_of_displacement": 0.9},
        "path": [[0.8, 0.3], [0.4, -0.4], [0, 0]],
        "explained": [0.8, 0.1],
        "moved": 18.0 if adam else 2.0,
        "start_norm": 10.0,
        "end_norm": 20.0 if adam else 10.3,
    }


def made_up() -> dict:
    """A history of two seeds in which every guard holds."""
    return scaffold.made_up("hw1_2/error_surface", {unit: run(unit.startswith("adam")) for unit in UNITS})


FALSE = {  # what makes each guard false
    "smooth": {"sgd/seed-0": {"line": line(bump=0.5)}},
    "adam_smooth": {"adam/seed-1": {"line": line(bump=0.5)}},
    "sgd_falls_to_the_end": None,
    "adam_end_is_the_minimum": {
        "adam/seed-0": {"line": line(late=1) | {"shape": {"train_loss": {"end_to_minimum": 1.2}}}}
    },
    "adam_test_turns": None,
    "accuracy_stands_still": {"adam/seed-0": {"line": line() | {"test_accuracy": ALPHA}}},
    "adam_goes_farther": None,
    "adam_grows": None,
    "other_starts_smooth": {"sgd/seed-0": {"unrelated_line": line(bump=0.5)}},
    "own_start_is_lower": {"sgd/seed-0": {"unrelated_line": line()}},
    "random_plane_misses_the_path": {"adam/seed-1": {"random_plane": {"share_of_displacement": 0.5}}},
    "path_plane_holds_most": {"adam/seed-1": {"path_plane": {"share_of_displacement": 0.5}}},
    "lower_beside_the_path": {"sgd/seed-0": {"path_plane": {"loss": np.full((3, 3), 9.0)}}},
}


def with_change(change: dict | None) -> dict:
    """The history with other values of some results, merged at any depth; None: SGD and Adam exchanged."""
    history = made_up()
    if change is None:
        return scaffold.swapped(history, "sgd", "adam")
    return history | {"results": merged(history["results"], change)}


def merged(old: dict, new: dict) -> dict:
    deeper = {name: merged(old[name], value) for name, value in new.items() if isinstance(value, dict)}
    return old | new | deeper


test_guards = scaffold.guard_tests(
    error_surface.facts, {name: (made_up, functools.partial(with_change, change)) for name, change in FALSE.items()}
)
test_partial = scaffold.partial_tests(error_surface.facts, made_up)


def test_numbers_are_medians_over_seeds():
    numbers = error_surface.facts(made_up())["numbers"]
    assert numbers["adam_test_drop"] == pytest.approx(0.5, abs=0.01) and numbers["adam_moved"] == 1.8
    assert numbers["sgd_half_own"] == pytest.approx(0.1 + 2.3 / 4)


@pytest.mark.parametrize(
    ("bumps", "verdict"),
    [((0, 0), claims.HOLDS), ((0.5, 0.5), claims.FAILS), ((0, 0.5), claims.UNCLEAR), ((0.005, 0), claims.HOLDS)],
)
def test_c7_is_judged_seed_by_seed_on_sgd(bumps, verdict):
    history = made_up()
    for seed, bump in enumerate(bumps):
        history["results"][f"sgd/seed-{seed}"]["line"] = line(bump=bump)
    assert error_surface.facts(history)["claims"][0]["verdict"] == verdict


def test_a_loss_that_is_not_finite_decides_nothing():
    history = made_up()
    history["results"]["sgd/seed-0"]["line"]["shape"]["test_loss"] = surfaces.line_shape(ALPHA, np.full(301, math.nan))
    found = plain(error_surface.facts(history))
    assert (found["claims"][0]["verdict"], found["guards"]["smooth"]) == (claims.UNCLEAR, False)


# ------------------------------------------------------------------------------------------------- figures

PARTIAL = functools.partial(scaffold.without, made_up())
CASES = {
    "whole": made_up(),
    "a bump": with_change(FALSE["smooth"]),
    "one optimizer": PARTIAL("adam/seed-0", "adam/seed-1"),
    "diverged": with_change(
        {"adam/seed-0": {"line": dict.fromkeys(("train_loss", "test_loss"), np.full(301, np.nan))}}
    ),
    "no plane": with_change({unit: {"path_plane": {"loss": np.full((3, 3), np.inf)}} for unit in UNITS}),
}


@pytest.mark.parametrize("case", CASES)
def test_figures_hold_data_and_no_words_overlap(case):
    from test_figures import assert_apart, canvas

    figures.use_style()
    for title, draw in plot_error_surface.FIGURES.items():
        figure = draw(CASES[case])
        assert np.asarray(canvas(figure).buffer_rgba())[..., :3].std() > 5
        assert_apart(figure, title)
        named = [text.get_text() for text in figure.legends[0].get_texts()]
        assert ("interior maximum" in named) == (case == "a bump" and title == "error_surface")
