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
from report.facts import guard, known, median, number, plain, ratio

GROUPS = {"runs": "different starts", "control": "one start"}
OF_PAIRS = ("start_distances", "distances", "matched_distances", "cosines")
OF_RUNS = ("seeds", "dead", "end_loss")
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
STALLED = 50  # times the median loss at the end
SOLVED = 0.01  # mean squared error, of a target whose variance is 0.29
SWINGS = 0.5  # of x in [-1, 1]: beyond it f1 swings fastest
Group = dict[str, np.ndarray]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, the table of distances and C4."""
    groups = {name: group_of(history, name) for name in GROUPS}
    runs, control = groups.values()
    parameters = number(history, "whole", "parameters") if len(runs["dead"]) else None
    band = NORMAL_95 / math.sqrt(parameters) if parameters else math.nan
    middle = {name: {of: median(group[of]) for of in OF_PAIRS} for name, group in groups.items()}
    matched = [middle[name]["matched_distances"] for name in GROUPS]
    usual = median(runs["end_loss"])
    stalled, control_stalled = (group["end_loss"] > STALLED * (usual or math.inf) for group in (runs, control))
    stuck = np.array([one + other for one, other in itertools.combinations(stalled.astype(int), 2)], int)
    apart, widest = runs["apart"], max(control["apart"], default=None)
    share = None if widest is None or not len(apart) else float(np.mean(apart > widest))
    verdict = claims.UNCLEAR if share is None else claims.by_share(share, [len(runs["dead"]), len(control["dead"])])
    bound = claims.C4_TIMES * matched[1] if matched[1] is not None else None
    reach = max(runs["start_distances"], default=0) + sum(sorted(runs["lengths"])[-2:])
    explained = reading.field(history, "whole", "explained", "runs") if len(runs["dead"]) else []
    first_share = None if bound is None else float(np.mean(runs["matched_distances"] > bound))
    numbers = {
        "live": {name: len(group["dead"]) for name, group in groups.items()},
        "pairs": len(runs["cosines"]),
        "parameters": parameters and int(parameters),
        "random_like": int(np.sum(np.abs(runs["cosines"]) <= band)),
        **middle,
        "plane_share": sum(explained[:2]) if len(explained) else None,
        "equidistant_share": 2 / (len(runs["seeds"]) - 1) if len(runs["seeds"]) > 2 else None,
        "functions_beyond": share,
        "apart": {"solved": median(apart[stuck == 0]), "across": median(apart[stuck == 1]), "control": widest}
        | {"stalled": median(apart[stuck == 2])}
        if len(apart)
        else dict.fromkeys(("solved", "across", "control", "stalled")),
        "stalled": runs["seeds"][stalled].astype(int),
        "first_rule": {"share": first_share, "bound": bound, "reach": reach},
    }
    same, across, both = (apart[stuck == kind] if len(apart) and widest is not None else [] for kind in (0, 1, 2))
    guards = {
        "ways_orthogonal": guard(runs["cosines"], lambda cosine: abs(cosine) <= 1.5 * band),
        "control_shares_a_way": guard(control["cosines"], lambda cosine: cosine > band),
        "plane_shows_starts": known(
            lambda plane, equidistant, start, way: plane < 1.5 * equidistant and start > way,
            *(numbers["plane_share"], numbers["equidistant_share"]),
            *(middle["runs"]["start_distances"], median(runs["lengths"])),
        ),
        "other_starts_end_farther": guard(
            [None if None in matched else matched], lambda two: 1 < two[0] / two[1] < 1.5
        ),
        "matching_shortens_other_starts": shortened(middle["runs"], 0.6, 0.9),
        "matching_leaves_one_start": shortened(middle["control"], 0.95, 1.0),
        "first_rule_out_of_reach": guard([bound], lambda least: reach < least),
        "same_function": guard(same, lambda difference: difference <= widest and usual < SOLVED),
        "plateau_differs": guard(across, lambda difference: difference > widest),
        "stalled_pair_differs": guard(both, lambda difference: difference > widest),
        "some_stall": guard([stalled] if len(stalled) else [], np.any),
        "stall_at_the_swings": guard(
            runs["late_error"][stalled] if len(runs["late_error"]) else [], lambda late: late > 0.9
        ),
        "control_never_stalls": guard(control_stalled, lambda stands: not stands),
        "stalled_end_nearest": guard(
            [stuck[np.argmin(runs["matched_distances"])]] if len(stuck) else [], lambda count: count == 2
        ),
    }
    evidence = (
        []
        if share is None
        else [f"functions farther apart than the control's: {100 * share:.0f} % of {len(apart)} pairs"]
    )
    evidence += [] if first_share is None else [f"by the first rule, of weights: {100 * first_share:.0f} %"]
    claim = {
        "name": "C4",
        "statement": "Runs from different initial weights go off in different directions and end in different places",
        "verdict": verdict,
        "parts": [
            {
                "words": "functions at the ends differ by more than any two of the control",
                "share": share,
                "verdict": verdict,
            }
        ],
        "evidence": evidence,
    }
    rows = [{"words": words, **groups[name]} for name, words in GROUPS.items() if len(groups[name]["dead"])]
    return plain({"numbers": numbers, "guards": guards, "tables": {"groups": rows}, "claims": [claim]})


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


def shortened(middle: dict[str, float | None], least: float, most: float) -> bool | None:
    """Whether matching units leaves a share between these of the median distance of two ends."""
    return guard([ratio(middle["matched_distances"], middle["distances"])], lambda left: least <= left <= most)
