"""Facts of hw1_2/minimal_ratio: the points where the gradient is almost zero, and claim C6.

C6 is about an order among critical points: both minimal ratios are held against the loss by Spearman's rank
correlation, which is negative where the claim holds. The first rule takes all trainings of the net 1-4-1. The second
takes nets whose loss has a ridge, a small multiple of the sum of squares of all weights, and counts each point once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from common import reading

import numpy as np
from scipy import stats

from report import claims
from report.facts import guard, known, median, number, plain, ratio

NETS = {"1-4-1": 4, "1-8-1": 8, "1-4-4-1": 8}  # hidden units of each
SHALLOW = ("1-4-1", "1-8-1")  # have one hidden layer
JUDGED = "1-4-1"  # decides by the first rule
RECIPE = "1-40-40-1"  # the net of the earlier report's recipe
RIDGE = "ridge-"  # begins the names of the trainings with a ridge, such as ridge-1e-4/f2/1-4-1
RADIUS = 2  # of the history's radii: the middle one, 0.001 of the weights' norm
ZERO = 1e-8  # a gradient norm that counts as zero
LEVEL = 1e-6  # losses that differ by a smaller share tie
ONE_PLACE = 1e-4  # by a smaller share, they are of one critical point, or of one channel, stopped sooner or later
RESAMPLES = 2000  # of the bootstrap
MOST = 0.99  # of the resamples that must have a correlation, for an interval
GROUP = 4  # points, at least, for a correlation among them
ORDERS = math.factorial(8)  # of points, counted where there are no more, else drawn
RATIOS = {"index": "eigenvalues not negative", "sampled": "higher on the sphere"}

OF_NETS = {name: name for name in ("loss", "start", "gradient_norm", "adam_norm", "constant", "channel")}
OF_NETS |= {"weight_norm": "weight_norm", "newton_step": "newton_step"}
OF_NETS |= {"negative": "index", "positive": "positive_share", "live": "effective_width"}
Points = dict[str, np.ndarray]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C6."""
    found = history["results"]
    nets = {net: points(history, net) for net in NETS if net in found}
    arms = [arm(history, unit) for unit in history["units"] if unit.startswith(RIDGE) and unit in found]
    judged = nets.get(JUDGED)
    recipe = {name: reading.field(history, RECIPE, name) for name in OF_RECIPE} if RECIPE in found else None
    first, once = (judge(judged, critical(judged)), counted_once(judged)) if judged else ([], [])
    decided = [each for each in arms if each["judged"]]
    second = verdict_of([part for each in decided for part in each["parts"]]) if decided else None
    ridge = {name: [part for each in decided for part in each["parts"] if part["name"] == name] for name in RATIOS}
    saddles = [saddle for net in SHALLOW if net in nets for saddle in saddles_of(net, nets[net])]
    moving = [saddle for saddle in saddles if saddle["live"]]
    numbers: dict[str, Any] = {name: measure(judged) if judged else None for name, measure in OF_JUDGED.items()}
    numbers["recipe_by_slope"] = median(recipe["by_slope"]) if recipe else None
    numbers["once_p_sampled"] = next((part["p"] for part in once if part["name"] == "sampled"), None)
    numbers |= {
        "minima": sum(int(about["minimum"].sum()) for about in nets.values()) if nets else None,
        "channels": sum(int(in_channel(about).sum()) for about in nets.values()) if nets else None,
        "saddles": len(saddles) if nets else None,
        "saddles_as_told": sum(saddle["index"] == saddle["missing"] for saddle in saddles) if nets else None,
        "moving_saddles": len(moving) if nets else None,
        "arms_judged": len(decided) if arms else None,
        "norm_ratio": judged and norm_ratio(judged),
        "ridge_as_told": ratio(*(sum(each[name] for each in arms) for name in ("saddles_as_told", "saddles"))),
        "ridge_sphere_undecided": sum(part["verdict"] == claims.UNCLEAR for part in ridge["sampled"]) if arms else None,
    }
    guards = {
        "mirages": guard(nets.values(), lambda about: in_channel(about).sum() > 0.75 * about["minimum"].sum()),
        "never_arrives": guard(nets.values(), never_arrives),
        "weights_explode": known(lambda times: times > 10, numbers["norm_ratio"]),
        "index_is_missing_units": None if len(saddles) < 8 else numbers["saddles_as_told"] >= 0.9 * len(saddles),
        "same_narrow_net": all(shared_loss(saddles, live) for live in (0, 2)) if {*SHALLOW} <= nets.keys() else None,
        "others_share_a_loss": one_loss(np.concatenate([about["loss"][elsewhere(about)] for about in nets.values()]))
        if nets
        else None,
        "sphere_misses_saddles": None if len(moving) < 8 else all(saddle["sampled"] == 1 for saddle in moving),
        "as_eigenvalues_predict": None if len(moving) < 8 else min(saddle["predicted"] for saddle in moving) > 0.99,
        "starts_choose_the_kind": judged
        and not {*judged["start"][judged["minimum"]]} & {*judged["start"][judged["saddle"]]},
        "first_holds": judged and verdict_of(first) == claims.HOLDS,
        "once_unclear": judged and verdict_of(once) == claims.UNCLEAR,
        "ridge_blurs_the_index": known(lambda share: share < 0.75, numbers["ridge_as_told"]),
        "ridge_by_index": guard(ridge["index"], lambda part: part["verdict"] == claims.HOLDS),
        "ridge_sphere_undecided": numbers["ridge_sphere_undecided"] > 0 if decided else None,
        "recipe_stands_still": recipe and np.allclose(recipe["norm_after"], recipe["norm_before"], rtol=0.05),
        "recipe_follows_the_slope": recipe and np.median(recipe["by_slope"]) > 0.9,
        "recipe_is_round_off": recipe and np.std(recipe["ratio"]) > 1.5 * np.std(recipe["exact_ratio"]),
    }
    tables = {
        "ends": [ends(net, about) for net, about in nets.items()],
        "correlations": [row for net, about in nets.items() for row in correlations(net, about)],
        "arms": arms,
    }
    guards = {name: None if holds is None else bool(holds) for name, holds in guards.items()}
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim(second, arms, first, once)]})


# --------------------------------------------------------------------------------------- points of one net


def points(history: dict[str, Any], unit: str) -> Points:
    """Loss, ratios and kinds of one net's trainings, (seeds,) each."""
    kind = reading.words(history, unit, "kind")
    about = {name: reading.field(history, unit, key) for name, key in OF_NETS.items()}
    return about | {
        "level": levels(about["loss"], LEVEL),
        "index": 1 - about["negative"] / number(history, unit, "parameters"),
        "sampled": reading.field(history, unit, "sampled")[:, RADIUS],
        "predicted": reading.field(history, unit, "predicted"),
        "minimum": kind == "minimum",
        "saddle": kind == "saddle",
        "zero": about["gradient_norm"] < ZERO,
        "negative": about["negative"].astype(int),
        "live": about["live"].astype(int),
        "constant": about["constant"].astype(bool),
        "channel": about["channel"].astype(bool),
        "step": about["newton_step"] / about["weight_norm"],
    }


def levels(losses: np.ndarray, share: float) -> np.ndarray:
    """Number of the level, lowest first, at which each loss lies: neighbours that differ by no more share one."""
    order = np.argsort(losses, kind="stable")
    level = np.zeros(len(losses))
    level[order[1:]] = np.cumsum(np.diff(losses[order]) > share * losses[order][1:])
    return level


def critical(about: Points) -> np.ndarray:
    """Indices of the critical points."""
    return np.flatnonzero(about["minimum"] | about["saddle"])


def in_channel(about: Points) -> np.ndarray:
    """(seeds,): what counts as a minimum although its units cancel."""
    return about["minimum"] & about["channel"]


def one_a_place(about: Points) -> np.ndarray:
    """Indices of one critical point of each loss, within ONE_PLACE, and index."""
    places = critical(about)
    named = np.stack([levels(about["loss"], ONE_PLACE)[places], about["negative"][places]])
    return places[np.unique(named, axis=1, return_index=True)[1]]


def saddles_of(net: str, about: Points) -> list[dict[str, Any]]:
    """The saddles of a net with one hidden layer; missing: how many of its units have no effect of their own."""
    return [
        {
            "net": net,
            "live": int(about["live"][place]),
            "missing": NETS[net] - int(about["live"][place]),
            "index": int(about["negative"][place]),
            "loss": float(about["loss"][place]),
            "sampled": float(about["sampled"][place]),
            "predicted": float(about["predicted"][place]),
        }
        for place in np.flatnonzero(about["saddle"])
    ]


def shared_loss(saddles: list[dict[str, Any]], live: int) -> float | None:
    """The one loss of all saddles with so many live units, if both nets have such saddles; else None."""
    losses = [saddle["loss"] for saddle in saddles if saddle["live"] == live]
    nets = {saddle["net"] for saddle in saddles if saddle["live"] == live}
    return losses[0] if len(nets) > 1 and one_loss(np.array(losses)) else None


def one_loss(losses: np.ndarray) -> bool:
    """Whether there are several losses, which could all be of one point."""
    return len(losses) > 1 and bool(np.ptp(losses) <= ONE_PLACE * losses.min())


def never_arrives(about: Points) -> bool:
    """Whether Newton's step would still go far from each point in a channel, and nowhere from the other minima."""
    inside, outside = in_channel(about), elsewhere(about)
    return bool(inside.any()) and about["step"][inside].min() > 0.05 and (about["step"][outside] < 1e-6).all()


def norm_ratio(about: Points) -> float | None:
    """How many times as long the weights in channels are as those at the other minima; None without either."""
    return ratio(*(median(about["weight_norm"][mask]) for mask in (in_channel(about), elsewhere(about))))


def elsewhere(about: Points) -> np.ndarray:
    """(seeds,): minima outside channels."""
    return about["minimum"] & ~about["channel"]


OF_JUDGED: dict[str, Callable[[Points], Any]] = {  # numbers of the net that decides by the first rule
    "trainings": lambda about: len(about["loss"]),
    "distinct": lambda about: len(one_a_place(about)),
    "at_zero": lambda about: int(about["zero"].sum()),
    "adam_norm": lambda about: median(about["adam_norm"]),
    "channel_step": lambda about: median(about["step"][in_channel(about)]),
}
OF_RECIPE = ("norm_before", "norm_after", "ratio", "exact_ratio", "by_slope")


# ----------------------------------------------------------------------------------- correlations and rules


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's, row by row of (rows, points), ties by mean ranks; NaN where all values of a row are equal."""
    ranks = [stats.rankdata(each, axis=1) - (each.shape[1] + 1) / 2 for each in (first, second)]
    lengths = np.sqrt(np.prod([np.sum(each**2, axis=1) for each in ranks], axis=0))
    products = np.sum(ranks[0] * ranks[1], axis=1)
    return np.divide(products, lengths, out=np.full(len(first), np.nan), where=lengths > 0)


def correlation(about: Points, chosen: np.ndarray, ratio: str) -> dict[str, float | None]:
    """Rank correlation of loss and ratio over chosen points, with its 95 % bootstrap interval; None for nothing."""
    nothing: dict[str, float | None] = {"value": None, "low": None, "high": None}
    if len(chosen) < GROUP:
        return nothing
    loss, values = about["level"][chosen], about[ratio][chosen]
    drawn = np.random.default_rng(0).integers(len(chosen), size=(RESAMPLES, len(chosen)))
    found = rank_correlations(loss[drawn], values[drawn])
    found = found[np.isfinite(found)]
    result = nothing | {"value": rank_correlations(loss[None], values[None])[0]}
    if len(found) < MOST * RESAMPLES:  # the others would narrow the interval
        return plain(result)
    return plain(result | dict(zip(("low", "high"), np.quantile(found, [0.025, 0.975]), strict=True)))


def judge(about: Points, chosen: np.ndarray) -> list[dict[str, Any]]:
    """The two parts of C6 over chosen points: they hold where the interval lies below 0."""
    parts = []
    for name, words in RATIOS.items():
        found = correlation(about, chosen, name)
        low, high = (math.nan if found[end] is None else -found[end] for end in ("high", "low"))
        parts.append({"name": name, "words": words, **found, "verdict": claims.by_interval(low, high)})
    return parts


def counted_once(about: Points) -> list[dict[str, Any]]:
    """The two parts of C6 with each critical point counted once, by a permutation test of the rank correlation."""
    places, parts = one_a_place(about), []
    for name, words in RATIOS.items():
        value, p = permutation_test(about["level"][places], about[name][places])
        verdict = claims.UNCLEAR if p is None else claims.by_p(p, value < 0)
        parts.append({"name": name, "words": words, "value": value, "p": p, "verdict": verdict})
    return parts


def permutation_test(level: np.ndarray, ratio: np.ndarray) -> tuple[float | None, float | None]:
    """Rank correlation and its two-sided p over all orders, or ORDERS of them; None where one does not vary."""
    if len(level) < GROUP or not np.ptp(level) or not np.ptp(ratio):
        return None, None
    ranks = stats.rankdata(level) - (len(level) + 1) / 2
    found = stats.permutation_test(
        (stats.rankdata(ratio),),
        lambda values, axis: np.tensordot(values, ranks, (axis, 0)),
        permutation_type="pairings",
        n_resamples=ORDERS,
        random_state=np.random.default_rng(0),
    )
    return float(rank_correlations(level[None], ratio[None])[0]), float(found.pvalue)


def verdict_of(parts: Sequence[dict[str, Any]]) -> str:
    """Of a net: both parts must agree, either way."""
    return claims.unanimous([part["verdict"] for part in parts])


def arm(history: dict[str, Any], unit: str) -> dict[str, Any]:
    """A net trained with a ridge: a row of the table of the second rule.

    Its critical points count once where `hw1_2/critical_points.py` finds losses and spectra that differ.
    """
    ridge, function, net = unit.removeprefix(RIDGE).split("/")
    about, once = points(history, unit), reading.field(history, unit, "distinct").astype(int)
    saddles = saddles_of(net, about) if net in SHALLOW else []
    return {
        "ridge": float(ridge),
        "function": function,
        "net": net,
        "critical": len(critical(about)),
        "distinct": len(once),
        "minima": int(about["minimum"].sum()),
        "channels": int(in_channel(about).sum()),
        "saddles": len(saddles),
        "saddles_as_told": sum(saddle["index"] == saddle["missing"] for saddle in saddles),
        "judged": len(once) >= claims.C6_DISTINCT,
        "parts": judge(about, once),
    }


# ------------------------------------------------------------------------------------------------ tables, C6


def ends(net: str, about: Points) -> dict[str, Any]:
    """A row of the table of where the trainings end: lists have smallest and largest."""

    def between(name: str, mask: np.ndarray) -> list[float] | None:
        return [about[name][mask].min(), about[name][mask].max()] if mask.any() else None

    minimum, saddle = about["minimum"], about["saddle"]
    return {
        "net": net,
        "at_zero": int(about["zero"].sum()),
        "adam_norm": median(about["adam_norm"]),
        "minima": int(minimum.sum()),
        "channels": int(in_channel(about).sum()),
        "minima_loss": between("loss", minimum),
        "saddles": int(saddle.sum()),
        "constant": int(np.sum(saddle & about["constant"])),
        "index": between("negative", saddle),
        "saddles_loss": between("loss", saddle),
    }


def correlations(net: str, about: Points) -> list[dict[str, Any]]:
    """Rows of the table of correlations: all critical points of a net, each once, and its minima."""
    chosen = {"all": critical(about), "each point once": one_a_place(about), "minima": np.flatnonzero(about["minimum"])}
    return [
        {"net": net, "points": words, "n": len(places)}
        | {name: correlation(about, places, name) for name in (*RATIOS, "positive")}
        for words, places in chosen.items()
    ]


def claim(second: str | None, arms: list, first: list[dict[str, Any]], once: list[dict[str, Any]]) -> dict[str, Any]:
    """C6, by the second rule; the first rule's result stands beside it."""
    decided = [each for each in arms if each["judged"]]
    evidence = [
        f"second rule: {second} ({len(decided)} of {len(arms)} nets judged)" if second else "second rule: not measured"
    ]
    if arms and not decided:
        evidence = [f"second rule: none of {len(arms)} nets has {claims.C6_DISTINCT} distinct points"]
    if first:
        evidence.append(f"first rule: {verdict_of(first)}; each point once: {verdict_of(once)}")
    return {
        "name": "C6",
        "statement": "Where the gradient is almost zero, lower loss goes with a higher minimal ratio",
        "verdict": second or claims.UNCLEAR,
        "parts": [
            {"words": f"{each['function']}, {each['net']}, ridge {each['ridge']:g}: {part['words']}", **part}
            for each in decided
            for part in each["parts"]
        ],
        "evidence": evidence,
    }
