"""Facts of hw1_1/mnist_cnn: three CNNs of equal size on MNIST, how sure they are when wrong, and claim C3."""

from typing import Any

from report import claims
from report.facts import claim, guard, known, median, models, plain
from report.facts.image_nets import (
    FURTHER,
    NETS,
    POINTS_APART,
    Results,
    at_end,
    difference,
    end_rows,
    errors_left,
    lead,
    part,
    turn,
    whole_seeds,
)

LAYERS = {  # as the homework's reference describes the nets
    "shallow": "Conv 68, MaxPool, dropout; Flatten, Dense 10",
    "middle": "Conv 64, MaxPool, Conv 64, dropout; Flatten, Dense 10",
    "deep": "Conv 65, MaxPool, Conv 65, dropout, Conv 64, dropout, MaxPool, Conv 64, dropout; Flatten, Dense 10",
}
EARLIER = {  # one run of each net in the earlier report, after 20 epochs
    "shallow": {"running_loss": 0.0190, "running_accuracy": 0.9937, "test_loss": 0.0520, "test_accuracy": 0.9849},
    "middle": {"running_loss": 0.0054, "running_accuracy": 0.9984, "test_loss": 0.0456, "test_accuracy": 0.9893},
    "deep": {"running_loss": 0.0136, "running_accuracy": 0.9954, "test_loss": 0.0189, "test_accuracy": 0.9937},
}
LAST = 5  # epochs whose mean is judged by the second rule
LEVEL = 0.001  # of the accuracy: a difference below a standard error of 10,000 images
FIRST_SEEDS = ("0", "1", "2")  # those seen before that rule was written
OF_WRONG_ANSWERS = [f"{name}_{when}" for name in ("right", "wrong", "confidence") for when in ("then", "end")]


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (differences: medians over seeds, both nets of one seed), guards, tables and C3."""
    seeds = whole_seeds(history)
    new = {seed: nets for seed, nets in seeds.items() if seed not in FIRST_SEEDS}
    parts = judged(seeds)
    fits, fits_best, tests_best, tests_worst = (verdict_of(each) for each in parts)
    turns = {net: [turn(nets[net]) for nets in seeds.values()] for net in NETS}
    rise = {net: median([each["rise"] for each in turns[net]]) for net in NETS}
    wrong = [of_wrong_answers(nets["middle"]) for nets in seeds.values()]
    measured = [each for each in wrong if each is not None]
    test = {net: median([nets[net]["test_accuracy"][-1] for nets in seeds.values()]) for net in NETS}
    images = claims.test_images(history)
    numbers = {
        "seeds": len(seeds),
        "test_accuracy": test,
        "standard_error": claims.standard_error(test["middle"], images) if images and test["middle"] else None,
        "middle_over_deep_in_training": difference(seeds, "middle", "deep", "train_accuracy"),
        "deep_over_middle": difference(seeds, "deep", "middle", "test_accuracy"),
        "deep_over_shallow": difference(seeds, "deep", "shallow", "test_accuracy"),
        "errors_left": errors_left(seeds),
        "test_loss_rise": rise,
        "lowest_test_loss_at": {net: median([each["epoch"] for each in turns[net]]) for net in NETS},
        **{name: median([each[name] for each in measured]) for name in OF_WRONG_ANSWERS},
    }
    guards = {
        "middle_fits_best": guard([fits, fits_best], claims.HOLDS.__eq__),
        "training_lead_small": guard([numbers["middle_over_deep_in_training"]], lambda share: 0 < share < LEVEL),
        "deep_tests_best": guard([tests_best], claims.HOLDS.__eq__),
        "shallow_tests_worst": guard([tests_worst], claims.HOLDS.__eq__),
        "running_agrees": guard(seeds.values(), lambda nets: lead(nets, "middle", at_end("running_accuracy")) > 0),
        "loss_rises_accuracy_stays": guard(
            turns["middle"], lambda each: each["rise"] > 0.1 and abs(each["gain"]) < 0.002
        ),
        "middle_rises_most": guard([rise[net] for net in ("shallow", "deep")], lambda other: rise["middle"] > other),
        "wrong_answers_surer": guard(
            wrong,
            lambda each: each["confidence_then"] < each["confidence_end"] and each["wrong_then"] < each["wrong_end"],
        ),
        "fewer_than_half_left": known(
            lambda left, gain: left < 0.5 and gain < POINTS_APART, numbers["errors_left"], numbers["deep_over_shallow"]
        ),
        "right_answers_no_worse": guard(wrong, lambda each: each["right_end"] <= each["right_then"]),
    }
    statement = "On MNIST the middle CNN is best in training and the deep one in testing; shallow is worst"
    tables = {
        "nets": models(history, LAYERS),
        "ends": end_rows(history, EARLIER),
        "parts": [
            {"second_rule": one, "new_seeds": two, "first_rule": three}
            for one, two, three in zip(parts, judged(new), judged(seeds, last=1), strict=True)
        ],
    }
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C3", statement, parts)]})


def judged(seeds: dict[str, dict[str, Results]], last: int = LAST) -> list[dict[str, Any]]:
    """The parts of C3, of means over so many last epochs."""
    return [
        part(seeds, "middle has the lowest training loss", "middle", at_end("train_loss", last)),
        part(seeds, "middle has the highest training accuracy", "middle", at_end("train_accuracy", last)),
        part(seeds, "deep has the highest test accuracy", "deep", at_end("test_accuracy", last)),
        part(seeds, "shallow has the lowest test accuracy", "shallow", at_end("test_accuracy", last), last=True),
    ]


def verdict_of(part: dict[str, Any]) -> str | None:
    """The verdict on a part; None where no seed is measured."""
    return part["verdict"] if part["seeds"] else None


def of_wrong_answers(results: Results) -> dict[str, float] | None:
    """On the test images, at the epoch of the lowest test loss (`then`) and at the end: the mean loss of right and of
    wrong answers, and the mean largest probability of wrong ones (`confidence`). None where they were not recorded."""
    curves = dict(zip(("right", "wrong", "confidence"), FURTHER, strict=True))
    if not all(curve in results for curve in FURTHER):
        return None
    places = {"then": turn(results)["epoch"] - 1, "end": -1}
    return {f"{name}_{when}": results[curve][at] for name, curve in curves.items() for when, at in places.items()}
