"""Facts of hw1_2/param_pca: ways and ends of trainings from different starts and from one, and claim C4.

The control are trainings from one start whose batches come in other orders. A run is live if its output is no
constant, and stalled if its loss at the end is many times the median of all runs: it stands on a plateau.
"""

import itertools
import math
from typing import Any

import numpy as np

from report import claims
from report.facts import guard, median, plain

GROUPS = {"runs": "different starts", "control": "one start"}
OF_PAIRS = ("start_distances", "distances", "matched_distances", "cosines")
NORMAL_95 = 1.96  # standard deviations either side of a normal variable's mean that hold 95 % of it
STALLED = 50  # times the median loss at the end
TIMES = 3  # the first rule: ends farther apart than so many times the control's median were different places


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, the table of distances and C4; of live runs, and of pairs of them."""
    whole = history["results"].get("whole", {})
    layer = next((results for unit, results in history["results"].items() if unit != "whole"), {})
    runs, control = (whole.get(name, {}) for name in GROUPS)
    pairs = {(of, name): np.array(whole.get(name, {}).get(of, []), float) for name in GROUPS for of in OF_PAIRS}
    cosines, distances = pairs["cosines", "runs"], pairs["matched_distances", "runs"]
    band = NORMAL_95 / math.sqrt(whole["parameters"]) if whole else math.nan
    middle = {key: median(values) for key, values in pairs.items()}
    live = {name: live_runs(whole.get(name, {})) for name in GROUPS}
    stalled = {name: stalled_runs(whole.get(name, {}), runs) for name in GROUPS}
    stuck = np.array([len({*pair} & {*stalled["runs"]}) for pair in itertools.combinations(live["runs"], 2)], int)
    apart, of_control = functions_apart(runs), functions_apart(control)
    widest = float(of_control.max()) if len(of_control) else math.nan
    solved, across = (apart[stuck == kind] if len(apart) else apart for kind in (0, 1))
    judged = judge(apart, widest, [len(each) for each in live.values()])
    nearest = stuck[np.argmin(distances)] if len(distances) else None
    bound, reach = TIMES * (middle["matched_distances", "control"] or math.nan), farthest(runs)
    numbers = {
        "live": {name: len(each) for name, each in live.items()} if whole else None,
        "pairs": len(distances),
        "parameters": whole.get("parameters"),
        "layer_parameters": layer.get("parameters"),
        "band": band,
        "random_like": int(np.sum(np.abs(cosines) <= band)) if len(cosines) else None,
        **{f"{of}_{name}": value for (of, name), value in middle.items()},
        "plane_share": first_two(whole),
        "layer_share": first_two(layer),
        "equidistant_share": 2 / (len(runs["dead"]) - 1) if runs else None,
        "solved_apart": float(solved.max()) if len(solved) else None,
        "across_apart": float(across.min()) if len(across) else None,
        "control_apart": widest,
        "functions_beyond": judged["share"],
        "stalled": [runs["seeds"][run] for run in stalled["runs"]] if runs else None,
        "first_rule_share": float(np.mean(distances > bound)) if len(distances) else None,
        "first_rule_bound": bound,
        "reach": reach,
    }
    farther = (middle["matched_distances", "runs"], middle["matched_distances", "control"])
    guards = {
        "ways_orthogonal": guard([numbers["random_like"]], lambda count: count >= 0.9 * len(cosines)),
        "control_shares_a_way": guard(pairs["cosines", "control"], lambda cosine: cosine > band),
        "plane_shows_starts": guard([numbers["plane_share"]], lambda both: both < 1.5 * numbers["equidistant_share"]),
        "other_starts_end_farther": guard([None if None in farther else farther], lambda two: two[0] > two[1]),
        "matching_shortens_other_starts": shortened(middle, "runs", 0.6, 0.9),
        "matching_leaves_one_start": shortened(middle, "control", 0.95, 1.0),
        "first_rule_out_of_reach": guard([reach if math.isfinite(bound) else None], lambda most: most < bound),
        "same_function": guard(solved, lambda difference: difference <= widest) if math.isfinite(widest) else None,
        "plateau_differs": guard(across, lambda difference: difference > widest) if math.isfinite(widest) else None,
        "some_stall": bool(stalled["runs"]) if runs else None,
        "control_never_stalls": not stalled["control"] if control else None,
        "stalled_end_nearest": None if nearest is None else bool(nearest == 2),
    }
    rows = [row(whole[name], words) for name, words in GROUPS.items()] if whole else []
    first = f"first rule, of weights: {100 * numbers['first_rule_share']:.0f} %" if len(distances) else ""
    claim = {
        "name": "C4",
        "statement": "Runs from different initial weights go off in different directions and end in different places",
        "verdict": judged["verdict"],
        "parts": [{"words": "functions at the ends differ by more than any two of the control", **judged}],
        "evidence": [f"functions farther apart than the control's: {100 * judged['share']:.0f} % of {len(apart)} pairs"]
        if judged["share"] is not None
        else [],
    }
    claim["evidence"] += [first] if first else []
    return plain({"numbers": numbers, "guards": guards, "tables": {"groups": rows}, "claims": [claim]})


def live_runs(group: dict[str, Any]) -> list[int]:
    """Indices of the runs whose output is no constant; pairs are pairs of these."""
    return [run for run, dead in enumerate(group.get("dead", [])) if not dead]


def stalled_runs(group: dict[str, Any], runs: dict[str, Any]) -> list[int]:
    """Indices of a group's live runs whose loss at the end is far above the median of the runs' live ones."""
    usual = median([runs["end_loss"][run] for run in live_runs(runs)]) if runs else None
    return [run for run in live_runs(group) if usual is not None and group["end_loss"][run] > STALLED * usual]


def functions_apart(group: dict[str, Any]) -> np.ndarray:
    """(pairs,) root mean square difference of what two live runs predict at the end, over the target's standard
    deviation; empty where no predictions were kept."""
    if "predictions" not in group:
        return np.zeros(0)
    curves = np.array(group["predictions"], float)[live_runs(group)]
    target = np.sin(np.exp(np.pi * np.linspace(-1, 1, curves.shape[1])))
    pairs = itertools.combinations(curves, 2)
    return np.array([np.sqrt(np.mean((one - other) ** 2)) / target.std() for one, other in pairs])


def judge(apart: np.ndarray, widest: float, live: list[int]) -> dict[str, Any]:
    """The second rule: the share of pairs whose functions differ by more than any two of the control's."""
    if not len(apart) or not math.isfinite(widest) or not np.isfinite(apart).all():
        return {"share": None, "verdict": claims.UNCLEAR}
    share = float(np.mean(apart > widest))
    return {"share": share, "verdict": claims.by_share(share, live)}


def farthest(runs: dict[str, Any]) -> float:
    """How far apart two ends could be at most: the farthest starts and the two longest ways, end to end."""
    return max(runs.get("start_distances", []), default=math.nan) + sum(sorted(runs.get("lengths", []))[-2:])


def first_two(results: dict[str, Any]) -> float | None:
    """The share of the variance that the first two components hold."""
    return sum(results["explained"]["runs"][:2]) if results else None


def shortened(middle: dict[tuple[str, str], float | None], name: str, least: float, most: float) -> bool | None:
    """Whether matching units leaves between such shares of the median distance of two ends."""
    matched, plain_distance = middle["matched_distances", name], middle["distances", name]
    return None if matched is None or not plain_distance else least <= matched / plain_distance <= most


def row(group: dict[str, Any], words: str) -> dict[str, Any]:
    """A row of the table: values of live runs, and of pairs of them."""
    live = live_runs(group)
    losses = [group["end_loss"][run] for run in live]
    about = {of: group[of] for of in (*OF_PAIRS, "lengths")}
    return {"words": words, "live": len(live), "runs": len(group["dead"]), "end_loss": losses, **about}
