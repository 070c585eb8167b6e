"""Facts of hw1_2/minimal_ratio: the points where the gradient is almost zero, and claim C6.

C6 is about an order among critical points: both minimal ratios are held against the loss by Spearman's rank
correlation, which is negative where the claim holds. The first rule takes all trainings of the net 1-4-1. The second
takes nets whose loss has a ridge, a small multiple of the sum of squares of all weights, and counts each point once.
"""

import math
from collections.abc import Iterable
from typing import Any

from common import reading

import numpy as np
from scipy import stats

from report import claims
from report.facts import claim, guard, known, median, number, plain, ratio

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
ENOUGH = 8  # saddles, at least, for a statement about them
RATIOS = ("index", "sampled")  # shares of eigenvalues that are not negative, and of higher points on the sphere
Points = dict[str, np.ndarray]  # (trainings,) each


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers, guards, tables and C6."""
    found = history["results"]
    nets = {net: points(history, net) for net in NETS if net in found}
    one, every = nets.get(JUDGED), pooled(nets.values())
    shallow = pooled(nets[net] for net in SHALLOW if net in nets)
    some = shallow is not None and shallow["saddle"].sum() >= ENOUGH
    moving = shallow["saddle"] & (shallow["live"] > 0) if some else None  # saddles whose output is not constant
    first, once = [judge(one, places(one)) if one else [] for places in (critical, one_a_place)]
    arms = [arm(history, unit) for unit in history["units"] if unit.startswith(RIDGE) and unit in found]
    told = [each for each in arms if each["as_told"] is not None]
    decided = [each for each in arms if each["judged"]]
    parts = [part for each in decided for part in each["parts"]]
    sphere = [part["verdict"] for part in parts if part["name"] == "sampled"]
    names = ("norm_before", "norm_after", "ratio", "exact_ratio", "by_slope")
    recipe = {name: reading.field(history, RECIPE, name) for name in names} if RECIPE in found else None
    numbers = {
        "trainings": one and len(one["loss"]),
        "at_zero": one and int(one["zero"].sum()),
        "adam_norm": one and median(one["adam_norm"]),
        "distinct": one and len(one_a_place(one)),
        "channel_step": one and median(one["step"][one["channel"]]),
        "norm_ratio": one and ratio(*(median(one["weight_norm"][one[kind]]) for kind in ("channel", "other"))),
        "minima": every and int(every["minimum"].sum()),
        "channels": every and int(every["channel"].sum()),
        "saddles": shallow and int(shallow["saddle"].sum()),
        "saddles_as_told": shallow and int(shallow["as_told"].sum()),
        "ridge_as_told": ratio(*(sum(each[name] for each in told) for name in ("as_told", "saddles"))),
        "arms_judged": len(decided) if arms else None,
        "ridge_sphere_undecided": sphere.count(claims.UNCLEAR) if arms else None,
    }
    guards = {
        "mirages": guard(nets.values(), lambda about: about["channel"].sum() > 0.75 * about["minimum"].sum()),
        "never_arrives": guard(nets.values(), never_arrives),
        "weights_explode": known(lambda times: times > 10, numbers["norm_ratio"]),
        "index_is_missing_units": numbers["saddles_as_told"] >= 0.9 * numbers["saddles"] if some else None,
        "same_narrow_net": all(shared_loss(nets, live) for live in (0, 2)) if {*SHALLOW} <= {*nets} else None,
        "sphere_misses_saddles": (shallow["sampled"][moving] == 1).all() if some else None,
        "as_eigenvalues_predict": (shallow["predicted"][moving] > 0.99).all() if some else None,
        "starts_choose_the_kind": one and not {*one["start"][one["minimum"]]} & {*one["start"][one["saddle"]]},
        "first_holds": one and unanimous(first) == claims.HOLDS,
        "once_unclear": one and unanimous(once) == claims.UNCLEAR,
        "ridge_blurs_the_index": known(lambda share: share < 0.75, numbers["ridge_as_told"]),
        "ridge_by_index": guard([part["verdict"] for part in parts if part["name"] == "index"], claims.HOLDS.__eq__),
        "ridge_sphere_undecided": claims.UNCLEAR in sphere if sphere else None,
        "recipe_stands_still": recipe and np.allclose(recipe["norm_after"], recipe["norm_before"], rtol=0.05),
        "recipe_follows_the_slope": recipe and np.median(recipe["by_slope"]) > 0.9,
        "recipe_is_round_off": recipe and np.std(recipe["ratio"]) > 1.5 * np.std(recipe["exact_ratio"]),
    }
    statement = "Where the gradient is almost zero, lower loss goes with a higher minimal ratio"
    judged = claim("C6", statement, parts, unanimous(parts))
    tables = {
        "ends": [ends(net, about) for net, about in nets.items()],
        "correlations": [row for net, about in nets.items() for row in correlations(net, about)],
        "arms": arms,
    }
    guards = {name: None if holds is None else bool(holds) for name, holds in guards.items()}
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [judged]})


# --------------------------------------------------------------------------------------- points of one net


def points(history: dict[str, Any], unit: str) -> Points:
    """Loss, ratios and kinds of one net's trainings. Of its minima, `channel` are those whose units cancel, `other` the
    rest; `as_told` are saddles whose index is the number of units without an effect of their own."""
    names = {name: name for name in ("loss", "start", "adam_norm", "weight_norm", "predicted")}
    names |= {"positive": "positive_share", "live": "effective_width", "negative": "index"}
    about = {name: reading.field(history, unit, key) for name, key in names.items()}
    kind, cancel = reading.words(history, unit, "kind"), reading.field(history, unit, "channel") > 0
    minimum, saddle = kind == "minimum", kind == "saddle"
    return about | {
        "level": levels(about["loss"], LEVEL),
        "index": 1 - about["negative"] / number(history, unit, "parameters"),
        "sampled": reading.field(history, unit, "sampled")[:, RADIUS],
        "minimum": minimum,
        "channel": minimum & cancel,
        "other": minimum & ~cancel,
        "saddle": saddle,
        "as_told": saddle & (about["negative"] == NETS[unit.rpartition("/")[2]] - about["live"]),
        "constant": saddle & (reading.field(history, unit, "constant") > 0),
        "zero": reading.field(history, unit, "gradient_norm") < ZERO,
        "step": reading.field(history, unit, "newton_step") / about["weight_norm"],
    }


def pooled(nets: Iterable[Points]) -> Points | None:
    """The trainings of all these nets as if of one; None where there is no net."""
    nets = list(nets)
    return {name: np.concatenate([about[name] for about in nets]) for name in nets[0]} if nets else None


def levels(losses: np.ndarray, share: float) -> np.ndarray:
    """Number of the level, lowest first, at which each loss lies: neighbours that differ by no more share one."""
    order = np.argsort(losses, kind="stable")
    level = np.zeros(len(losses))
    level[order[1:]] = np.cumsum(np.diff(losses[order]) > share * losses[order][1:])
    return level


def critical(about: Points) -> np.ndarray:
    """Indices of the critical points."""
    return np.flatnonzero(about["minimum"] | about["saddle"])


def one_a_place(about: Points) -> np.ndarray:
    """Indices of one critical point of each loss, within ONE_PLACE, and index."""
    places = critical(about)
    named = np.stack([levels(about["loss"], ONE_PLACE)[places], about["negative"][places]])
    return places[np.unique(named, axis=1, return_index=True)[1]]


def shared_loss(nets: dict[str, Points], live: int) -> bool:
    """Whether all saddles with so many live units have one loss, in nets of four and of eight."""
    losses = [nets[net]["loss"][nets[net]["saddle"] & (nets[net]["live"] == live)] for net in SHALLOW]
    return all(map(len, losses)) and one_loss(np.concatenate(losses))


def one_loss(losses: np.ndarray) -> bool:
    """Whether there are several losses, which could all be of one point."""
    return len(losses) > 1 and bool(np.ptp(losses) <= ONE_PLACE * losses.min())


def never_arrives(about: Points) -> bool:
    """Whether Newton's step would still go far from each point in a channel, and nowhere from the other minima."""
    inside, outside = about["step"][about["channel"]], about["step"][about["other"]]
    return len(inside) > 0 and bool(inside.min() > 0.05 and (outside < 1e-6).all())


# ----------------------------------------------------------------------------------- correlations and rules


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's, row by row of (rows, points), ties by mean ranks; NaN where all values of a row are equal."""
    ranks = [stats.rankdata(each, axis=1) - (each.shape[1] + 1) / 2 for each in (first, second)]
    lengths = np.sqrt(np.prod([np.sum(each**2, axis=1) for each in ranks], axis=0))
    products = np.sum(ranks[0] * ranks[1], axis=1)
    return np.divide(products, lengths, out=np.full(len(first), np.nan), where=lengths > 0)


def correlation(about: Points, chosen: np.ndarray, name: str) -> dict[str, float | None]:
    """Rank correlation of loss and ratio over chosen points, with its 95 % bootstrap interval; None for nothing."""
    if len(chosen) < GROUP:
        return dict.fromkeys(("value", "low", "high"))
    loss, values = about["level"][chosen], about[name][chosen]
    drawn = np.random.default_rng(0).integers(len(chosen), size=(RESAMPLES, len(chosen)))
    found = rank_correlations(loss[drawn], values[drawn])
    found = found[np.isfinite(found)]
    enough = len(found) >= MOST * RESAMPLES  # without the others the interval would be too narrow
    low, high = np.quantile(found, [0.025, 0.975]) if enough else (None, None)
    return plain({"value": rank_correlations(loss[None], values[None])[0], "low": low, "high": high})


def judge(about: Points, chosen: np.ndarray) -> list[dict[str, Any]]:
    """The two parts of C6 over chosen points: they hold where the interval lies below 0."""
    parts = []
    for name in RATIOS:
        found = correlation(about, chosen, name)
        low, high = (math.nan if found[end] is None else -found[end] for end in ("high", "low"))
        parts.append({"name": name, **found, "verdict": claims.by_interval(low, high)})
    return parts


def unanimous(parts: list[dict[str, Any]]) -> str:
    """All parts must agree, either way."""
    return claims.unanimous([part["verdict"] for part in parts]) if parts else claims.UNCLEAR


# -------------------------------------------------------------------------------------------- rows of tables


def arm(history: dict[str, Any], unit: str) -> dict[str, Any]:
    """A net trained with a ridge: a row of the table of the second rule.

    Its critical points count once where `hw1_2/critical_points.py` finds losses and spectra that differ.
    """
    ridge, function, net = unit.removeprefix(RIDGE).split("/")
    about, once = points(history, unit), reading.field(history, unit, "distinct").astype(int)
    return {
        "ridge": float(ridge),
        "function": function,
        "net": net,
        "critical": len(critical(about)),
        "distinct": len(once),
        "minima": int(about["minimum"].sum()),
        "channels": int(about["channel"].sum()),
        "saddles": int(about["saddle"].sum()),
        "as_told": int(about["as_told"].sum()) if net in SHALLOW else None,
        "judged": len(once) >= claims.C6_DISTINCT,
        "parts": judge(about, once),
    }


def ends(net: str, about: Points) -> dict[str, Any]:
    """A row of the table of where the trainings end: lists have smallest and largest."""

    def between(name: str, kind: str) -> list[float] | None:
        values = about[name][about[kind]]
        return [values.min(), values.max()] if len(values) else None

    counts = {"at_zero": "zero", "minima": "minimum", "channels": "channel", "saddles": "saddle"}
    counts |= {"constant": "constant"}
    return {
        "net": net,
        "adam_norm": median(about["adam_norm"]),
        **{name: int(about[kind].sum()) for name, kind in counts.items()},
        "minima_loss": between("loss", "minimum"),
        "index": between("negative", "saddle"),
        "saddles_loss": between("loss", "saddle"),
    }


def correlations(net: str, about: Points) -> list[dict[str, Any]]:
    """Rows of the table of correlations: all critical points of a net, each once, and its minima."""
    chosen = {"all": critical(about), "each point once": one_a_place(about), "minima": np.flatnonzero(about["minimum"])}
    return [
        {"net": net, "points": words, "n": len(places)}
        | {name: correlation(about, places, name) for name in (*RATIOS, "positive")}
        for words, places in chosen.items()
    ]
