"""Facts of hw1_3/param_count: generalization by size, with clean and with wrong labels, and claim C9.

With clean labels a net's value is the mean of its last five epochs, of clean evaluations, and a width's the mean over
its seeds. Of nets that learn wrong labels the last record counts; dead ones are left out.
"""

import itertools
import math
from typing import Any

import numpy as np

from hw1_3 import ten_nets
from report import claims
from report.claims import C9_LEVEL_FROM, C9_RISING_TO, C9_TREND
from report.facts import claim, known, median, ratio, verdict_guard

RISING = tuple(width for width in ten_nets.REFERENCE if width <= C9_RISING_TO)  # units a layer
LEVEL = tuple(width for width in ten_nets.REFERENCE if width >= C9_LEVEL_FROM)
LARGER = tuple(width for width in ten_nets.REFERENCE if width > C9_RISING_TO)
PAIRS = tuple(itertools.pairwise(ten_nets.REFERENCE))
# Units a layer from which on nets overfit in loss: it ends this factor above its lowest, accuracy as it was.
TURNING, TURN, STILL = 64, 1.1, 0.003
Net = dict[str, np.ndarray]
Nets = dict[int, Net]  # by width, narrowest first


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C9 of a history of param_count.py."""
    nets, noisy = ten_nets.by_width(history), ten_nets.by_width(history, noisy=True)
    parts, rows, fitting = c9(nets), noise_rows(noisy), ten_nets.fitting_width(noisy)
    ends = {name: means(nets, name) for name in ("test_accuracy", "train_loss")}
    risen, fitted = (ends[name].get(C9_RISING_TO) for name in ends)
    larger = {name: [of[width] for width in LARGER] if {*LARGER} <= {*of} else None for name, of in ends.items()}
    images = claims.test_images(history)
    error = None if images is None or risen is None else claims.standard_error(risen, images)
    turning = [net for width, net in nets.items() if width >= TURNING]
    turns = [float(np.mean(turn(net))) for net in turning]
    moves = [float(np.mean(accuracy_since_then(net))) for net in turning]
    peak = max(rows, key=lambda row: row["test_loss"] or 0, default={})
    narrower = [row["test_loss"] for row in rows if row["test_loss"] and row["width"] < peak["width"]]
    last = rows[-1] if rows else {}
    margins, error_margins, best_margins = (
        hump_margins(noisy, {width: quantity(net) for width, net in noisy.items()}, fitting)
        for quantity in (
            lambda net: net["test_loss"][:, -1],
            lambda net: 1 - net["test_accuracy"][:, -1],
            lambda net: net["test_loss"].min(axis=1),
        )
    )
    sizes = [int(net["parameters"]) for net in nets.values()] or [None]
    numbers = {
        "smallest": sizes[0],
        "largest_millions": ratio(sizes[-1], 1e6),
        "rising_accuracy": risen,
        "accuracy_error_points": None if error is None else 100 * error,
        "size_factor": ratio(sizes[-1], nets[C9_RISING_TO]["parameters"]) if C9_RISING_TO in nets else None,
        "larger_seeds": max((len(nets[width]["seeds"]) for width in LARGER if width in nets), default=None),
        "turn_least": min(turns, default=None),
        "turn_most": max(turns, default=None),
        "noisy_narrowest": min(noisy, default=None),
        "noisy_widest": max(noisy, default=None),
        "peak_parameters": peak.get("parameters"),
        "peak_learnt": peak.get("wrong_learnt"),
    }
    guards = {
        "accuracy_rises": verdict_guard(parts[1]["verdict"]),
        "no_gain_beyond": known(lambda all_of, *one: max(all_of) <= sum(one), larger["test_accuracy"], risen, error),
        "larger_fit_worse": known(lambda all_of, one: min(all_of) > one, larger["train_loss"], fitted),
        "nothing_crosses": {True: False, False: True}.get(verdict_guard(parts[3]["verdict"])),
        "surer_not_worse": bool(min(turns) >= TURN and abs(np.median(moves)) <= STILL) if len(turns) > 1 else None,
        "double_descent": known(lambda there: there and neighbours(noisy, peak["width"], fitting), hump(margins)),
        "every_seed": bool((margins > 0).all()) if margins.shape[1] > 1 else None,
        "largest_is_best": known(
            lambda before, loss, learnt: loss < before and learnt > 0.99,
            min(narrower, default=None),
            last.get("test_loss"),
            last.get("wrong_learnt"),
        ),
        "error_only_falls": known(lambda there: not there, hump(error_margins)),
        "stopping_helps": known(lambda there: not there, hump(best_margins)),
    }
    statement = "Results improve with size up to a peak, then level off; testing improves longer than training"
    tables = {"sizes": [row(width, net) for width, net in nets.items()], "noise": rows}
    return {"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C9", statement, parts)]}


def means(nets: Nets, name: str) -> dict[int, float]:
    """{width: mean over the seeds of a curve's end}."""
    return {width: float(np.mean(ten_nets.at_the_end(net, name))) for width, net in nets.items()}


def turn(net: Net) -> np.ndarray:
    """(seeds,): the test loss at the end over its lowest."""
    return ten_nets.at_the_end(net, "test_loss") / net["test_loss"].min(axis=1)


def accuracy_since_then(net: Net) -> np.ndarray:
    """(seeds,): by how much the test accuracy changes from the epoch of lowest test loss to the end."""
    then = net["test_loss"].argmin(axis=1)
    return ten_nets.at_the_end(net, "test_accuracy") - net["test_accuracy"][np.arange(len(then)), then]


# ------------------------------------------------------------------------------------------------- claim C9


def c9(nets: Nets) -> list[dict[str, Any]]:
    """Results improve with size up to a peak, then level off; test results still improve where training ones fall.

    A part is unclear where one of its widths has fewer than two seeds, or its neighbours no seed in common.
    """
    counts = {width: len(net["seeds"]) for width, net in nets.items()}
    parts = []
    for curve, sign in (("train_loss", -1), ("test_accuracy", 1)):
        values = [sign * value for width, value in means(nets, curve).items() if width in RISING]
        rho = rank_correlation(values)
        several = min(counts.get(width, 0) for width in RISING) > 1
        verdict = claims.by_limits(rho, rho, C9_TREND) if several else claims.UNCLEAR
        parts.append({"value": rho, "verdict": verdict})
    level = [value for width, value in means(nets, "test_accuracy").items() if width in LEVEL]
    span = float(np.ptp(level)) if len(level) > 1 else math.nan
    several = min(counts.get(width, 0) for width in LEVEL) > 1
    parts.append({"value": span, "verdict": claims.by_span(100 * span) if several else claims.UNCLEAR})
    crossing = [agreeing(nets, *pair) for pair in PAIRS]
    whole = [pair for pair, (agree, seeds) in zip(PAIRS, crossing, strict=True) if seeds > 1 and agree == seeds]
    denied = sum(agree < seeds for agree, seeds in crossing)
    verdict = claims.HOLDS if whole else claims.FAILS if denied == len(PAIRS) else claims.UNCLEAR
    return [*parts, {"denied": denied, "verdict": verdict}]


def rank_correlation(values: list[float]) -> float:
    """Spearman's, of values in order and their places; NaN below three values, or where all are one."""
    from scipy import stats

    if len(values) < 3 or len(set(values)) == 1:
        return math.nan
    return float(stats.spearmanr(range(len(values)), values).statistic)


def agreeing(nets: Nets, narrow: int, wide: int) -> tuple[int, int]:
    """In how many seeds, of how many, the wider net is worse in training loss and better in test accuracy."""
    if narrow not in nets or wide not in nets:
        return 0, 0
    _, first, second = np.intersect1d(nets[narrow]["seeds"], nets[wide]["seeds"], return_indices=True)
    worse, better = (
        ten_nets.at_the_end(nets[wide], name)[second] - ten_nets.at_the_end(nets[narrow], name)[first]
        for name in ("train_loss", "test_accuracy")
    )
    return int(np.sum((worse > 0) & (better > 0))), len(worse)


# ------------------------------------------------------------------------------------------------ wrong labels


def hump_margins(nets: Nets, values: dict[int, np.ndarray], fitting: int | None) -> np.ndarray:
    """(2, seeds): how far a quantity at the width that just fits all labels is above that of a net with a quarter of
    its units, and of the widest net; of seeds that are live in all three.

    The highest of many noisy widths would stand out by chance; these are chosen by training results alone.
    """
    narrow = max((width for width in nets if fitting and width <= fitting / 4), default=None)
    if narrow is None or fitting == max(nets):
        return np.empty((2, 0))
    before, peak, after = (
        np.where(nets[width]["dead"] == 0, values[width], np.nan) for width in (narrow, fitting, max(nets))
    )
    if len({len(before), len(peak), len(after)}) > 1:
        return np.empty((2, 0))  # seeds that are not measured of all three
    margins = np.array([peak - before, peak - after])
    return margins[:, np.isfinite(margins).all(axis=0)]


def hump(margins: np.ndarray) -> bool | None:
    """Whether the seeds agree that both margins are above 0; None with fewer than two seeds."""
    if margins.shape[1] < 2:
        return None
    return claims.combined([claims.by_margins(each)["verdict"] for each in margins]) == claims.HOLDS


def neighbours(nets: Nets, one: int, other: int) -> bool:
    """Whether two widths are the same, or next to each other among those measured."""
    return abs(list(nets).index(one) - list(nets).index(other)) <= 1


# ------------------------------------------------------------------------------------------------------ tables


def row(width: int, net: Net) -> dict[str, Any]:
    """A width's row: means over the seeds, beside the earlier report's values."""
    names = [f"{data}_{quantity}" for data in ("train", "running", "test") for quantity in ("loss", "accuracy")]
    ends = {name: ten_nets.at_the_end(net, name) for name in names}
    several = len(net["seeds"]) > 1
    return {
        "width": width,
        "parameters": int(net["parameters"]),
        "seeds": len(net["seeds"]),
        **{name: float(np.mean(values)) for name, values in ends.items()},
        **{f"{name}_deviation": float(np.std(values, ddof=1)) if several else None for name, values in ends.items()},
        "earlier": ten_nets.REFERENCE.get(width),
    }


def noise_rows(nets: Nets) -> list[dict[str, Any]]:
    """A row for each width that learns wrong labels: medians over the seeds that are live at the end."""
    rows = []
    for width, net in nets.items():
        live = ~net["dead"].astype(bool)
        row = {"width": width, "parameters": int(net["parameters"]), "live": int(live.sum()), "seeds": len(live)}
        row |= {name: median(net[name][live, -1]) for name in ("train_accuracy", "wrong_learnt", "test_loss")}
        row["test_error"] = median(1 - net["test_accuracy"][live, -1])
        rows.append(row | {"best_error": median(1 - net["test_accuracy"][live].max(axis=1))})
    return rows
