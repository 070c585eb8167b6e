"""Facts of hw1_3/sharpness (bonus): measures of a net against its generalization gap, and the claim about them.

The gap is test loss less training loss. Kendall's tau of each measure with it is over all nets, over nets of one batch
size, and over the medians of the batch sizes; `hw1_3/measures.py` tests them and corrects after Holm. Nets at equal
training loss decide. No two nets start alike, so batch sizes are compared as independent samples, by Welch's test.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3 import measures
from report import claims
from report.facts import claim, known, median, plain

STOPS = {"loss": "equal_loss", "epochs": "equal_epochs"}
KINDS = ("all", "fixed", "between")
CURVATURE = ("short_wide", "wide", "short_narrow", "narrow", "top", "trace_exact")  # what flatness means
COMPARED = ("train_loss", "test_error", "top")  # of the largest and the smallest batch size
TWINS = ("gap", "top")  # of rescaled nets
SAME = 1e-6  # relative: more than the round-off of a mean over images


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over nets; differences are of means, with intervals), guards, tables and the bonus claim."""
    nets = {stop: measures.nets_of(history, name) for stop, name in STOPS.items()}
    taus = {stop: measures.correlations(found) if len(found.get("gap", ())) > 1 else {} for stop, found in nets.items()}
    sizes = sorted({int(size) for size in nets["epochs"].get("batch_size", ())})
    numbers = {name: history["settings"].get(name) for name in ("stop_loss", "seeds")}
    numbers |= {"smallest": min(sizes, default=None), "largest": max(sizes, default=None), "sizes": len(sizes)}
    numbers |= {"nets": len(nets["loss"].get("gap", ())), "measures": len(measures.MEASURES)}
    for name in COMPARED:
        large, small = (of_size(nets["loss"], name, numbers[place]) for place in ("largest", "smallest"))
        numbers |= {f"loss_{name}_large": median(large), f"loss_{name}_small": median(small)}
        numbers[f"loss_{name}_change"], numbers[f"loss_{name}_interval"] = difference(large, small)
    for stop, kind in itertools.product(STOPS, KINDS):
        values = [taus[stop][name][kind]["tau"] for name in measures.MEASURES] if taus[stop] else []
        numbers[f"{stop}_{kind}_highest"] = max(values, default=None)
        numbers[f"{stop}_{kind}_rise"] = len(sure(taus[stop], kind, 1)) if taus[stop] else None
    numbers["epochs_loss_tau"] = taus["epochs"].get("train_loss", {}).get("all", {}).get("tau")
    factors = twin_factors(history)
    numbers |= {f"twin_{name}": median(factors.get(name, [])) for name in TWINS}
    numbers["gap_share"] = share_between(nets["loss"])
    claim = bonus(taus["loss"], numbers["nets"])
    tables = {"measures": [row(name, taus) for name in measures.MEASURES] if taus["loss"] else []}
    return plain({"numbers": numbers, "guards": guards_of(numbers, taus, nets), "tables": tables, "claims": [claim]})


def guards_of(numbers: dict, taus: dict, nets: dict) -> dict[str, bool | None]:
    """What the section's sentences rest on."""
    n, count = numbers.get, len(measures.MEASURES)
    there = taus["loss"] if numbers["nets"] >= claims.ENOUGH else None
    between = sure(there, "between", 1) if there else None
    rising, falling = (sure(there, "fixed", sign) for sign in (1, -1)) if there else (None, None)
    within = [there[name]["fixed"]["tau"] for name in measures.MEASURES] if there else None
    at_epochs = {*sure(taus["epochs"], "all", -1)} if taus["epochs"] else None
    worse = n("loss_test_error_interval"), n("loss_train_loss_change"), n("stop_loss")
    bottoms = [value for found in nets.values() for value in found.get("bottom", ())]
    return {
        "worse_at_equal_loss": known(lambda ends, apart, loss: ends[0] > 0 and abs(apart) < loss / 10, *worse),
        "sharper": known(lambda ends: ends[0] > 0, n("loss_top_interval")),
        "three_times": known(lambda large, small: round(large / small) == 3, n("loss_top_large"), n("loss_top_small")),
        "follow_batch_size": known(lambda names: len(names) >= 0.7 * count and {*CURVATURE} <= {*names}, between),
        "smallest_eigenvalue_turns": known(
            lambda names: names == ["bottom"], sure(there, "between", -1) if there else None
        ),
        "hardly_any_within": known(lambda up, down: len(up) + len(down) <= 0.2 * count, rising, falling),
        "weak_within": known(lambda found: max(map(abs, found)) < 1 / 3, within),
        "no_curvature_within": known(lambda up, down: not {*up, *down} & {*CURVATURE, "bottom"}, rising, falling),
        "jacobian_within": known(lambda names: names == ["train_jacobian"], rising),
        "all_lean_up": known(lambda found: min(found) > 0, within),
        "gap_is_batch_size": known(lambda share: share > 0.75, n("gap_share")),
        "turns_at_equal_epochs": known(lambda names: {*CURVATURE} <= names, at_epochs),
        "loss_explains_epochs": known(lambda tau: tau < -0.5, n("epochs_loss_tau")),
        "no_minimum": known(lambda values: max(values) < 0, bottoms or None),
        "rescaling_sharpens": known(lambda factor: factor > 2, n("twin_top")),
        "rescaling_keeps_the_gap": known(lambda factor: abs(factor - 1) < SAME, n("twin_gap")),
    }


# --------------------------------------------------------------------------------------------------- statistics


def of_size(nets: dict[str, np.ndarray], name: str, size: int | None) -> np.ndarray:
    """(nets,): a quantity of the nets of one batch size, such as test_error, in percent."""
    if size is None or not nets:
        return np.array([])
    there = nets["batch_size"] == size
    return 100 * (1 - nets["test_accuracy"][there]) if name == "test_error" else nets[name][there]


def difference(large: np.ndarray, small: np.ndarray) -> tuple[float | None, list[float] | None]:
    """Mean of the first less that of the second, and Welch's 95 % interval of it from ENOUGH nets of each on."""
    from scipy import stats

    if not len(large) or not len(small):
        return None, None
    change = float(np.mean(large) - np.mean(small))
    if min(len(large), len(small)) < claims.ENOUGH:
        return change, None
    ends = stats.ttest_ind(large, small, equal_var=False).confidence_interval()
    return change, [float(ends.low), float(ends.high)]


def sure(taus: dict[str, dict], kind: str, sign: int) -> list[str]:
    """The measures whose tau has this sign and differs from 0 after correction."""
    kinds = {name: taus[name][kind] for name in measures.MEASURES}
    return [name for name, about in kinds.items() if about["p"] < measures.LEVEL and sign * about["tau"] > 0]


def share_between(nets: dict[str, np.ndarray]) -> float | None:
    """The share of the gap's variance that lies between batch sizes."""
    gaps = [of_size(nets, "gap", size) for size in np.unique(nets["batch_size"])] if nets else []
    if len(gaps) < 2 or min(map(len, gaps)) < 2:
        return None
    within = np.mean([np.var(each) for each in gaps])
    return 1 - float(within / np.var(nets["gap"]))


def twin_factors(history: dict[str, Any]) -> dict[str, list[float]]:
    """{measure: values of the rescaled twins as multiples of the nets' own}; empty where there is no twin."""
    stop = STOPS["loss"]
    pairs = [(each["rescaled"], each[stop]) for each in history["results"].values() if each.get("rescaled")]
    return {name: [twin[name] / own[name][0] for twin, own in pairs] for name in TWINS} if pairs else {}


def row(name: str, taus: dict[str, dict]) -> dict[str, Any]:
    """A row of the table: tau in its kinds at both stops, with interval and corrected p."""
    found = {"words": measures.MEASURES[name], "verdict": verdict(taus["loss"][name])}
    for stop, about in taus.items():
        found |= {f"{stop}_{kind}": about[name][kind] if about else None for kind in (*KINDS, "partial_batch")}
    return found


def verdict(about: dict[str, Any], nets: int = claims.ENOUGH) -> str:
    """Of one measure, from its taus over all nets and at fixed batch size."""
    kinds: Sequence[dict] = (about["all"], about["fixed"])
    return claims.by_directions([np.sign(kind["tau"]) if kind["p"] < measures.LEVEL else 0 for kind in kinds], nets)


def bonus(taus: dict[str, dict], nets: int) -> dict[str, Any]:
    """Each measure rises with the gap, over all nets and at fixed batch size."""
    parts = [
        {
            "name": name,
            "words": words,
            "verdict": verdict(taus[name], nets),
            **{kind: taus[name][kind] for kind in KINDS},
        }
        for name, words in measures.MEASURES.items()
        if taus
    ]
    statement = "At equal training loss each measure rises with the generalization gap, also at fixed batch size"
    return claim("bonus", statement, parts)
