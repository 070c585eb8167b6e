"""Facts of hw1_1/mnist_cnn: three CNNs of equal size on MNIST, how sure they are when wrong, and claim C3."""

from typing import Any

from report import claims
from report.facts import claim, guard, image_nets, known, median, models, plain

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
    seeds = image_nets.whole_seeds(history)
    new = {seed: nets for seed, nets in seeds.items() if seed not in FIRST_SEEDS}
    parts = judged(seeds)
    fits, fits_best, tests_best, _ = (each["verdict"] if each["seeds"] else None for each in parts)
    middle = [nets["middle"] for nets in seeds.values()]
    turns, wrong = [image_nets.turn(each) for each in middle], [of_wrong_answers(each) for each in middle]
    test, images = median([each["test_accuracy"][-1] for each in middle]), claims.test_images(history)
    numbers = image_nets.shared_numbers(seeds) | {
        "standard_error": claims.standard_error(test, images) if images and test else None,
        "lowest_test_loss_at": median([each["epoch"] for each in turns]),
        **{name: median([each[name] for each in wrong if each]) for name in OF_WRONG_ANSWERS},
    }
    guards = {
        "middle_fits_best": guard([fits, fits_best], claims.HOLDS.__eq__),
        "training_lead_small": guard([numbers["middle_over_deep_in_training"]], lambda share: 0 < share < LEVEL),
        "deep_tests_best": guard([tests_best], claims.HOLDS.__eq__),
        "running_agrees": guard(seeds.values(), lambda nets: image_nets.lead(nets, "middle", "running_accuracy") > 0),
        "loss_rises_accuracy_stays": guard(
            turns, lambda each: each["rise"] > 0.1 and abs(median([each["gain"] for each in turns])) < 0.002
        ),
        "wrong_answers_surer": guard(
            wrong,
            lambda each: each["confidence_then"] < each["confidence_end"] and each["wrong_then"] < each["wrong_end"],
        ),
        "fewer_than_half_left": known(
            lambda left, gain: left < 0.5 and gain < image_nets.POINTS_APART,
            numbers["errors_left"],
            numbers["deep_over_shallow"],
        ),
        "right_answers_no_worse": guard(wrong, lambda each: each["right_end"] <= each["right_then"]),
    }
    statement = "On MNIST the middle CNN is best in training and the deep one in testing; shallow is worst"
    tables = {
        "nets": models(history, LAYERS),
        "ends": image_nets.end_rows(history, EARLIER),
        "parts": [
            {"second_rule": one, "new_seeds": two, "first_rule": three}
            for one, two, three in zip(parts, judged(new), judged(seeds, epochs=1), strict=True)
        ],
    }
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [claim("C3", statement, parts)]})


def judged(seeds: dict[str, dict[str, image_nets.Results]], epochs: int = LAST) -> list[dict[str, Any]]:
    """The parts of C3, of means over so many last epochs."""
    parts = [
        ("middle has the lowest training loss", "middle", "train_loss"),
        ("middle has the highest training accuracy", "middle", "train_accuracy"),
        ("deep has the highest test accuracy", "deep", "test_accuracy"),
        ("shallow has the lowest test accuracy", "shallow", "test_accuracy"),
    ]
    return [
        {"words": words} | image_nets.part(seeds, net, curve, epochs=epochs, worst=net == "shallow")
        for words, net, curve in parts
    ]


def of_wrong_answers(results: image_nets.Results) -> dict[str, float] | None:
    """On the test images, at the epoch of the lowest test loss (`then`) and at the end: the mean loss of right and of
    wrong answers, and the mean largest probability of wrong ones (`confidence`). None where they were not recorded."""
    curves = dict(zip(("right", "wrong", "confidence"), image_nets.FURTHER, strict=True))
    if not all(curve in results for curve in image_nets.FURTHER):
        return None
    places = {"then": image_nets.turn(results)["epoch"] - 1, "end": -1}
    return {f"{name}_{when}": results[curve][at] for name, curve in curves.items() for when, at in places.items()}
