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
Values = dict[int, np.ndarray]  # one a seed, NaN for a dead net


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C9 of a history of param_count.py."""
    nets, noisy = ten_nets.by_width(history), ten_nets.by_width(history, noisy=True)
    parts = c9(nets)
    accuracy = means(nets, "test_accuracy")
    turns = {width: float(np.mean(turn(net))) for width, net in nets.items() if width >= TURNING}
    moves = [float(np.mean(accuracy_since_then(net))) for width, net in nets.items() if width >= TURNING]
    loss, error = bump(noisy, end_loss), bump(noisy, end_error)
    stopped = bump(noisy, lambda net: net["test_loss"].min(axis=1))
    deviation, theirs = single_deviation(nets), [ten_nets.REFERENCE[width]["test_accuracy"] for width in (*LEVEL, 512)]
    numbers = {
        "smallest": parameters(nets, min(nets, default=None)),
        "largest": parameters(nets, max(nets, default=None)),
        "rising_accuracy": accuracy.get(C9_RISING_TO),
        "size_factor": ratio(parameters(nets, max(nets, default=None)), parameters(nets, C9_RISING_TO)),
        "level_span": parts[2]["value"],
        "turn_least": min(turns.values(), default=None),
        "turn_most": max(turns.values(), default=None),
        "noisy_narrowest": min(noisy, default=None),
        "noisy_widest": max(noisy, default=None),
        **{f"{name}_width": loss[name] for name in ("before", "peak", "after")},
        **{f"{name}_parameters": parameters(noisy, loss[name]) for name in ("before", "peak", "after")},
        **{f"{name}_loss": loss[f"{name}_median"] for name in ("before", "peak", "after")},
        "peak_seeds": len(loss["rise"]),
        "peak_agree": int(np.sum(np.minimum(loss["rise"], loss["fall"]) > 0)),
        "peak_learnt": median(noisy[loss["peak"]]["wrong_learnt"][:, -1]) if loss["peak"] else None,
        "earlier_span_points": 100 * (max(theirs) - min(theirs)),
    }
    guards = {
        "accuracy_rises": verdict_guard(parts[1]["verdict"]),
        "level": verdict_guard(parts[2]["verdict"]),
        "nothing_crosses": {True: False, False: True}.get(verdict_guard(parts[3]["verdict"])),
        "surer_not_worse": min(turns.values()) >= TURN and abs(median(moves) or 0) <= STILL if len(turns) > 1 else None,
        "double_descent": loss["hump"] and just_fitted(noisy, loss["peak"]),
        "every_seed": loss["hump"] and numbers["peak_agree"] == numbers["peak_seeds"],
        "largest_is_best": loss["hump"] and loss["after_median"] < loss["before_median"],
        "error_only_falls": known(lambda hump: not hump, error["hump"]),
        "stopping_helps": known(lambda hump: not hump, stopped["hump"]),
        "singles_say_little": None if deviation is None else max(theirs) - min(theirs) <= math.sqrt(8) * deviation,
    }
    tables = {"sizes": [row(width, net) for width, net in nets.items()], "noise": noise_rows(noisy)}
    return {"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim(parts)]}


def parameters(nets: Nets, width: int | None) -> int | None:
    """Of a width's net; None where it is not measured."""
    return int(nets[width]["parameters"]) if width in nets else None


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


def end_loss(net: Net) -> np.ndarray:
    """(seeds,): test loss after the last epoch."""
    return net["test_loss"][:, -1]


def end_error(net: Net) -> np.ndarray:
    """(seeds,): share of test images that are misclassified after the last epoch."""
    return 1 - net["test_accuracy"][:, -1]


def gain(net: Net) -> np.ndarray:
    """(seeds,): by how much the best test accuracy of all records is above the last."""
    return net["test_accuracy"].max(axis=1) - net["test_accuracy"][:, -1]


def bump(nets: Nets, quantity: Any) -> dict[str, Any]:
    """Whether a quantity rises and falls again with the width, `hump`, judged seed by seed; None with too few of them.

    A bump is three widths, the middle one of which stands most above the higher of the outer two, by medians. As the
    highest of many noisy medians stands out by chance, each seed's widths are chosen by the medians of the others, and
    its own heights above both sides, `rise` and `fall`, are its margins: of flat noise with eight seeds about one in
    fifty then counts as a bump. `before`, `peak` and `after`, None without a bump, are those of all seeds.
    """
    live = {
        width: {
            int(seed): float(value)
            for seed, value, dead in zip(net["seeds"], quantity(net), net["dead"], strict=True)
            if not dead
        }
        for width, net in nets.items()
    }
    live = {width: values for width, values in live.items() if values}
    found: dict[str, Any] = dict.fromkeys(("before", "peak", "after", "before_median", "peak_median", "after_median"))
    heights = []
    if chosen := highest(live):
        found |= dict(zip(("before", "peak", "after"), chosen, strict=True))
        found |= {f"{name}_median": median(list(live[found[name]].values())) for name in ("before", "peak", "after")}
        for seed in sorted({seed for values in live.values() for seed in values}):
            others = {width: {each: values[each] for each in values if each != seed} for width, values in live.items()}
            widths = highest({width: values for width, values in others.items() if values})
            if widths and all(seed in live[width] for width in widths):
                before, peak, after = (live[width][seed] for width in widths)
                heights.append((peak - before, peak - after))
    rise, fall = np.array(heights).reshape(-1, 2).T
    verdicts = [claims.by_margins(each)["verdict"] for each in (rise, fall)]
    flat = (
        chosen is None and len(live) > 2 and all(np.isfinite(list(values.values())).all() for values in live.values())
    )
    verdict = claims.combined(verdicts)
    hump = verdict == claims.HOLDS if len(heights) > 1 else False if flat else None
    return found | {"rise": rise, "fall": fall, "verdict": verdict, "hump": hump}


def highest(values: dict[int, dict[int, float]]) -> tuple[int, int, int] | None:
    """The three widths of the medians' highest bump; None where there is none, or a median is not finite."""
    widths = list(values)
    medians = np.array([np.median(list(values[width].values())) for width in widths])
    if len(widths) < 3 or not np.isfinite(medians).all():
        return None
    places = range(1, len(widths) - 1)
    heights = [medians[place] - max(medians[:place].min(), medians[place + 1 :].min()) for place in places]
    peak = int(np.argmax(heights)) + 1
    if heights[peak - 1] <= 0:
        return None
    return widths[int(np.argmin(medians[:peak]))], widths[peak], widths[peak + 1 + int(np.argmin(medians[peak + 1 :]))]


def just_fitted(nets: Nets, width: int) -> bool:
    """Whether a width is the narrowest that fits all labels, or the next one to it among those measured."""
    fitting, widths = ten_nets.fitting_width(nets), list(nets)
    return fitting is not None and abs(widths.index(width) - widths.index(fitting)) <= 1


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
        "turn": float(np.mean(turn(net))),
        "earlier": ten_nets.REFERENCE.get(width),
    }


def noise_rows(nets: Nets) -> list[dict[str, Any]]:
    """A row for each width that learns wrong labels: medians over the seeds that are live at the end."""
    rows = []
    for width, net in nets.items():
        live = ~net["dead"].astype(bool)
        curves = {
            name: median(net[name][live, -1]) for name in ("train_loss", "train_accuracy", "wrong_learnt", "test_loss")
        }
        best = median(1 - net["test_accuracy"][live].max(axis=1))
        about = {"width": width, "parameters": int(net["parameters"]), "live": int(live.sum()), "seeds": len(live)}
        rows.append({**about, **curves, "test_error": median(end_error(net)[live]), "best_error": best})
    return rows
