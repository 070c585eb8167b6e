"""Number of parameters against generalization: what the report says of the history of param_count.py, and claim C9.

A net's value is the mean of its last five epochs, of clean evaluations; a width's is the mean over its seeds
(`hw1_3/ten_nets.py`). Trends are Spearman's rank correlations with the width.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3 import ten_nets
from report import claims
from report.claims import C9_LEVEL, C9_LEVEL_FROM, C9_RISING_TO, C9_TREND
from report.wording import (
    DIVERGED,
    NOTHING,
    PART_WORDS,
    PERCENT,
    SHORT_WORDS,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    number,
    percent,
    seed_count,
)

RISING = tuple(width for width in ten_nets.REFERENCE if width <= C9_RISING_TO)  # units a layer
LEVEL = tuple(width for width in ten_nets.REFERENCE if width >= C9_LEVEL_FROM)
PRINTED = 0.005  # percentage points: a smaller difference is not in the two digits of the earlier report
DRAWS = 20_000  # of as many equal nets
NEIGHBOURS = len(ten_nets.REFERENCE) - 1  # pairs of neighbouring widths
ONE_SIDED = 5  # widths: more than so many on one side are hardly chance, 1 in 32 or less
LARGE = 256  # units a layer from which on the earlier report's test accuracies are close to each other
FIGURES = ("param_count", "param_count_noise")
NEEDED = ("width", "parameters", "seeds", "dead", "epochs", *ten_nets.CURVES)
Nets = dict[int, dict[str, np.ndarray]]
Live = dict[int, dict[int, float]]  # {width: {seed: value}} of nets that are not dead


# ------------------------------------------------------------------------------------------------- the claim


def mean_at_the_end(nets: Nets, name: str) -> dict[int, float]:
    """{width: mean over the seeds of a curve's end}."""
    return {width: float(np.mean(ten_nets.at_the_end(net, name))) for width, net in nets.items()}


def rank_correlation(values: dict[int, float]) -> float:
    """Spearman's, of values and widths; NaN below three widths or where all values are one."""
    from scipy import stats

    if len(values) < 3 or len(set(values.values())) == 1:
        return math.nan
    return float(stats.spearmanr(list(values), list(values.values())).statistic)


def trend(nets: Nets, name: str, sign: int) -> dict[str, Any]:
    """Whether a quantity improves with the width: a rank correlation of the means over seeds; better times `sign`.

    Unclear where a width of RISING has fewer than two seeds.
    """
    means = {width: value for width, value in mean_at_the_end(nets, name).items() if width in RISING}
    value = sign * rank_correlation(means)
    verdict = claims.by_limits(value, value, C9_TREND)
    whole = all(count_of(nets, width) > 1 for width in RISING)
    return {"value": value, "widths": len(means), "verdict": verdict if whole else claims.UNCLEAR}


def count_of(nets: Nets, width: int) -> int:
    """Seeds of a width."""
    return len(nets[width]["seeds"]) if width in nets else 0


def level(nets: Nets) -> dict[str, Any]:
    """Percentage points between the highest and the lowest mean test accuracy of LEVEL.

    Unclear where one of these widths has fewer than two seeds: one seed decides nothing about others.
    """
    means = {width: value for width, value in mean_at_the_end(nets, "test_accuracy").items() if width in LEVEL}
    span = 100 * float(np.ptp(list(means.values()))) if len(means) > 1 else math.nan
    verdict = claims.by_span(span)
    whole = all(count_of(nets, width) > 1 for width in LEVEL)
    return {"value": span, "widths": len(means), "verdict": verdict if whole else claims.UNCLEAR}


def crossings(nets: Nets, loss: str = "train_loss") -> list[dict[str, Any]]:
    """For each two neighbours among the ten widths: in how many common seeds training gets worse and testing better.

    By training loss, clean or running, and test accuracy, the two measures of the trends. Only pairs that are measured.
    """
    found = []
    for narrow, wide in itertools.pairwise(ten_nets.REFERENCE):
        if narrow not in nets or wide not in nets:
            continue
        _, *places = np.intersect1d(nets[narrow]["seeds"], nets[wide]["seeds"], return_indices=True)
        changes = {}
        for name in (loss, "test_accuracy"):
            before, after = (
                ten_nets.at_the_end(nets[width], name)[place]
                for width, place in zip((narrow, wide), places, strict=True)
            )
            changes[name] = after - before
        both = (changes[loss] > 0) & (changes["test_accuracy"] > 0)
        found.append({"narrow": narrow, "wide": wide, "agree": int(both.sum()), "seeds": len(both)})
    return found


def crossing(nets: Nets) -> dict[str, Any]:
    """Whether some pair of neighbouring widths crosses in all of its seeds, two or more.

    Unclear where one with a single seed does, and where none does but a pair has fewer than two seeds.
    """
    pairs = crossings(nets)
    several = [pair for pair in pairs if pair["seeds"] > 1]
    whole = [pair for pair in pairs if agrees(pair)]
    best = max(whole, key=lambda pair: pair["seeds"], default=None)  # the first of those with most seeds
    verdict = claims.UNCLEAR
    if best is not None and best["seeds"] > 1:
        verdict = claims.HOLDS
    elif best is None and len(several) == NEIGHBOURS:
        verdict = claims.FAILS
    return {"value": best, "whole": len(whole), "pairs": len(pairs), "several": len(several), "verdict": verdict}


def c9(nets: Nets) -> dict[str, Any]:
    """C9: training and test results improve with size up to a peak and then level off; testing improves for longer."""
    parts = [
        {"name": "loss", **trend(nets, "train_loss", -1)},  # up to 512 units the training loss falls with the width
        {"name": "accuracy", **trend(nets, "test_accuracy", 1)},  # and the test accuracy rises
        {"name": "level", **level(nets)},  # from 1,024 units on the test accuracy is level
        {"name": "crossing", **crossing(nets)},  # between neighbours training gets worse and testing better
    ]
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that param_count.typ shows, but the settings."""
    nets, noisy = ten_nets.by_width(found), ten_nets.by_width(found, noisy=True)
    verdict = c9(nets)
    return {
        "rows": [row(width, nets[width]) for width in nets],
        "claim": claim_9(verdict),
        "answer": answer(nets, verdict),
        "best": best_width(nets),
        "comment": comment(nets, verdict, claims.test_images(found)),
        "noise": noise_comment(noisy),
    }


def best_width(nets: Nets) -> str:
    """The highest mean test accuracy, in percent, and its width; empty where nothing is measured."""
    means = mean_at_the_end(nets, "test_accuracy")
    if not means:
        return ""
    width = max(means, key=lambda each: claims.score(means[each]))
    return f"{percent_text(means[width])} at {width:,}"


def loss_text(value: float) -> str:
    """Four places, as the earlier report gives its losses."""
    return number(value, 4, DIVERGED)


def percent_text(share: float) -> str:
    """In percent, which the table's caption says."""
    return number(100 * share, 2, DIVERGED)


def with_deviation(values: np.ndarray, text: Any) -> str:
    """Mean, and below it, where there are several seeds, their standard deviation."""
    mean = text(float(np.mean(values)))
    return f"{mean}\n\N{PLUS-MINUS SIGN} {text(float(np.std(values, ddof=1)))}" if len(values) > 1 else mean


def row(width: int, net: dict[str, np.ndarray]) -> dict[str, str]:
    """A width's row in both tables beside the earlier report's values: means over the seeds."""
    cells = {"width": f"{width:,}", "parameters": f"{int(net['parameters']):,}", "n": str(len(net["seeds"]))}
    theirs = ten_nets.REFERENCE.get(width, {})
    for quantity, text in (("loss", loss_text), ("accuracy", percent_text)):
        for data in ("train", "test", "running"):
            name = f"{data}_{quantity}"
            cells[name] = with_deviation(ten_nets.at_the_end(net, name), text)
            cells[f"{name}_last"] = text(float(np.mean(net[name][:, -1])))
            if data != "running":
                cells[f"{name}_reference"] = text(theirs[name]) if theirs else NOTHING
    return cells


def value_text(part: dict[str, Any]) -> str:
    """The value by which a part is judged."""
    if part["name"] == "crossing":
        pair = part["value"]
        if pair is None:
            return f"none of {part['several']} pairs" if part["several"] else NOTHING
        return f"{pair['narrow']:,} to {pair['wide']:,}: {pair['agree']} of {pair['seeds']} seeds"
    if not math.isfinite(part["value"]):
        return NOTHING
    shown = number(part["value"])
    return f"{shown} points" if part["name"] == "level" else shown


def measured_of(part: dict[str, Any]) -> str:
    """How many of the widths that a part is about are measured."""
    return f"{part['widths']} of {len(LEVEL if part['name'] == 'level' else RISING)}"


def claim_9(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C9 in the table that opens the report."""
    names = {
        "loss": "rank correlation of size with training results",
        "accuracy": "with test accuracy",
        "level": "from 1,024 units on test accuracies span",
        "crossing": "training worse but testing better:",
    }
    shown = [
        f"{names[part['name']]} {value_text(part)} ({part['verdict']})"
        for part in verdict["parts"]
        if value_text(part) != NOTHING
    ]
    evidence = "; ".join(shown) or "Too few widths are measured yet"
    return {
        "name": "C9",
        "statement": "Results improve with size up to a peak, then level off; testing improves longer than training",
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": "param_count",
    }


# -------------------------------------------------------------------------------------------- its sentences


def answer(nets: Nets, verdict: dict[str, Any]) -> str:
    """In short, up to which size larger nets are better; empty where too few widths are measured."""
    parts = {part["name"]: part for part in verdict["parts"]}
    small, large = parts["accuracy"], parts["level"]
    said = []
    if math.isfinite(small["value"]):
        said.append(
            f"By test accuracy, averaged over the last five epochs: up to {RISING[-1]:,} units a layer, "
            f"{SHORT_WORDS[small['verdict']]}."
        )
    if math.isfinite(large["value"]):
        words = {claims.HOLDS: "level", claims.FAILS: "not level", claims.UNCLEAR: "unclear"}[large["verdict"]]
        said.append(
            f"From {LEVEL[0]:,} units on, {words}: mean test accuracies lie within {large['value']:.2f} points."
        )
    widening = {name: rank_correlation(mean_gaps(nets, name)) for name in ("loss", "accuracy")}
    if all(map(math.isfinite, widening.values())):
        said.append(
            f"The gap between training and test results has a rank correlation with the size of "
            f"{number(widening['loss'])} in loss and {number(widening['accuracy'])} in accuracy."
        )
    return " ".join(said)


def because(widths: Sequence[int], nets: Nets, verdict: str) -> str:
    """Which of a part's widths leave it unclear: none of its seeds measured, or a single one."""
    if verdict != claims.UNCLEAR:
        return ""
    lists = {count: [f"{width:,}" for width in widths if count_of(nets, width) == count] for count in (0, 1)}
    missing, single = lists[0], lists[1]
    said = ""
    if missing:
        said += f" Nets of {listed(missing)} units are not measured yet."
    if single:
        said += (
            f" There is one seed {'each ' * (len(single) > 1)}of {listed(single)} units, which decides "
            "nothing about others."
        )
    return said


def comment(nets: Nets, verdict: dict[str, Any], images: int | None) -> dict[str, list[str]]:
    """Paragraphs under the tables: result, peak, noise, running, gap, reference; empty where nothing is measured."""
    said: dict[str, list[str]] = {"result": [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]}
    said["result"] += [
        part_sentence(part, nets) for part in verdict["parts"] if part.get("widths") or part.get("pairs")
    ]
    several = len(nets) > 1
    said["peak"] = peak_sentences(nets) if several else []
    said["noise"] = noise_sentences(nets, images) if nets else []
    said["running"] = running_sentences(nets) if several else []
    said["gap"] = gap_sentences(nets) if several else []
    said["reference"] = reference_sentences(nets)
    return said


def part_sentence(part: dict[str, Any], nets: Nets) -> str:
    """What the history says about a part of the claim, and why it decides nothing where seeds are missing."""
    outcome = PART_WORDS[part["verdict"]]
    if part["name"] in ("loss", "accuracy"):
        wanted, name = ("fall", "training loss") if part["name"] == "loss" else ("rise", "test accuracy")
        value = value_text(part)
        return (
            f"Up to {RISING[-1]} units a layer the {name} should {wanted} with the width: the rank correlation in that "
            f"direction is {value} over {measured_of(part)} widths (at least {C9_TREND[0]} holds, at most "
            f"{C9_TREND[1]} does not), and {outcome}.{because(RISING, nets, part['verdict'])}"
        )
    if part["name"] == "level":
        why = because(LEVEL, nets, part["verdict"])
        if not math.isfinite(part["value"]):
            return f"From {LEVEL[0]:,} units on fewer than two widths are measured: {outcome}.{why}"
        return (
            f"From {LEVEL[0]:,} units on, the mean test accuracies of {measured_of(part)} widths lie within "
            f"{part['value']:.2f} percentage points of each other (level: at most {C9_LEVEL}): {outcome}.{why}"
            f"{beyond_sentence(nets)}"
        )
    pair, pairs = part["value"], part["pairs"]
    if not pairs:
        return f"No two neighbours of the ten widths are measured: {outcome}."
    if pair is None and not part["several"]:
        return f"No pair of neighbouring widths has two or more seeds: {outcome}."
    if pair is None:
        rest = NEIGHBOURS - part["several"]
        few = f"; {rest} pair{'s' if rest > 1 else ''} of {NEIGHBOURS} have fewer seeds" if rest else ""
        return (
            f"None of {part['several']} pairs of neighbouring widths with two or more seeds has a higher training loss "
            f"and a higher test accuracy at the wider net in all seeds, where one such pair would do{few}: {outcome}."
        )
    seeds = f"in {'all ' if pair['seeds'] > 1 else ''}{seed_count(pair['seeds'])}"
    return (
        f"From {pair['narrow']:,} to {pair['wide']:,} units the training loss rises and yet the test accuracy rises, "
        f"{seeds}; so it is in all seeds of {part['whole']} of {pairs} pairs of neighbouring widths: {outcome}."
    )


def beyond_sentence(nets: Nets) -> str:
    """How often equal nets would not be level: means of as many seeds, drawn with the deviation of those of LEVEL."""
    counts = [count(nets[width]) for width in LEVEL if width in nets]
    several = [width for width in LEVEL if count_of(nets, width) > 1]
    if len(counts) < 2 or not several:
        return ""
    deviation = pooled_deviation([ten_nets.at_the_end(nets[width], "test_accuracy") for width in several])
    if not math.isfinite(deviation):
        return ""
    means = np.random.default_rng(0).normal(size=(DRAWS, len(counts))) * deviation / np.sqrt(counts)
    beyond = percent(float(np.mean(np.ptp(means, axis=1) > C9_LEVEL)))
    return (
        f" Equal nets with as many seeds would span more than {C9_LEVEL} in {beyond} of cases, if seeds deviate by "
        f"{deviation:.2f} points as those of {listed([f'{width:,}' for width in several])} units do."
    )


def pooled_deviation(groups: Sequence[np.ndarray]) -> float:
    """Standard deviation within the groups, in percentage points, of accuracies."""
    squares = sum((len(group) - 1) * np.var(group, ddof=1) for group in groups)
    return 100 * math.sqrt(squares / sum(len(group) - 1 for group in groups))


def peak_sentences(nets: Nets) -> list[str]:
    """Which widths are best by each quantity."""
    best = {}
    for words, name, sign in (
        ("training loss", "train_loss", -1),
        ("training accuracy", "train_accuracy", 1),
        ("test loss", "test_loss", -1),
        ("test accuracy", "test_accuracy", 1),
    ):
        means = mean_at_the_end(nets, name)
        width = max(means, key=lambda each, means=means, sign=sign: claims.score(sign * means[each]))
        text = percent(means[width], 2) if sign > 0 else loss_text(means[width])
        best[words] = f"{width:,} units ({text})"
    return [
        f"Best by the mean over seeds, which need not mean better than their neighbours by more than chance, are "
        f"{listed([f'{where} by {words}' for words, where in best.items()])}."
    ]


def noise_sentences(nets: Nets, images: int | None) -> list[str]:
    """How far chance alone moves a test accuracy: by images, and by seeds; and what that says of single trainings."""
    said = []
    means = mean_at_the_end(nets, "test_accuracy")
    middle = float(np.median(list(means.values())))
    if images and math.isfinite(middle):
        error = 100 * claims.standard_error(middle, images)
        said.append(
            f"A test accuracy of one net of {percent(middle, 2)} on {images:,} images has a binomial "
            f"standard error of {error:.2f} percentage points; nets compared on the same images differ by less."
        )
    deviations = [
        100 * float(np.std(ten_nets.at_the_end(net, "test_accuracy"), ddof=1))
        for net in nets.values()
        if count(net) > 1
    ]
    if deviations:
        said.append(
            f"Seeds of one width differ with a standard deviation of {min(deviations):.2f} to {max(deviations):.2f} "
            "points."
        )
    return [*said, single_trainings_sentence(nets)]


def single_trainings_sentence(nets: Nets) -> str:
    """What the earlier report's differences between its largest nets, one training each, can say of size."""
    large = {width: row["test_accuracy"] for width, row in ten_nets.REFERENCE.items() if width >= LARGE}
    span = 100 * (max(large.values()) - min(large.values()))
    theirs = f"The earlier report's {len(large)} largest nets, one training each, span {span:.2f} points"
    several = {width: nets[width] for width in large if count_of(nets, width) > 1}
    if not several:
        return f"{theirs}; no width of theirs has several seeds here, so what chance does to them is not told."
    deviation = pooled_deviation([net["test_accuracy"][:, -1] for net in several.values()])  # as theirs: the last
    limit = 2 * math.sqrt(2) * deviation
    widths = listed([f"{width:,}" for width in several]).replace(" and ", " or ")
    if not math.isfinite(limit):
        return f"{theirs}; a net of these widths diverged here, so what chance does to them is not told."
    beyond = "Differences of that size between single trainings say nothing about size."
    if span > limit:
        beyond = (
            "A difference of that size between two trainings is more than chance, but the largest among so many nets "
            "is more than that between two by chance alone."
        )
    return (
        f"{theirs}. By chance, two trainings of one width ({widths} units) seldom differ by more than {limit:.2f} "
        f"points: twice \N{SQUARE ROOT}2 times the standard deviation of one, {deviation:.2f} points after the last "
        f"epoch. {beyond}"
    )


def count(net: dict[str, np.ndarray]) -> int:
    """Seeds of a net."""
    return len(net["seeds"])


def running_sentences(nets: Nets) -> list[str]:
    """By how much the running loss is higher than the clean one, and what the claim looks like by it."""
    running, clean = mean_at_the_end(nets, "running_loss"), mean_at_the_end(nets, "train_loss")
    finite = {width: running[width] / clean[width] for width in nets if clean[width] > 0 and running[width] > 0}
    finite = {width: ratio for width, ratio in finite.items() if math.isfinite(ratio)}
    if len(finite) < 2:
        return []
    low, high = min(finite.values()), max(finite.values())
    best = {words: min(finite, key=values.__getitem__) for words, values in (("running", running), ("clean", clean))}
    same = "Both are lowest" if best["running"] == best["clean"] else "The running loss is lowest"
    rest = "" if best["running"] == best["clean"] else f", the clean loss at {best['clean']:,}"
    said = [
        f"Averaged over the last five epochs the running loss is {low:.1f} to {high:.1f} times the clean training "
        f"loss. {same} at {best['running']:,} units{rest}."
    ]
    names = ("running_loss", "train_loss")
    trends = [number(trend(nets, name, -1)["value"]) for name in names]
    if NOTHING not in trends:
        said.append(
            f"By the running loss, which decides nothing here, the rank correlation of the claim's first part is "
            f"{trends[0]} (clean: {trends[1]})."
        )
    pairs = sum(pair["seeds"] > 1 for pair in crossings(nets))
    if pairs:
        running_pairs, clean_pairs = (
            [
                f"{pair['narrow']:,} to {pair['wide']:,}"
                for pair in crossings(nets, name)
                if agrees(pair) and pair["seeds"] > 1
            ]
            for name in names
        )
        where = f" ({listed(running_pairs)} units)" if running_pairs else ""
        said.append(
            f"Of {pairs} pairs of neighbouring widths with several seeds, {len(running_pairs) or 'none'}{where} "
            f"{'is' if len(running_pairs) == 1 else 'are'} worse in training and better in testing at the wider net, "
            f"in all seeds, by the running loss, and {len(clean_pairs) or 'none'} by the clean loss."
        )
    return said


def agrees(pair: dict[str, Any]) -> bool:
    """Whether a pair of neighbouring widths crosses in all of its seeds."""
    return pair["seeds"] > 0 and pair["agree"] == pair["seeds"]


def reference_sentences(nets: Nets) -> list[str]:
    """The earlier report's test accuracies beside ours of the same widths, both after the last epoch."""
    ours = {width: 100 * float(np.mean(nets[width]["test_accuracy"][:, -1])) for width in nets}
    theirs = {width: 100 * row["test_accuracy"] for width, row in ten_nets.REFERENCE.items() if width in ours}
    differences = {width: ours[width] - theirs[width] for width in theirs if math.isfinite(ours[width])}
    if not differences:
        return []
    above, below = (sum(sign * value > PRINTED for value in differences.values()) for sign in (1, -1))
    most = max(differences, key=lambda width: abs(differences[width]))
    count_equal = len(differences) - above - below
    said = [
        f"After the last epoch, our mean test accuracy is above the earlier report's at {above} of {len(differences)} "
        f"widths, below it at {below} and equal in its digits at {count_equal}; the largest difference is "
        f"{number(differences[most])} points, at {most:,} units."
    ]
    one_side = max(above, below)
    if min(above, below) == 0 and one_side > ONE_SIDED:
        said.append(
            f"If both were equally good, {one_side} differences would have one sign in 1 of {2 ** (one_side - 1)} "
            "cases; why ours have is not known."
        )
    return said


def mean_gaps(nets: Nets, quantity: str) -> dict[int, float]:
    """{width: mean over the seeds of the gap in loss or accuracy}."""
    return {width: float(np.mean(ten_nets.gap(net, quantity))) for width, net in nets.items()}


def gap_sentences(nets: Nets) -> list[str]:
    """How the distance between training and testing changes with the size."""
    said = []
    widths = list(nets)
    for words, quantity, text in (
        ("test loss less training loss", "loss", lambda value: f"{loss_text(value)} nats"),
        ("training accuracy less test accuracy", "accuracy", lambda value: f"{100 * value:.2f} points"),
    ):
        means = mean_gaps(nets, quantity)
        widest = max(means, key=lambda width, means=means: claims.score(means[width]))
        between = f", {text(means[widest])} at {widest:,}, where it is largest," if widest in widths[1:-1] else ""
        correlation = rank_correlation(means)
        trend = f", rank correlation with the size {number(correlation)}" if math.isfinite(correlation) else ""
        said.append(
            f"The gap, {words}, is {text(means[widths[0]])} at {widths[0]:,} units{between} and "
            f"{text(means[widths[-1]])} at {widths[-1]:,}{trend}."
        )
    return said


# ------------------------------------------------------------------------------------------------ wrong labels


def bump(nets: Nets, name: str, sign: int) -> dict[str, Any]:
    """Whether a quantity falls, rises and falls again with the width, judged seed by seed.

    name: a curve, of which the last record counts; sign: -1 for an accuracy, of which a fall is a bump. Dead nets are
    left out. A bump is three widths, of which the middle one stands most above the higher of its neighbours' medians.
    The highest of many noisy medians stands out by chance. So for each seed the widths are chosen by the medians of the
    other seeds, and its own heights at these widths are its margins; of flat noise with eight seeds about one in fifty
    then counts as a bump.

    Returns `reason`, empty where there is a bump in the medians of all seeds to be judged; its widths `before`, `peak`,
    `after`; by seed, where it is live at its three widths, how high it stands above before and after, `rise` and
    `fall`; and the verdict on both (`claims.by_margins`).
    """
    live: Live = {}
    for width, net in nets.items():
        values = {
            int(seed): sign * float(value)
            for seed, value, dead in zip(net["seeds"], net[name][:, -1], net["dead"], strict=True)
            if not dead
        }
        if values:
            live[width] = values
    found: dict[str, Any] = {"reason": "", "rise": np.array([]), "fall": np.array([]), "verdict": claims.UNCLEAR}
    if len(live) < 3:
        return found | {"reason": "cannot be judged, as fewer than three widths with a live net are measured"}
    chosen = highest(live)
    if chosen is None:
        return found | {"reason": "cannot be judged, as the median of a width is not finite"}
    *widths, height = chosen
    if height <= 0:
        return found | {"reason": "has no bump: no double descent in it"}
    heights = []
    for seed in sorted({seed for values in live.values() for seed in values}):
        others = {width: {other: values[other] for other in values if other != seed} for width, values in live.items()}
        elsewhere = highest({width: values for width, values in others.items() if values})
        if elsewhere is not None and all(seed in live[width] for width in elsewhere[:3]):
            before, peak, after = (live[width][seed] for width in elsewhere[:3])
            heights.append((peak - before, peak - after))
    rise, fall = np.array(heights).reshape(-1, 2).T
    found |= dict(zip(("before", "peak", "after"), widths, strict=True)) | {"rise": rise, "fall": fall}
    if not heights:
        return found | {"reason": "cannot be judged, as no seed is live at the three widths that the others choose"}
    return found | {"verdict": claims.combined([claims.by_margins(each)["verdict"] for each in (rise, fall)])}


def highest(values: Live) -> tuple[int, int, int, float] | None:
    """Three widths and how far the median of the middle one lies above the higher of the outer two: the most there is.

    None below three widths or where a median is not finite.
    """
    widths = list(values)
    medians = np.array([np.median(list(values[width].values())) for width in widths])
    if len(widths) < 3 or not np.isfinite(medians).all():
        return None
    heights = [
        medians[place] - max(medians[:place].min(), medians[place + 1 :].min()) for place in range(1, len(widths) - 1)
    ]
    peak = int(np.argmax(heights)) + 1
    places = int(np.argmin(medians[:peak])), peak, peak + 1 + int(np.argmin(medians[peak + 1 :]))
    before, top, after = (widths[place] for place in places)
    return before, top, after, float(heights[peak - 1])


def just_fitted(nets: Nets, width: int) -> bool:
    """Whether a width is the narrowest that fits all labels or the next one to it among those measured."""
    fitting = ten_nets.fitting_width(nets)
    widths = list(nets)
    return fitting is not None and abs(widths.index(width) - widths.index(fitting)) <= 1


def noise_comment(nets: Nets) -> list[str]:
    """What the nets that learn wrong labels show; empty where none is measured."""
    if not nets:
        return []
    said = []
    dead = {width: int(net["dead"].sum()) for width, net in nets.items() if net["dead"].any()}
    fitting = ten_nets.fitting_width(nets)
    if fitting is None:
        said.append("No width learns 99\N{NO-BREAK SPACE}% of all labels, so none is past the size that just fits.")
    else:
        size = int(nets[fitting]["parameters"])
        said.append(
            f"The narrowest nets that learn 99{PERCENT} of all labels, wrong ones included, have {fitting:,} "
            f"units a layer, {size:,} parameters (median over seeds)."
        )
    said.append(
        "All nets learn the same images with the same wrong labels, and those that train side by side see the same "
        "batches in the same order: among these the spread over seeds covers initialisation only."
    )
    error, loss = bump(nets, "test_accuracy", -1), bump(nets, "test_loss", 1)
    if not (error["reason"] and loss["reason"]):
        said.append(
            "The highest of many medians stands out by chance alone, so each seed's hump is read at the widths where "
            "the medians of the other seeds have theirs; the seeds agree where both heights, above the lower net on "
            "either side, surely are above 0."
        )
    said.append(bump_sentence("error", error, nets, "percentage points", 100))
    said.append(bump_sentence("loss", loss, nets, "nats", 1))
    if loss["verdict"] == claims.HOLDS:
        best = {width: net | {"best_loss": net["test_loss"].min(axis=1, keepdims=True)} for width, net in nets.items()}
        said.append(bump_sentence("loss at the best epoch", bump(best, "best_loss", 1), nets, "nats", 1))
    gains = {
        width: 100 * float(np.median(net["test_accuracy"].max(axis=1) - net["test_accuracy"][:, -1]))
        for width, net in nets.items()
    }
    most = max(gains, key=gains.__getitem__)
    said.append(
        f"Stopped at its best epoch, which is chosen by the test images here, a net does better than at the end by up "
        f"to {gains[most]:.1f} points (median over seeds at {most:,} units, where it is largest)."
    )
    collapsed = {width: int(np.sum(lost(net))) for width, net in nets.items() if lost(net).any()}
    if collapsed:
        counts = [f"{one} of {count(nets[width])} at {width:,} units" for width, one in collapsed.items()]
        said.append(
            f"Some nets had learnt 99{PERCENT} of all labels and lost a tenth of them again by the last epoch: "
            f"{listed(counts)}."
        )
    if dead:
        counts = [f"{dead_nets} of {count(nets[width])} at {width:,} units" for width, dead_nets in dead.items()]
        said.append(f"Some nets are dead at the end, their output constant: {listed(counts)}.")
    return said


def lost(net: dict[str, np.ndarray]) -> np.ndarray:
    """(n,): whether a net has fitted the labels and no longer does, by a tenth, after the last epoch."""
    accuracy = net["train_accuracy"]
    return (accuracy.max(axis=1) >= ten_nets.FITTED) & (accuracy[:, -1] < ten_nets.FITTED - 0.1)


def bump_sentence(quantity: str, found: dict[str, Any], nets: Nets, unit: str, scale: float) -> str:
    """Whether a quantity of the test images falls, rises and falls again with the size, and whether where it should."""
    if found["reason"]:
        return f"The median test {quantity} {found['reason']}."
    rise, fall = (scale * float(np.mean(found[name])) for name in ("rise", "fall"))
    seeds = len(found["rise"])
    there = "double descent" if just_fitted(nets, found["peak"]) else "a bump, but not where the labels are just fitted"
    outcome = {
        claims.HOLDS: f"the seeds agree: {there}",
        claims.FAILS: "the seeds do not bear it out",
        claims.UNCLEAR: "the seeds do not agree on it",
    }[found["verdict"]]
    outcome = "one seed decides nothing" if seeds == 1 else outcome
    both = int(np.sum(np.minimum(found["rise"], found["fall"]) > 0))
    return (
        f"The median test {quantity} of live nets has a hump at {found['peak']:,} units between lower ones at "
        f"{found['before']:,} and at {found['after']:,}. It stands {digits(rise, 2)} {unit} above the narrower net and "
        f"{digits(fall, 2)} above the wider one (means), above both in {both} of {seed_count(seeds)}: {outcome}."
    )
