"""Sentences that name an order, a winner or a verdict: their words are chosen from the numbers.

Each function returns plain sentences; the layout shows them literally. Nothing here is typed from a result.
"""

import math
import re
from typing import Any

import numpy as np

from hw1_3 import measures
from report import claims
from report.wording import (
    NOTHING,
    PERCENT,
    VERDICT_WORDS,
    capital,
    digits,
    listed,
    number,
    percent,
    probability,
    seed_count,
)

MANY = 20  # runs from which it says something that one more lies beyond them all


def standard_error(share: float, images: int) -> float:
    """Binomial standard error of an accuracy on so many images; NaN where the share is none."""
    return math.sqrt(share * (1 - share) / images) if 0 <= share <= 1 else math.nan


def test_images(found: dict[str, Any]) -> int | None:
    """How many test images the data's description counts, in the words of `common.data`; None where it does not.

    A history keeps no other count of them. The report says so where the count is missing.
    """
    counted = re.search(r"([\d,]+) training and ([\d,]+) test", str(found.get("data", {}).get("source", "")))
    return int(counted[2].replace(",", "")) if counted else None


def counted(verdict: dict[str, Any]) -> list[dict[str, str]]:
    """The parts of a claim that is judged seed by seed, as rows of a table."""
    return [
        {
            "words": part["words"],
            "seeds": f"{part['agree']} of {part['seeds']}" if part["seeds"] else NOTHING,
            "verdict": part["verdict"] if part["seeds"] else "not measured",
        }
        for part in verdict["parts"]
    ]


def claim_1(verdict: dict[str, Any]) -> dict[str, str]:
    """The row of C1 in the table that opens the report."""
    shares: dict[str, list[str]] = {}
    for part in verdict["parts"]:
        if part["all"]["superiority"] is not None:
            words = f"{part['lower']} below {part['higher']} in {percent(part['all']['superiority'])} of pairs"
            shares.setdefault(part["function"], []).append(words)
    evidence = "; ".join(f"{function}: {', '.join(words)}" for function, words in shares.items())
    evidence = f"ReLU nets, {evidence}" if evidence else ""
    return {
        "name": "C1",
        "statement": "With equally many parameters, the deeper net fits both functions better",
        "evidence": evidence or "No two nets to compare",
        "verdict": verdict["verdict"],
        "section": "function_fit",
    }


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


# ------------------------------------------------------------------------------------- Simulate a Function


def outcomes(parts: list[dict[str, Any]], view: str) -> list[str]:
    """For each pair of nets which is better where: "medium is worse on f1 and better on f2 than shallow"."""
    words = {claims.HOLDS: "better", claims.FAILS: "worse", claims.UNCLEAR: "neither better nor worse"}
    pairs: dict[tuple[str, str], dict[str, list[str]]] = {}
    for part in parts:
        if part[view]["superiority"] is not None:
            by_outcome = pairs.setdefault((part["lower"], part["higher"]), {})
            by_outcome.setdefault(words[part[view]["verdict"]], []).append(part["function"])
    alike: dict[str, list[str]] = {}
    for (deeper, flatter), by_outcome in pairs.items():
        outcome = listed([f"{word} on {listed(on)}" for word, on in by_outcome.items()])
        alike.setdefault(f"{deeper} is {outcome}", []).append(flatter)
    return [f"{outcome} than {listed(flatter)}" for outcome, flatter in alike.items()]


def fit_answer(found: dict[str, Any], verdict: dict[str, Any]) -> str:
    """In short, whether the deeper of two nets fits better, and how many deep nets are born dead."""
    said = []
    for view, words in (("all", "ReLU"), ("tanh", "tanh")):
        pairs = outcomes([*verdict["parts"], *verdict["beside"]], view)
        if pairs:
            said.append(f"With {words} {'; '.join(pairs)}.")
    relu = {function: claims.end_losses(found, function, "relu").get("deep") for function in ("f1", "f2")}
    born = {function: float(about["born_dead"].mean()) for function, about in relu.items() if about}
    if any(born.values()):
        said.append(
            f"Of the deep ReLU nets {_alike({on: percent(share) for on, share in born.items()})} are born dead."
        )
    return " ".join(said)


def function_fit(
    found: dict[str, Any], verdict: dict[str, Any], earlier: dict[tuple[str, str], str]
) -> dict[str, list[str]]:
    """Paragraphs under the figures of Simulate a Function: order, dead, live, tanh.

    earlier: {(function, net): loss of one run in the earlier report}.
    """
    order = [f"The claim that depth lowers the loss {VERDICT_WORDS[verdict['verdict']]}."]
    dead, live, tanh = _dead(found), [], []
    order += _outcome(verdict, "all", "over all seeds") + _several(verdict)
    order += _outcome(verdict, "best", "where only the best of each ten seeds is kept")
    order += _changed(verdict, "best", "Keeping the best of ten")
    order += _outside(found, earlier)
    live += _outcome(verdict, "live", "among the nets that were live at birth")
    live += _changed(verdict, "live", "Leaving out the nets that were born dead")
    tanh += _outcome(verdict, "tanh", "with tanh")
    tanh += _changed(verdict, "tanh", "Tanh in place of ReLU")
    return {"order": order, "dead": dead, "live": live, "tanh": tanh}


def _outcome(verdict: dict[str, Any], view: str, where: str) -> list[str]:
    """One sentence for each verdict on the pairs of nets: which is lower, by the test over seeds."""
    said: dict[str, list[str]] = {}
    for part in verdict["parts"]:
        judged = part[view]
        if judged["superiority"] is None:
            continue
        deeper, flatter = part["lower"], part["higher"]
        share = judged["superiority"]
        words, share = {
            claims.HOLDS: (f"{deeper} is below {flatter}", percent(share)),
            claims.FAILS: (f"{deeper} is above {flatter}", percent(1 - share)),
            claims.UNCLEAR: (f"{deeper} and {flatter} cannot be told apart", f"{deeper} below in {percent(share)}"),
        }[judged["verdict"]]
        said.setdefault(words, []).append(f"{part['function']} ({share} of pairs)")
    if not said:
        return []
    pieces = [f"{words} on {listed(where_said)}" for words, where_said in said.items()]
    return [f"{capital(where)}, {'; '.join(pieces)}."]


def _outside(found: dict[str, Any], earlier: dict[tuple[str, str], str]) -> list[str]:
    """Which of the earlier report's losses lie outside all of ours, with ReLU."""
    said = []
    for (function, net), loss in earlier.items():
        about = claims.end_losses(found, function, "relu").get(net)
        ours = about["loss"][np.isfinite(about["loss"])] if about else []
        if len(ours) < MANY or min(ours) <= float(loss) <= max(ours):
            continue
        where, nearest = ("below", min(ours)) if float(loss) < min(ours) else ("above", max(ours))
        said.append(
            f"The earlier report's loss of {net} on {function}, {loss} in one run, lies {where} all {len(ours)} of "
            f"ours ({digits(nearest, 2)}): one more run of ours would do so in 1 of {len(ours) + 1} cases."
        )
    return said


def _several(verdict: dict[str, Any]) -> list[str]:
    """How large the p of the parts are when they are corrected for being several (Holm 1979)."""
    p_values = [part["all"]["p"] for part in verdict["parts"] if part["all"]["p"] is not None]
    if len(p_values) < 2:
        return []
    largest = float(measures.holm(p_values).max())
    return [
        f"Corrected for being {len(p_values)} (Holm), the largest p of these is {probability(largest)}; the "
        f"other views below are not corrected."
    ]


def _changed(verdict: dict[str, Any], view: str, what: str) -> list[str]:
    """Whether looking at the nets in another way (`what`, as in `view`) changes what is concluded."""
    both = [
        part
        for part in verdict["parts"]
        if part["all"]["superiority"] is not None and part[view]["superiority"] is not None
    ]
    changed = [
        f"{part['lower']} against {part['higher']} on {part['function']}"
        for part in both
        if part[view]["verdict"] != part["all"]["verdict"]
    ]
    if not both:
        return []
    if changed:
        return [f"{what} changes the verdict on {listed(changed)}."]
    nearest = max(both, key=lambda part: part[view]["p"] or 0.0)
    near = nearest[view]["p"]
    if near is None or not claims.LEVEL / 5 < near < claims.LEVEL:
        return [f"{what} changes none of the verdicts."]
    return [
        f"{what} changes none of the verdicts; nearest to it is {nearest['lower']} against {nearest['higher']} on "
        f"{nearest['function']}, with a p of {probability(near)}."
    ]


def _alike(by_function: dict[str, str]) -> str:
    """The words of all functions where they are the same, else of each: 56 %; or 56 % on f1 and 60 % on f2."""
    if len(set(by_function.values())) == 1:
        return next(iter(by_function.values()))
    return listed([f"{words} on {function}" for function, words in by_function.items()])


def _dead(found: dict[str, Any]) -> list[str]:
    """How many ReLU nets are constant, what loss they share, and what that does to the median."""
    relu = {function: claims.end_losses(found, function, "relu") for function in ("f1", "f2")}
    relu = {function: nets for function, nets in relu.items() if nets}
    if not relu:
        return []
    if not any(
        about[when].any() for nets in relu.values() for about in nets.values() for when in ("born_dead", "dead")
    ):
        return [f"On {listed(list(relu))} no ReLU net is dead, at birth or at the end."]

    def shares(nets: dict[str, dict[str, np.ndarray]], when: str) -> str:
        return listed([f"{percent(about[when].mean())} of the {net}" for net, about in nets.items()]) + " nets"

    born, ended = ({on: shares(nets, when) for on, nets in relu.items()} for when in ("born_dead", "dead"))
    same = (
        f" (the initial weights are the same on {listed(list(relu))})"
        if len(relu) > len(set(born.values())) == 1
        else ""
    )
    said = [f"{_alike(born)} are born dead{same}; at the end {_alike(ended)} are dead."]
    constant = {
        function: digits(float(next(about["loss"][about["dead"]][0] for about in nets.values() if about["dead"].any())))
        for function, nets in relu.items()
        if any(about["dead"].any() for about in nets.values())
    }
    most = {
        on: listed([net for net, about in nets.items() if about["dead"].mean() > 0.5] or [""])
        for on, nets in relu.items()
    }
    if constant:
        flat = ""
        if any(most.values()):
            where = {on: f"the {nets} nets" for on, nets in most.items() if nets}
            flat = f", and so is the median of {_alike(where)}, most of which are dead"
        said.append(f"The loss they share is {_alike(constant)}{flat}.")
    return said


# ------------------------------------------------------------------------------------ Train on Actual Tasks


def leaders(found: dict[str, Any], name: str, sign: int) -> list[str]:
    """The net that is ahead in a curve's last value, for each seed with all three nets; equals joined by "="."""
    ahead = []
    for nets in claims.whole_seeds(found).values():
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


def task_answer(found: dict[str, Any]) -> str:
    """In short, which net is best on the test images and in training, over the seeds with all three nets."""
    whole = claims.whole_seeds(found)
    if not whole:
        return "No seed has all three nets yet."
    tests = {
        net: float(np.median([nets[net]["test_accuracy"][-1] for nets in whole.values()]))
        for net in ("shallow", "middle", "deep")
    }
    best, learnt = (winner(leaders(found, name, 1)) for name in ("test_accuracy", "train_accuracy"))
    shown = listed([f"{net} {number(100 * value)}" for net, value in tests.items()])
    of = " (medians)" if len(whole) > 1 else ", of one seed, which decides nothing about others"
    return f"Most accurate on the test images is {best}, in training {learnt}. Test accuracy: {shown}{PERCENT}{of}."


def _task(found: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    said = [f"The claim {VERDICT_WORDS[verdict['verdict']]}."]
    seeds = len(claims.whole_seeds(found))
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
    return [*said, f"After the last epoch, {listed(ahead)}."]


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


CLOSE = 3  # images by which a lead is as good as none


def _nearest(found: dict[str, Any], net: str, last: int = 5) -> list[str]:
    """By how little `net` leads, or misses the lead, in clean training accuracy, and how often in the last epochs."""
    ahead, images = [], found["settings"].get("probe_images")
    if not isinstance(images, int):
        return []
    for nets in claims.whole_seeds(found).values():
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


def cifar10_cnn(found: dict[str, Any], verdict: dict[str, Any]) -> dict[str, list[str]]:
    """Paragraphs under the CIFAR-10 figure: result, arithmetic, running."""
    return {"result": _task(found, verdict), "arithmetic": _arithmetic(found), "running": _running(found)}


def mnist_cnn(found: dict[str, Any], verdict: dict[str, Any], images: int | None) -> dict[str, list[str]]:
    """Paragraphs under the MNIST figure: result, arithmetic, running, noise of a test accuracy."""
    said = {"result": _task(found, verdict), "arithmetic": _arithmetic(found), "running": _running(found)}
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
        error = 100 * standard_error(middle, images)
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
        seeds = claims.whole_seeds(found).values()
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
    shown = [
        f"{number(gap)} percentage points in the {task} experiment, its test error being {number(ratio)} times as high "
        f"({'median of ' if len(points[name]) > 1 else ''}{seed_count(len(points[name]))})"
        for (name, (gap, ratio)), task in zip(middle.items(), ("CIFAR-10", "MNIST"), strict=True)
    ]
    sections["mnist_cnn"]["comment"]["tasks"] = [
        f"The test accuracy of deep is above that of shallow by {shown[0]}, and by {shown[1]}: {words}."
    ]
