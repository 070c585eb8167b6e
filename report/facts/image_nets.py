"""What the facts of hw1_1/cifar10_cnn and hw1_1/mnist_cnn share: seeds with all three nets, leads, table of ends."""

import math
from collections.abc import Callable
from typing import Any

from common import reading
from common.settings import Problem

import numpy as np

from report import claims
from report.facts import ends, median, number, ratio

NETS = ("shallow", "middle", "deep")
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "running_loss", "running_accuracy")
FURTHER = ("test_right_loss", "test_wrong_loss", "test_wrong_confidence")  # kept on MNIST by newer runs
POINTS_APART = 0.05  # gain from shallow to deep in test accuracy: more of it on CIFAR-10, less on MNIST
Results = dict[str, Any]  # of one net trained from one seed: curves over epochs, multiply_adds
Score = Callable[[Results], float]  # of its results, higher for the better net


def whole_seeds(history: dict[str, Any]) -> dict[str, dict[str, Results]]:
    """{seed: {net: results}} of the seeds for which all three nets were measured; Problem where no net is theirs."""
    seeds: dict[str, dict[str, Results]] = {}
    for net in NETS:
        for unit in reading.units_of(history, net):
            seeds.setdefault(unit.rpartition("/seed-")[2], {})[net] = results_of(history, unit)
    if history["results"] and not seeds:
        raise Problem(f"it holds none of the nets {', '.join(NETS)}")
    return {
        seed: seeds[seed] for seed in sorted(seeds, key=lambda name: (len(name), name)) if set(NETS) <= set(seeds[seed])
    }


def results_of(history: dict[str, Any], unit: str) -> Results:
    """The curves of one unit and its multiply-adds; Problem where it has none, or they differ in length."""
    results: Results = {name: reading.field(history, unit, name) for name in CURVES}
    results |= {name: reading.field(history, unit, name) for name in FURTHER if name in history["results"][unit]}
    if any(
        curve.shape != results["train_loss"].shape or curve.ndim != 1 or not curve.size for curve in results.values()
    ):
        raise Problem(f"the history of {history['experiment']}: the curves of {unit} are not of one length")
    return results | {"multiply_adds": number(history, unit, "multiply_adds")}


def lead(nets: dict[str, Results], net: str, score: Score, last: bool = False) -> float:
    """By how much `net` is ahead of both others, or behind both (`last`); negative where it is not.

    A net that diverged is the worst.
    """
    scores = {name: claims.score(score(results)) for name, results in nets.items()}
    own = scores.pop(net)
    rival = min(scores.values()) if last else max(scores.values())
    return 0.0 if own == rival else rival - own if last else own - rival


def part(
    seeds: dict[str, dict[str, Results]], words: str, net: str, score: Score, last: bool = False
) -> dict[str, Any]:
    """One part of a claim: `claims.by_margins` of the net's leads, their mean, and from 8 seeds on its interval."""
    margins = [lead(nets, net, score, last) for nets in seeds.values()]
    interval = claims.student_interval(margins) if len(margins) >= claims.ENOUGH else None
    mean = float(np.mean(margins)) if margins else None
    return {"words": words, "margins": margins, "mean": mean, "interval": interval, **claims.by_margins(margins)}


def at_end(name: str, last: int = 1) -> Score:
    """The mean of a curve over so many last epochs, all for 0; of a loss its negative."""
    sign = -1 if name.endswith("loss") else 1
    return lambda results: sign * float(np.mean(results[name][-last:]))


def difference(seeds: dict[str, dict[str, Results]], first: str, second: str, name: str, at: int = -1) -> float | None:
    """The median over seeds of what the first net's curve is above the second's: both of one seed."""
    return median([nets[first][name][at] - nets[second][name][at] for nets in seeds.values()])


def errors_left(seeds: dict[str, dict[str, Results]]) -> float | None:
    """The median over seeds of deep's share of wrong test answers after the last epoch over shallow's."""
    wrong = [[1 - nets[net]["test_accuracy"][-1] for net in ("deep", "shallow")] for nets in seeds.values()]
    shares = [ratio(*pair) for pair in wrong]
    return None if None in shares else median(shares)


def turn(results: Results) -> dict[str, float]:
    """Where the test loss is lowest (`epoch`, from 1), its rise from there to the end as a share, and how much test
    accuracy gains meanwhile."""
    losses = np.where(np.isfinite(results["test_loss"]), results["test_loss"], np.inf)
    lowest = int(np.argmin(losses))
    gain = results["test_accuracy"][-1] - results["test_accuracy"][lowest]
    rise = losses[-1] / losses[lowest] - 1 if math.isfinite(losses[lowest]) and losses[lowest] > 0 else math.nan
    return {"epoch": lowest + 1, "rise": float(rise), "gain": gain}


def end_rows(history: dict[str, Any], earlier: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """A row for each net: each curve after the last epoch, as median and range, and the earlier report's one run."""
    rows = []
    for net in NETS:
        runs = [results_of(history, unit) for unit in reading.units_of(history, net)]
        values = {name: [run[name][-1] for run in runs] for name in CURVES}
        row = {name: {"median": median(each), "range": ends(each)} for name, each in values.items()}
        rows.append(
            {"net": net, "seeds": len(runs), **row, "earlier": {name: earlier[net].get(name) for name in CURVES}}
        )
    return rows
