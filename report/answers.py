"""Each section's question, answered in a sentence or two from the claim's verdicts.

What stands behind an answer follows it in the report. It is empty where nothing is measured that could give it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hw1_3 import ten_nets
from report import (
    claims,
    comments,
    error_surface,
    grad_norm,
    interpolation,
    minimal_ratio,
    param_count,
    param_pca,
    random_labels,
    sensitivity,
    sharpness,
)
from report.comments import PERCENT, listed, number

SAID = {claims.HOLDS: "yes", claims.FAILS: "no", claims.UNCLEAR: "unclear"}


def function_fit(found: dict[str, Any]) -> str:
    """Does a deeper net of the same size fit a function of one variable better?"""
    parts, said = claims.c1(found)["parts"], []
    for view, words in (("all", "ReLU"), ("tanh", "tanh")):
        verdicts = [part[view]["verdict"] for part in parts if part[view]["superiority"] is not None]
        if verdicts:
            better, worse = verdicts.count(claims.HOLDS), verdicts.count(claims.FAILS)
            rest = len(verdicts) - better - worse
            said.append(
                f"With {words} the deeper net fits better in {better} of {len(verdicts)} comparisons and worse in "
                f"{worse}{f', {rest} unclear' if rest else ''}."
            )
    relu = [claims.end_losses(found, function, "relu") for function in ("f1", "f2")]
    born = [100 * nets["deep"]["born_dead"].mean() for nets in relu if "deep" in nets]
    if born and min(born) > 0:
        shares = " to ".join(dict.fromkeys(f"{share:.0f}" for share in (min(born), max(born))))
        said.append(f"Of the deep ReLU nets {shares}{PERCENT} are born dead.")
    return " ".join(said)


def image_nets(found: dict[str, Any]) -> str:
    """Is a deeper CNN of the same size better?"""
    seeds = claims.whole_seeds(found)
    if not seeds:
        return "No seed has all three nets yet."
    tests = {
        net: float(np.median([nets[net]["test_accuracy"][-1] for nets in seeds.values()]))
        for net in ("shallow", "middle", "deep")
    }
    best, learnt = (comments.winner(comments.leaders(found, name, 1)) for name in ("test_accuracy", "train_accuracy"))
    shown = listed([f"{net} {100 * value:.2f}" for net, value in tests.items()])
    of = " (medians)" if len(seeds) > 1 else ", of one seed, which decides nothing about others"
    return f"Best on the test images is {best}, in training {learnt}. Test accuracy: {shown}{PERCENT}{of}."


def paths(found: dict[str, Any]) -> str:
    """Do trainings from different initial weights go different ways, and end in different places?"""
    verdict, whole = param_pca.c4(found), found["results"].get("whole")
    if whole is None or not math.isfinite(verdict["share"]):
        return ""
    cosines = np.abs(np.array(whole["runs"]["cosines"], float))
    inside = int(np.sum(cosines <= param_pca.NORMAL_95 / math.sqrt(whole["parameters"])))
    places = {
        claims.HOLDS: "Their ends are different places by the claim's rule",
        claims.FAILS: "By the claim's rule their ends are not different places",
        claims.UNCLEAR: "The claim's rule leaves open whether their ends are different places",
    }[verdict["verdict"]]
    control = verdict["bound"] / param_pca.TIMES
    times = f": they are {number(verdict['median'] / control, 1)} times as far apart as ends from one start"
    return (
        f"Their ways are as good as orthogonal in {inside} of {len(cosines)} pairs, as random directions are. "
        f"{places}{times if control else ''}."
    )


def norms(found: dict[str, Any]) -> str:
    """Do the norm of the gradient and the loss move together?"""
    where = {"large_scale": "over the whole training", "small_scale": "from one mini-batch to the next"}
    said = [
        f"{where[part['name']]}, {SAID[part['verdict']]} (rank correlation {number(part['mean'])})"
        for part in grad_norm.c5(found)["parts"]
        if part["seeds"]
    ]
    return f"On MNIST with Adam: {'; '.join(said)}." if said else ""


def critical_points(found: dict[str, Any]) -> str:
    """Where the gradient vanishes, is the point a minimum, a saddle, or merely flat, and does the loss tell which?"""
    net = minimal_ratio.JUDGED
    if net not in found["results"]:
        return ""
    about = minimal_ratio.points(found["results"][net])
    minima, saddles = int(about["minimum"].sum()), int(about["saddle"].sum())
    trend = {
        claims.HOLDS: "The lower the loss, the more directions lead uphill",
        claims.FAILS: "The lower the loss, the fewer directions lead uphill",
        claims.UNCLEAR: "How many directions lead uphill does not surely go with the loss",
    }[minimal_ratio.c6(found)["verdict"]]
    but = ", but no start leads to both kinds" if minima and saddles and not minimal_ratio.both_kinds(about) else ""
    return (
        f"Of {len(about['loss'])} trainings of the net {net}, {minima} end in minima and {saddles} in saddles. "
        f"{trend}{but}."
    )


def line(found: dict[str, Any]) -> str:
    """What does the loss look like on the straight line from the initial to the final weights?"""
    by_name = {
        name: runs for it, name in error_surface.OPTIMIZERS.items() if (runs := error_surface.runs_of(found, it))
    }
    if not by_name:
        return ""
    bumps, lowest = [], []
    for name, runs in by_name.items():
        places = [shape["minimum_at"] for shape in error_surface.shapes(runs, "line", "train_loss")]
        bumps.append(f"in {error_surface.of_seeds(error_surface.smoothness(runs))} with {name}")
        lowest.append(f"{number(float(np.median(places)))} with {name}")
    alpha = "\N{GREEK SMALL LETTER ALPHA}"
    return f"It has no bump {listed(bumps)}. The training loss is lowest at {alpha} = {listed(lowest)} (medians)."


def shuffled_labels(found: dict[str, Any]) -> str:
    """Can a network fit labels that say nothing about the images?"""
    fit, test, _ = random_labels.c8(found)["parts"]
    runs = random_labels.runs_of(found, "full")
    if not runs:
        return ""
    learnt = {
        claims.HOLDS: "Yes, as far as the earlier report's net did",
        claims.FAILS: "Not as far as the earlier report's net did",
        claims.UNCLEAR: "Whether as far as the earlier report's net did is unclear",
    }[fit["verdict"]]
    answers = {
        claims.HOLDS: "On test images it is right as often as a guess",
        claims.FAILS: "On test images it is not right as often as a guess",
        claims.UNCLEAR: "Whether it is right on test images as often as a guess is unclear",
    }[test["verdict"]]
    share = random_labels.inline([100 * run["train_accuracy"][-1] for run in runs], 1)
    return f"{learnt}: at the end it knows {share}{PERCENT} of them by heart. {answers}."


def sizes(found: dict[str, Any]) -> str:
    """Does a larger net generalise better?"""
    parts = {part["name"]: part for part in param_count.c9(ten_nets.by_width(found))["parts"]}
    small, large = parts["accuracy"], parts["level"]
    beyond = {
        claims.HOLDS: "size makes no difference",
        claims.FAILS: "size still makes a difference",
        claims.UNCLEAR: "unclear",
    }[large["verdict"]]
    said = []
    if math.isfinite(small["value"]):
        said.append(f"Up to {param_count.RISING[-1]:,} units a layer, {SAID[small['verdict']]}.")
    if math.isfinite(large["value"]):
        said.append(
            f"From {param_count.LEVEL[0]:,} units on, {beyond} (mean test accuracies lie within {large['value']:.2f} "
            "points)."
        )
    return " ".join(said)


def ends(found: dict[str, Any]) -> str:
    """Do small and large batches end in flatter or sharper places, and what lies between them?"""
    said = []
    whose = {claims.HOLDS: "the large batch's", claims.FAILS: "the small batch's", claims.UNCLEAR: "neither surely"}
    flatter: dict[str, list[str]] = {}
    for unit, stage in interpolation.UNITS.items():
        if unit.startswith("sgd") and unit in found["results"]:
            flatter.setdefault(whose[interpolation.flatter(found, unit)["verdict"]], []).append(stage)
    if flatter:
        said.append(f"The flatter end: {', '.join(f'{end} ({listed(when)})' for end, when in flatter.items())}.")
    if interpolation.PLANE in found["results"]:
        between = {claims.HOLDS: "no barrier", claims.FAILS: "a barrier", claims.UNCLEAR: "a barrier in some seeds"}
        same, other = (between[interpolation.plane(found, start)["verdict"]] for start in ("shared", "independent"))
        said.append(f"Between converged ends lies {same} from the same start and {other} from other starts.")
    return " ".join(said)


def batches(found: dict[str, Any]) -> str:
    """Is a net that was trained with larger batches more sensitive to its input, and worse on new images?"""
    said = [
        f"at {sensitivity.BUDGETS[part['budget']]}, {SAID[part['verdict']]} (rank correlation {number(part['mean'])})"
        for part in sensitivity.c11(found)["parts"]
        if part["seeds"]
    ]
    answer = [f"More sensitive: {'; '.join(said)}."] if said else []
    compared = [
        part for part in sensitivity.c12(found)["parts"] if part["size"] in sensitivity.LARGER and part["seeds"]
    ]
    if compared:
        worse: dict[str, list[str]] = {"loss": [], "accuracy": []}
        for part in compared:
            if part["verdict"] == claims.HOLDS:
                worse[part["quantity"]].append(f"{part['size']:,}")
        shown = [f"by {quantity} {f'at {listed(each)}' if each else 'at none'}" for quantity, each in worse.items()]
        looked = listed([f"{size:,}" for size in dict.fromkeys(part["size"] for part in compared)])
        answer.append(
            f"Surely worse on test images than batch size {sensitivity.BEST}: {', '.join(shown)} (of {looked})."
        )
    return " ".join(answer)


def measures_and_gap(found: dict[str, Any]) -> str:
    """Do flatness, norms or sensitivity tell how much worse a net is on new images?"""
    parts = sharpness.bonus(found)["parts"]
    if not parts:
        return ""
    several, single = (sharpness.sure(parts, kind, 1) for kind in ("all", "fixed"))
    which = f" ({listed(single)})" if 0 < len(single) <= 2 else ""
    return (
        f"Over all nets {len(several)} of {len(parts)} measures rise with the gap. Between nets of one batch size, so "
        f"that it cannot be what moves both, {len(single)} of them {'does' if len(single) == 1 else 'do'}{which}."
    )


ANSWERS: dict[str, Callable[[dict[str, Any]], str]] = {
    "hw1_1/function_fit": function_fit,
    "hw1_1/cifar10_cnn": image_nets,
    "hw1_1/mnist_cnn": image_nets,
    "hw1_2/param_pca": paths,
    "hw1_2/grad_norm": norms,
    "hw1_2/minimal_ratio": critical_points,
    "hw1_2/error_surface": line,
    "hw1_3/random_labels": shuffled_labels,
    "hw1_3/param_count": sizes,
    "hw1_3/interpolation": ends,
    "hw1_3/sensitivity": batches,
    "hw1_3/sharpness": measures_and_gap,
}
