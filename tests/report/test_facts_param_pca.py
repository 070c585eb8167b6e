"""Facts of param_pca on made-up runs: guards, C4 by its second rule, dead runs, histories without predictions."""

import itertools

import numpy as np
import pytest
import scaffold

from report import claims
from report.facts import param_pca
from report.facts.param_pca import facts

GRID = np.linspace(-1, 1, 51)
TARGET = np.sin(np.exp(np.pi * GRID))
STALLS = (2, 5)  # runs from different starts


def group(matched, distances, cosines, off, losses, dead=()):
    """A group whose runs predict the target but for `off`, one number a run."""
    live = [run for run in range(len(losses)) if run not in dead]
    pairs = len(live) * (len(live) - 1) // 2
    return {
        "seeds": list(range(len(losses))),
        "dead": [run in dead for run in range(len(losses))],
        "end_loss": losses,
        "start_distances": np.full(pairs, 15.0),
        "distances": np.full(pairs, distances),
        "matched_distances": np.full(pairs, matched) if np.ndim(matched) == 0 else matched,
        "cosines": np.full(pairs, cosines),
        "lengths": np.full(len(live), 5.0),
        "predictions": TARGET + np.array(off)[:, None] * np.where(GRID > 0.5, 1, 0),
    }


def runs(
    off=0.1,
    stalled=STALLS,
    cosine=0.01,
    matched=17.0,
    distances=21.0,
    first=0.17,
    control=None,
    dead=0,
    nearest=True,
    early=0.0,
    alike=False,
) -> scaffold.History:
    """Eight runs, those in `stalled` on a plateau, whose functions are off by much more than those that are not, and as
    many of the control. off: by how much a run's function that solves the task may be; alike: the stalled ones
    predict the same; dead: further runs."""
    losses = [0.1 if run in stalled else 0.001 for run in range(8)] + [0.289] * dead
    wrong = [3.0 + run if run in stalled else off * (run % 2) for run in range(8)] + [9.0] * dead
    apart = np.full(28, matched)
    about_runs = group(apart, distances, cosine, wrong, losses, dead=range(8, 8 + dead))
    about_runs["predictions"][list(stalled)] += early * (GRID < 0)
    if alike:
        about_runs["predictions"][list(stalled)] = about_runs["predictions"][stalled[0]]
    if nearest:
        apart[list(itertools.combinations(range(8), 2)).index(STALLS)] = 13.0
    about = {"matched": 14.0, "distances": 14.1, "cosines": 0.15, "off": [0.0, 0.2] * 4, "losses": [0.001] * 8}
    whole = {
        "parameters": 2136,
        "explained": {"runs": [first, 0.16, 0.15]},
        "runs": about_runs,
        "control": group(**about | (control or {})),
    }
    layer = {"parameters": 10, "explained": {"runs": [0.5, 0.2]}}
    return scaffold.made_up("hw1_2/param_pca", {"whole": whole, "layer-1": layer})


GUARDS = {
    "ways_orthogonal": (runs, lambda: runs(cosine=0.2)),
    "control_shares_a_way": (runs, lambda: runs(control={"cosines": 0.01})),
    "plane_shows_starts": (runs, lambda: runs(first=0.6)),
    "other_starts_end_farther": (runs, lambda: runs(control={"matched": 18.0})),
    "matching_shortens_other_starts": (runs, lambda: runs(distances=17.0)),
    "matching_leaves_one_start": (runs, lambda: runs(control={"distances": 20.0})),
    "first_rule_out_of_reach": (runs, lambda: runs(control={"matched": 5.0})),
    "same_function": (runs, lambda: runs(off=1.0)),
    "plateau_differs": (runs, lambda: runs(control={"off": [0.0, 50.0] * 4})),
    "stalled_pair_differs": (runs, lambda: runs(alike=True)),
    "stall_at_the_swings": (runs, lambda: runs(early=20.0)),
    "some_stall": (runs, lambda: runs(stalled=())),
    "control_never_stalls": (runs, lambda: runs(control={"losses": [0.001] * 7 + [0.1]})),
    "stalled_end_nearest": (runs, lambda: runs(nearest=False)),
}
test_guards = scaffold.guard_tests(facts, GUARDS)
test_partial = scaffold.partial_tests(facts, runs)


@pytest.mark.parametrize(
    ("history", "share", "verdict"),
    [
        (runs(), 13 / 28, claims.FAILS),
        (runs(off=1.0), 21 / 28, claims.UNCLEAR),
        (runs(stalled=range(8)), 1.0, claims.HOLDS),
        (runs(control={"off": [0.0] * 8}), 1 - 12 / 28 / 2, claims.UNCLEAR),
    ],
)
def test_c4_counts_pairs_whose_functions_differ_more_than_those_of_one_start(history, share, verdict):
    found = facts(history)
    assert found["numbers"]["functions_beyond"] == pytest.approx(share, abs=0.04)
    assert found["claims"][0]["verdict"] == verdict


def test_differences_are_those_of_the_curves():
    (difference,) = param_pca.group_of(two_runs(), "runs")["apart"]
    assert difference == pytest.approx(np.sqrt(np.mean((GRID > 0.5) * 4.0)) / TARGET.std())


def two_runs() -> scaffold.History:
    history = runs()
    history["results"]["whole"]["runs"] = group(17.0, 21.0, 0.0, [0.0, 2.0], [0.001, 0.1])
    return scaffold.made_up("hw1_2/param_pca", history["results"])


def test_dead_runs_are_left_out():
    alive, some_dead = facts(runs()), facts(runs(dead=2))
    assert some_dead["numbers"]["live"] == {"runs": 8, "control": 8}
    assert some_dead["numbers"]["functions_beyond"] == alive["numbers"]["functions_beyond"]
    assert some_dead["numbers"]["stalled"] == list(STALLS)


def test_without_predictions_c4_is_unclear():
    history = runs()
    for name in param_pca.GROUPS:
        del history["results"]["whole"][name]["predictions"]
    found = facts(history)
    assert found["claims"][0]["verdict"] == claims.UNCLEAR
    assert found["guards"]["same_function"] is None and found["guards"]["ways_orthogonal"] is True
