"""What the facts of hw1_1/cifar10_cnn and hw1_1/mnist_cnn share: seeds with all three nets, leads, numbers, tables."""

import math
from typing import Any

from common import reading
from common.settings import Problem

import numpy as np

from report import claims
from report.facts import ends, median, number, ratio, verdict_of

NETS = ("shallow", "middle", "deep")
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "running_loss", "running_accuracy")
FURTHER = ("test_right_loss", "test_wrong_loss", "test_wrong_confidence")  # kept on MNIST by newer runs
POINTS_APART = 0.05  # gain from shallow to deep in test accuracy: more of it on CIFAR-10, less on MNIST
Results = dict[str, Any]  # of one net trained from one seed: curves over epochs, multiply_adds


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


def lead(nets: dict[str, Results], net: str, curve: str, epochs: int = 1, worst: bool = False) -> float:
    """By how much `net` is ahead of both others in the mean of a curve over so many last epochs (0: all), or behind
    both (`worst`); negative where it is not. A net that diverged is the worst."""
    sign = -1 if curve.endswith("loss") else 1
    scores = {name: claims.score(sign * float(np.mean(results[curve][-epochs:]))) for name, results in nets.items()}
    own = scores.pop(net)
    rival = min(scores.values()) if worst else max(scores.values())
    return 0.0 if own == rival else rival - own if worst else own - rival


def part(seeds: dict[str, dict[str, Results]], *of: Any, **how: Any) -> dict[str, Any]:
    """One part of a claim: `claims.by_margins` of the net's leads, their mean, and from 8 seeds on its interval.

    of, how: the net, the curve and what else `lead` takes.
    """
    margins = [lead(nets, *of, **how) for nets in seeds.values()]
    return {"margins": margins, **verdict_of(margins)}


def shared_numbers(seeds: dict[str, dict[str, Results]]) -> dict[str, Any]:
    """Medians over seeds, after the last epoch: of differences of two nets of one seed, of the ratio of their test
    errors (`errors_left`, deep over shallow), and by net of the rise of the test loss."""

    def difference(first: str, second: str, name: str) -> float | None:
        return median([nets[first][name][-1] - nets[second][name][-1] for nets in seeds.values()])

    wrong = [[1 - nets[net]["test_accuracy"][-1] for net in ("deep", "shallow")] for nets in seeds.values()]
    left = [ratio(*pair) for pair in wrong]
    return {
        "seeds": len(seeds),
        "middle_over_deep_in_training": difference("middle", "deep", "train_accuracy"),
        "deep_over_middle": difference("deep", "middle", "test_accuracy"),
        "deep_over_shallow": difference("deep", "shallow", "test_accuracy"),
        "errors_left": None if None in left else median(left),
        "test_loss_rise": {net: median([turn(nets[net])["rise"] for nets in seeds.values()]) for net in NETS},
    }


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
