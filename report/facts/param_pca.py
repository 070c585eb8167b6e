"""Facts of hw1_2/param_pca: ways and ends of trainings from different starts and from one, and claim C4.

The control are trainings from one start whose batches come in other orders. A run is live if its output is no
constant, and stalled if its loss at the end is many times the median of the runs from different starts: it stands on a
plateau. Pairs are pairs of live runs of one kind.
"""

import itertools
import math
from typing import Any

from common import reading

import numpy as np

from report import claims
from report.facts import claim, guard, known, median, number, plain, ratio

GROUPS = {"runs": "different starts", "control": "one start"}
OF_PAIRS = ("start_distances", "distances", "matched_distances", "cosines")
OF_RUNS = ("seeds", "dead", "end_loss")
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
STALLED = 50  # times the median loss at the end
SOLVED = 0.01  # mean squared error, of a target whose variance is 0.29
SWINGS = 0.5  # of x in [-1, 1]: beyond it f1 swings fastest
Group = dict[str, np.ndarray]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over pairs unless named otherwise), guards, the table of distances and C4."""
    runs, control = groups = [group_of(history, name) for name in GROUPS]
    measured = len(runs["dead"]) > 0
    parameters = int(number(history, "whole", "parameters")) if measured else None
    plane = sum(reading.field(history, "whole", "explained", "runs")[:2]) if measured else None
    equidistant = 2 / (len(runs["seeds"]) - 1) if len(runs["seeds"]) > 2 else None
    band = NORMAL_95 / math.sqrt(parameters or math.nan)
    matched = [median(group["matched_distances"]) for group in groups]
    usual = median(runs["end_loss"])
    stalled, control_stalled = (group["end_loss"] > STALLED * (usual or math.inf) for group in groups)
    stuck = np.array([one + other for one, other in itertools.combinations(stalled.astype(int), 2)], int)
    apart, widest = runs["apart"], max(control["apart"], default=None)
    same, across, both = (apart[stuck == count] if len(apart) and widest is not None else [] for count in (0, 1, 2))
    share = None if widest is None or not len(apart) else float(np.mean(apart > widest))
    bound = claims.C4_TIMES * matched[1] if matched[1] is not None else None
    reach = max(runs["start_distances"], default=0) + sum(sorted(runs["lengths"])[-2:])
    numbers = {
        "live": {name: len(group["dead"]) for name, group in zip(GROUPS, groups, strict=True)},
        "pairs": len(runs["cosines"]),
        "parameters": parameters,
        "random_like": int(np.sum(np.abs(runs["cosines"]) <= band)),
        "control_cosine": median(control["cosines"]),
        "distance": median(runs["distances"]),
        "matched": matched,
        "plane_share": plane,
        "equidistant_share": equidistant,
        "functions_beyond": share,
        "stalled_apart": median(both),
        "stalled": runs["seeds"][stalled].astype(int),
        "first_rule": {"bound": bound, "reach": reach},
    }
    late, shortest = runs["late_error"], stuck[np.argmin(runs["matched_distances"])] if len(stuck) else None
    guards = {
        "ways_orthogonal": guard(runs["cosines"], lambda cosine: abs(cosine) <= 1.5 * band),
        "control_shares_a_way": guard(control["cosines"], lambda cosine: cosine > band),
        "plane_shows_starts": known(
            lambda plane, equidistant, start, way: plane < 1.5 * equidistant and start > way,
            *(plane, equidistant, median(runs["start_distances"]), median(runs["lengths"])),
        ),
        "other_starts_end_farther": known(lambda other, one: 1 < other / one < 1.5, *matched),
        "matching_shortens_other_starts": shortened(runs, 0.6, 0.9),
        "matching_leaves_one_start": shortened(control, 0.95, 1.0),
        "first_rule_out_of_reach": known(lambda least: reach < least, bound),
        "same_function": guard(same, lambda difference: difference <= widest and usual < SOLVED),
        "plateau_differs": guard(across, lambda difference: difference > widest),
        "stalled_pair_differs": guard(both, lambda difference: difference > widest),
        "some_stall": guard([stalled] if len(stalled) else [], np.any),
        "stall_at_the_swings": guard(late[stalled] if len(late) else [], lambda error: error > 0.9),
        "control_never_stalls": guard(control_stalled, lambda stands: not stands),
        "stalled_end_nearest": known(lambda count: count == 2, shortest),
    }
    verdict = claims.UNCLEAR if share is None else claims.by_share(share, [len(group["dead"]) for group in groups])
    statement = "Runs from different initial weights go off in different directions and end in different places"
    judged = claim("C4", statement, [{"share": share, "verdict": verdict}])
    named = zip(GROUPS.values(), groups, strict=True)
    rows = [{"words": words, **group} for words, group in named if len(group["dead"])]
    return plain({"numbers": numbers, "guards": guards, "tables": {"groups": rows}, "claims": [judged]})


def group_of(history: dict[str, Any], name: str) -> Group:
    """What is known of a group: of its live runs, and of pairs of them.

    `apart` is by how much the functions of two runs differ at the end, the root mean square difference of their
    predictions over the target's standard deviation, and `late_error` the share of a run's squared error beyond SWINGS;
    both are empty where no predictions were kept. All arrays are empty where nothing is measured.
    """
    if "whole" not in history["results"]:
        return {of: np.zeros(0) for of in (*OF_PAIRS, *OF_RUNS, "lengths", "apart", "late_error")}
    group = {of: reading.field(history, "whole", name, of) for of in (*OF_PAIRS, *OF_RUNS, "lengths")}
    live = ~group["dead"].astype(bool)
    group |= {of: group[of][live] for of in OF_RUNS} | {"apart": np.zeros(0), "late_error": np.zeros(0)}
    if "predictions" in history["results"]["whole"][name]:
        curves = reading.field(history, "whole", name, "predictions")[live]
        points = np.linspace(-1, 1, curves.shape[1])
        target = np.sin(np.exp(np.pi * points))
        squares = [np.mean((one - other) ** 2) for one, other in itertools.combinations(curves, 2)]
        group["apart"] = np.sqrt(squares) / target.std()
        errors = (curves - target) ** 2
        group["late_error"] = errors[:, points > SWINGS].sum(axis=1) / np.maximum(errors.sum(axis=1), 1e-300)
    return group


def shortened(group: Group, least: float, most: float) -> bool | None:
    """Whether matching units leaves a share between these of the median distance of two ends."""
    left = ratio(median(group["matched_distances"]), median(group["distances"]))
    return known(lambda share: least <= share <= most, left)
