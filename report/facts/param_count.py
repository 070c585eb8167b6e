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
from report.facts import known, median, ratio, verdict_guard

RISING = tuple(width for width in ten_nets.REFERENCE if width <= C9_RISING_TO)  # units a layer
LEVEL = tuple(width for width in ten_nets.REFERENCE if width >= C9_LEVEL_FROM)
PAIRS = tuple(itertools.pairwise(ten_nets.REFERENCE))
TURNING = (
    64  # units a layer, from which on nets overfit in loss: it ends this factor above its lowest, accuracy as it was
)
TURN, STILL = 1.1, 0.003
Net = dict[str, np.ndarray]
Nets = dict[int, Net]  # by width, narrowest first


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C9 of a history of param_count.py."""
    nets, noisy = ten_nets.by_width(history), ten_nets.by_width(history, noisy=True)
    parts = c9(nets)
    accuracy, fit = means(nets, "test_accuracy"), means(nets, "train_loss")
    beyond = beyond_rising(nets)
    turns = {width: float(np.mean(turn(net))) for width, net in nets.items() if width >= TURNING}
    moves = [float(np.mean(accuracy_since_then(net))) for width, net in nets.items() if width >= TURNING]
    fitting = ten_nets.fitting_width(noisy)
    rows = noise_rows(noisy)
    losses = {row["width"]: row["test_loss"] for row in rows}
    peak = max(losses, key=lambda width: losses[width] or 0, default=None)
    before = min((loss for width, loss in losses.items() if loss and width < peak), default=None)
    ends = {width: net["test_loss"][:, -1] for width, net in noisy.items()}
    lowest = {width: net["test_loss"].min(axis=1) for width, net in noisy.items()}
    errors = {width: 1 - net["test_accuracy"][:, -1] for width, net in noisy.items()}
    margins = hump_margins(noisy, ends, fitting)
    humped, humped_error, humped_best = (hump(hump_margins(noisy, of, fitting)) for of in (ends, errors, lowest))
    images, risen = claims.test_images(history), accuracy.get(C9_RISING_TO)
    error_of_one = None if images is None or risen is None else claims.standard_error(risen, images)
    deviation, theirs = single_deviation(nets), [ten_nets.REFERENCE[width]["test_accuracy"] for width in (*LEVEL, 512)]
    numbers = {
        "smallest": parameters(nets, min(nets, default=None)),
        "largest": parameters(nets, max(nets, default=None)),
        "rising_accuracy": risen,
        "accuracy_error_points": None if error_of_one is None else 100 * error_of_one,
        "size_factor": ratio(parameters(nets, max(nets, default=None)), parameters(nets, C9_RISING_TO)),
        "turn_least": min(turns.values(), default=None),
        "turn_most": max(turns.values(), default=None),
        "noisy_narrowest": min(noisy, default=None),
        "noisy_widest": max(noisy, default=None),
        "peak_parameters": parameters(noisy, peak),
        "peak_learnt": median(noisy[peak]["wrong_learnt"][:, -1]) if noisy else None,
        "earlier_span_points": 100 * (max(theirs) - min(theirs)),
    }
    guards = {
        "accuracy_rises": verdict_guard(parts[1]["verdict"]),
        "no_gain_beyond": known(
            lambda best, last, error: max(best) <= last + error,
            beyond["test_accuracy"],
            risen,
            error_of_one,
        ),
        "larger_fit_worse": known(lambda least, last: min(least) > last, beyond["train_loss"], fit.get(C9_RISING_TO)),
        "largest_once": known(lambda counts: min(counts) == 1, beyond["seeds"]),
        "nothing_crosses": {True: False, False: True}.get(verdict_guard(parts[3]["verdict"])),
        "surer_not_worse": min(turns.values()) >= TURN and abs(median(moves) or 0) <= STILL if len(turns) > 1 else None,
        "double_descent": known(lambda hump: hump and neighbours(noisy, peak, fitting), humped),
        "every_seed": bool((margins > 0).all()) if margins.shape[1] > 1 else None,
        "largest_is_best": known(
            lambda least, last, learnt: last < least and learnt > 0.99,
            before,
            *(rows[-1][name] if rows else None for name in ("test_loss", "wrong_learnt")),
        ),
        "error_only_falls": known(lambda hump: not hump, humped_error),
        "stopping_helps": known(lambda hump: not hump, humped_best),
        "singles_say_little": None if deviation is None else max(theirs) - min(theirs) <= math.sqrt(8) * deviation,
    }
    tables = {"sizes": [row(width, net) for width, net in nets.items()], "noise": rows}
    return {"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim(parts)]}


def parameters(nets: Nets, width: int | None) -> int | None:
    """Of a width's net; None where it is not measured."""
    return int(nets[width]["parameters"]) if width in nets else None


def means(nets: Nets, name: str) -> dict[int, float]:
    """{width: mean over the seeds of a curve's end}."""
    return {width: float(np.mean(ten_nets.at_the_end(net, name))) for width, net in nets.items()}


def beyond_rising(nets: Nets) -> dict[str, list[float] | None]:
    """Of the nets that are larger than where accuracy is said to rise to: a value each; None if one is missing."""
    larger = [width for width in ten_nets.REFERENCE if width > C9_RISING_TO]
    if not set(larger) <= set(nets):
        return dict.fromkeys(("test_accuracy", "train_loss", "seeds"))
    ends = {name: [means(nets, name)[width] for width in larger] for name in ("test_accuracy", "train_loss")}
    return ends | {"seeds": [len(nets[width]["seeds"]) for width in larger]}


def turn(net: Net) -> np.ndarray:
    """(seeds,): the test loss at the end over its lowest."""
    return ten_nets.at_the_end(net, "test_loss") / net["test_loss"].min(axis=1)


def accuracy_since_then(net: Net) -> np.ndarray:
    """(seeds,): by how much the test accuracy changes from the epoch of lowest test loss to the end."""
    then = net["test_loss"].argmin(axis=1)
    return ten_nets.at_the_end(net, "test_accuracy") - net["test_accuracy"][np.arange(len(then)), then]


def single_deviation(nets: Nets) -> float | None:
    """Standard deviation of one training's last test accuracy, within the widths from 256 on."""
    groups = [net["test_accuracy"][:, -1] for width, net in nets.items() if width >= 256 and len(net["seeds"]) > 1]
    if not groups:
        return None
    squares = sum((len(group) - 1) * np.var(group, ddof=1) for group in groups)
    return math.sqrt(squares / sum(len(group) - 1 for group in groups))


# ------------------------------------------------------------------------------------------------- claim C9


def c9(nets: Nets) -> list[dict[str, Any]]:
    """Results improve with size up to a peak, then level off; test results still improve where training ones fall.

    A part is unclear where one of its widths has fewer than two seeds, or its neighbours no seed in common.
    """
    counts = {width: len(net["seeds"]) for width, net in nets.items()}
    parts = []
    for name, curve, sign in (("loss", "train_loss", -1), ("accuracy", "test_accuracy", 1)):
        values = [sign * value for width, value in means(nets, curve).items() if width in RISING]
        rho = rank_correlation(values)
        several = min(counts.get(width, 0) for width in RISING) > 1
        verdict = claims.by_limits(rho, rho, C9_TREND) if several else claims.UNCLEAR
        parts.append({"name": name, "value": rho, "verdict": verdict})
    level = [value for width, value in means(nets, "test_accuracy").items() if width in LEVEL]
    span = float(np.ptp(level)) if len(level) > 1 else math.nan
    several = min(counts.get(width, 0) for width in LEVEL) > 1
    parts.append({"name": "level", "value": span, "verdict": claims.by_span(100 * span) if several else claims.UNCLEAR})
    crossing = [agreeing(nets, *pair) for pair in PAIRS]
    whole = [pair for pair, (agree, seeds) in zip(PAIRS, crossing, strict=True) if seeds > 1 and agree == seeds]
    denied = sum(agree < seeds for agree, seeds in crossing)
    verdict = claims.HOLDS if whole else claims.FAILS if denied == len(PAIRS) else claims.UNCLEAR
    return [*parts, {"name": "crossing", "value": whole, "denied": denied, "verdict": verdict}]


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


def claim(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of C9 in the table of claims."""
    loss, accuracy, level, crossing = parts
    evidence = [
        f"rank correlation with size {part['value']:.2f} in {words}"
        for part, words in ((loss, "training loss"), (accuracy, "test accuracy"))
        if math.isfinite(part["value"])
    ]
    if math.isfinite(level["value"]):
        evidence.append(f"from 1,024 units on test accuracy spans {100 * level['value']:.2f} points")
    if crossing["denied"] or crossing["value"]:
        pairs = f"{len(crossing['value'])} of {len(PAIRS)} pairs of neighbours"
        evidence.append(f"training worse and testing better in every seed: {pairs}")
    return {
        "name": "C9",
        "statement": "Results improve with size up to a peak, then level off; testing improves longer than training",
        "verdict": claims.combined([part["verdict"] for part in parts]),
        "parts": parts,
        "evidence": evidence,
    }


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
