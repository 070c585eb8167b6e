"""Train on Actual Tasks: what the report says of the histories of cifar10_cnn.py and mnist_cnn.py; claims C2 and C3."""

import math
from collections.abc import Callable
from typing import Any

from common.plain_pickle import are_counts, are_numbers

import numpy as np

from report import claims
from report.wording import (
    NOTHING,
    PERCENT,
    VERDICT_WORDS,
    capital,
    decimals,
    digits,
    from_to,
    listed,
    median_and_range,
    models,
    number,
    seed_count,
    short_line,
)

FIGURES = {"hw1_1/cifar10_cnn": ("cifar10_cnn",), "hw1_1/mnist_cnn": ("mnist_cnn",)}
LAYERS = {  # as the homework's reference describes the nets, flattest first
    "hw1_1/cifar10_cnn": {
        "shallow": "Conv 38 same, MaxPool, dropout; Flatten, Dense 128, dropout, Dense 10",
        "middle": "Conv 16 same, Conv 22, MaxPool, dropout; Flatten, Dense 250, dropout, Dense 10",
        "deep": "Conv 32 same, Conv 32, MaxPool, dropout; Conv 64 same, Conv 64, MaxPool, dropout; "
        "Flatten, Dense 512, dropout, Dense 10",
    },
    "hw1_1/mnist_cnn": {
        "shallow": "Conv 68, MaxPool, dropout; Flatten, Dense 10",
        "middle": "Conv 64, MaxPool, Conv 64, dropout; Flatten, Dense 10",
        "deep": "Conv 65, MaxPool, Conv 65, dropout, Conv 64, dropout, MaxPool, Conv 64, dropout; Flatten, Dense 10",
    },
}
# One run of each net in the earlier report and its published histories, at the end; training values are running ones.
EARLIER = {
    "hw1_1/cifar10_cnn": {
        "shallow": {"running_loss": "0.531", "running_accuracy": "80.0", "test_accuracy": "67.6"},
        "middle": {"running_loss": "0.257", "running_accuracy": "90.6", "test_accuracy": "71.6"},
        "deep": {"running_loss": "0.171", "running_accuracy": "94.0", "test_accuracy": "80.8"},
    },
    "hw1_1/mnist_cnn": {
        "shallow": {
            "running_loss": "0.0190",
            "running_accuracy": "99.37",
            "test_loss": "0.0520",
            "test_accuracy": "98.49",
        },
        "middle": {
            "running_loss": "0.0054",
            "running_accuracy": "99.84",
            "test_loss": "0.0456",
            "test_accuracy": "98.93",
        },
        "deep": {
            "running_loss": "0.0136",
            "running_accuracy": "99.54",
            "test_loss": "0.0189",
            "test_accuracy": "99.37",
        },
    },
}
CURVES = (  # of a CNN: heading, curve, in percent
    ("training loss", "train_loss", False),
    ("training accuracy", "train_accuracy", True),
    ("test loss", "test_loss", False),
    ("test accuracy", "test_accuracy", True),
    ("running loss", "running_loss", False),
    ("running accuracy", "running_accuracy", True),
)
Quantity = Callable[[dict[str, Any]], float]  # a number of a net's results
HALF_A_POINT = 0.5  # of accuracy, in percent: a smaller fall is none to speak of
FAR_OFF = 5  # times as far from the earlier report's value as any other net: not what all nets share
CLOSE = 3  # images by which a lead is as good as none


def is_unit(nets: dict[str, str], unit: str, results: dict[str, Any]) -> bool:
    """Whether this is a unit of a CNN question, with its six curves; accuracies are shares or NaN."""
    net, _, seed = unit.partition("/seed-")
    if net not in nets or not seed or not all(are_numbers(results.get(name), (int, float)) for _, name, _ in CURVES):
        return False
    shares = [value for _, name, percent in CURVES if percent for value in results[name]]
    return are_counts(results, "parameters", "multiply_adds") and all(
        math.isnan(share) or 0 <= share <= 1 for share in shares
    )


def whole_seeds(history: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """{seed: {net: results}} of the seeds for which all three nets were measured."""
    seeds: dict[str, dict[str, dict[str, Any]]] = {}
    for unit in history["units"]:
        if unit in history["results"]:
            net, seed = unit.split("/seed-")
            seeds.setdefault(seed, {})[net] = history["results"][unit]
    return {seed: nets for seed, nets in seeds.items() if {"shallow", "middle", "deep"} <= set(nets)}


def extreme(history: dict[str, Any], net: str, quantity: Quantity, sign: int, last: bool = False) -> dict[str, Any]:
    """Whether `net` is ahead of both others in each seed, or behind both (`last`), and by how much (`margins`).

    quantity(results) is better if higher times `sign`; a net that diverged is the worst.
    """
    margins = []
    for nets in whole_seeds(history).values():
        values = {name: claims.score(sign * quantity(results)) for name, results in nets.items()}
        own = values.pop(net)
        next_to_it = min(values.values()) if last else max(values.values())
        margins.append(0.0 if own == next_to_it else next_to_it - own if last else own - next_to_it)
    return {"margins": margins, **claims.by_margins(margins)}


def at_end(name: str) -> Quantity:
    """The value of a curve after the last epoch."""
    return lambda results: results[name][-1]


def area(name: str) -> Quantity:
    """The mean over epochs of a curve, which is the area under it for epochs of width 1 / epochs."""
    return lambda results: float(np.mean(results[name]))


def c2(history: dict[str, Any]) -> dict[str, Any]:
    """C2: on CIFAR-10 the deep net converges faster, to a lower loss and a higher accuracy. Clean training values."""
    parts = [
        {"words": "deep has the lowest training loss", **extreme(history, "deep", at_end("train_loss"), -1)},
        {"words": "deep has the highest training accuracy", **extreme(history, "deep", at_end("train_accuracy"), 1)},
        {
            "words": "deep has the least area under the training loss",
            **extreme(history, "deep", area("train_loss"), -1),
        },
    ]
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


def c3(history: dict[str, Any]) -> dict[str, Any]:
    """C3: on MNIST middle is best on the training set; deep is best and shallow worst on the test set."""
    parts = [
        {
            "words": "middle has the highest training accuracy",
            **extreme(history, "middle", at_end("train_accuracy"), 1),
        },
        {"words": "deep has the highest test accuracy", **extreme(history, "deep", at_end("test_accuracy"), 1)},
        {
            "words": "shallow has the lowest test accuracy",
            **extreme(history, "shallow", at_end("test_accuracy"), 1, last=True),
        },
    ]
    return {"verdict": claims.combined([part["verdict"] for part in parts]), "parts": parts}


# ---------------------------------------------------------------------------------------------- the section


def measured(found: dict[str, Any]) -> dict[str, Any]:
    """What both CNN questions show: nets, and the values after the last epoch."""
    by_net = {net: claims.runs_of(found, net) for net in LAYERS[found["experiment"]]}
    ends = {
        (net, name): [(100 if percent else 1) * results[name][-1] for results in runs]
        for net, runs in by_net.items()
        for _, name, percent in CURVES
    }
    rows = []
    for net, runs in by_net.items():
        cells = {}
        for _, name, percent in CURVES:
            medians = [float(np.median(ends[other, name])) for other in by_net if ends[other, name]]
            cells[name] = median_and_range(ends[net, name], 2 if percent else decimals(medians))
        rows.append({"net": net, "n": str(len(runs)), **cells})
        earlier = EARLIER[found["experiment"]][net]
        given = {name: {"median": earlier.get(name, NOTHING), "range": ""} for _, name, _ in CURVES}
        rows.append({"net": "earlier report", "n": "1", **given})
    return {
        "models": models(found, LAYERS[found["experiment"]]),
        "columns": [{"heading": heading, "name": name, "percent": percent} for heading, name, percent in CURVES],
        "rows": rows,
        "data": short_line(found["data"]["name"]),
        "source": short_line(str(found["data"].get("source", ""))),
    }


def cifar10_cnn(found: dict[str, Any]) -> dict[str, Any]:
    """Train on Actual Tasks, CIFAR-10."""
    verdict = c2(found)
    return _section(found, claim_2(verdict), cifar10_comment(found, verdict))


def mnist_cnn(found: dict[str, Any]) -> dict[str, Any]:
    """Train on Actual Tasks, MNIST."""
    verdict = c3(found)
    return _section(found, claim_3(verdict), mnist_comment(found, verdict, claims.test_images(found)))


def _section(found: dict[str, Any], claim: dict[str, str], comment: dict[str, list[str]]) -> dict[str, Any]:
    return measured(found) | {"claim": claim, "answer": answer(found), "comment": comment}


def _claim(name: str, statement: str, section: str, verdict: dict[str, Any]) -> dict[str, str]:
    parts = [
        f"{part['words']}: {part['agree']} of {seed_count(part['seeds'])}" for part in verdict["parts"] if part["seeds"]
    ]
    evidence = "; ".join(parts) or "No seed with all three nets yet"
    return {
        "name": name,
        "statement": statement,
        "evidence": capital(evidence),
        "verdict": verdict["verdict"],
        "section": section,
    }


def claim_2(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C2."""
    statement = "On CIFAR-10 the deep CNN converges faster, to a lower loss and a higher accuracy"
    return _claim("C2", statement, "cifar10_cnn", verdict)


def claim_3(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C3."""
    statement = "On MNIST the middle CNN is best in training and the deep one in testing; shallow is worst"
    row = _claim("C3", statement, "mnist_cnn", verdict)
    leads = [number(100 * margin) for margin in verdict["parts"][0]["margins"]]
    if leads:
        row["evidence"] += f". In training accuracy middle leads by {listed(leads)} points"
    return row


# -------------------------------------------------------------------------------------------- its sentences


def leaders(found: dict[str, Any], name: str, sign: int) -> list[str]:
    """The net that is ahead in a curve's last value, for each seed with all three nets; equals joined by "="."""
    ahead = []
    for nets in whole_seeds(found).values():
        values = {net: claims.score(sign * results[name][-1]) for net, results in nets.items()}
        best = max(values.values())
        ahead.append("=".join(net for net, value in values.items() if value == best))
    return ahead


def winner(ahead: list[str]) -> str:
    """ "deep (3 of 3 seeds)", or each net that leads in some seed with its count."""
    counts = {net: ahead.count(net) for net in dict.fromkeys(ahead)}
    total = len(ahead)
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    shown = [
        f"{net.replace('=', ' and ')} ({count} of {seed_count(total)}{', level' * ('=' in net)})"
        for net, count in ranked
    ]
    return listed(shown)


def answer(found: dict[str, Any]) -> str:
    """In short, which net is best on the test images and in training, over the seeds with all three nets."""
    whole = whole_seeds(found)
    if not whole:
        return "No seed has all three nets yet."
    tests = {
        net: float(np.median([nets[net]["test_accuracy"][-1] for nets in whole.values()]))
        for net in ("shallow", "middle", "deep")
    }
    best, learnt = (winner(leaders(found, name, 1)) for name in ("test_accuracy", "train_accuracy"))
    shown = listed([f"{net} {number(100 * value)}" for net, value in tests.items()])
    of = " (medians)" if len(whole) > 1 else f" (seed {next(iter(whole))}, the only one with all three nets)"
    return (
        f"The most accurate of the three nets is, on the test images, {best}, and in training {learnt}. "
        f"Test accuracy: {shown}{PERCENT}{of}."
    )


def _task(found: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    said = [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]
    seeds = len(whole_seeds(found))
    if seeds == 0:
        return [f"{said[0]} No seed has all three nets yet, so there is nothing to compare."]
    if seeds == 1:
        said.append("There is one seed of all three nets, which decides nothing about other seeds.")
    ahead = [
        f"{heading} {winner(leaders(found, name, sign))}"
        for heading, name, sign in (
            ("the lowest clean training loss is that of", "train_loss", -1),
            ("the highest clean training accuracy that of", "train_accuracy", 1),
            ("the lowest test loss that of", "test_loss", -1),
            ("the highest test accuracy that of", "test_accuracy", 1),
        )
    ]
    rest = [part for part in verdict["parts"] if "area" in part["words"] or "shallow" in part["words"]]
    others = [f"{part['words']} ({part['agree']} of {seed_count(part['seeds'])})" for part in rest]
    return [*said, f"After the last epoch, {listed(ahead)}.", *(f"{capital(words)}." for words in others)]


def _arithmetic(found: dict[str, Any]) -> list[str]:
    """How much more one net computes than another with as many parameters."""
    nets = {unit.split("/seed-")[0]: results for unit, results in found["results"].items()}
    planned = {unit.split("/seed-")[0] for unit in found["units"]}
    if len(nets) < max(2, len(planned)):
        return []
    by_work = sorted(nets, key=lambda net: nets[net]["multiply_adds"])
    least, most = by_work[0], by_work[-1]
    work = nets[most]["multiply_adds"] / nets[least]["multiply_adds"]
    size = max(results["parameters"] for results in nets.values()) / min(
        results["parameters"] for results in nets.values()
    )
    return [
        f"The nets' parameters differ by {100 * (size - 1):.1f}{PERCENT} at most, but {most} does {work:.1f} times "
        f"the multiply-adds of {least} for one image."
    ]


def _turn(found: dict[str, Any]) -> list[str]:
    """Where each net's test loss is lowest, and how far loss and accuracy go from there to the end, seed by seed."""
    lowest, rises, gains = [], [], []
    for net in LAYERS[found["experiment"]]:
        runs = claims.runs_of(found, net)
        losses = np.array([run["test_loss"] for run in runs])
        if not losses.size or not np.isfinite(losses).all():
            continue
        places = np.argmin(losses, axis=1)
        lowest.append(f"{net} {digits(float(np.median(losses.min(axis=1))))} at epoch {int(np.median(places)) + 1}")
        growth = 100 * (losses[:, -1] / losses.min(axis=1) - 1)
        rises.append(f"{net} {from_to(growth)}{PERCENT}")
        gains += [
            100 * (run["test_accuracy"][-1] - run["test_accuracy"][at]) for run, at in zip(runs, places, strict=True)
        ]
    if not lowest:
        return []
    said = [
        f"Lowest test loss, medians over the seeds: {', '.join(lowest)}. Its rise from there to the end: "
        f"{', '.join(rises)}; test accuracy changes by {number(min(gains))} to {number(max(gains))} points meanwhile."
    ]
    if min(gains) > -HALF_A_POINT:
        said.append("That suggests wrong answers that grow surer; how sure they are was not measured.")
    return said


def _beside(found: dict[str, Any]) -> list[str]:
    """How far accuracies are from those of the earlier report, at its settings."""
    if found["scale"] != "paper":
        return []
    said, gaps = [], {}
    for words, name in (("test accuracy", "test_accuracy"), ("running accuracy", "running_accuracy")):
        gaps = {
            net: 100 * float(np.median([results[name][-1] for results in runs])) - float(earlier[name])
            for net, earlier in EARLIER[found["experiment"]].items()
            if (runs := claims.runs_of(found, net))
        }
        if gaps:
            said.append(f"{words} {', '.join(f'{net} {number(gap)}' for net, gap in gaps.items())}")
    if not said:
        return []
    sentences = [f"Ours less the earlier report's, in percentage points: {'; '.join(said)}."]
    if "JPEG" in found["data"]["name"]:
        sentences.append("Ours are a JPEG copy of the pictures; whether that is why was not tested.")
        # the last gaps, those of the running accuracy
        *near, far = sorted(gaps, key=lambda net: abs(gaps[net]))
        if near and abs(gaps[far]) > FAR_OFF * abs(gaps[near[-1]]):
            sentences.append(f"It hardly explains why {far} alone is so far off in training.")
    return sentences


def _running(found: dict[str, Any]) -> list[str]:
    """Whether the running accuracy names another winner than the clean evaluation."""
    running, clean = leaders(found, "running_accuracy", 1), leaders(found, "train_accuracy", 1)
    if not running:
        return []
    if running == clean:
        return [
            f"Here both accuracies name the same net as best in training, seed by seed: {winner(clean)}.",
        ]
    return [
        f"Here they disagree about the best net in training: by the running accuracy it is {winner(running)}, by the "
        f"clean evaluation {winner(clean)}."
    ]


def _nearest(found: dict[str, Any], net: str, last: int = 5) -> list[str]:
    """By how little `net` leads, or misses the lead, in clean training accuracy, and how often in the last epochs."""
    ahead, images = [], found["settings"].get("probe_images")
    if not isinstance(images, int):
        return []
    for nets in whole_seeds(found).values():
        others = np.max([results["train_accuracy"][-last:] for name, results in nets.items() if name != net], axis=0)
        ahead.append(np.rint(images * (np.array(nets[net]["train_accuracy"][-last:]) - others)))
    if not ahead or not np.isfinite(ahead).all():
        return []
    ends = [int(margins[-1]) for margins in ahead]
    leads, looks = sum(int(np.sum(margins > 0)) for margins in ahead), sum(map(len, ahead))
    return [
        f"In clean training accuracy the {net} net leads the best other one by "
        f"{listed([number(end, 0) for end in ends])} of {images:,} images (one per seed), and in {leads} of the "
        f"{looks} evaluations of the last {len(ahead[0])} epochs"
        + (": a few images more or less would change this part." if min(map(abs, ends)) <= CLOSE else ".")
    ]


def _last_in_training(found: dict[str, Any], net: str) -> list[str]:
    """In how many seeds a net has the worst clean training values."""
    loss, accuracy = (
        extreme(found, net, at_end(name), sign, last=True) for name, sign in (("train_loss", -1), ("train_accuracy", 1))
    )
    if not loss["seeds"]:
        return []
    return [
        f"In training, too, {net} has the highest loss ({loss['agree']} of "
        f"{seed_count(loss['seeds'])}) and the lowest accuracy ({accuracy['agree']} of "
        f"{seed_count(accuracy['seeds'])})."
    ]


def _comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "result": _task(found, verdict),
        "turn": _turn(found),
        "beside": _beside(found),
        "arithmetic": _arithmetic(found),
        "running": _running(found),
    }


def cifar10_comment(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the CIFAR-10 figure: result, turn of the test loss, beside the earlier, arithmetic, running."""
    return _comment(found, verdict)


def mnist_comment(found: dict[str, Any], verdict: dict[str, Any], images: int | None) -> dict[str, list[str]]:
    """Paragraphs under the MNIST figure: those of CIFAR-10, and the noise of a test accuracy."""
    said = _comment(found, verdict)
    said["result"] += _last_in_training(found, "shallow")
    said["running"] += _nearest(found, "middle")
    ends = {}
    for unit, results in found["results"].items():
        ends.setdefault(unit.split("/seed-")[0], []).append(results["test_accuracy"][-1])
    noise = []
    if ends and not images:
        noise.append("The data's description does not count the test images: no standard error of a test accuracy.")
    elif ends:
        medians = {net: float(np.median(values)) for net, values in ends.items()}
        middle = float(np.median(list(medians.values())))
        error = 100 * claims.standard_error(middle, images)
        range_of = 100 * float(np.ptp(list(medians.values())))
        several = len(medians) > 1
        noise.append(
            f"A test accuracy of {number(100 * middle)}{PERCENT} on {images:,} images has a binomial standard error of "
            f"{number(error)} percentage points" + (f"; the nets' medians span {number(range_of)}." if several else ".")
        )
    return said | {"noise": noise}


def compare_tasks(sections: dict[str, Any], histories: dict[str, Any]) -> None:
    """Add to the MNIST section whether depth shows more on CIFAR-10, where both were measured.

    Shown in points of test accuracy and as a ratio of test errors, which need not agree.
    """
    points, ratios = {}, {}
    for name in ("cifar10_cnn", "mnist_cnn"):
        found = histories.get(f"hw1_1/{name}")
        if not found or "comment" not in sections.get(name, {}):
            return
        seeds = whole_seeds(found).values()
        if not seeds:
            return
        errors = [[1 - nets[net]["test_accuracy"][-1] for net in ("deep", "shallow")] for nets in seeds]
        points[name] = [100 * (shallow - deep) for deep, shallow in errors]
        ratios[name] = [deep / shallow if shallow else math.nan for deep, shallow in errors]
    middle = {name: (float(np.median(points[name])), float(np.median(ratios[name]))) for name in points}
    (hard, easy), (hard_ratio, easy_ratio) = points.values(), ratios.values()
    words = "the seeds do not tell on which task depth shows more"
    if (np.median(hard) > np.median(easy)) != (np.median(hard_ratio) < np.median(easy_ratio)):
        words = "on which task depth shows more depends on the scale"
    elif min(len(hard), len(easy)) > 1 and min(hard) > max(easy):
        words = "depth shows more on CIFAR-10, in every seed"
    elif min(len(hard), len(easy)) > 1 and max(hard) < min(easy):
        words = "depth shows less on CIFAR-10, in every seed"
    counts = [f"{'median of ' if len(each) > 1 else ''}{seed_count(len(each))}" for each in points.values()]
    gains = [
        f"{number(gap)} on {task}" + (f" ({count})" if task == "MNIST" or len(set(counts)) > 1 else "")
        for (gap, _), task, count in zip(middle.values(), ("CIFAR-10", "MNIST"), counts, strict=True)
    ]
    times = listed([number(ratio) for _, ratio in middle.values()])
    sections["mnist_cnn"]["comment"]["tasks"] = [
        f"In percentage points of test accuracy deep gains over shallow {listed(gains)}; it makes {times} times the "
        f"errors of shallow there: {words}."
    ]
