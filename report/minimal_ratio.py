"""What happens when gradient is almost zero: what the report says of the history of minimal_ratio.py, and claim C6.

The claim is about an order among points where the gradient vanishes, one a training. Both definitions of the minimal
ratio are held against the loss by Spearman's rank correlation, with bootstrap intervals over the points.
"""

import math
from typing import Any

import numpy as np

from report import claims
from report.wording import (
    MINUS,
    NOTHING,
    PERCENT,
    VERBS,
    VERDICT_WORDS,
    at_least,
    at_most,
    from_to,
    listed,
    number,
    percent,
    probability,
    two_digits,
)

FIGURES = ("minimal_ratio", "minimal_ratio_norm", "minimal_ratio_predicted")
NETS = ("1-4-1", "1-8-1", "1-4-4-1")
JUDGED = "1-4-1"  # claim and rule name no net; most trainings of this one reach zero gradient, as was known before
RECIPE = "1-40-40-1"  # the net of the earlier report's recipe
RADIUS = 2  # of the history's radii: the middle one
RESAMPLES = 2000  # of the bootstrap
PERMUTATIONS = 9999  # of a test over distinct critical points
MOST = 0.99  # of the resamples that must have a correlation, for an interval
GROUP = 4  # points, at least, for a correlation among them
ZERO = 1e-8  # a gradient norm that counts as zero
ROUND_OFF = 1e-9  # of a gradient whose Hessian is large
LEVEL = 1e-6  # losses that differ by a smaller share tie
ONE_PLACE = 1e-4  # by a smaller share, they are of one critical point, or of one channel, stopped sooner or later
RATIOS = {
    "index": "the share of eigenvalues that are not negative",
    "sampled": "the share of points on the sphere that are higher",
}
COLUMNS = ("index", "positive", "sampled", "predicted")  # of the table of correlations


OF_NETS = ("loss", "parameters", "kind", "index", "positive_share", "sampled", "predicted", "start", "gradient_norm")
OF_NETS += ("constant", "channel", "search_norm", "search_kind", "adam_norm", "weight_norm", "newton_step")
OF_NETS += ("effective_width", "doubled")
OF_RECIPE = ("norm_before", "norm_after", "moved_share", "ratio", "exact_ratio", "ties", "by_slope")


def needed(unit: str) -> tuple[str, ...]:
    """What this module reads of a unit's results."""
    return OF_RECIPE if unit == RECIPE else OF_NETS


# ------------------------------------------------------------------------------------- points and correlations


def points(results: dict[str, Any]) -> dict[str, np.ndarray]:
    """Loss, ratios and kinds of one net's trainings, (seeds,) each."""
    kind = np.array(results["kind"])
    return {
        "loss": np.array(results["loss"], float),
        "level": levels(np.array(results["loss"], float), LEVEL),
        "place": levels(np.array(results["loss"], float), ONE_PLACE),
        "index": 1 - np.array(results["index"], float) / results["parameters"],
        "positive": np.array(results["positive_share"], float),
        "sampled": np.array(results["sampled"], float)[:, RADIUS],
        "predicted": np.array(results["predicted"], float),
        "start": np.array(results["start"], int),
        "minimum": kind == "minimum",
        "saddle": kind == "saddle",
        "critical": (kind == "minimum") | (kind == "saddle"),
        "zero": np.array(results["gradient_norm"], float) < ZERO,
        "constant": np.array(results["constant"], bool),
        "channel": np.array(results["channel"], bool),
    }


def levels(losses: np.ndarray, share: float) -> np.ndarray:
    """Number of the level, lowest first, at which each loss lies: neighbours that differ by no more share one."""
    order = np.argsort(losses, kind="stable")
    gaps = np.diff(losses[order]) > share * losses[order][1:]
    found = np.zeros(len(losses))
    found[order[1:]] = np.cumsum(gaps)
    return found


def rank_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's, row by row of (rows, points), ties by mean ranks; NaN where all values of a row are equal."""
    from scipy import stats

    ranks = [stats.rankdata(each, axis=1) for each in (first, second)]
    centred = [each - each.mean(axis=1, keepdims=True) for each in ranks]
    lengths = np.sqrt(np.prod([np.sum(each**2, axis=1) for each in centred], axis=0))
    products = np.sum(centred[0] * centred[1], axis=1)
    return np.divide(products, lengths, out=np.full(len(first), np.nan), where=lengths > 0)


def correlation(loss: np.ndarray, ratio: np.ndarray) -> dict[str, float]:
    """Rank correlation of loss and ratio over points, with its 95 % bootstrap interval; NaN where there is none."""
    nothing = {"value": math.nan, "low": math.nan, "high": math.nan}
    if len(loss) < GROUP:
        return nothing
    value = float(rank_correlations(loss[None], ratio[None])[0])
    drawn = np.random.default_rng(0).integers(len(loss), size=(RESAMPLES, len(loss)))
    found = rank_correlations(loss[drawn], ratio[drawn])
    found = found[np.isfinite(found)]
    if not math.isfinite(value) or len(found) < MOST * RESAMPLES:  # the others would narrow the interval
        return nothing | {"value": value}
    low, high = np.quantile(found, [0.025, 0.975])
    return {"value": value, "low": float(low), "high": float(high)}


def among(about: dict[str, np.ndarray], chosen: np.ndarray, ratio: str) -> dict[str, float]:
    """`correlation` of the losses' levels and a ratio among the chosen points, a mask (seeds,) or indices."""
    return correlation(about["level"][chosen], about[ratio][chosen])


def distinct(about: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """The parts of C6 with each critical point counted once, by a permutation test of the rank correlation.

    Returns for each of RATIOS value, p (two-sided) and verdict.
    """
    places = one_a_level(about)
    level, random = about["level"][places], np.random.default_rng(0)
    orders = random.permuted(np.tile(np.arange(len(places)), (PERMUTATIONS, 1)), axis=1)
    parts = []
    for name, words in RATIOS.items():
        ratio = about[name][places]
        value, p, verdict = math.nan, math.nan, claims.UNCLEAR
        if len(places) >= GROUP and np.ptp(ratio) and np.ptp(level):
            value = float(rank_correlations(level[None], ratio[None])[0])
            drawn = rank_correlations(np.tile(level, (PERMUTATIONS, 1)), ratio[orders])
            p = float(1 + np.sum(np.abs(drawn) >= abs(value) - ROUND_OFF)) / (1 + PERMUTATIONS)
            verdict = claims.by_p(p, value < 0)
        parts.append({"name": name, "words": words, "value": value, "p": p, "verdict": verdict})
    return parts


def c6(found: dict[str, Any], net: str = JUDGED) -> dict[str, Any]:
    """C6: among critical points, lower loss goes with a higher minimal ratio. The net `JUDGED` decides.

    Holds if the intervals of both definitions lie below 0, does not hold if both lie above, else unclear. Losses that
    round-off could order tie (LEVEL); with fewer than GROUP points, or ratios that hardly vary, there is no interval.
    """
    parts = []
    about = points(found["results"][net]) if net in found["results"] else None
    for name, words in RATIOS.items():
        result = {"value": math.nan, "low": math.nan, "high": math.nan}
        if about is not None:
            result = among(about, about["critical"], name)
        verdict = claims.by_interval(-result["high"], -result["low"])
        parts.append({"name": name, "words": words, **result, "verdict": verdict})
    count = int(about["critical"].sum()) if about is not None else 0
    return {"verdict": claims.unanimous([part["verdict"] for part in parts]), "parts": parts, "points": count}


# ---------------------------------------------------------------------------------------------- the section


def interval(result: dict[str, float]) -> str:
    """A correlation and its interval."""
    if not math.isfinite(result["low"]):
        return number(result["value"])
    return f"{number(result['value'])} [{number(result['low'])}, {number(result['high'])}]"


def whole(value: float) -> str:
    """Of a count."""
    return str(int(value))


def measured(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Results of the nets that were taken to zero gradient."""
    return {net: found["results"][net] for net in NETS if net in found["results"]}


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that minimal_ratio.typ shows, but the settings."""
    verdict, nets = c6(found), measured(found)
    return {
        "nets": list(nets),
        "searches": searches(nets),
        "ends": [ends(net, results) for net, results in nets.items()],
        "rows": [row for net, results in nets.items() for row in correlations(net, points(results))],
        "doubled": [row for net, results in nets.items() for row in doubled(net, results)],
        "judged": JUDGED,
        "starts": listed(next(iter(nets.values()))["starts"][:-1]) if nets else NOTHING,
        "radius": f"{next(iter(nets.values()))['radii'][RADIUS]:g}" if nets else NOTHING,
        "claim": claim_6(found, verdict),
        "answer": answer(found, verdict),
        "comment": comment(found, verdict),
    }


def tally(results: dict[str, Any]) -> list[dict[str, int]]:
    """How the searches from each start ended: tried, minima and saddles with a norm of zero, flat and other ends."""
    norm, kind = np.array(results["search_norm"], float), np.array(results["search_kind"])
    zero = norm < ZERO
    flat = (kind == "flat") & ~zero
    counted = {
        "tried": np.isfinite(norm),
        "minima": zero & (kind == "minimum"),
        "saddles": zero & (kind == "saddle"),
        "flat": flat,
        "others": np.isfinite(norm) & ~zero & ~flat,
    }
    sums = {name: mask.sum(axis=0) for name, mask in counted.items()}
    return [{name: int(sums[name][start]) for name in sums} for start in range(norm.shape[1])]


def searches(nets: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Rows of the table of searches: a start and, net by net, how the searches from it ended; last all of them."""
    if not nets:
        return []
    by_net = {net: tally(results) for net, results in nets.items()}
    *early, own, last = next(iter(nets.values()))["starts"]
    groups = {own: slice(-2, -1), last: slice(-1, None), "all": slice(None)}
    if early:
        groups = {" to ".join(dict.fromkeys((early[0], early[-1]))): slice(None, -2)} | groups
    return [
        [
            words,
            *(str(sum(each[name] for each in tallies[which])) for tallies in by_net.values() for name in tallies[0]),
        ]
        for words, which in groups.items()
    ]


def ends(net: str, results: dict[str, Any]) -> dict[str, str]:
    """One row of the table of what stands at the ends."""
    about, index = points(results), np.array(results["index"])
    minimum, saddle, channel = about["minimum"], about["saddle"], about["channel"]
    width = np.array(results["effective_width"])
    return {
        "net": net,
        "minima": str(int(minimum.sum())),
        "strict": str(int(np.sum(strict(about)))),
        "minima_channel": str(int(np.sum(minimum & channel))),
        "minima_loss": from_to(about["loss"][minimum]),
        "minima_width": from_to(width[minimum], whole),
        "saddles": str(int(saddle.sum())),
        "index": from_to(index[saddle], whole),
        "saddles_channel": str(int(np.sum(saddle & channel))),
        "saddles_loss": from_to(about["loss"][saddle]),
        "saddles_width": from_to(width[saddle], whole),
        "constant": str(int(np.sum(about["critical"] & about["constant"]))),
    }


def strict(about: dict[str, np.ndarray]) -> np.ndarray:
    """(seeds,): minima, outside channels, without an eigenvalue that is zero within round-off."""
    return about["minimum"] & (about["positive"] == 1) & ~about["channel"]


def correlations(net: str, about: dict[str, np.ndarray]) -> list[dict[str, str]]:
    """Rows of the table of correlations: all critical points of a net, its minima, and those of one start.

    Of the net that decides also parts of them, and one point a level.
    """
    critical = about["critical"]
    chosen = {"all critical points": np.flatnonzero(critical), "minima": np.flatnonzero(about["minimum"])}
    parts = {
        "norm below 1e\N{MINUS SIGN}8": np.flatnonzero(critical & about["zero"]),
        "output not constant": np.flatnonzero(critical & ~about["constant"]),
        "each point once": one_a_level(about),
    }
    rows = [
        {
            "net": net,
            "words": words,
            "points": str(len(places)),
            **{name: interval(among(about, places, name)) for name in COLUMNS},
        }
        for words, places in (chosen | (parts if net == JUDGED else {})).items()
    ]
    return [*rows, within_starts(net, about)]


def one_a_level(about: dict[str, np.ndarray]) -> np.ndarray:
    """Indices of one critical point of each `place` and index."""
    places = np.flatnonzero(about["critical"])
    _, first = np.unique(np.stack([about["place"][places], about["index"][places]]), axis=1, return_index=True)
    return places[first]


def groups_of(about: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Masks of the critical points that come from one start, GROUP or more."""
    groups = [about["critical"] & (about["start"] == start) for start in np.unique(about["start"])]
    return [group for group in groups if group.sum() >= GROUP]


def within_starts(net: str, about: dict[str, np.ndarray]) -> dict[str, str]:
    """The row of correlations among points from the same start: their range over the starts that have one."""
    groups = groups_of(about)
    cells, counted = {}, np.zeros(len(about["loss"]), bool)
    for name in COLUMNS:
        values = [rank_correlations(about["level"][group][None], about[name][group][None])[0] for group in groups]
        known = [value for value in values if math.isfinite(value)]
        cells[name] = f"{from_to(np.array(known), number)} ({len(known)})" if known else NOTHING
        for group, value in zip(groups, values, strict=True):
            counted |= group & math.isfinite(value)
    return {"net": net, "words": "within a start", "points": str(int(counted.sum())), **cells}


def doubled(net: str, results: dict[str, Any]) -> list[dict[str, str]]:
    """The row of the check with a doubled unit; none where there is no minimum."""
    norm, wider = (np.array(results["doubled"][name], float) for name in ("norm", "doubled_norm"))
    if not len(norm):
        return []
    known = norm > ROUND_OFF
    kinds = list(results["doubled"]["kind"])
    return [
        {
            "net": net,
            "minima": str(len(norm)),
            "known": str(int(known.sum())),
            "ratio": number(float((wider[known] / norm[known]).max())) if known.any() else NOTHING,
            "saddles": str(kinds.count("saddle")),
            "others": str(len(kinds) - kinds.count("saddle")),
        }
    ]


def claim_6(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C6 in the table that opens the report."""
    shown = [
        f"against {part['words']}: rank correlation {interval(part)}"
        for part in verdict["parts"]
        if math.isfinite(part["value"])
    ]
    evidence = f"Loss of {verdict['points']} critical points of the net {JUDGED} {'; '.join(shown)}"
    by_points = verdict["verdict"]
    if shown:
        by_points = claims.unanimous([part["verdict"] for part in distinct(points(found["results"][JUDGED]))])
    if by_points != verdict["verdict"]:
        evidence += f"; counting each point once, which is sounder, it {VERBS[by_points]}"
    if shown and other_nets(found):
        evidence += f"; by the same rule it {other_nets(found)}"
    return {
        "name": "C6",
        "statement": "Where the gradient is almost zero, lower loss goes with a higher minimal ratio",
        "evidence": evidence if shown else f"The net {JUDGED} is not measured yet, or its ratios do not vary",
        "verdict": verdict["verdict"],
        "section": "minimal_ratio",
    }


# -------------------------------------------------------------------------------------------- its sentences


def both_kinds(about: dict[str, np.ndarray]) -> int:
    """How many starts lead to minima as well as to saddles."""
    return len(set(about["start"][about["minimum"]]) & set(about["start"][about["saddle"]]))


def answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, where the deciding net's trainings end and what the loss tells; empty where it is not measured."""
    if JUDGED not in found["results"]:
        return ""
    about = points(found["results"][JUDGED])
    minima, saddles, total = int(about["minimum"].sum()), int(about["saddle"].sum()), len(about["loss"])
    channels = int(np.sum(about["minimum"] & about["channel"]))
    trend = {
        claims.HOLDS: "Where the loss is lower, fewer directions lead downhill",
        claims.FAILS: "Where the loss is lower, more directions lead downhill",
        claims.UNCLEAR: "The two definitions of the minimal ratio do not both surely go one way with the loss",
    }[verdict["verdict"]]
    but = ""
    if minima and saddles and not both_kinds(about):
        but = (
            f" That is minima (loss {from_to(about['loss'][about['minimum']])}) against saddles "
            f"({from_to(about['loss'][about['saddle']])}), which were reached from different starts."
        )
    return (
        f"Of {total} trainings of the net {JUDGED}, {saddles} end in saddles, {minima} in minima by the rule below "
        f"({channels} of these in channels, along which the loss falls for ever) and "
        f"{total - minima - saddles or 'none'} elsewhere. {trend}.{but}"
    )


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, soundness, norms, channels, definitions, recipe."""
    nets = measured(found)
    said: dict[str, list[str]] = {"result": [f"By its rule the claim {VERDICT_WORDS[verdict['verdict']]}."]}
    said["result"] += part_sentences(verdict["parts"])
    said["soundness"] = soundness(nets[JUDGED]) if JUDGED in nets else []
    if other_nets(found):
        said["result"].append(f"By the same rule it {other_nets(found)}.")
    said["norms"] = norm_sentences(nets)
    said["channels"] = list(filter(None, (channel_sentence(net, results) for net, results in nets.items())))
    said["definitions"] = share_sentences(nets)
    said["recipe"] = recipe_sentences(found["results"][RECIPE]) if RECIPE in found["results"] else []
    return said


def other_nets(found: dict[str, Any]) -> str:
    """What the rule says of the nets that do not decide: is unclear for 1-8-1 and holds for 1-4-4-1."""
    others = [net for net in NETS if net != JUDGED and net in found["results"]]
    return listed([f"{VERBS[c6(found, net)['verdict']]} for {net}" for net in others]) if others else ""


def part_sentences(parts: list[dict[str, Any]]) -> list[str]:
    """Which way each ratio goes with the loss, ratios that go one way in one sentence."""
    direction = {
        claims.HOLDS: "The lower the loss, the higher",
        claims.FAILS: "The lower the loss, the lower",
        claims.UNCLEAR: "No direction is certain of",
    }
    ways: dict[str, list[str]] = {}
    for part in parts:
        if math.isfinite(part["value"]):
            ways.setdefault(direction[part["verdict"]], []).append(f"{part['words']} ({interval(part)})")
    return [f"{way} {listed(words)}; in brackets the rank correlation with the loss." for way, words in ways.items()]


def soundness(results: dict[str, Any]) -> list[str]:
    """What the correlation of the deciding net rests on."""
    about = points(results)
    critical, said = about["critical"], []
    if not critical.any():
        return []
    starts = len(set(about["start"][critical]))
    both = both_kinds(about)
    said.append(
        f"The critical points of {JUDGED} come from {starts} starts, of which {both or 'none'} "
        f"{'leads' if both < 2 else 'lead'} to both minima and saddles"
        + (": the correlation compares ways of searching as much as points." if not both else ".")
    )
    moving = about["sampled"][critical & ~about["constant"]]
    constant = int(np.sum(critical & about["constant"]))
    if len(moving) and moving.min() == 1 and constant:
        said.append(
            f"On the sphere all {len(moving)} points whose output is not constant have a share of 1.00, saddles "
            f"included: that ratio tells the {constant} nets with constant output from the others, and nothing else."
        )
    elif len(moving):
        said.append(f"Among points whose output is not constant the sampled share is {from_to(moving, number)}.")
    by_size = int(np.sum(critical & ~about["zero"]))
    count = len(one_a_level(about))
    said.insert(
        0,
        f"The {int(critical.sum())} points are {count} different one{'s' if count != 1 else ''}, by loss and index: "
        f"trainings meet the same critical points, or the same channels, again. The rule's interval takes them for "
        f"independent, which is unsound{once_each(about)}.",
    )
    if by_size:
        said.append(f"{by_size} of the points are critical only because the bound grows with the Hessian.")
    return said + within(about)


def once_each(about: dict[str, np.ndarray]) -> str:
    """What the parts of the claim come to where each critical point counts once."""
    parts = [part for part in distinct(about) if math.isfinite(part["value"])]
    if not parts:
        return ""
    shown = [
        f"{number(part['value'])} for {part['words']} (p {probability(part['p'])}: this part {VERBS[part['verdict']]})"
        for part in parts
    ]
    return f"; with each counted once the correlation is {listed(shown)}"


def within(about: dict[str, np.ndarray]) -> list[str]:
    """What the ratios tell among minima, and among points that come from one start."""
    said, minima = [], np.flatnonzero(about["minimum"])
    values = {name: among(about, minima, name) for name in (*RATIOS, "positive")}
    if len(minima) >= GROUP:
        varying = [RATIOS[name] for name in RATIOS if math.isfinite(values[name]["value"])]
        if varying:
            said.append(f"Among its {len(minima)} minima {listed(varying)} varies.")
        else:
            strictly = int(np.sum(strict(about)))
            said.append(
                f"Among its {len(minima)} minima, {strictly} of them strict, neither ratio of the claim varies."
            )
        positive = values["positive"]
        if math.isfinite(positive["low"]):
            words = (
                "against the claim" if positive["low"] > 0 else "as claimed" if positive["high"] < 0 else "undecided"
            )
            said.append(
                f"The share of eigenvalues that are positive does: its rank correlation with the loss is "
                f"{interval(positive)} there, {words}."
            )
    levels_and = {name: [(about["level"][group], about[name][group]) for group in groups_of(about)] for name in RATIOS}
    if not any(np.ptp(loss) and np.ptp(ratio) for pairs in levels_and.values() for loss, ratio in pairs):
        said.append(
            "Within a start, where it would be fairer, there is no comparison: the losses or the ratios are equal."
        )
    return said


def by_net(values: dict[str, str]) -> str:
    """0.31 (1-4-1) and 0.32 (1-8-1)."""
    return listed([f"{value} ({net})" for net, value in values.items()])


def norm_sentences(nets: dict[str, dict[str, Any]]) -> list[str]:
    """How near to zero Adam comes, and the searches after it."""
    if not nets:
        return []
    norms = {net: np.array(results["gradient_norm"], float) for net, results in nets.items()}
    adam = by_net({net: two_digits(float(np.median(results["adam_norm"]))) for net, results in nets.items()})
    below = by_net({net: f"{int(np.sum(norm < ZERO))} of {len(norm)}" for net, norm in norms.items()})
    largest = by_net({net: two_digits(float(norm.max())) for net, norm in norms.items()})
    return [
        f"After Adam the gradient norm is {adam} (medians).",
        f"In the end it is below 1e{MINUS}8 in {below} trainings; the largest remaining norm is {largest}.",
    ]


def channel_sentence(net: str, results: dict[str, Any]) -> str:
    """How many points are no places at all, and how far Newton's step would still go there and elsewhere."""
    about, weights = points(results), np.array(results["weight_norm"], float)
    step = np.array(results["newton_step"], float) / weights
    inside, outside = (about["minimum"] & (about["channel"] == which) for which in (True, False))
    if not inside.any():
        return f"{net}: none of its {int(about['minimum'].sum())} minima stands in a channel."
    beside = ""
    if outside.any():
        beside = (
            f"; at its other minima the norm is {np.median(weights[outside]):.0f} and the step at most "
            f"{at_most(float(step[outside].max()))} of it"
        )
    saddles = int(np.sum(about["saddle"] & about["channel"]))
    return (
        f"{net}: {int(inside.sum())} of its {int(about['minimum'].sum())} minima stand in a channel; there the norm of "
        f"the weights is {np.median(weights[inside]):.0f} (median), and Newton's step would go on by at least "
        f"{at_least(float(step[inside].min()))} of it{beside}."
        + (f" So do {saddles} of its saddles." if saddles else "")
    )


def share_sentences(nets: dict[str, dict[str, Any]]) -> list[str]:
    """How well the eigenvalues predict the sampled share, and how far the two definitions differ."""
    differ, apart = {}, {}
    for net, results in nets.items():
        about = points(results)
        if about["critical"].any():
            sampled, predicted, index = (about[name][about["critical"]] for name in ("sampled", "predicted", "index"))
            differ[net] = at_most(float(np.abs(sampled - predicted).max()))
            apart[net] = at_most(float(np.abs(sampled - index).max()))
    if not differ:
        return []
    return [
        f"Sampled and predicted share differ by at most {by_net(differ)}, the sampled share and the share of "
        f"eigenvalues that are not negative by up to {by_net(apart)}."
    ]


def recipe_sentences(results: dict[str, Any]) -> list[str]:
    """What the earlier report's way of looking for a zero gradient does in float32, and in float64."""
    middle = {name: float(np.median(np.array(results[name], float))) for name in OF_RECIPE}
    spans = {name: from_to(np.array(results[name], float), number) for name in ("ratio", "exact_ratio")}
    still = int(np.sum(np.array(results["moved_share"], float) == 0))
    return [
        f"The gradient norm is {middle['norm_before']:.4f} before the steps on it and {middle['norm_after']:.4f} after "
        f"them (medians of {len(results['ratio'])} trainings): in float32 they are too short for "
        f"{100 * (1 - middle['moved_share']):.1f}{PERCENT} of the weights; in {still} nets no weight moves at all.",
        f"The ratio is {middle['ratio']:.2f} (median; {spans['ratio']}); of the same moves in float64 it is "
        f"{middle['exact_ratio']:.2f} ({spans['exact_ratio']}). In {percent(middle['by_slope'])} of the moves the "
        f"slope alone says whether the loss rises.",
    ]
