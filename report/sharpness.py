"""Other measures of generalization (bonus): what the report says of the history of sharpness.py.

`hw1_3/measures.py` says which measures are compared with the gap and how; here their verdicts and sentences are made.
The gap in loss at equal training loss decides; the gap in accuracy and equal epochs stand beside.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3 import measures
from report import claims
from report.wording import VERBS, VERDICT_WORDS, capital, digits, from_to, listed, number, percent, probability

FIGURES = ("sharpness", "sharpness_tau")
NEEDED = ("equal_loss", "equal_epochs", "steps", "loss_before", "rescaled")
STOPS = {"equal_loss": "equal training loss", "equal_epochs": "equal epochs"}
JUDGED = "equal_loss"
TWINS = {  # what a rescaled twin is compared by
    "gap": "gap",
    "train_jacobian": "Jacobian of the softmax",
    "path_norm": "path norm",
    "wide": "converged sharpness (wide box)",
    "top": "largest eigenvalue",
    "trace_exact": "trace of the Hessian",
    "distance": "distance from the start",
}
KINDS = {"all": "over all nets", "fixed": "between nets of one batch size"}
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIP = 1.25  # a net whose loss was so many times higher at the look before its stop has stopped at a dip
SAME = 1e-6  # relative: more than the round-off of a mean over images


def signs(about: dict[str, Any]) -> list[float]:
    """Of a measure's taus, over all nets and at fixed batch size; 0 where one does not differ from 0, corrected."""
    return [np.sign(kind["tau"]) if kind["p"] < measures.LEVEL else 0 for kind in (about["all"], about["fixed"])]


def bonus(found: dict[str, Any], stop: str = JUDGED, gap: str = "gap") -> dict[str, Any]:
    """Verdict, numbers of nets and batch sizes, and parts: `name`, `words`, `verdict`, what `measures` says of each."""
    nets = measures.nets_of(found, stop)
    count = len(nets.get("gap", ()))
    if count < 2:
        return {"verdict": claims.UNCLEAR, "parts": [], "beside": [], "nets": count, "sizes": 0}
    about = measures.correlations(nets, gap)
    parts = [
        {"name": name, "words": words, "verdict": claims.by_directions(signs(about[name]), count), **about[name]}
        for name, words in measures.MEASURES.items()
    ]
    beside = [{"name": name, "words": words, **about[name]} for name, words in measures.BESIDE.items()]
    verdict = claims.combined([part["verdict"] for part in parts])
    sizes = len(np.unique(nets["batch_size"]))
    return {"verdict": verdict, "parts": parts, "beside": beside, "nets": count, "sizes": sizes}


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that sharpness.typ shows, but the settings."""
    verdict, accuracy, epochs = (
        bonus(found, *which) for which in ((JUDGED, "gap"), (JUDGED, "accuracy_gap"), ("equal_epochs", "gap"))
    )
    return {
        "batch_sizes": counted(len(found["settings"]["batch_sizes"])),
        "tables": [
            {
                "stop": JUDGED,
                "words": STOPS[JUDGED],
                "nets": str(verdict["nets"]),
                "sizes": str(verdict["sizes"]),
                "rows": tau_rows(verdict, accuracy),
            }
        ],
        "claim": claim_bonus(verdict),
        "answer": answer(verdict),
        "comment": comment(found, verdict, accuracy, epochs),
    }


def counted(sizes: int) -> str:
    """eight batch sizes."""
    return f"{COUNTS[sizes] if sizes < len(COUNTS) else sizes} batch size{'s' if sizes != 1 else ''}"


def tau_cell(kind: dict[str, Any]) -> str:
    """0.31 [0.12, 0.48]."""
    low, high = kind["interval"]
    return f"{number(kind['tau'])} [{number(low)}, {number(high)}]"


def tau_rows(verdict: dict[str, Any], accuracy: dict[str, Any]) -> list[dict[str, str]]:
    """One row a measure: tau with the gap in loss in its kinds, partial coefficients, and with the gap in accuracy."""
    others = {part["name"]: part for part in accuracy["parts"]}
    return [
        {
            "words": part["words"],
            "all": tau_cell(part["all"]),
            "all_p": probability(part["all"].get("p", math.nan)),
            "fixed": tau_cell(part["fixed"]),
            "fixed_p": probability(part["fixed"].get("p", math.nan)),
            "partial_batch": number(part["partial_batch"]),
            "partial_loss": number(part["partial_loss"]),
            "accuracy": f"{number(others[part['name']]['all']['tau'])}, {number(others[part['name']]['fixed']['tau'])}",
            "verdict": part["verdict"],
        }
        for part in verdict["parts"]
    ]


def twin_factors(found: dict[str, Any]) -> dict[str, list[float]]:
    """{measure: values of the rescaled twins as multiples of the nets' own}."""
    pairs = [(each["rescaled"], each[JUDGED]) for each in found["results"].values() if each.get("rescaled")]
    return {name: [twin[name] / own[name][0] for twin, own in pairs] for name in TWINS} if pairs else {}


def claim_bonus(verdict: dict[str, Any]) -> dict[str, str]:
    """The row in the table that opens the report."""
    parts = verdict["parts"]
    counts = {outcome: sum(part["verdict"] == outcome for part in parts) for outcome in VERBS}
    evidence = "No two nets at equal training loss yet"
    if parts:
        shown = listed([f"{words} for {counts[outcome]}" for outcome, words in VERBS.items() if counts[outcome]])
        taus = [reach([part[kind]["tau"] for part in parts]) for kind in KINDS]
        evidence = f"Of {len(parts)} measures it {shown}. Kendall's tau: {taus[0]} over all {verdict['nets']} nets, "
        evidence += f"{taus[1]} at fixed batch size"
        for part in parts:
            if part["verdict"] == claims.FAILS:
                both = " and ".join(f"{number(part[kind]['tau'])} {words}" for kind, words in KINDS.items())
                evidence += f"; against it: {part['words']}, {both}"
    return {
        "name": "bonus",
        "statement": "At equal training loss each measure rises with the generalization gap, also at fixed batch size",
        "evidence": evidence,
        "verdict": verdict["verdict"],
        "section": "sharpness",
    }


def reach(values: Sequence[float]) -> str:
    """0.12 to 0.34, or 0.12 where all are one number."""
    numbers = [value for value in values if math.isfinite(value)]
    return from_to(numbers, number)


# -------------------------------------------------------------------------------------------- its sentences


def answer(verdict: dict[str, Any]) -> str:
    """In short, how many measures go with the gap, and against it; empty where nothing is measured."""
    parts = verdict["parts"]
    if not parts:
        return ""
    said = []
    for kind, where in {"between": "from batch size to batch size (medians)", "fixed": KINDS["fixed"]}.items():
        names = {verb: sure(parts, kind, sign) for verb, sign in (("rise", 1), ("fall", -1))}
        pieces = [
            f"{len(each) or 'none'} surely {verb}{'s' * (len(each) == 1)}"
            + (f" ({listed(each)})" if 0 < len(each) <= 2 else "")
            for verb, each in names.items()
        ]
        said.append(f"{where} {' and '.join(pieces)}")
    fixed = reach([part["fixed"]["tau"] for part in parts])
    few = "" if verdict["nets"] >= claims.ENOUGH else f" With {verdict['nets']} nets nothing is decided."
    return (
        f"At {STOPS[JUDGED]}, {len(parts)} measures are held against the gap; four of them are one sharpness, measured "
        f"in four ways. As the gap grows, {'; '.join(said)}; among the latter tau is {fixed}.{few}"
    )


def comment(found: dict[str, Any], verdict: dict, accuracy: dict, epochs: dict) -> dict[str, list[str]]:
    """Paragraphs: result, stop, epochs, accuracy, keskar, lanczos, twins; empty where nothing is measured.

    verdict, and beside it accuracy and epochs: what `bonus` says of the gap in accuracy and of equal epochs.
    """
    said = {"result": [f"The claim {VERDICT_WORDS[verdict['verdict']]}.", *missing(found)]}
    said["result"] += [kinds_sentence(kind, verdict, where) for kind, where in KINDS.items() if verdict["parts"]]
    said["result"] += between_sentences(verdict) + failing_sentences(verdict)
    said["stop"] = stop_sentences(found)
    said["epochs"] = epochs_sentences(epochs)
    said["accuracy"] = accuracy_sentences(accuracy)
    return said | {
        "keskar": keskar_sentences(found),
        "lanczos": lanczos_sentences(found),
        "twins": twin_sentences(found),
    }


def sure(parts: list[dict[str, Any]], kind: str, sign: int) -> list[str]:
    """Words of the measures whose tau of this kind differs from 0 after correction and has this sign."""
    return [part["words"] for part in parts if part[kind]["p"] < measures.LEVEL and sign * part[kind]["tau"] > 0]


def kinds_sentence(kind: str, verdict: dict[str, Any], where: str) -> str:
    """Which measures go with the gap, which against it, in one kind of pairs."""
    total, outcome = len(verdict["parts"]), []
    for sign, verb, words in ((1, "rise", "with the gap"), (-1, "fall", "as the gap grows")):
        names = sure(verdict["parts"], kind, sign)
        if len(names) == total:
            outcome.append(f"all {total} measures {verb} {words}")
        elif names:
            verb += "s" * (len(names) == 1)
            outcome.append(f"{len(names)} of {total} measures {verb} {words} ({named(names, verdict['parts'])})")
    if not outcome:
        outcome.append(f"after correction, none of the {total} measures has a tau that differs from 0")
    return f"Tested {where}, {listed(outcome)}."


def named(names: Sequence[str], parts: list[dict[str, Any]]) -> str:
    """These measures in words, or, of more than half of them, those that are not among them."""
    others = [part["words"] for part in parts if part["words"] not in names]
    return listed(names) if len(names) <= len(others) else f"all but {listed(others)}"


def failing_sentences(verdict: dict[str, Any]) -> list[str]:
    """Which measures decide that the claim does not hold, and by which tau."""
    failing = [part for part in verdict["parts"] if part["verdict"] == claims.FAILS]
    if not failing:
        return []
    kinds = [kind for kind in KINDS if sure(failing, kind, -1)]
    names = listed([part["words"] for part in failing])
    sentence = f"The claim fails by the {names} alone, {listed([KINDS[kind] for kind in kinds])}"
    if kinds == ["all"]:
        sentence += "; between nets of one batch size no tau that differs from 0 is negative"
    return [f"{sentence}."]


def between_sentences(verdict: dict[str, Any]) -> list[str]:
    """What is left of the taus over all nets when each batch size counts once."""
    if verdict["sizes"] < 2:
        return []
    taus = reach([part["between"]["tau"] for part in verdict["parts"]])
    names = [part["words"] for part in verdict["parts"] if part["between"]["p"] < measures.LEVEL]
    several = "no measure"
    if names:
        several = f"{len(names)} of {len(verdict['parts'])} measures ({named(names, verdict['parts'])})"
    if len(names) == len(verdict["parts"]):
        several = f"all {len(names)} measures"
    return [
        f"Over the medians of the {verdict['sizes']} batch sizes tau is {taus}; it differs from 0 for {several} (exact "
        f"test, corrected)."
    ]


def stop_sentences(found: dict[str, Any]) -> list[str]:
    """How much the training loss differs at the stop, and whether small batches stop at a dip."""
    losses, before = {}, {}
    for unit, results in found["results"].items():
        size, values = int(unit.removeprefix("batch-")), np.array(results[JUDGED]["train_loss"], float)
        there = np.isfinite(values)
        if any(there):
            losses[size] = values[there]
        ratios = np.array(results["loss_before"], float) / values
        if any(np.isfinite(ratios)):
            before[size] = float(np.median(ratios[np.isfinite(ratios)]))
    if not losses:
        return []
    lowest, highest = min(each.min() for each in losses.values()), max(each.max() for each in losses.values())
    said = [f"At the stop the training losses lie between {digits(lowest)} and {digits(highest)}."]
    if len(before) > 1:
        small, large = min(before), max(before)
        sentence = (
            f"The look before the stop, {found['settings']['check_every']:,} steps earlier, had found "
            f"{digits(before[small])} times this loss at batch size {small:,} and {digits(before[large])} times at "
            f"{large:,} (medians)"
        )
        lucky = before[small] > DIP and before[small] > before[large]
        said.append(
            sentence + (": with small batches the loss jumps, and a net stops at a lucky dip." if lucky else ".")
        )
    return said


def missing(found: dict[str, Any]) -> list[str]:
    """Which nets did not reach the loss."""
    absent = {
        int(unit.removeprefix("batch-")): sum(step is None for step in results["steps"])
        for unit, results in found["results"].items()
    }
    absent = {size: count for size, count in absent.items() if count}
    if not absent:
        return []
    words = [f"{count} of batch size {size:,}" for size, count in absent.items()]
    return [f"Nets that did not reach the training loss in time, and are left out: {listed(words)}."]


def epochs_sentences(verdict: dict[str, Any]) -> list[str]:
    """What the same test says after equal epochs, and what of it the training loss explains."""
    if not verdict["parts"]:
        return []
    loss = next(part for part in verdict["beside"] if part["name"] == "train_loss")
    partial = [part["partial_loss"] for part in verdict["parts"]]
    return [
        f"After equal epochs the training losses differ, and the training loss alone has a tau of "
        f"{number(loss['all']['tau'])} with the gap. {rising_and_falling(verdict['parts'])}; with the training loss "
        f"taken out by Kendall's partial coefficient, taus are {reach(partial)}.",
        kinds_sentence("fixed", verdict, "between nets of one batch size"),
    ]


def rising_and_falling(parts: list[dict[str, Any]]) -> str:
    """How many measures have a tau above 0 with the gap over all nets, and how many below; the fewer by name."""
    said = []
    for sign, verb in ((-1, "fall"), (1, "rise")):
        taus = {part["words"]: part["all"]["tau"] for part in parts if sign * part["all"]["tau"] > 0}
        if taus:
            names = f"{listed(list(taus))}; " if 2 * len(taus) <= len(parts) else ""
            span = reach(list(taus.values()))
            verb += "s" * (len(taus) == 1)
            said.append(f"{len(taus)} of {len(parts)} measures {verb} as the gap grows ({names}tau {span})")
    return capital(listed(said)) if said else "No measure has a tau other than 0"


def accuracy_sentences(verdict: dict[str, Any]) -> list[str]:
    """The same with the gap in accuracy."""
    if not verdict["parts"]:
        return []
    taus = [reach([part[kind]["tau"] for part in verdict["parts"]]) for kind in KINDS]
    return [f"With the gap in accuracy instead, tau is {taus[0]} over all nets and {taus[1]} at fixed batch size."]


def gathered(found: dict[str, Any], *names: str) -> np.ndarray:
    """Quantities (names, nets) of all nets at both stops, of those nets for which all of them were measured."""
    stops = [results[stop] for results in found["results"].values() for stop in STOPS]
    numbers = np.array([[value for results in stops for value in results[name]] for name in names], float)
    return numbers[:, np.isfinite(numbers).all(axis=0)]


def keskar_sentences(found: dict[str, Any]) -> list[str]:
    """How far the short search comes, where it stands still, and whether the long ones agree."""
    said = []
    for name in ("wide", "narrow"):
        short, best, worst, iterations = gathered(
            found, f"short_{name}", name, f"{name}_lowest", f"short_{name}_iterations"
        )
        rose = best > 0
        if not rose.any():
            continue
        said.append(
            f"In the {name} box the short search finds {middle_and_lowest((short / best)[rose])} of what the best "
            f"converged search finds, the worst search from a random start {middle_and_lowest((worst / best)[rose])}."
        )
        if still := int(np.sum(iterations == 0)):
            said.append(f"The short search stops at once, where it starts, in {still} of {len(short)} measurements.")
    return said


def middle_and_lowest(shares: np.ndarray) -> str:
    return f"{percent(float(np.median(shares)))} (median; at least {percent(float(shares.min()))})"


def lanczos_sentences(found: dict[str, Any]) -> list[str]:
    """Whether the eigenvalues are as exact as was asked for, and whether the nets stand at minima."""
    bottom, top, *residuals = gathered(found, "bottom", "top", "top_residual", "bottom_residual")
    if not len(top):
        return []
    residual, asked = float(np.max(residuals)), found["settings"]["lanczos_tolerance"]
    said = []
    if residual > asked:
        said.append(
            f"The largest residual of Lanczos's method is {digits(residual, 2)} of the largest absolute eigenvalue, "
            f"above the {digits(asked, 1)} asked for."
        )
    shares = bottom / top
    negative = int(np.sum(shares < 0))
    if negative:
        said.append(
            f"The smallest eigenvalue is negative in {negative} of {len(shares)} measurements, "
            f"{digits(float(np.median(shares[shares < 0])), 2)} of the largest one (median of these): those nets do "
            f"not stand at minima."
        )
    return said


def twin_sentences(found: dict[str, Any]) -> list[str]:
    """Which measures change when the same function is written with other weights."""
    factors = twin_factors(found)
    if not factors:
        return []
    same = [TWINS[name] for name, each in factors.items() if max(abs(factor - 1) for factor in each) < SAME]
    other = [
        f"{TWINS[name]} (times {digits(float(np.median(each)))})"
        for name, each in factors.items()
        if TWINS[name] not in same
    ]
    said = []
    if same:
        said.append(f"Unchanged in all {len(factors['gap'])} nets so rewritten: {listed(same)}.")
    if other:
        said.append(f"Changed, by the median factor: {listed(other)}.")
    return said
