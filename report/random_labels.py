"""Can network fit random labels: what the report says of the history of random_labels.py, and claim C8.

Losses and accuracies are clean evaluations. An epoch 0 in the history stands for never.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from report import claims
from report.claims import C8_AROUND, C8_CHANCE, C8_REACHED, UNIFORM_LOSS
from report.wording import (
    DIVERGED,
    NOTHING,
    PERCENT,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    number,
    percent,
    seed_count,
    spread,
    two_lines,
)

ARMS = {"full": "shuffled", "true": "true"}
FIGURES = ("random_labels", "random_labels_share")
NEEDED = ("share", "images", "wrong_labels", "majority", "fit_epoch", "reference_epoch", "running_reference_epoch")
NEEDED += (
    "train_loss",
    "train_accuracy",
    "peak_test_epoch",
    "peak_test_accuracy",
    "all_images",
    "test_loss",
    "test_accuracy",
    "true_accuracy",
)
ERRORS = 2  # binomial standard errors of a test accuracy from which on a fall is more than noise
Shares = dict[float, dict[str, dict[str, Any]]]  # {share of labels shuffled: {seed: results}}
Runs = dict[float, list[dict[str, Any]]]  # {share of labels shuffled: results by seed}


def shares_of(found: dict[str, Any]) -> Shares:
    """{share: {seed: results}}, least share first."""
    shares: Shares = {}
    for unit in found["units"]:
        if unit.startswith("share-") and unit in found["results"]:
            share, _, seed = unit.removeprefix("share-").partition("/seed-")
            shares.setdefault(float(share), {})[seed] = found["results"][unit]
    return dict(sorted(shares.items()))


def c8(found: dict[str, Any]) -> dict[str, Any]:
    """C8: the net fits shuffled labels on the training set, and learns nothing about the test set."""
    runs = claims.runs_of(found, "full")
    accuracies, losses = ([run[name][-1] for run in runs] for name in ("test_accuracy", "test_loss"))
    parts = [
        {
            "words": f"training loss at most {C8_REACHED['loss']} and accuracy at least "
            f"{percent(C8_REACHED['accuracy'], 1)} by epoch {C8_REACHED['epochs']}, on the "
            f"{found['settings']['probe_images']:,} fixed training images",
            "shown": reached_text(runs) if runs else "",
            **claims.by_signs([reached(run) for run in runs]),
        },
        {
            "words": f"test accuracy within {100 * C8_AROUND:g} points of {percent(C8_CHANCE)} at the end",
            "shown": f"{spread([100 * value for value in accuracies], 2)}{PERCENT}" if runs else "",
            **claims.by_margins([C8_AROUND - abs(value - C8_CHANCE) for value in accuracies]),
        },
        {
            "words": "test loss above ln 10 at the end",
            "shown": f"{spread(losses)} nats" if runs else "",
            **claims.by_margins([value - UNIFORM_LOSS for value in losses]),
        },
    ]
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


def reached(run: dict[str, Any]) -> float:
    """1 where a run reached the reference's training result in time, -1 where it did not; 0 where it ended earlier."""
    if 0 < run["reference_epoch"] <= C8_REACHED["epochs"]:
        return 1.0
    return -1.0 if len(run["test_loss"]) >= C8_REACHED["epochs"] else 0.0


def reached_text(runs: Sequence[dict[str, Any]]) -> str:
    """At which epoch of how many runs reached the reference's training result, or how long none did."""
    epochs = [run["reference_epoch"] for run in runs if run["reference_epoch"]]
    if not epochs:
        return f"not within {max(len(run['test_loss']) for run in runs)} epochs"
    return f"first at epoch {spread(epochs, 0)}, and after the last one in {still_met(runs)}"


def still_met(runs: Sequence[dict[str, Any]]) -> str:
    """How many runs are as good as the reference after the last epoch."""
    return f"{sum(bool(meets_reference(run)[-1]) for run in runs)} of {seed_count(len(runs))}"


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that random_labels.typ shows, but the settings."""
    verdict, images = c8(found), claims.test_images(found)
    rows = [
        training_row(words, unit.partition("/seed-")[2], found["results"][unit])
        for arm, words in ARMS.items()
        for unit in found["units"]
        if unit.startswith(f"{arm}/") and unit in found["results"]
    ]
    return {
        "reference": {
            "epochs": f"about {C8_REACHED['epochs']}",
            "loss": str(C8_REACHED["loss"]),
            "accuracy": f"{100 * C8_REACHED['accuracy']:.1f}",
        },
        "rows": rows,
        "shares": [share_row(share, list(runs.values())) for share, runs in shares_of(found).items()],
        "fixed": f"{found['settings']['probe_images']:,}",
        "claim": claim_8(verdict),
        "answer": answer(found, verdict),
        "comment": comment(found, verdict, images),
        "memory": memory(shares_of(found), images),
    }


def training_row(labels: str, seed: str, run: dict[str, Any]) -> dict[str, str]:
    """One row of the table of trainings on all images: training loss and accuracy on all of them.

    The epochs are judged on the fixed images, but for the running ones.
    """
    clean, running = (epoch(run[name]) for name in ("reference_epoch", "running_reference_epoch"))
    return {
        "labels": labels,
        "seed": seed,
        "epochs": str(len(run["test_loss"])),
        "fit": epoch(run["fit_epoch"]),
        "reference": f"{clean} / {running}",
        "train_loss": digits(run["all_images"]["train_loss"]),
        "train_accuracy": number(100 * run["all_images"]["train_accuracy"], 2, DIVERGED),
        "test_loss": digits(run["test_loss"][-1]),
        "test_accuracy": number(100 * run["test_accuracy"][-1], 2, DIVERGED),
        "peak": f"{number(100 * run['peak_test_accuracy'], 2, DIVERGED)} ({run['peak_test_epoch']})",
    }


def share_row(share: float, runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """One row of the table of shares."""
    fits = [run["fit_epoch"] for run in runs if run["fit_epoch"]]
    shown = [two_lines(fits, 0)] if fits else []
    if len(fits) < len(runs):
        shown.append(f"{len(runs) - len(fits)} of {len(runs)} never")
    return {
        "share": f"{100 * share:g}",
        "wrong": two_lines([100 * run["wrong_labels"] for run in runs], 1),
        "n": str(len(runs)),
        "fit": "\n".join(shown),
        "peak": two_lines([100 * run["peak_test_accuracy"] for run in runs], 1),
        "peak_epoch": two_lines([run["peak_test_epoch"] for run in runs], 0),
        "true": two_lines([100 * true_at_peak(run) for run in runs], 1),
        "end": two_lines([100 * run["test_accuracy"][-1] for run in runs], 1),
    }


def true_at_peak(run: dict[str, Any]) -> float:
    """Accuracy on the training images by their true labels, after the epoch of the highest test accuracy."""
    return run["true_accuracy"][run["peak_test_epoch"] - 1]


def epoch(value: int) -> str:
    """An epoch, or a dash for not before the training ended."""
    return str(value) if value else NOTHING


def claim_8(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C8 in the table that opens the report."""
    names = ("training result reached", "test accuracy at chance", "test loss above ln 10")
    shown = [
        f"{name} in {part['agree']} of {seed_count(part['seeds'])} ({part['shown']})"
        for name, part in zip(names, verdict["parts"], strict=True)
        if part["seeds"]
    ]
    evidence = "; ".join(shown) or "Shuffled labels of all images are not measured yet"
    return {
        "name": "C8",
        "statement": "The net fits shuffled labels in training, and learns nothing about the test set",
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": "random_labels",
    }


# -------------------------------------------------------------------------------------------- its sentences


def answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, how far shuffled labels are learnt and what that says about others; empty where not measured."""
    runs = claims.runs_of(found, "full")
    if not runs:
        return ""
    fit, test, _ = verdict["parts"]
    learnt = {
        claims.HOLDS: "Yes, at some epoch as well as the earlier report's net",
        claims.FAILS: "Not as well as the earlier report's net",
        claims.UNCLEAR: "Whether as well as the earlier report's net is unclear",
    }[fit["verdict"]]
    answers = {
        claims.HOLDS: "On test images it is right as often as a guess",
        claims.FAILS: "On test images it is not right as often as a guess",
        claims.UNCLEAR: "Whether it is right on test images as often as a guess is unclear",
    }[test["verdict"]]
    share = spread([100 * run["all_images"]["train_accuracy"] for run in runs], 1)
    return f"{learnt}; at the end it gives {share}{PERCENT} of the images their shuffled label. {answers}."


def comment(found: dict[str, Any], verdict: dict[str, Any], images: int | None) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, test, truth, fit, peak; empty where nothing is measured.

    images: test images, None where the data's description does not count them.
    """
    full, true, shares = claims.runs_of(found, "full"), claims.runs_of(found, "true"), shares_of(found)
    chosen = found["settings"]
    result = [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]
    if len(full) == 1:
        result.append("There is one seed with all labels shuffled, which decides nothing about other seeds.")
    if full:
        result += [training_sentence(full, chosen["probe_images"]), fitted_sentence(full, chosen)]
    return {
        "result": result,
        "test": test_sentences(full) if full else [],
        "truth": truth_sentences(full, true) if true else [],
        "fit": share_fits(shares) if len(shares) > 1 else [],
        "peak": share_peaks(shares, images),
    }


def training_sentence(runs: Sequence[dict[str, Any]], fixed: int) -> str:
    """At which epochs the reference's training result was reached. fixed: images of the clean evaluation."""
    epochs = [run["reference_epoch"] for run in runs if run["reference_epoch"]]
    goal = (
        f"The earlier report's training result, a loss of {C8_REACHED['loss']} and an accuracy of "
        f"{percent(C8_REACHED['accuracy'], 1)} after about {C8_REACHED['epochs']} epochs,"
    )
    clean = f"on {fixed:,} fixed training images"
    if not epochs:
        longest = max(len(run["test_loss"]) for run in runs)
        return f"{goal} is not reached {clean} within {longest} epochs."
    where = "" if len(epochs) == len(runs) else f" in {len(epochs)} of {len(runs)} seeds"
    met = [meets_reference(run) for run in runs]
    return (
        f"{goal} is first reached {clean}{where} at epoch {listed([str(value) for value in epochs])}. In all "
        f"it holds in {listed([str(int(each.sum())) for each in met])} epochs of "
        f"{listed(list(dict.fromkeys(str(len(each)) for each in met)))}, and after the last one in "
        f"{still_met(runs)}." + by_last_epoch(runs, met)
    )


def by_last_epoch(runs: Sequence[dict[str, Any]], met: Sequence[np.ndarray]) -> str:
    """What the part would be if it were judged after the last epoch, where that is another verdict."""
    ever = claims.by_signs([reached(run) for run in runs])["verdict"]
    last = claims.by_signs([1.0 if each[-1] else -1.0 for each in met])["verdict"]
    if ever == last:
        return ""
    running = [meets_reference(run, "running") for run in runs]
    epochs = listed([str(int(each.sum())) for each in running])
    return (
        f" The rule asks whether it is ever reached; judged after the last epoch this part would be: {last}. By "
        f"running values, which the earlier report's are, it holds in {epochs} epochs, "
        f"and after the last one in {sum(bool(each[-1]) for each in running)} of {seed_count(len(runs))}."
    )


def meets_reference(run: dict[str, Any], values: str = "train") -> np.ndarray:
    """(epochs,): whether the values, clean ones (train) or running, are as good as the reference's."""
    loss, accuracy = (np.array(run[f"{values}_{name}"], float) for name in ("loss", "accuracy"))
    return (loss <= C8_REACHED["loss"]) & (accuracy >= C8_REACHED["accuracy"])


def fitted_sentence(runs: Sequence[dict[str, Any]], chosen: dict[str, Any]) -> str:
    """Since when the labels count as fitted."""
    epochs = [run["fit_epoch"] for run in runs if run["fit_epoch"]]
    rule = (
        f"a loss of at most {chosen['fit_loss']:g} and an accuracy of at least {percent(chosen['fit_accuracy'], 1)} "
        f"for {chosen['fit_epochs']} epochs in a row"
    )
    if not epochs:
        return f"By the stricter rule by which labels count as fitted ({rule}) they never are."
    where = "" if len(epochs) == len(runs) else f", in {len(epochs)} of {len(runs)} seeds"
    return f"The labels count as fitted ({rule}) from epoch {listed([str(value) for value in epochs])} on{where}."


def test_sentences(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Test accuracy and test loss at the end, against answers that know nothing."""
    accuracies, losses = ([run[name][-1] for run in runs] for name in ("test_accuracy", "test_loss"))
    said = [
        f"At the end the test accuracy is {spread([100 * value for value in accuracies], 2)}{PERCENT}; a "
        f"guess is right in {percent(C8_CHANCE)}, and an answer that is always the most frequent class in "
        f"{percent(runs[0]['majority'], 2)}."
    ]
    loss = f"The test loss is {spread(losses)} nats, where equal shares for all classes have ln 10 = {UNIFORM_LOSS:.2f}"
    if min(losses) > UNIFORM_LOSS:
        said.append(f"{loss}: the net is sure of answers that are wrong.")
    else:
        said.append(f"{loss}.")
    return said


def truth_sentences(full: Sequence[dict[str, Any]], true: Sequence[dict[str, Any]]) -> list[str]:
    """What the same net does with true labels, and both at the same training result, the reference's.

    That size and training result do not tell needs both to reach it in every seed, and no net with shuffled labels to
    be as good there on the test images as one with true labels.
    """
    shown = spread([100 * run["test_accuracy"][-1] for run in true], 2)
    said = [f"With true labels the same net ends at a test accuracy of {shown}{PERCENT}."]
    if not full:
        return said
    epochs = [[run["reference_epoch"] for run in runs] for runs in (full, true)]
    missed = [words for words, each in zip(("shuffled", "true"), epochs, strict=True) if not all(each)]
    if missed:
        return [
            *said,
            f"Not every seed with {listed(missed)} labels reaches that training result, so the two are not "
            "compared there.",
        ]
    tests = [[100 * run["test_accuracy"][run["reference_epoch"] - 1] for run in runs] for runs in (full, true)]
    said.append(
        f"At the same training result, a loss of at most {C8_REACHED['loss']} and an accuracy of at least "
        f"{percent(C8_REACHED['accuracy'], 1)}, first reached at epoch {spread(epochs[0], 0)} with shuffled and at "
        f"epoch {spread(epochs[1], 0)} with true labels, the test accuracies are {spread(tests[0], 2)}"
        f"{PERCENT} and {spread(tests[1], 2)}{PERCENT}."
    )
    if min(tests[1]) > max(tests[0]):
        said.append(
            "Net, images, optimizer and training result are the same in both, though not the number of updates. So "
            "neither the size of a net nor its training error alone tells whether it will generalize."
        )
    else:
        said.append(
            "There the nets with true labels are not all better on the test images than those with shuffled ones: the "
            "comparison says nothing about size and training error."
        )
    return said


def share_fits(shares: Shares) -> list[str]:
    """Whether more shuffled labels take longer to fit, seed by seed over the seeds that all shares have."""
    fits = {share: [run["fit_epoch"] for run in runs.values()] for share, runs in shares.items()}
    missed = [f"{100 * share:g}{PERCENT}" for share, each in fits.items() if not all(each)]
    if missed:
        return [f"Not every seed fits its labels with {listed(missed)} of them shuffled."]
    shown = [
        f"{number(float(np.median(each)), 0, DIVERGED)} at {100 * share:g}{PERCENT}" for share, each in fits.items()
    ]
    said = f"Median epochs to fit are {listed(shown)}"
    common = set.intersection(*map(set, shares.values()))
    steps = [np.diff([runs[seed]["fit_epoch"] for runs in shares.values()]) for seed in sorted(common)]
    longer, sooner = (sum(bool((sign * each > 0).all()) for each in steps) for sign in (1, -1))
    if not steps:
        return [f"{said}; no seed is measured at all of these shares."]
    of = f"of {seed_count(len(steps))}"
    if not longer and not sooner:
        first, second, *_ = (100 * share for share in fits)
        at_first = sum(bool(each[0] > 0) for each in steps)
        then = [sum(bool((sign * each[1:] > 0).all()) for each in steps) for sign in (1, -1)]
        return [
            f"{said}: longer at {second:g}{PERCENT} than at {first:g}{PERCENT} in {at_first} {of}, and from there on "
            f"rising throughout in {then[0]}, falling throughout in {then[1]}."
        ]
    if longer:
        return [f"{said}: the more labels are shuffled, the longer they take to fit in {longer} {of}."]
    return [f"{said}: the more labels are shuffled, the sooner they are fitted in {sooner} {of}."]


def fall_beyond_noise(run: dict[str, Any], images: int) -> bool:
    """Whether the test accuracy ends lower than its peak by more than ERRORS standard errors of one accuracy."""
    peak, end = run["peak_test_accuracy"], run["test_accuracy"][-1]
    error = max(claims.standard_error(value, images) for value in (peak, end))
    return peak - end > ERRORS * error


def partly(shares: Shares) -> Runs:
    """The results with some of the labels shuffled and some not."""
    return {share: list(runs.values()) for share, runs in shares.items() if 0 < share < 1}


def falling(shares: Shares, images: int) -> dict[float, float]:
    """{share: median fall after the peak} of the shares at which every seed falls beyond noise."""
    return {
        share: float(np.median([run["peak_test_accuracy"] - run["test_accuracy"][-1] for run in runs]))
        for share, runs in partly(shares).items()
        if all(fall_beyond_noise(run, images) for run in runs)
    }


def better_than_its_labels(run: dict[str, Any]) -> bool:
    """Whether at its peak the net names more true classes of its training images than the labels it was given."""
    return true_at_peak(run) > 1 - run["wrong_labels"]


def memory(shares: Shares, images: int | None) -> dict[str, str]:
    """Whether what images have in common is learnt first, and whether stopping early helps: both in every seed.

    Each is "yes", "no", or empty where it cannot be told.
    """
    runs = partly(shares)
    if not runs:
        return {"common": "", "early": ""}
    common = all(better_than_its_labels(run) for each in runs.values() for run in each)
    early = "" if images is None else "yes" if len(falling(shares, images)) == len(runs) else "no"
    return {"common": "yes" if common else "no", "early": early}


def share_peaks(shares: Shares, images: int | None) -> list[str]:
    """How far the test accuracy falls after its peak, and whether the net was better than its labels there."""
    runs = partly(shares)
    if not runs:
        return []
    falls = falling(shares, images) if images else {}
    share = max(falls, key=falls.__getitem__) if falls else max(runs)
    return [*fall_sentences(runs, falls, share, images), *learnt_sentences(runs, share)]


def shuffled(shares: Iterable[float]) -> str:
    """25 %, 50 % and 75 %."""
    return listed([f"{100 * share:g}{PERCENT}" for share in shares])


def fall_sentences(runs: Runs, falls: dict[float, float], share: float, images: int | None) -> list[str]:
    """At which shares the test accuracy falls after its peak, and how far at one of them. falls: as of `falling`."""
    if images is None:
        return [
            "The data's description does not count the test images, so a fall of the test accuracy after its peak "
            "cannot be told from noise."
        ]
    said = []
    if falls:
        peak = spread([100 * run["peak_test_accuracy"] for run in runs[share]], 1)
        end = spread([100 * run["test_accuracy"][-1] for run in runs[share]], 1)
        epoch = spread([run["peak_test_epoch"] for run in runs[share]], 0)
        seeds = "every seed" if len(runs[share]) > 1 else "the one seed"
        said.append(
            f"With {shuffled(falls)} shuffled the test accuracy falls after its peak in {seeds}, by more than {ERRORS} "
            f"binomial standard errors of a test accuracy, deepest with {shuffled([share])}: from {peak}{PERCENT} "
            f"after epoch {epoch} to {end}{PERCENT} at the end."
        )
    if len(falls) < len(runs):
        said.append(
            f"With {shuffled(each for each in runs if each not in falls)} shuffled there is no fall beyond noise: not "
            f"every seed ends more than {ERRORS} binomial standard errors below its peak."
        )
    return said


def learnt_sentences(runs: Runs, share: float) -> list[str]:
    """How many true classes the net names at its peak, with this share, beside the true labels it was given."""
    said = []
    learnt = [each for each in runs if all(map(better_than_its_labels, runs[each]))]
    if share in learnt:
        true = spread([100 * true_at_peak(run) for run in runs[share]], 1)
        given = spread([100 * (1 - run["wrong_labels"]) for run in runs[share]], 1)
        said.append(
            f"At its peak the net with {shuffled([share])} shuffled names the true class of {true}{PERCENT} of its "
            f"training images, although only {given}{PERCENT} of the labels it was given are true: it has learned what "
            "images of a class have in common, and not yet each label by heart."
        )
    if len(learnt) < len(runs):
        said.append(
            f"With {shuffled(each for each in runs if each not in learnt)} shuffled, not every seed names more true "
            "classes at its peak than the labels that it was given."
        )
    return said
