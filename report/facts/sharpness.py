"""Facts of hw1_3/sharpness (bonus): measures of a net against its generalization gap, and the claim about them.

The gap is test loss less training loss. Kendall's tau of each measure with it is over all nets, over nets of one batch
size, and over the medians of the batch sizes; `hw1_3/measures.py` tests them and corrects after Holm. Nets at equal
training loss decide. No two nets start alike, so batch sizes are compared as independent samples, by Welch's test.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3 import measures
from report import claims
from report.facts import claim, known, median, plain, ratio

KINDS = ("all", "fixed", "between")
STOPS = {"loss": "equal_loss", "epochs": "equal_epochs"}
CURVATURE = ("short_wide", "wide", "short_narrow", "narrow", "top", "trace_exact")  # what flatness means
COUNT = len(measures.MEASURES)
COMPARED = ("test_error", "train_loss", "top")  # of the largest and the smallest batch size
SAME = 1e-6  # relative: more than the round-off of a mean over images


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over nets; differences are of means, with intervals), guards, tables and the bonus claim."""
    nets = {stop: measures.nets_of(history, name) for stop, name in STOPS.items()}
    taus = {stop: measures.correlations(found) if len(found.get("gap", ())) > 1 else {} for stop, found in nets.items()}
    sizes = sorted({int(size) for size in nets["epochs"].get("batch_size", ())})
    smallest, largest = min(sizes, default=None), max(sizes, default=None)
    ends = {name: [of_size(nets["loss"], name, size) for size in (largest, smallest)] for name in COMPARED}
    errors, losses, tops = (difference(*ends[name]) for name in COMPARED)
    enough = len(nets["loss"].get("gap", ())) >= claims.ENOUGH
    at_loss, at_epochs = taus["loss"] if enough else {}, taus["epochs"]
    within = [at_loss[name]["fixed"]["tau"] for name in measures.MEASURES] if at_loss else None
    up, down = (sure(at_loss, "fixed", sign) for sign in (1, -1))
    across, against = (sure(at_loss, "between", sign) for sign in (1, -1))
    factors = twin_factors(history)
    bottoms = [value for found in nets.values() for value in found.get("bottom", ())]
    numbers = {
        "seeds": history["settings"].get("seeds"),
        "smallest": smallest,
        "largest": largest,
        "sizes": len(sizes),
        "measures": COUNT,
        "loss_test_error_change": errors[0],
        "loss_test_error_interval": errors[1],
        "between_rise": None if across is None else len(across),
        "fixed_highest": max(within) if within else None,
        "twin_top": median(factors.get("top", [])),
    }
    guards = {
        "worse_at_equal_loss": known(
            lambda ends, apart, loss: ends[0] > 0 and abs(apart) < loss / 10,
            errors[1],
            losses[0],
            history["settings"].get("stop_loss"),
        ),
        "sharper": known(lambda ends: ends[0] > 0, tops[1]),
        "three_times": known(lambda factor: round(factor) == 3, ratio(*map(median, ends["top"]))),
        "follow_batch_size": known(lambda names: len(names) >= 0.7 * COUNT and {*CURVATURE} <= {*names}, across),
        "smallest_eigenvalue_turns": known(lambda names: names == ["bottom"], against),
        "hardly_any_within": known(lambda *both: sum(map(len, both)) <= 0.2 * COUNT, up, down),
        "weak_within": known(lambda found: max(map(abs, found)) < 1 / 3, within),
        "no_curvature_within": known(lambda *both: not {*both[0], *both[1]} & {*CURVATURE, "bottom"}, up, down),
        "jacobian_within": known(lambda names: names == ["train_jacobian"], up),
        "all_lean_up": known(lambda found: min(found) > 0, within),
        "gap_is_batch_size": known(lambda share: share > 0.75, share_between(nets["loss"])),
        "turns_at_equal_epochs": known(lambda names: {*CURVATURE} <= {*names}, sure(at_epochs, "all", -1)),
        "loss_explains_epochs": known(lambda about: about["all"]["tau"] < -0.5, at_epochs.get("train_loss")),
        "no_minimum": known(lambda values: max(values) < 0, bottoms or None),
        "rescaling_sharpens": known(lambda factor: factor > 2, numbers["twin_top"]),
        "rescaling_keeps_the_gap": known(lambda factor: abs(factor - 1) < SAME, median(factors.get("gap", []))),
    }
    rows = [row(name, taus) for name in measures.MEASURES] if taus["loss"] else []
    judged = bonus(taus["loss"], len(nets["loss"].get("gap", ())))
    return plain({"numbers": numbers, "guards": guards, "tables": {"measures": rows}, "claims": [judged]})


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


def sure(taus: dict[str, dict], kind: str, sign: int) -> list[str] | None:
    """The measures whose tau has this sign and differs from 0 after correction; None where there are no taus."""
    if not taus:
        return None
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
    return {name: [twin[name] / own[name][0] for twin, own in pairs] for name in ("top", "gap")} if pairs else {}


def row(name: str, taus: dict[str, dict]) -> dict[str, Any]:
    """A row of the table: tau in its kinds at both stops, with interval and corrected p."""
    found = {"words": measures.MEASURES[name], "verdict": verdict(taus["loss"][name])}
    for stop, about in taus.items():
        found |= {f"{stop}_{kind}": about[name][kind] if about else None for kind in KINDS}
    return found


def verdict(about: dict[str, Any], nets: int = claims.ENOUGH) -> str:
    """Of one measure, from its taus over all nets and at fixed batch size."""
    kinds: Sequence[dict] = (about["all"], about["fixed"])
    return claims.by_directions([np.sign(kind["tau"]) if kind["p"] < measures.LEVEL else 0 for kind in kinds], nets)


def bonus(taus: dict[str, dict], nets: int) -> dict[str, Any]:
    """Each measure rises with the gap, over all nets and at fixed batch size."""
    parts = [{"verdict": verdict(taus[name], nets)} for name in measures.MEASURES if taus]
    statement = "At equal training loss each measure rises with the generalization gap, also at fixed batch size"
    return claim("bonus", statement, parts)
