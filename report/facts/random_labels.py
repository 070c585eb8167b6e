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
LABELS = {"full": "shuffled", "true": "true"}

Run = dict[str, Any]
Shares = dict[float, dict[str, Run]]  # {share of labels shuffled: {seed: results}}, least share first


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds unless named otherwise), guards, tables and C8."""
    full, true = ([results(history, unit) for unit in reading.units_of(history, arm)] for arm in LABELS)
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
        "met_at_the_end": sum(bool(met(run)[-1]) for run in full) if full else None,
        "train_accuracy": median([run["all_train_accuracy"] for run in full]),
        "test_loss": median([run["test_loss"][-1] for run in full]),
        "true_epoch": median([run["reference_epoch"] for run in true if run["reference_epoch"]]),
        "true_test_accuracy": median(last_tests(true)),
        "fit_clean": fit_epochs(shares.get(0.0, {})),
        "least_share": min((share for share in shares if share > 0), default=None),
        "fit_least": fits[0] if fits else None,
        "most_share": max((share for share in shares if share < 1), default=None) if mixed else None,
        "most_right_labels": median([right_labels(run) for run in most]),
        "most_true_at_peak": median([true_at_peak(run) for run in most]),
        "most_end": median(last_tests(most)),
    }
    guards = {
        "learnt": as_guard(parts[0]),
        "guesses_on_test": as_guard(parts[1]),
        "sure_and_wrong": guard(full, lambda run: run["test_loss"][-1] > 5 * UNIFORM_LOSS),
        "held_half": guard(full, lambda run: 1 / 3 <= held(run) <= 2 / 3),
        "true_labels_generalize": generalizes(full, true),
        "wrong_labels_take_longer": None if 0.0 not in shares else guard(by_seed, takes_longer),
        "number_does_not_matter": None if len(fits) < 2 else None not in fits and max(fits) <= 1.25 * min(fits),
        "common_first": guard(mixed, lambda run: true_at_peak(run) > right_labels(run)),
        "peaks_early": guard(mixed, lambda run: run["peak_test_epoch"] <= 5),
        "falls_back": None if images is None else guard(mixed, lambda run: falls_back(run, images)),
        "more_wrong_is_worse": guard(by_seed, lambda runs: max(np.diff(last_tests(runs))) < 0),
        "ends_near_its_labels": guard(mixed, lambda run: abs(run["test_accuracy"][-1] - right_labels(run)) <= 0.1),
    }
    tables = {
        "trainings": [training(run) for run in full + true],
        "shares": [share_row(share, list(runs.values())) for share, runs in shares.items()],
    }
    statement = "The net fits shuffled labels in training, and learns nothing about the test set"
    judged = claim("C8", statement, parts)
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [judged]})


def shares_of(history: dict[str, Any]) -> Shares:
    """The trainings in which a share of the labels was shuffled, by share and seed."""
    shares: Shares = {}
    for unit in history["units"]:
        if unit.startswith("share-") and unit in history["results"]:
            share, _, seed = unit.removeprefix("share-").partition("/seed-")
            shares.setdefault(float(share), {})[seed] = results(history, unit)
    return dict(sorted(shares.items()))


def results(history: dict[str, Any], unit: str) -> Run:
    """What is used of one training: its arm and seed, `CURVES` by epoch and single numbers; epochs are whole."""
    run: Run = dict(zip(("arm", "seed"), unit.split("/seed-"), strict=True))
    run |= {name: reading.field(history, unit, name) for name in CURVES}
    run |= {name: int(number(history, unit, name)) for name in EPOCHS}
    run |= {name: number(history, unit, name) for name in ("wrong_labels", "peak_test_accuracy")}
    return run | {f"all_{name}": number(history, unit, "all_images", name) for name in ("train_loss", "train_accuracy")}


# ------------------------------------------------------------------------------------------- of trainings


def met(run: Run) -> np.ndarray:
    """(epochs,): whether the training result is as good as the reference's."""
    return (run["train_loss"] <= C8_REACHED["loss"]) & (run["train_accuracy"] >= C8_REACHED["accuracy"])


def held(run: Run) -> float:
    """Share of the last epochs in which the reference's training result is met."""
    return float(np.mean(met(run)[-LAST:]))


def right_labels(run: Run) -> float:
    """Share of the labels given that are true."""
    return 1 - run["wrong_labels"]


def true_at_peak(run: Run) -> float:
    """Accuracy on the training images by their true labels, after the epoch of the highest test accuracy."""
    return run["true_accuracy"][run["peak_test_epoch"] - 1]


def falls_back(run: Run, images: int) -> bool:
    """Whether the test accuracy ends lower than its peak by more than the noise of one accuracy."""
    peak, end = run["peak_test_accuracy"], run["test_accuracy"][-1]
    return peak - end > ERRORS * max(claims.standard_error(value, images) for value in (peak, end))


def last_tests(runs: list[Run]) -> list[float]:
    """Test accuracies after the last epoch."""
    return [run["test_accuracy"][-1] for run in runs]


def tests_when_reached(runs: list[Run]) -> list[float]:
    """Test accuracies at the epoch at which each run first reached the reference's training result."""
    return [run["test_accuracy"][run["reference_epoch"] - 1] for run in runs if run["reference_epoch"]]


def generalizes(full: list[Run], true: list[Run]) -> bool | None:
    """Whether all nets reach that result, and there each with true labels is far better than any with shuffled ones."""
    shuffled, tested = tests_when_reached(full), tests_when_reached(true)
    if not full or not true:
        return None
    return len(shuffled + tested) == len(full + true) and min(tested) > max(shuffled) + 0.5


def fit_epochs(runs: dict[str, Run]) -> float | None:
    """Median epochs to fit; None where not all seeds do."""
    epochs = [run["fit_epoch"] for run in runs.values()]
    return median(epochs) if all(epochs) else None


def takes_longer(runs: list[Run]) -> bool:
    """Whether one seed's labels take over three times as long to fit with any share shuffled as with none."""
    none, *some = (run["fit_epoch"] for run in runs)
    return none > 0 and min(some) > 3 * none


# --------------------------------------------------------------------------------------------- tables and C8


def training(run: Run) -> dict[str, Any]:
    """A row of the table of trainings on all images; epochs are None for never."""
    epochs = {name: run[name] or None for name in ("fit_epoch", "reference_epoch", "running_reference_epoch")}
    as_they_are = {name: run[name] for name in ("seed", "peak_test_accuracy", "peak_test_epoch")}
    last = {name: run[name][-1] for name in ("test_loss", "test_accuracy")}
    last |= {name: run[f"all_{name}"] for name in ("train_loss", "train_accuracy")}
    return (
        {"labels": LABELS[run["arm"]], "epochs": len(run["test_loss"]), "held": held(run)} | epochs | as_they_are | last
    )


def share_row(share: float, runs: list[Run]) -> dict[str, Any]:
    """A row of the table of shares; lists have a value for each seed."""
    row = {name: [run[name] for run in runs] for name in ("wrong_labels", "peak_test_accuracy", "peak_test_epoch")}
    row |= {"fit": [run["fit_epoch"] or None for run in runs], "end": last_tests(runs)}
    return row | {"share": share, "true_at_peak": [true_at_peak(run) for run in runs]}


def c8(full: list[Run]) -> list[dict[str, Any]]:
    """The parts of C8: the training result is reached in time; at the end, test accuracy is chance, and loss higher."""
    return [
        claims.by_signs([reached_in_time(run) for run in full]),
        claims.by_margins([C8_AROUND - abs(value - C8_CHANCE) for value in last_tests(full)]),
        claims.by_margins([run["test_loss"][-1] - UNIFORM_LOSS for run in full]),
    ]


def reached_in_time(run: Run) -> float:
    """1 where a run reached the reference's training result in time, -1 where it did not; 0 where it ended earlier."""
    if 0 < run["reference_epoch"] <= C8_REACHED["epochs"]:
        return 1.0
    return -1.0 if len(run["test_loss"]) >= C8_REACHED["epochs"] else 0.0


def as_guard(part: dict[str, Any]) -> bool | None:
    """Whether a part of a claim holds; None where no seed is measured."""
    return part["verdict"] == claims.HOLDS if part["seeds"] else None
