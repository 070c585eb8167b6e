"""What happens when gradient is almost zero: what the report says of the history of minimal_ratio.py, and claim C6.

The claim is about an order among points where the gradient vanishes, one a training. Both definitions of the minimal
ratio are held against the loss by Spearman's rank correlation, with bootstrap intervals over the points.
"""

import functools
import math
from typing import Any

import numpy as np

from report import claims, comments

FIGURES = ("minimal_ratio", "minimal_ratio_norm", "minimal_ratio_predicted")
NETS = ("1-4-1", "1-8-1", "1-4-4-1")
JUDGED = "1-4-1"  # nearly all of its trainings reach zero gradient; of the others only some do, a choice by difficulty
RECIPE = "reference"  # the unit of the earlier report's recipe
RADIUS = 2  # of the history's radii: the middle one
RESAMPLES = 2000  # of the bootstrap
CHANNEL = 10  # units that cancel tenfold or more stand in a channel that falls towards infinity
GROUP = 4  # critical points from the same start, at least, for a correlation among them
ZERO = 1e-8  # a gradient norm that counts as zero
ROUND_OFF = 1e-9  # of a gradient whose Hessian is large
RATIOS = {"index": "eigenvalues not negative", "sampled": "higher on the sphere"}
MEANINGS = {
    "epochs": "full-batch steps of Adam on the loss (mean squared error)",
    "points": "of f1, on an even grid of [\N{MINUS SIGN}1, 1], which the nets see as [\N{MINUS SIGN}3, 3]",
    "learning_rate": "of Adam",
    "newton_steps": "on the gradient norm, from each start",
    "levenberg_steps": "on the loss, before the last start",
    "sphere_points": "random points on each sphere",
    "draws": "of the predicted share",
    "seeds": "nets of a kind, each from its own initial weights",
    "nets": "units a layer; the last is an earlier report's recipe",
}


# ------------------------------------------------------------------------------------- points and correlations


def points(results: dict[str, Any]) -> dict[str, np.ndarray]:
    """Loss, ratios and kinds of one net's trainings, (seeds,) each."""
    kind = np.array(results["kind"])
    return {
        "loss": np.array(results["loss"], float),
        "index": 1 - np.array(results["index"], float) / results["parameters"],
        "sampled": np.array(results["sampled"], float)[:, RADIUS],
        "predicted": np.array(results["predicted"], float),
        "start": np.array(results["start"], int),
        "minimum": kind == "minimum",
        "critical": (kind == "minimum") | (kind == "saddle"),
        "channel": np.array(results["cancellation"], float) >= CHANNEL,  # a constant output, NaN, has nothing to cancel
    }


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's, row by row of (rows, points), ties by mean ranks; NaN where all values of a row are equal."""
    from scipy import stats

    ranks = [stats.rankdata(each, axis=1) for each in (first, second)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    lengths = np.sqrt(np.prod([np.sum(each**2, axis=1) for each in centred], axis=0))
    return np.divide(
        np.sum(centred[0] * centred[1], axis=1), lengths, out=np.full(len(first), np.nan), where=lengths > 0
    )


def correlation(loss: np.ndarray, ratio: np.ndarray) -> dict[str, float]:
    """Rank correlation of loss and ratio over points, with its 95 % bootstrap interval; NaN where there is none."""
    nothing = {"value": math.nan, "low": math.nan, "high": math.nan}
    if len(loss) < GROUP:
        return nothing
    value = float(rank_correlations(loss[None], ratio[None])[0])
    drawn = np.random.default_rng(0).integers(len(loss), size=(RESAMPLES, len(loss)))
    found = rank_correlations(loss[drawn], ratio[drawn])
    found = found[np.isfinite(found)]
    if not math.isfinite(value) or len(found) < RESAMPLES / 2:
        return nothing | {"value": value}
    low, high = np.quantile(found, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def c6(found: dict[str, Any]) -> dict[str, Any]:
    """C6: among critical points, lower loss goes with a higher minimal ratio. The net `JUDGED` decides.

    Holds if the intervals of both definitions lie below 0, does not hold if both lie above, else unclear.
    """
    parts, verdicts = [], []
    about = points(found["results"][JUDGED]) if JUDGED in found["results"] else None
    for name, words in RATIOS.items():
        result = {"value": math.nan, "low": math.nan, "high": math.nan}
        if about is not None:
            result = correlation(about["loss"][about["critical"]], about[name][about["critical"]])
        verdict = claims.HOLDS if result["high"] < 0 else claims.FAILS if result["low"] > 0 else claims.UNCLEAR
        parts.append({"name": name, "words": words, **result, "verdict": verdict})
        verdicts.append(verdict)
    count = int(about["critical"].sum()) if about is not None else 0
    both = verdicts[0] if len(set(verdicts)) == 1 else claims.UNCLEAR
    return {"claim": "C6", "verdict": both, "parts": parts, "points": count}


# ---------------------------------------------------------------------------------------------- the section


def number(value: float) -> str:
    """Two places, with a real minus sign; a dash where there is no value."""
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}") if math.isfinite(value) else comments.NOTHING


def power(value: float) -> str:
    """Two digits and a power of ten, as 1.3e-6."""
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("-", "\N{MINUS SIGN}")


def percent(share: float) -> str:
    """In whole percent."""
    return f"{100 * share:.0f}{comments.PERCENT}"


def interval(result: dict[str, float]) -> str:
    """A correlation and its interval."""
    if not math.isfinite(result["low"]):
        return number(result["value"])
    return f"{number(result['value'])} [{number(result['low'])}, {number(result['high'])}]"


def measured(found: dict[str, Any]) -> list[str]:
    """The nets that were taken to zero gradient."""
    return [net for net in NETS if net in found["results"]]


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that minimal_ratio.typ shows, but the settings."""
    verdict = c6(found)
    return {
        "ends": [ends(net, found["results"][net]) for net in measured(found)],
        "rows": [row for net in measured(found) for row in correlations(net, points(found["results"][net]))],
        "judged": JUDGED,
        "radius": radius(found),
        "verdict": verdict["verdict"],
        "claim": claim_6(verdict),
        "comment": comment(found, verdict),
    }


def radius(found: dict[str, Any]) -> str:
    """The sphere's radius as a share of the weights' norm."""
    return next((f"{found['results'][net]['radii'][RADIUS]:g}" for net in measured(found)), comments.NOTHING)


def ends(net: str, results: dict[str, Any]) -> dict[str, str]:
    """One row of the table of what stands at the ends."""
    kind, norm, loss = (np.array(results[name]) for name in ("kind", "gradient_norm", "loss"))
    about, index = points(results), np.array(results["index"])
    saddles = index[kind == "saddle"]
    width = np.array(results["effective_width"])
    return {
        "net": net,
        "parameters": str(results["parameters"]),
        "n": str(len(kind)),
        "zero": str(int(np.sum(norm < ZERO))),
        "largest": power(float(norm.max())),
        "minima": str(int(np.sum(kind == "minimum"))),
        "channel": str(int(np.sum(about["channel"] & (kind == "minimum")))),
        "saddles": str(len(saddles)),
        "index": span(saddles),
        "flat": str(int(np.sum(kind == "flat"))),
        "unfinished": str(int(np.sum(kind == "unfinished"))),
        "constant": str(int(np.sum(results["constant"]))),
        "width": span(width),
        "loss": f"{power(float(np.median(loss)))} [{power(float(loss.min()))}, {power(float(loss.max()))}]",
    }


def span(counts: np.ndarray) -> str:
    """From the smallest to the largest of whole numbers."""
    if not len(counts):
        return comments.NOTHING
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def correlations(net: str, about: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """Rows of the table of correlations: all critical points of a net, and parts of them."""
    critical = about["critical"]
    views = {
        "all critical points": critical,
        "outside channels": critical & ~about["channel"],
        "minima": critical & about["minimum"],
    }
    rows = []
    for words, chosen in views.items():
        cells = {
            name: interval(correlation(about["loss"][chosen], about[name][chosen]))
            for name in ("index", "sampled", "predicted")
        }
        rows.append({"net": net, "words": words, "points": str(int(chosen.sum())), **cells})
    return [*rows, within_starts(net, about)]


def within_starts(net: str, about: dict[str, np.ndarray]) -> dict[str, str]:
    """The row of correlations among points from the same start: their median over the starts that have one."""
    groups = [about["critical"] & (about["start"] == start) for start in np.unique(about["start"])]
    groups = [group for group in groups if group.sum() >= GROUP]
    cells = {}
    for name in ("index", "sampled", "predicted"):
        values = [rank_correlations(about["loss"][group][None], about[name][group][None])[0] for group in groups]
        values = [value for value in values if math.isfinite(value)]
        cells[name] = f"{number(float(np.median(values)))} ({len(values)})" if values else comments.NOTHING
    return {"net": net, "words": "within a start", "points": str(sum(map(int, map(np.sum, groups)))), **cells}


def claim_6(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C6 in the table that opens the report."""
    shown = [
        f"share of {part['words']}: rank correlation {interval(part)}"
        for part in verdict["parts"]
        if math.isfinite(part["value"])
    ]
    evidence = f"{verdict['points']} critical points of the net {JUDGED}, loss with the {' and the '.join(shown)}"
    return {
        "name": "C6",
        "statement": "Where the gradient is almost zero, lower loss goes with a higher minimal ratio",
        "evidence": evidence if shown else f"The net {JUDGED} is not measured yet, or its ratios do not vary",
        "verdict": verdict["verdict"],
        "section": "minimal_ratio",
    }


# -------------------------------------------------------------------------------------------- its sentences


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, norms, channels, definitions, doubled, recipe."""
    results = found["results"]
    nets = {net: results[net] for net in measured(found)}
    said: dict[str, list[str]] = {"result": [f"The claim {comments.VERDICT_WORDS[verdict['verdict']]}."]}
    said["result"] += list(filter(None, map(part_sentence, verdict["parts"])))
    said["norms"] = [norm_sentence(net, about) for net, about in nets.items()]
    if nets:
        kinds = [kind for about in nets.values() for kind in about["kind"]]
        flat, unfinished = kinds.count("flat"), kinds.count("unfinished")
        said["norms"].append(
            f"Of all {len(kinds)} trainings {flat} end in a gradient-flat region and {unfinished} unfinished."
        )
    said["channels"] = list(filter(None, (channel_sentence(net, about) for net, about in nets.items())))
    said["definitions"] = list(filter(None, map(functools.partial(share_sentence, nets), nets)))
    said["doubled"] = list(filter(None, (doubled_sentence(net, about) for net, about in nets.items())))
    said["recipe"] = recipe_sentences(results[RECIPE]) if RECIPE in results else []
    return said


def part_sentence(part: dict[str, Any]) -> str:
    if not math.isfinite(part["value"]):
        return ""
    direction = {
        claims.HOLDS: "lower loss goes with a higher share",
        claims.FAILS: "lower loss goes with a lower share",
        claims.UNCLEAR: "no direction is certain",
    }[part["verdict"]]
    return f"By the share of {part['words']}, {direction} (rank correlation with the loss {interval(part)})."


def norm_sentence(net: str, results: dict[str, Any]) -> str:
    norm, adam = (np.array(results[name], float) for name in ("gradient_norm", "adam_norm"))
    below = int(np.sum(norm < ZERO))
    return (
        f"{net}: after Adam the gradient norm is {power(float(np.median(adam)))} (median); minimised, {below} of "
        f"{len(norm)} are below 1e\N{MINUS SIGN}8 and the largest is {power(float(norm.max()))}."
    )


def channel_sentence(net: str, results: dict[str, Any]) -> str:
    """How many minima are no places at all, and how large their weights are beside those of the others."""
    about, weights = points(results), np.array(results["weight_norm"], float)
    inside, outside = (about["minimum"] & (about["channel"] == which) for which in (True, False))
    if not inside.any():
        return f"{net}: none of its {int(about['minimum'].sum())} minima stands in a channel."
    beside = f", against {np.median(weights[outside]):.0f} at the others" if outside.any() else ""
    return (
        f"{net}: {int(inside.sum())} of its {int(about['minimum'].sum())} minima stand in a channel; the norm of their "
        f"weights is {np.median(weights[inside]):.0f} (median){beside}."
    )


def share_sentence(nets: dict[str, dict[str, Any]], net: str) -> str:
    """How well the eigenvalues predict the sampled share, and how far the two definitions differ."""
    about = points(nets[net])
    if not about["critical"].any():
        return ""
    sampled, predicted, index = (about[name][about["critical"]] for name in ("sampled", "predicted", "index"))
    return (
        f"{net}: sampled and predicted share differ by {np.abs(sampled - predicted).max():.2f} at most; the sampled "
        f"share and the share of eigenvalues that are not negative by up to {np.abs(sampled - index).max():.2f}."
    )


def doubled_sentence(net: str, results: dict[str, Any]) -> str:
    doubled = results["doubled"]
    norm, wider = np.array(doubled["norm"], float), np.array(doubled["doubled_norm"], float)
    if not len(norm):
        return ""
    kept = int(np.sum(wider <= math.sqrt(2) * norm + ROUND_OFF))
    saddles = sum(kind == "saddle" for kind in doubled["kind"])
    return (
        f"{net}: of {len(norm)} minima with a doubled unit {kept} have a gradient norm of at most \N{SQUARE ROOT}2 "
        f"times the one before (but for round-off), and {saddles} are saddles."
    )


def recipe_sentences(results: dict[str, Any]) -> list[str]:
    names = ("norm_before", "norm_after", "moved_share", "ratio", "exact_ratio", "ties", "by_slope")
    middle = {name: float(np.median(np.array(results[name], float))) for name in names}
    ratio = np.array(results["ratio"], float)
    return [
        f"After the loss is minimised its gradient norm is {middle['norm_before']:.2f}, and after the norm is, "
        f"{middle['norm_after']:.2f} (medians of {len(ratio)} trainings): the steps are so short that only "
        f"{100 * middle['moved_share']:.1f}{comments.PERCENT} of the weights change at all in float32.",
        f"The ratio it finds is {middle['ratio']:.2f} (median; {ratio.min():.2f} to {ratio.max():.2f}), and of the "
        f"same moves in float64 {middle['exact_ratio']:.2f}; in {percent(middle['by_slope'])} of the moves the slope "
        f"alone says whether the loss rises.",
    ]
