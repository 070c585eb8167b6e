"""Can network fit random labels: what the report says of the history of random_labels.py, and claim C8.

Losses and accuracies are clean evaluations. An epoch 0 in the history stands for never.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from report import claims, comments

ARMS = {"full": "shuffled", "true": "true"}
REFERENCE = {"loss": 0.055, "accuracy": 0.989, "epochs": 530}  # what the reference reached in training, and when
CHANCE, AROUND = 0.1, 0.015  # test accuracy of a guess, and how far from it the claim's may lie
UNIFORM_LOSS = math.log(10)  # nats: of an answer that gives each class one tenth
FIGURES = ("random_labels", "random_labels_share")
NEEDED = ("share", "images", "wrong_labels", "majority", "fit_epoch", "reference_epoch", "running_reference_epoch")
NEEDED += ("peak_test_epoch", "peak_test_accuracy", "all_images", "test_loss", "test_accuracy", "true_accuracy")
MEANINGS = {
    "epochs": "passes over all images with shuffled labels, at most",
    "true_epochs": "passes over all images with true labels",
    "share_epochs": "passes over the part of the images, at most",
    "share_images": "training images of which a share of the labels is shuffled",
    "batch_size": "images a step",
    "learning_rate": "of Adam; loss: mean cross-entropy",
    "fit_loss": "training loss, at most, of fitted labels",
    "fit_accuracy": "training accuracy, at least, of fitted labels",
    "fit_epochs": "epochs in a row for which both must hold",
    "probe_images": "training images, always the same, of the evaluation after each epoch",
    "shares": "of the labels, shuffled",
    "seeds": "one training each",
}


def runs_of(found: dict[str, Any], arm: str) -> list[dict[str, Any]]:
    """The results of an arm's seeds."""
    return [
        found["results"][unit] for unit in found["units"] if unit.startswith(f"{arm}/") and unit in found["results"]
    ]


def shares_of(found: dict[str, Any]) -> dict[float, list[dict[str, Any]]]:
    """{share: the results of its seeds}, least first."""
    arms = {unit.partition("/")[0] for unit in found["results"] if unit.startswith("share-")}
    runs = {float(arm.removeprefix("share-")): runs_of(found, arm) for arm in arms}
    return dict(sorted(runs.items()))


def c8(found: dict[str, Any]) -> dict[str, Any]:
    """C8: the net fits shuffled labels on the training set, and learns nothing about the test set."""
    runs = runs_of(found, "full")
    parts = [
        {
            "words": f"training loss at most {REFERENCE['loss']} and accuracy at least "
            f"{percent(REFERENCE['accuracy'], 1)} by epoch {REFERENCE['epochs']}",
            **claims.by_margins([reached(run) for run in runs]),
        },
        {
            "words": f"test accuracy within {100 * AROUND:g} points of {percent(CHANCE, 0)} at the end",
            **claims.by_margins([AROUND - abs(run["test_accuracy"][-1] - CHANCE) for run in runs]),
        },
        {
            "words": "test loss above ln 10 at the end",
            **claims.by_margins([run["test_loss"][-1] - UNIFORM_LOSS for run in runs]),
        },
    ]
    return {"claim": "C8", "verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


def reached(run: dict[str, Any]) -> float:
    """1 where a run reached the reference's training result in time, -1 where it did not; 0 where it ended earlier."""
    if 0 < run["reference_epoch"] <= REFERENCE["epochs"]:
        return 1.0
    return -1.0 if len(run["test_loss"]) >= REFERENCE["epochs"] else 0.0


# ---------------------------------------------------------------------------------------------- the section


def section(found: dict[str, Any]) -> dict[str, Any]:
    """All that random_labels.typ shows, but the settings."""
    verdict = c8(found)
    rows = [
        training_row(words, unit.partition("/seed-")[2], found["results"][unit])
        for arm, words in ARMS.items()
        for unit in found["units"]
        if unit.startswith(f"{arm}/") and unit in found["results"]
    ]
    return {
        "reference": {
            "epochs": f"about {REFERENCE['epochs']}",
            "loss": str(REFERENCE["loss"]),
            "accuracy": f"{100 * REFERENCE['accuracy']:.1f}",
        },
        "rows": rows,
        "shares": [share_row(share, runs) for share, runs in shares_of(found).items()],
        "parts": comments.counted(verdict),
        "verdict": verdict["verdict"],
        "claim": claim_8(verdict),
        "comment": comment(found, verdict),
    }


def training_row(labels: str, seed: str, run: dict[str, Any]) -> dict[str, str]:
    """One row of the table of trainings on all images; training values are those on all of them."""
    clean, running = (epoch(run[name]) for name in ("reference_epoch", "running_reference_epoch"))
    return {
        "labels": labels,
        "seed": seed,
        "epochs": str(len(run["test_loss"])),
        "fit": epoch(run["fit_epoch"]),
        "reference": f"{clean} / {running}",
        "train_loss": number(run["all_images"]["train_loss"]),
        "train_accuracy": number(100 * run["all_images"]["train_accuracy"], 2),
        "test_loss": number(run["test_loss"][-1]),
        "test_accuracy": number(100 * run["test_accuracy"][-1], 2),
        "peak": f"{number(100 * run['peak_test_accuracy'], 2)} ({run['peak_test_epoch']})",
    }


def share_row(share: float, runs: Sequence[dict[str, Any]]) -> dict[str, str]:
    """One row of the table of shares."""
    fits = [run["fit_epoch"] for run in runs if run["fit_epoch"]]
    shown = [spread(fits, 0)] if fits else []
    if len(fits) < len(runs):
        shown.append(f"{len(runs) - len(fits)} of {len(runs)} never")
    return {
        "share": f"{100 * share:g}",
        "wrong": spread([100 * run["wrong_labels"] for run in runs], 1),
        "n": str(len(runs)),
        "fit": "\n".join(shown),
        "peak": spread([100 * run["peak_test_accuracy"] for run in runs], 1),
        "peak_epoch": spread([run["peak_test_epoch"] for run in runs], 0),
        "true": spread([100 * true_at_peak(run) for run in runs], 1),
        "end": spread([100 * run["test_accuracy"][-1] for run in runs], 1),
    }


def true_at_peak(run: dict[str, Any]) -> float:
    """Accuracy on the training images by their true labels, after the epoch of the highest test accuracy."""
    return run["true_accuracy"][run["peak_test_epoch"] - 1]


def epoch(value: int) -> str:
    """An epoch, or a dash for never."""
    return str(value) if value else comments.NOTHING


def number(value: float, places: int | None = None) -> str:
    """With so many places, or three significant digits; what is not finite diverged."""
    if not math.isfinite(value):
        return "diverged"
    if places is None:
        places = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{places}f}"


def percent(share: float, places: int = 2) -> str:
    """A share in percent."""
    return f"{number(100 * share, places)}{comments.PERCENT}"


def spread(values: Sequence[float], places: int | None = None) -> str:
    """Median, and below it the range over seeds."""
    middle = number(float(np.median(values)), places)
    if len(values) == 1:
        return middle
    return f"{middle}\n[{number(float(np.min(values)), places)}, {number(float(np.max(values)), places)}]"


def inline(values: Sequence[float], places: int | None = None) -> str:
    """`spread` on one line."""
    return spread(values, places).replace("\n", " ")


def claim_8(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C8 in the table that opens the report."""
    names = ("training result reached", "test accuracy at chance", "test loss above ln 10")
    shown = [
        f"{name} in {part['agree']} of {part['seeds']} seed{'s' if part['seeds'] != 1 else ''}"
        for name, part in zip(names, verdict["parts"], strict=True)
        if part["seeds"]
    ]
    evidence = "; ".join(shown) or "Shuffled labels of all images are not measured yet"
    return {
        "name": "C8",
        "statement": "The net fits shuffled labels in training, and learns nothing about the test set",
        "evidence": evidence[0].upper() + evidence[1:],
        "verdict": verdict["verdict"],
        "section": "random_labels",
    }


# -------------------------------------------------------------------------------------------- its sentences


def comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the figures: result, test, truth, fit, peak; empty where nothing is measured."""
    full, true, shares = runs_of(found, "full"), runs_of(found, "true"), shares_of(found)
    result = [f"The claim {comments.VERDICT_WORDS[verdict['verdict']]}."]
    if len(full) == 1:
        result.append("There is one seed with all labels shuffled, which decides nothing about other seeds.")
    if full:
        result += [training_sentence(full), fitted_sentence(full, found["settings"])]
    return {
        "result": result,
        "test": test_sentences(full) if full else [],
        "truth": truth_sentences(full, true, verdict) if true else [],
        "fit": share_fits(shares) if len(shares) > 1 else [],
        "peak": share_peaks(shares),
    }


def training_sentence(runs: Sequence[dict[str, Any]]) -> str:
    """At which epochs the reference's training result was reached."""
    epochs = [run["reference_epoch"] for run in runs if run["reference_epoch"]]
    goal = (
        f"The reference's training result, a loss of {REFERENCE['loss']} and an accuracy of "
        f"{percent(REFERENCE['accuracy'], 1)} after about {REFERENCE['epochs']} epochs,"
    )
    if not epochs:
        longest = max(len(run["test_loss"]) for run in runs)
        return f"{goal} is not reached within {longest} epochs."
    where = "" if len(epochs) == len(runs) else f" in {len(epochs)} of {len(runs)} seeds"
    return f"{goal} is reached{where} at epoch {comments.listed([str(value) for value in epochs])}."


def fitted_sentence(runs: Sequence[dict[str, Any]], chosen: dict[str, Any]) -> str:
    """Since when the labels count as fitted."""
    epochs = [run["fit_epoch"] for run in runs if run["fit_epoch"]]
    rule = (
        f"a loss of at most {chosen['fit_loss']:g} and an accuracy of at least {percent(chosen['fit_accuracy'], 1)} "
        f"for {chosen['fit_epochs']} epochs in a row"
    )
    if not epochs:
        return f"The labels do not count as fitted ({rule}) at any time."
    where = "" if len(epochs) == len(runs) else f", in {len(epochs)} of {len(runs)} seeds"
    return (
        f"The labels count as fitted ({rule}) from epoch {comments.listed([str(value) for value in epochs])} on{where}."
    )


def test_sentences(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Test accuracy and test loss at the end, against answers that know nothing."""
    accuracies, losses = ([run[name][-1] for run in runs] for name in ("test_accuracy", "test_loss"))
    said = [
        f"At the end the test accuracy is {inline([100 * value for value in accuracies], 2)}{comments.PERCENT}; a "
        f"guess is right in {percent(CHANCE, 0)}, and an answer that is always the most frequent class in "
        f"{percent(runs[0]['majority'])}."
    ]
    loss = f"The test loss is {inline(losses)} nats, where equal shares for all classes have ln 10 = {UNIFORM_LOSS:.2f}"
    if min(losses) > UNIFORM_LOSS:
        said.append(f"{loss}: the net is sure of answers that are wrong.")
    else:
        said.append(f"{loss}.")
    return said


def truth_sentences(
    full: Sequence[dict[str, Any]], true: Sequence[dict[str, Any]], verdict: dict[str, Any]
) -> list[str]:
    """What the same net does with true labels, and how many times longer shuffled ones take."""
    ends = inline([100 * run["test_accuracy"][-1] for run in true], 2)
    said = [f"With true labels the same net ends at a test accuracy of {ends}{comments.PERCENT}."]
    fits = [[run["fit_epoch"] for run in runs] for runs in (full, true)]
    if all(runs and all(runs) for runs in fits):
        shuffled, truth = (float(np.median(each)) for each in fits)
        said.append(
            f"Its labels count as fitted from epoch {number(truth, 0)} on, the shuffled ones from epoch "
            f"{number(shuffled, 0)} (medians): {number(shuffled / truth, 1)} times as late."
        )
    if verdict["verdict"] == claims.HOLDS and all(fits[1]):
        said.append(
            "Net, images and optimizer are the same in both, and both are fitted. So neither the size of a net nor its "
            "training error tells whether it will generalize."
        )
    return said


def share_fits(shares: dict[float, list[dict[str, Any]]]) -> list[str]:
    """Whether more shuffled labels take longer to fit."""
    fits = {share: [run["fit_epoch"] for run in runs] for share, runs in shares.items()}
    missed = [f"{100 * share:g}{comments.PERCENT}" for share, each in fits.items() if not all(each)]
    if missed:
        return [f"Not every seed fits its labels with {comments.listed(missed)} of them shuffled."]
    medians = [float(np.median(each)) for each in fits.values()]
    steps = np.sign(np.diff(medians))
    words = "the more labels are shuffled, the longer they take to fit" if (steps > 0).all() else ""
    words = words or ("the more labels are shuffled, the sooner they are fitted" if (steps < 0).all() else "")
    words = words or "the time to fit does not follow the share step by step"
    shown = [
        f"{number(value, 0)} at {100 * share:g}{comments.PERCENT}" for share, value in zip(fits, medians, strict=True)
    ]
    return [f"Median epochs to fit are {comments.listed(shown)}: {words}."]


def share_peaks(shares: dict[float, list[dict[str, Any]]]) -> list[str]:
    """How far the test accuracy falls after its peak, and whether the net was better than its labels there."""
    partly = {share: runs for share, runs in shares.items() if 0 < share < 1}
    if not partly:
        return []
    falls = {
        share: float(np.median([run["peak_test_accuracy"] - run["test_accuracy"][-1] for run in runs]))
        for share, runs in partly.items()
    }
    share = max(falls, key=falls.get)
    peak, peak_epoch, end, true, given = (
        [quantity(run) for run in partly[share]]
        for quantity in (
            lambda run: 100 * run["peak_test_accuracy"],
            lambda run: run["peak_test_epoch"],
            lambda run: 100 * run["test_accuracy"][-1],
            lambda run: 100 * true_at_peak(run),
            lambda run: 100 * (1 - run["wrong_labels"]),
        )
    )
    said = ["The test accuracy does not fall after its peak."]
    if falls[share] > 0:
        said = [
            f"The test accuracy falls after its peak, deepest with {100 * share:g}{comments.PERCENT} shuffled: from "
            f"{inline(peak, 1)}{comments.PERCENT} after epoch {inline(peak_epoch, 0)} to {inline(end, 1)}"
            f"{comments.PERCENT} at the end."
        ]
    better = [wanted > had for wanted, had in zip(true, given, strict=True)]
    if all(better):
        said.append(
            f"At its peak the net names the true class of {inline(true, 1)}{comments.PERCENT} of its training images, "
            f"although only {inline(given, 1)}{comments.PERCENT} of the labels it was given are true: it has learned "
            "what images of a class have in common, and not yet each label by heart."
        )
    return said
