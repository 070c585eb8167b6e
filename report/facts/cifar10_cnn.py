"""Facts of hw1_1/cifar10_cnn: three CNNs of equal size on CIFAR-10, by epochs and at equal arithmetic, and claim C2."""

import math
from typing import Any

from common import reading

import numpy as np

from report.facts import claim, ends, guard, image_nets, known, median, models, number, plain, ratio

LAYERS = {  # as the homework's reference describes the nets
    "shallow": "Conv 38 same, MaxPool, dropout; Flatten, Dense 128, dropout, Dense 10",
    "middle": "Conv 16 same, Conv 22, MaxPool, dropout; Flatten, Dense 250, dropout, Dense 10",
    "deep": "Conv 32 same, Conv 32, MaxPool, dropout; Conv 64 same, Conv 64, MaxPool, dropout; Flatten, Dense 512, "
    "dropout, Dense 10",
}
EARLIER = {  # one run of each net in the earlier report, after 100 epochs
    "shallow": {"running_loss": 0.531, "running_accuracy": 0.800, "test_accuracy": 0.676},
    "middle": {"running_loss": 0.257, "running_accuracy": 0.906, "test_accuracy": 0.716},
    "deep": {"running_loss": 0.171, "running_accuracy": 0.940, "test_accuracy": 0.808},
}


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (differences: medians over seeds, both nets of one seed), guards, tables and C2."""
    seeds = image_nets.whole_seeds(history)
    equal = [at_equal_work(nets["deep"], nets["middle"]) for nets in seeds.values()]
    test = [median([nets[net]["test_accuracy"][-1] for nets in seeds.values()]) for net in image_nets.NETS]
    short = [
        None if end is None else EARLIER[net]["test_accuracy"] - end
        for net, end in zip(image_nets.NETS, test, strict=True)
    ]
    turns = [image_nets.turn(nets[net]) for nets in seeds.values() for net in ("middle", "deep")]
    shallow = [unit for unit in reading.units_of(history, "shallow") if "dead_hidden_share" in history["results"][unit]]
    dead = [number(history, unit, "dead_hidden_share") for unit in shallow]
    nets = models(history, LAYERS)
    *others, work = [row["multiply_adds"] for row in nets]
    times = [ratio(work, other) for other in others]
    numbers = image_nets.shared_numbers(seeds) | {
        "deep_work": times[-1],
        "equal_epochs": min((each["epochs"] for each in equal), default=None),
        "equal_loss_ratio": median([each["loss_ratio"] for each in equal]),
        "equal_test_lead": median([each["test_lead"] for each in equal]),
        "tests_ahead_from": max((each["tests_ahead_from"] for each in equal), default=None),
        "dead_hidden": min(dead, default=None),
        "below_earlier": ends(short),
    }
    quantities = ("train_loss", 1), ("train_accuracy", 1), ("train_loss", 0)  # the last: the area under the curve
    parts = [image_nets.part(seeds, "deep", curve, epochs=epochs) for curve, epochs in quantities]
    guards = {
        "deep_fits_best": guard([each for each in parts if each["seeds"]], lambda each: each["agree"] == each["seeds"]),
        "deep_tests_best": guard(seeds.values(), lambda nets: image_nets.lead(nets, "deep", "test_accuracy") > 0),
        "deep_fits_later": guard(equal, lambda each: each["fits_ahead"] == 0),
        "deep_tests_ahead": guard(equal, lambda each: math.isfinite(each["tests_ahead_from"])),
        "deep_works_most": guard(times, lambda each: each > 2),
        "loss_rises_accuracy_stays": guard(turns, lambda each: each["rise"] > 0.1 and each["gain"] > -0.005),
        "more_than_half_left": known(
            lambda left, gain: left > 0.5 and gain > image_nets.POINTS_APART,
            numbers["errors_left"],
            numbers["deep_over_shallow"],
        ),
        "shallow_units_dead": guard(dead, lambda share: share > 0.25),
        "earlier_higher": guard(short, lambda points: points > 0),
        "jpeg_copy": guard([history["data"]["name"] if seeds else None], lambda name: "JPEG" in name),
    }
    statement = "On CIFAR-10 the deep CNN converges faster, to a lower loss and a higher accuracy"
    tables = {"nets": nets, "ends": image_nets.end_rows(history, EARLIER)}
    judged = claim("C2", statement, parts)
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [judged]})


def at_equal_work(deep: image_nets.Results, middle: image_nets.Results) -> dict[str, float]:
    """One seed's two nets after the same epochs x examples x multiply-adds, as long as middle was trained.

    epochs: of deep in which it does as much arithmetic as middle in all of its own; after these loss_ratio, deep's
    training loss over middle's, and test_lead, deep's test accuracy less middle's. fits_ahead: in how many of them
    deep has the lower training loss; tests_ahead_from: the epoch from which on it has the higher test accuracy to the
    end, infinite if it has not. Between two epochs middle's curves are straight lines.
    """
    times = deep["multiply_adds"] / middle["multiply_adds"]
    epochs = min(int(len(middle["train_loss"]) / times), len(deep["train_loss"]))
    if not epochs:
        return {"epochs": 0} | dict.fromkeys(("loss_ratio", "test_lead", "fits_ahead", "tests_ahead_from"), math.nan)
    places = times * np.arange(1, epochs + 1)
    (loss, other_loss), (accuracy, other_accuracy) = (
        (np.array(deep[name][:epochs]), np.interp(places, np.arange(len(middle[name])) + 1, middle[name]))
        for name in ("train_loss", "test_accuracy")
    )
    behind = np.flatnonzero(~(accuracy > other_accuracy))
    return {
        "epochs": epochs,
        "loss_ratio": ratio(loss[-1], other_loss[-1]),
        "test_lead": accuracy[-1] - other_accuracy[-1],
        "fits_ahead": int(np.sum(loss < other_loss)),
        "tests_ahead_from": 1 + (behind[-1] + 1 if behind.size else 0)
        if accuracy[-1] > other_accuracy[-1]
        else math.inf,
    }
