"""Facts of hw1_3/random_labels: how a net fits shuffled labels, and claim C8.

Losses and accuracies are clean evaluations. An epoch 0 in the history stands for never.
"""

from typing import Any

from common import reading

import numpy as np

from report import claims
from report.claims import C8_AROUND, C8_CHANCE, C8_REACHED, UNIFORM_LOSS
from report.facts import claim, guard, median, number, plain

CURVES = ("train_loss", "train_accuracy", "true_accuracy", "test_loss", "test_accuracy")
EPOCHS = ("images", "fit_epoch", "reference_epoch", "running_reference_epoch", "peak_test_epoch")
LAST = 100  # epochs at the end, over which it is counted how often the reference's result is held
ERRORS = 2  # binomial standard errors of a test accuracy from which on a fall is more than noise

Run = dict[str, Any]  # of `results`
Shares = dict[float, dict[str, Run]]  # {share of labels shuffled: {seed: results}}, least share first


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds unless named otherwise), guards, tables and C8."""
    full, true = ([results(history, unit) for unit in reading.units_of(history, arm)] for arm in ("full", "true"))
    shares = shares_of(history)
    parts, images = c8(full), claims.test_images(history)
    mixed = [run for share, runs in shares.items() if 0 < share < 1 for run in runs.values()]
    most = list(shares[max(share for share in shares if share < 1)].values()) if mixed else []
    common = set.intersection(*(set(runs) for runs in shares.values())) if len(shares) > 1 else set()
    by_seed = [[runs[seed] for runs in shares.values()] for seed in sorted(common)]
    fits = [fit_epochs(runs) for share, runs in shares.items() if share > 0]
    reached = [run["reference_epoch"] for run in full if run["reference_epoch"]]
    numbers = {
        "seeds": len(full) or None,
        "images": full[0]["images"] if full else None,
        "reached_first": min(reached, default=None),
        "reached_last": max(reached, default=None),
        "met_at_the_end": sum(run["met_at_the_end"] for run in full) if full else None,
        "train_accuracy": median([run["train_accuracy"] for run in full]),
        "test_loss": median([run["test_loss"] for run in full]),
        "true_epoch": median([run["reference_epoch"] for run in true if run["reference_epoch"]]),
        "true_test_accuracy": median([run["test_accuracy"] for run in true]),
        "fit_clean": fit_epochs(shares.get(0.0, {})),
        "least_share": min((share for share in shares if share > 0), default=None),
        "fit_least": fits[0] if fits else None,
        "most_share": max((share for share in shares if share < 1), default=None) if mixed else None,
        "most_right_labels": median([run["right_labels"] for run in most]),
        "most_true_at_peak": median([run["true_at_peak"] for run in most]),
        "most_end": median([run["test_accuracy"] for run in most]),
    }
    guards = {
        "learnt": as_guard(parts[0]),
        "guesses_on_test": as_guard(parts[1]),
        "sure_and_wrong": guard(full, lambda run: run["test_loss"] > 5 * UNIFORM_LOSS),
        "held_half": guard(full, lambda run: 1 / 3 <= run["held"] <= 2 / 3),
        "true_labels_generalize": generalizes(full, true),
        "wrong_labels_take_longer": None if 0.0 not in shares else guard(by_seed, takes_longer),
        "number_does_not_matter": None if len(fits) < 2 else None not in fits and max(fits) <= 1.25 * min(fits),
        "common_first": guard(mixed, lambda run: run["true_at_peak"] > run["right_labels"]),
        "peaks_early": guard(mixed, lambda run: run["peak_test_epoch"] <= 5),
        "falls_back": None if images is None else guard(mixed, lambda run: falls_back(run, images)),
        "more_wrong_is_worse": guard(by_seed, lambda runs: max(np.diff([run["test_accuracy"] for run in runs])) < 0),
        "ends_near_its_labels": guard(mixed, lambda run: abs(run["test_accuracy"] - run["right_labels"]) <= 0.1),
    }
    tables = {
        "trainings": full + true,
        "shares": [{"share": share, "runs": list(runs.values())} for share, runs in shares.items()],
    }
    statement = "The net fits shuffled labels in training, and learns nothing about the test set"
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C8", statement, parts)]})


def shares_of(history: dict[str, Any]) -> Shares:
    """The trainings in which a share of the labels was shuffled, by share and seed."""
    shares: Shares = {}
    for unit in history["units"]:
        if unit.startswith("share-") and unit in history["results"]:
            share, _, seed = unit.removeprefix("share-").partition("/seed-")
            shares.setdefault(float(share), {})[seed] = results(history, unit)
    return dict(sorted(shares.items()))


def results(history: dict[str, Any], unit: str) -> Run:
    """What is used of one training, in single numbers; losses and accuracies are those after the last epoch.

    held: share of the last epochs with a training result as good as the reference's. right_labels: share of the
    labels given that are true. true_at_peak: accuracy on the training images by their true labels where test accuracy
    peaks. test_when_reached: test accuracy where the reference's training result is first reached, NaN if it never is.
    """
    arm, seed = unit.split("/seed-")
    curves = {name: reading.field(history, unit, name) for name in CURVES}
    run: Run = {name: int(number(history, unit, name)) for name in EPOCHS}
    good = (curves["train_loss"] <= C8_REACHED["loss"]) & (curves["train_accuracy"] >= C8_REACHED["accuracy"])
    reached = run["reference_epoch"]
    return run | {
        "shuffled": arm != "true",
        "seed": seed,
        "epochs": len(good),
        "held": float(np.mean(good[-LAST:])),
        "met_at_the_end": bool(good[-1]),
        "test_when_reached": curves["test_accuracy"][reached - 1] if reached else np.nan,
        "test_loss": curves["test_loss"][-1],
        "test_accuracy": curves["test_accuracy"][-1],
        "peak_test_accuracy": number(history, unit, "peak_test_accuracy"),
        "true_at_peak": curves["true_accuracy"][run["peak_test_epoch"] - 1],
        "right_labels": 1 - number(history, unit, "wrong_labels"),
        "train_loss": number(history, unit, "all_images", "train_loss"),
        "train_accuracy": number(history, unit, "all_images", "train_accuracy"),
    }


def falls_back(run: Run, images: int) -> bool:
    """Whether the test accuracy ends lower than its peak by more than the noise of one accuracy."""
    peak, end = run["peak_test_accuracy"], run["test_accuracy"]
    return peak - end > ERRORS * max(claims.standard_error(value, images) for value in (peak, end))


def generalizes(full: list[Run], true: list[Run]) -> bool | None:
    """Whether all nets reach that result, and there each with true labels is far better than any with shuffled ones."""
    shuffled, tested = ([run["test_when_reached"] for run in runs] for runs in (full, true))
    return min(tested) > max(shuffled) + 0.5 and not np.isnan(shuffled + tested).any() if full and true else None


def fit_epochs(runs: dict[str, Run]) -> float | None:
    """Median epochs to fit; None where not all seeds do."""
    epochs = [run["fit_epoch"] for run in runs.values()]
    return median(epochs) if all(epochs) else None


def takes_longer(runs: list[Run]) -> bool:
    """Whether one seed's labels take over three times as long to fit with any share shuffled as with none."""
    none, *some = (run["fit_epoch"] for run in runs)
    return none > 0 and min(some) > 3 * none


def c8(full: list[Run]) -> list[dict[str, Any]]:
    """The parts of C8: the training result is reached in time; at the end, test accuracy is chance, and loss higher."""
    return [
        claims.by_signs([reached_in_time(run) for run in full]),
        claims.by_margins([C8_AROUND - abs(run["test_accuracy"] - C8_CHANCE) for run in full]),
        claims.by_margins([run["test_loss"] - UNIFORM_LOSS for run in full]),
    ]


def reached_in_time(run: Run) -> float:
    """1 where a run reached the reference's training result in time, -1 where it did not; 0 where it ended earlier."""
    if 0 < run["reference_epoch"] <= C8_REACHED["epochs"]:
        return 1.0
    return -1.0 if run["epochs"] >= C8_REACHED["epochs"] else 0.0


def as_guard(part: dict[str, Any]) -> bool | None:
    """Whether a part of a claim holds; None where no seed is measured."""
    return part["verdict"] == claims.HOLDS if part["seeds"] else None
