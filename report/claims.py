"""What the histories say about the reference's claims: holds, does not hold, unclear.

The unit of evidence is the seed, a training from its own initial weights. From 8 seeds on a part of a claim is
judged by a test over the seeds (95 %); with fewer it holds if all seeds agree, does not hold if all disagree, and is
unclear otherwise; one seed leaves it unclear. A claim in parts holds if all parts hold, and does not hold if any does
not.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "unclear"
LEVEL = 0.05
ENOUGH = 8  # seeds from which a test over them is made


def superiority(first: Sequence[float], second: Sequence[float]) -> float:
    """Sup(first < second): share of all pairs of seeds in which the first is lower, ties counting one half."""
    first, second = _comparable(first), _comparable(second)
    differences = second[None, :] - first[:, None]
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the exact Mann-Whitney test that Sup(first < second) is 0.5: twice the observed side's tail.

    The pooled values are dealt out to the two from the lowest on, tie group by tie group, ties as they are; all ways
    are equally likely. Probabilities are carried, not counts, which exceed a float from some 520 seeds of each on.
    """
    first, second = _comparable(first), _comparable(second)
    if superiority(first, second) < 0.5:
        first, second = second, first
    sizes = len(first), len(second)
    # twice the pairs with the second lower; only ways with at most that many are followed
    most = round(2 * sizes[0] * sizes[1] * (1 - superiority(first, second)))
    chances = np.zeros((sizes[0] + 1, most + 1))  # by values given to the first so far, and by that number
    chances[0, 0] = 1.0
    before = 0
    for count in np.unique(np.concatenate([first, second]), return_counts=True)[1].tolist():
        following = np.zeros_like(chances)
        ways = math.comb(sum(sizes) - before, count)  # places that this tie group may take among those left
        for to_first in range(max(0, before - sizes[1]), min(before, sizes[0]) + 1):
            to_second = before - to_first
            for more in range(max(0, to_second + count - sizes[1]), min(count, sizes[0] - to_first) + 1):
                shift = more * (2 * to_second + count - more)
                if shift <= most:
                    such = math.comb(sizes[0] - to_first, more) * math.comb(sizes[1] - to_second, count - more)
                    following[to_first + more, shift:] += such / ways * chances[to_first, : most + 1 - shift]
        chances, before = following, before + count
    return min(1.0, 2 * float(chances[sizes[0]].sum()))


def _comparable(values: Sequence[float]) -> np.ndarray:
    """As an array in which what is not a number, a diverged net's loss, is the highest of all."""
    return np.nan_to_num(np.asarray(values, float), nan=1e300, posinf=1e300, neginf=-1e300)


def lower(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Whether the first net's values, one a seed, are lower than the second's: share of pairs, p, verdict.

    With fewer than 8 seeds on a side there is no test: all pairs must agree, from 2 seeds on each side.
    """
    if not len(first) or not len(second):
        return {"superiority": None, "p": None, "verdict": UNCLEAR}
    share = superiority(first, second)
    if min(len(first), len(second)) < ENOUGH:
        agreed = {1.0: HOLDS, 0.0: FAILS}.get(share, UNCLEAR) if min(len(first), len(second)) > 1 else UNCLEAR
        return {"superiority": share, "p": None, "verdict": agreed}
    p = mann_whitney(first, second)
    verdict = UNCLEAR if p >= LEVEL else HOLDS if share > 0.5 else FAILS
    return {"superiority": share, "p": p, "verdict": verdict}


def by_margins(margins: Sequence[float]) -> dict[str, Any]:
    """Judge one margin a seed, positive where that seed agrees with the claim; a margin of 0 is on neither side."""
    margins = np.asarray(margins, float)
    agree, count = int(np.sum(margins > 0)), len(margins)
    verdict = UNCLEAR
    if count >= ENOUGH and np.all(np.isfinite(margins)):
        low, high = student_interval(margins)
        verdict = HOLDS if low > 0 else FAILS if high < 0 else UNCLEAR
    elif count > 1:
        verdict = HOLDS if agree == count else FAILS if np.all(margins < 0) else UNCLEAR
    return {"agree": agree, "seeds": count, "verdict": verdict}


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds, by Student's t."""
    from scipy import stats

    values = np.asarray(values, float)
    half = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def student_p(values: Sequence[float]) -> float:
    """Two-sided p of Student's test that the mean of these values is 0; 0 where they are one number other than 0."""
    from scipy import stats

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = abs(float(np.mean(values)))
    return float(2 * stats.t.sf(mean / error, len(values) - 1)) if error else float(mean == 0)


def combined(verdicts: Sequence[str]) -> str:
    """Of the whole claim, from its parts."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else UNCLEAR


# ------------------------------------------------------------------------------------------- question 1-1


def end_losses(history: dict[str, Any], function: str, activation: str) -> dict[str, dict[str, np.ndarray]]:
    """{net: {"loss", "born_dead", "dead"}}, each (seeds,), of the nets that were measured.

    Nets whose output is constant at the end share one loss, the median of theirs: they differ by round-off and by
    the last steps of a bias, which must not decide an order.
    """
    nets = {}
    for net in ("shallow", "medium", "deep"):
        results = history["results"].get(f"{function}/{activation}/{net}")
        if results is not None:
            nets[net] = {
                "loss": np.array(results["end_loss"], float),
                "born_dead": np.array(results["dead_at_birth"], bool),
                "dead": np.array(results["dead_at_end"], bool),
            }
    constant = np.concatenate([found["loss"][found["dead"]] for found in nets.values()] or [[]])
    for found in nets.values():
        if len(constant):
            found["loss"][found["dead"]] = np.median(constant)
    return nets


def best_of(losses: np.ndarray, group: int = 10) -> np.ndarray:
    """The lowest loss of each ten seeds: what somebody keeps who trains ten times."""
    whole = len(losses) // group * group
    return np.where(np.isnan(losses), np.inf, losses)[:whole].reshape(-1, group).min(axis=1)


def c1(history: dict[str, Any]) -> dict[str, Any]:
    """C1: at equal parameters the deeper net has the lower loss. Judged on all seeds of the ReLU nets.

    Returns verdict, parts, and beside them the comparison of the outer two nets, which decides nothing; each has
    function, lower, higher (names of nets), and for each of `all`, `live` (at birth), `tanh` and `best` (of ten) what
    `lower` returns.
    """
    parts: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for function in ("f1", "f2"):
        relu, tanh = end_losses(history, function, "relu"), end_losses(history, function, "tanh")
        for deeper, flatter in (("deep", "medium"), ("medium", "shallow"), ("deep", "shallow")):
            views = {
                "all": [relu[net]["loss"] for net in (deeper, flatter) if net in relu],
                "live": [relu[net]["loss"][~relu[net]["born_dead"]] for net in (deeper, flatter) if net in relu],
                "tanh": [tanh[net]["loss"] for net in (deeper, flatter) if net in tanh],
                "best": [best_of(relu[net]["loss"]) for net in (deeper, flatter) if net in relu],
            }
            judged = {name: lower(*two) if len(two) == 2 else lower([], []) for name, two in views.items()}
            told = beside if (deeper, flatter) == ("deep", "shallow") else parts
            told.append({"function": function, "lower": deeper, "higher": flatter, **judged})
    return {"verdict": combined([part["all"]["verdict"] for part in parts]), "parts": parts, "beside": beside}


def whole_seeds(history: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """{seed: {net: results}} of the seeds for which all three nets were measured."""
    seeds: dict[str, dict[str, dict[str, Any]]] = {}
    for unit in history["units"]:
        if unit in history["results"]:
            net, seed = unit.split("/seed-")
            seeds.setdefault(seed, {})[net] = history["results"][unit]
    return {seed: nets for seed, nets in seeds.items() if {"shallow", "middle", "deep"} <= set(nets)}


def extreme(history: dict[str, Any], net: str, quantity: Any, sign: int) -> dict[str, Any]:
    """Whether `net` is ahead of both others in each seed, and by how much (`margins`).

    quantity(results) is better if higher times `sign`.
    """
    margins = []
    for nets in whole_seeds(history).values():
        values = {name: score(sign * quantity(results)) for name, results in nets.items()}
        own = values.pop(net)
        margins.append(0.0 if own == max(values.values()) else own - max(values.values()))
    return {"margins": margins, **by_margins(margins)}


def score(value: float) -> float:
    """The value, or the lowest there is for a net that diverged."""
    return value if math.isfinite(value) else -math.inf


def at_end(name: str) -> Any:
    """The value of a curve after the last epoch."""
    return lambda results: results[name][-1]


def area(name: str) -> Any:
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
    return {"verdict": combined([part["verdict"] for part in parts]), "parts": parts}


def c3(history: dict[str, Any]) -> dict[str, Any]:
    """C3: on MNIST middle is best on the training set; deep is best and shallow worst on the test set."""
    parts = [
        {
            "words": "middle has the highest training accuracy",
            **extreme(history, "middle", at_end("train_accuracy"), 1),
        },
        {"words": "deep has the highest test accuracy", **extreme(history, "deep", at_end("test_accuracy"), 1)},
        {"words": "shallow has the lowest test accuracy", **extreme(history, "shallow", at_end("test_accuracy"), -1)},
    ]
    return {"verdict": combined([part["verdict"] for part in parts]), "parts": parts}
