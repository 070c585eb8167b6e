"""Sensitivity and batch size: what the report says of the history of sensitivity.py, and claims C11 and C12.

The deciding sensitivity is Novak's: the Frobenius norm of the Jacobian of the softmax outputs, its mean over the *test*
images, as there; the training images stand beside it. A trend with batch size is Spearman's rank correlation with it,
one a seed, over the batch sizes that this seed was trained at (and, at equal loss, that reached the loss).
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3.batch_nets import BEST, Nets, nets_of, values_of
from report import claims
from report.claims import C11_TREND, C12_LARGER, C12_SMALLER
from report.wording import (
    NOTHING,
    PART_WORDS,
    PERCENT,
    SHORT_WORDS,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    mean_and_interval,
    number,
    probability,
    seed_count,
)

EARLIER_BEST = {"loss": 100, "accuracy": 500}  # batch sizes, read off the earlier report's figure
FIGURES = ("sensitivity", "sensitivity_measures")
NEEDED = ("batch_size", "seeds", "budgets")
BUDGETS = {"steps": "equal updates", "epochs": "equal passes", "loss": "equal training loss"}
FEWEST = 3  # batch sizes of a rank correlation
JUDGED = ("test", "softmax", "mean")
MEASURES = {  # what is correlated with batch size: words, images, path
    "softmax": ("softmax Jacobian, mean", "test", JUDGED),
    "softmax_train": ("softmax Jacobian, mean", "training", ("train", "softmax", "mean")),
    "median": ("softmax Jacobian, median", "test", ("test", "softmax", "median")),
    "median_train": ("softmax Jacobian, median", "training", ("train", "softmax", "median")),
    "logits": ("logit Jacobian, mean", "test", ("test", "logits", "mean")),
    "logits_train": ("logit Jacobian, mean", "training", ("train", "logits", "mean")),
    "gradient": ("gradient of the mean loss", "test", ("test", "mean_loss_gradient")),
    "gradient_train": ("gradient of the mean loss", "training", ("train", "mean_loss_gradient")),
}


def trends(nets: Nets, path: Sequence[str]) -> list[float]:
    """Rank correlations of a quantity with batch size, one a seed, of the seeds with enough batch sizes.

    A quantity that is the same at all of them has no trend: 0.
    """
    from scipy import stats

    seeds = sorted({seed for found in nets.values() for seed in found})
    correlations = []
    for seed in seeds:
        pairs = [(size, values[seed]) for size in nets if seed in (values := values_of(nets, size, path))]
        sizes, values = np.array(pairs).reshape(-1, 2).T
        if len(pairs) >= FEWEST:
            correlations.append(float(stats.spearmanr(sizes, values).statistic) if np.ptp(values) else 0.0)
    return correlations


def shared(nets: Nets) -> list[int]:
    """The batch sizes at which all seeds were trained, and measured."""
    seeds = {seed for found in nets.values() for seed in found}
    return [size for size, found in nets.items() if set(found) == seeds and None not in found.values()]


def rises(correlations: Sequence[float]) -> dict[str, Any]:
    """Whether these trends, one a seed, lie above C11_TREND: mean, agree, seeds, verdict as of `claims.by_margins`."""
    mean = float(np.mean(correlations)) if len(correlations) else math.nan
    return {"values": list(correlations), "mean": mean, **claims.by_margins(np.array(correlations) - C11_TREND)}


def c11(found: dict[str, Any], path: Sequence[str] = JUDGED) -> dict[str, Any]:
    """C11: sensitivity rises with batch size, at equal updates and at equal training loss. The test images decide."""
    parts = []
    for budget in ("steps", "loss"):
        nets = nets_of(found, budget)
        counts = Counter(seed for size in nets for seed in values_of(nets, size, path))
        sizes = [count for count in counts.values() if count >= FEWEST]
        parts.append({"budget": budget, "sizes": sizes, **rises(trends(nets, path))})
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


def worse_than_best(nets: Nets, size: int, quantity: str) -> list[float]:
    """By how much the nets of a batch size are worse than those of BEST from the same initial weights, on test images.

    quantity: "loss", in nats, or "accuracy", in percentage points.
    """
    ours, best = (values_of(nets, each, ("test", quantity)) for each in (size, BEST))
    factor = 1 if quantity == "loss" else -100
    return [factor * (ours[seed] - best[seed]) for seed in sorted(ours.keys() & best.keys())]


def c12(found: dict[str, Any], budget: str = "steps") -> dict[str, Any]:
    """C12: test results are best near a batch size of 50. Judged at equal updates, each net against its twin at 50."""
    nets, parts = nets_of(found, budget), []
    for size in (*C12_SMALLER, *C12_LARGER):
        for quantity in ("loss", "accuracy"):
            margins = worse_than_best(nets, size, quantity)
            parts.append({"size": size, "quantity": quantity, "values": margins, **claims.by_margins(margins)})
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


def best_sizes(nets: Nets, quantity: str) -> Counter:
    """How many seeds have their lowest test loss, or highest test accuracy, at each batch size that all seeds have."""
    best: dict[int, tuple[float, int]] = {}
    for size in shared(nets):
        for seed, value in values_of(nets, size, ("test", quantity)).items():
            value = value if quantity == "loss" else -value
            best[seed] = min(best.get(seed, (math.inf, 0)), (value, size))
    return Counter(size for _, size in best.values())


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that sensitivity.typ shows, but the settings."""
    eleven, twelve = c11(found), c12(found)
    return {
        "budgets": [{"name": budget, "words": words} for budget, words in BUDGETS.items()],
        "trends": trend_rows(found),
        "parts_12": rows_12(twelve),
        "results": result_rows(nets_of(found, "steps")),
        "claim": claim_11(found, eleven),
        "more_claims": [claim_12(twelve)],
        "best": best_size(nets_of(found, "steps")),
        "answer": answer(eleven, twelve),
        "comment": comment(found, eleven, twelve),
    }


def trend_rows(found: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of the table of trends: a measure of sensitivity, the images, and its correlations at each budget."""
    rows = []
    for words, images, path in MEASURES.values():
        cells = {budget: mean_and_interval(trends(nets_of(found, budget), path), bounds=1) for budget in BUDGETS}
        rows.append({"measure": words, "images": images, **cells})
    return rows


def rows_12(verdict: dict[str, Any]) -> list[dict[str, str]]:
    """Rows of the table of the parts of C12: a batch size, by how much it is worse than 50, and the two verdicts."""
    rows = []
    for size in (*C12_SMALLER, *C12_LARGER):
        row = {"size": f"{size:,}", "claimed": "not better" if size in C12_SMALLER else "worse"}
        for part in (part for part in verdict["parts"] if part["size"] == size):
            places = 3 if part["quantity"] == "loss" else 2
            row[part["quantity"]] = mean_and_interval(part["values"], places)
            row[f"{part['quantity']}_verdict"] = part["verdict"] if part["seeds"] else "not measured"
            row["seeds"] = str(part["seeds"])
        rows.append(row)
    return rows


def result_rows(nets: Nets) -> list[dict[str, str]]:
    """Rows of the table of one budget: medians over the seeds that were measured, by batch size."""
    rows = []
    for size, found in nets.items():
        done = sum(one is not None for one in found.values())

        def middle(*path: str, size: int = size, share: bool = False) -> str:
            values = list(values_of(nets, size, path).values())
            if not values:
                return NOTHING
            return f"{100 * float(np.median(values)):.2f}" if share else digits(float(np.median(values)))

        rows.append(
            {
                "size": f"{size:,}",
                "n": f"{done} of {len(found)}" if done < len(found) else str(done),
                "train_loss": middle("train", "loss"),
                "train_accuracy": middle("train", "accuracy", share=True),
                "test_loss": middle("test", "loss"),
                "test_accuracy": middle("test", "accuracy", share=True),
                "softmax": middle(*JUDGED),
                "median": middle("test", "softmax", "median"),
                "logits": middle("test", "logits", "mean"),
                "distance": middle("distance"),
            }
        )
    return rows


def claim_11(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C11 in the table that opens the report."""
    shown = [
        f"rank correlation with batch size at {BUDGETS[part['budget']]} {number(part['mean'])} ({part['verdict']})"
        for part in verdict["parts"]
        if part["seeds"]
    ]
    evidence = "; ".join(shown) or "too few batch sizes are measured"
    train = c11(found, ("train", "softmax", "mean"))["parts"][0]
    if shown and train["seeds"]:
        evidence += f"; on training images {number(train['mean'])} at {BUDGETS[train['budget']]}"
    return {
        "name": "C11",
        "statement": "The larger the batch, the more sensitive the net is to its input",
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": "sensitivity",
    }


def claim_12(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C12 in the table that opens the report."""
    measured = [part for part in verdict["parts"] if part["seeds"]]
    counted = Counter(part["verdict"] for part in measured)
    evidence = f"Of {len(verdict['parts'])} comparisons with {BEST}, {counted[claims.HOLDS]} hold and "
    evidence += f"{counted[claims.FAILS]} do not" + against(verdict)
    if counted[claims.UNCLEAR]:
        evidence += f"; {counted[claims.UNCLEAR]} are unclear"
    return {
        "name": "C12",
        "statement": "Test loss and accuracy are best near a batch size of 50",
        "evidence": evidence if measured else "No two batch sizes to compare",
        "verdict": verdict["verdict"],
        "section": "sensitivity",
    }


def against(verdict: dict[str, Any]) -> str:
    """The comparisons that speak against C12, such as ": loss at 5 and 10"; empty where none does."""
    sizes: dict[str, list[str]] = {}
    for part in verdict["parts"]:
        if part["verdict"] == claims.FAILS:
            sizes.setdefault(part["quantity"], []).append(f"{part['size']:,}")
    return ": " + ", ".join(f"{name} at {listed(each)}" for name, each in sizes.items()) if sizes else ""


# -------------------------------------------------------------------------------------------- its sentences


def direction(correlations: Sequence[float]) -> int:
    """1 or -1 where the trends lie beyond C11_TREND on one side, by the rule of `rises`, else 0."""
    for sign in (1, -1):
        if rises(sign * np.asarray(correlations, float))["verdict"] == claims.HOLDS:
            return sign
    return 0


TRENDS = {  # of one quantity, and of several
    1: ("rises with batch size", "rise with batch size"),
    -1: ("falls with batch size", "fall with batch size"),
    0: (
        f"is not clear of \N{PLUS-MINUS SIGN}{C11_TREND}",
        f"are not clear of \N{PLUS-MINUS SIGN}{C11_TREND}",
    ),
}


def answer(eleven: dict[str, Any], twelve: dict[str, Any]) -> str:
    """In short, whether larger batches make nets more sensitive, and which do worse; empty where not measured."""
    said = [
        f"at {BUDGETS[part['budget']]}, {SHORT_WORDS[part['verdict']]} (rank correlation with batch size "
        f"{number(part['mean'])}, over {entering(part)} sizes a seed)"
        for part in eleven["parts"]
        if part["seeds"]
    ]
    sentences = [f"More sensitive on test images: {'; '.join(said)}."] if said else []
    compared = [part for part in twelve["parts"] if part["seeds"]]
    for quantity in ("loss", "accuracy"):
        shown = []
        for words, verdict in (("worse", claims.HOLDS), ("better", claims.FAILS)):
            apart = [part for part in compared if (part["quantity"], part["verdict"]) == (quantity, verdict)]
            few = [f"{part['size']:,} ({part['seeds']} seeds)" for part in apart if part["seeds"] < claims.ENOUGH]
            apart = [part for part in apart if part["seeds"] >= claims.ENOUGH]
            sure = [f"{part['size']:,}" for part in apart if corrected(part, twelve) < claims.LEVEL]
            rest = [f"{part['size']:,}" for part in apart if corrected(part, twelve) >= claims.LEVEL]
            shown += [f"{words} at {listed(sure)}"] if sure else []
            shown += [f"{words} in all seeds at {listed(few)}"] if few else []
            shown += [f"{words} at {listed(rest)} before correction for {len(compared)} comparisons"] if rest else []
        if shown:
            sentences.append(f"Test {quantity} at equal updates, against batch size {BEST}: {', '.join(shown)}.")
    return " ".join(sentences)


def corrected(part: dict[str, Any], twelve: dict[str, Any]) -> float:
    """The p of a part of C12, multiplied by how many there are (Bonferroni); 0 below eight seeds, where none is."""
    if part["seeds"] < claims.ENOUGH:
        return 0.0
    return min(1.0, len(twelve["parts"]) * claims.student_p(part["values"]))


def comment(found: dict[str, Any], eleven: dict[str, Any], twelve: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: sensitivity, definition, images, best, distance."""
    nets = {budget: nets_of(found, budget) for budget in BUDGETS}
    said: dict[str, list[str]] = {"sensitivity": [f"The claim {VERDICT_WORDS[eleven['verdict']]}."]}
    said["sensitivity"] += [sentence_11(part) for part in eleven["parts"] if part["seeds"]]
    said["sensitivity"] += coverage(nets["steps"]) + same_sizes(nets) + beside_11(found) + reached(nets["loss"])
    said["definition"] = list(filter(None, [definitions("steps", nets["steps"])]))
    said["images"] = boundary(nets["steps"])
    said["best"] = [f"The claim {VERDICT_WORDS[twelve['verdict']]}."]
    said["best"] += best_sentences(nets)
    said["best"] += beside_12(found, twelve)
    if found.get("scale") == "paper":
        said["best"].append(
            f"In the earlier report's own figure test loss is lowest at batch size {EARLIER_BEST['loss']} and test "
            f"accuracy highest at {EARLIER_BEST['accuracy']}, not at {BEST}."
        )
    said["distance"] = [sentence for budget in BUDGETS if (sentence := distances(budget, nets[budget]))]
    return said


def best_size(nets: Nets) -> str:
    """The lowest median test loss and its batch size; empty where nothing is measured."""
    medians = medians_of(nets, ("test", "loss"))
    if not medians:
        return ""
    size = max(medians, key=lambda each: claims.score(-medians[each]))
    return f"{digits(medians[size])} at {size:,}"


def entering(part: dict[str, Any]) -> str:
    """Over how many batch sizes a seed's correlation is."""
    low, high = min(part["sizes"]), max(part["sizes"])
    return f"{low} to {high}" if low < high else str(high)


def sentence_11(part: dict[str, Any]) -> str:
    """What a part of C11 comes to."""
    outcome = PART_WORDS[part["verdict"]]
    seeds = seed_count(part["seeds"])
    return (
        f"At {BUDGETS[part['budget']]} the mean norm of the softmax Jacobian on the test images has a rank correlation "
        f"with batch size of {mean_and_interval(part['values'], bounds=1)} ({seeds}, {part['agree']} of them above "
        f"{C11_TREND}; over {entering(part)} batch sizes a seed): {outcome}."
    )


def coverage(nets: Nets) -> list[str]:
    """Which batch sizes only some of the seeds have, and the trend over those that all have."""
    common = shared(nets)
    rest = [f"{len(found)} at {size:,}" for size, found in nets.items() if size not in common]
    if not rest or len(common) < FEWEST:
        return []
    values = trends({size: nets[size] for size in common}, JUDGED)
    said = (
        f"A seed's correlation is over the batch sizes that it was trained at: all up to {max(common):,}, and beyond "
        f"that {listed(rest)}. Over those that all seeds share it is {mean_and_interval(values, bounds=1)} "
        f"at equal updates"
    )
    return [f"{said}."]


def same_sizes(nets: dict[str, Nets]) -> list[str]:
    """The trend at equal updates over the batch sizes that enter at equal training loss, if it changes the verdict."""
    reach = {
        size: {seed: one for seed, one in found.items() if nets["loss"].get(size, {}).get(seed) is not None}
        for size, found in nets["steps"].items()
    }
    there, everywhere = (rises(trends(each, JUDGED)) for each in (reach, nets["steps"]))
    if not there["seeds"] or there["verdict"] == everywhere["verdict"]:
        return []
    return [
        f"Over the batch sizes at which a seed reaches the training loss, the correlation at equal updates would be "
        f"{mean_and_interval(there['values'], bounds=1)} (by the rule: {there['verdict']}): which sizes enter matters "
        f"as much as how nets are compared. The sensitivity at equal updates has its {extremes(nets['steps'], JUDGED)}"
        f"{rising_from(nets['steps'], JUDGED)}."
    ]


def medians_of(nets: Nets, path: Sequence[str]) -> dict[int, float]:
    """{batch size: median over seeds}, where any was measured."""
    values = {size: list(values_of(nets, size, path).values()) for size in nets}
    return {size: float(np.median(each)) for size, each in values.items() if each}


def extremes(nets: Nets, path: Sequence[str]) -> str:
    """At which batch sizes the median over seeds is lowest and highest."""
    medians = medians_of(nets, path)
    low, high = min(medians, key=medians.get), max(medians, key=medians.get)
    return f"lowest median {digits(medians[low])} at {low:,}, highest {digits(medians[high])} at {high:,}"


def rising_from(nets: Nets, path: Sequence[str]) -> str:
    """From which batch size on, FEWEST or more, the median rises at every step; empty if it does from the first on."""
    medians = medians_of(nets, path)
    sizes = sorted(medians)
    steps = np.diff([medians[size] for size in sizes]) > 0
    first = 0 if steps.all() else int(np.flatnonzero(~steps).max()) + 1
    if first == 0 or len(sizes) - first < FEWEST:
        return ""
    before = listed([f"{digits(medians[size])} at {size:,}" for size in sizes[:first]])
    return f"; from {sizes[first]:,} on it rises at every step, and what breaks the order is {before}"


def beside_11(found: dict[str, Any]) -> list[str]:
    """What the same rule says on the training images; they decide nothing."""
    train = c11(found, MEASURES["softmax_train"][2])
    shown = [
        f"{mean_and_interval(part['values'], bounds=1)} at {BUDGETS[part['budget']]} ({part['verdict']})"
        for part in train["parts"]
        if part["seeds"]
    ]
    if not shown:
        return []
    return [
        f"The rule names no images; the test images decide, and the earlier report took training images. On those the "
        f"correlation is {listed(shown)}: by them the claim "
        f"{VERDICT_WORDS[train['verdict']].removesuffix(' here')}."
    ]


def reached(nets: Nets) -> list[str]:
    """Which batch sizes did not reach the training loss, in all or some of their seeds."""
    short_of = {size: sum(one is None for one in found.values()) for size, found in nets.items()}
    whole = [f"{size:,}" for size, count in short_of.items() if count == len(nets[size])]
    partly = [
        f"{count} of {len(nets[size])} at {size:,}" for size, count in short_of.items() if 0 < count < len(nets[size])
    ]
    said = []
    if whole:
        sizes = f"size{'s' if len(whole) > 1 else ''} {listed(whole)}"
        said.append(f"No net of batch {sizes} reached the training loss within the updates allowed.")
    if partly:
        said.append(f"Some seeds did not reach it, and are left out: {listed(partly)}.")
    losses = [one["train"]["loss"] for found in nets.values() for one in found.values() if one is not None]
    if losses:
        said.append(
            f"It was looked at now and then, so the nets that are compared have a training loss of "
            f"{digits(min(losses))} to {digits(max(losses))}."
        )
    return said


def definitions(budget: str, nets: Nets) -> str:
    """Which way each measure of sensitivity goes at a budget, on the test images and on the training images."""
    shown = {"softmax": "softmax Jacobian", "logits": "logit Jacobian", "gradient": "gradient of the mean loss"}
    sentences = []
    for images, suffix in (("test", ""), ("training", "_train")):
        by_trend: dict[int, list[str]] = {}
        for name, words in shown.items():
            correlations = trends(nets, MEASURES[name + suffix][2])
            if correlations:
                by_trend.setdefault(direction(correlations), []).append(
                    f"the {words} ({number(float(np.mean(correlations)))})"
                )
        pieces = [f"{listed(names)} {TRENDS[trend][len(names) > 1]}" for trend, names in by_trend.items()]
        if pieces:
            sentences.append(f"on the {images} images {'; '.join(pieces)}")
    return f"At {BUDGETS[budget]}, {', and '.join(sentences)}." if sentences else ""


def boundary(nets: Nets) -> list[str]:
    """How unevenly the softmax Jacobian is spread over the test images, at equal updates."""
    sizes = [size for size in nets if values_of(nets, size, JUDGED)]
    if not sizes:
        return []

    def ranged(path: Sequence[str], factor: float = 1) -> str:
        medians = [factor * float(np.median(list(values_of(nets, size, path).values()))) for size in sizes]
        low, high = digits(min(medians)), digits(max(medians))
        return low if low == high else f"{low} to {high}"

    above = ranged(("test", "softmax", "share_above_1"), 100)
    few = [
        f"{digits(100 * float(np.median(list(values_of(nets, size, path).values()))))}{PERCENT} at {size:,}"
        for path in [("test", "softmax", "share_of_top_percent")]
        for size in (sizes[0], sizes[-1])
    ]
    median, mean = (ranged(("test", "softmax", name)) for name in ("median", "mean"))
    return [
        f"At equal updates the median norm over the test images is {median}, by batch size, where the mean is {mean}; "
        f"{above}{PERCENT} of the images have a norm above 1. The most sensitive percent of them has this "
        f"share of the sum: {listed(few)}."
    ]


def best_sentences(nets: dict[str, Nets]) -> list[str]:
    """At which batch sizes the seeds have their best test results, of the batch sizes that all seeds have."""
    pieces = []
    for quantity, words in (("loss", "lowest test loss"), ("accuracy", "highest test accuracy")):
        places = []
        for budget, about in nets.items():
            sizes = [f"{size:,}" for size in sorted(best_sizes(about, quantity))]
            if sizes:
                places.append(f"{listed(sizes).replace(' and ', ' or ')} at {BUDGETS[budget]}")
        if places:
            pieces.append(f"the {words} is at batch size {listed(places)}")
    return [f"By seed, of the batch sizes that all seeds have, {'; '.join(pieces)}."] if pieces else []


def beside_12(found: dict[str, Any], twelve: dict[str, Any]) -> list[str]:
    """What the same rule says at the other budgets, and how likely chance alone brings the failures."""
    said = []
    for budget in ("epochs", "loss"):
        other = c12(found, budget)
        if any(part["seeds"] for part in other["parts"]):
            words = VERDICT_WORDS[other["verdict"]].removesuffix(" here")
            said.append(f"By the same rule it {words} at {BUDGETS[budget]}{against(other)}.")
    failed = [part for part in twelve["parts"] if part["verdict"] == claims.FAILS]
    if failed and min(part["seeds"] for part in failed) >= claims.ENOUGH:
        worst = max(corrected(part, twelve) for part in failed)
        which = "the one failure has" if len(failed) == 1 else f"the {len(failed)} failures have"
        said.append(
            f"The claim fails where any of {len(twelve['parts'])} comparisons does, which chance alone could bring; "
            f"{which} a p of {probability(worst)} when it is multiplied by "
            f"{len(twelve['parts'])} (Bonferroni)."
        )
    return said


def distances(budget: str, nets: Nets) -> str:
    """Whether nets of a large batch stay nearer to their initial weights."""
    correlations = trends(nets, ("distance",))
    if not correlations:
        return ""
    trend, medians = direction(correlations), medians_of(nets, ("distance",))
    words = {1: "go farther", -1: "stay nearer to their start", 0: "neither clearly stay nearer nor go farther"}
    outcome = words[trend]
    common = [size for size in shared(nets) if size in medians] or list(medians)
    turn = max(common, key=lambda size: trend * medians[size])
    if trend and turn != max(common):
        outcome += f" up to a batch of {turn:,} and not beyond"
    return (
        f"At {BUDGETS[budget]} nets of larger batches {outcome} (rank correlation of the distance with batch size "
        f"{mean_and_interval(correlations, bounds=1)}; {extremes(nets, ('distance',))})."
    )
