"""Facts of hw1_3/interpolation: barriers between small- and large-batch solutions, how flat these are, and claim C10.

Two solutions lie on one plane where the barrier between them is lower than a tenth of the way from their mean loss to
that of guessing. The large-batch solution is the flatter one where the training loss has risen farther from it.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from hw1_3.two_ends import ENDS, STARTS, Results, barriers, below_guessing, distances, measured
from report import claims
from report.facts import claim, guard, interval, known, mean, median, plain, ratio, verdict_of

PLANE, FLATTER = "converged", "early"  # the stages that the claim is about


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds; differences are means, with intervals), guards, tables and C10."""
    there = measured(history)
    early, sgd, adam = ([there[stage]] if stage in there else [] for stage in (FLATTER, PLANE, "adam"))

    def of(stage: list[Results], values: Callable[..., np.ndarray], *which: str, how: Callable = median) -> Any:
        return how(values(stage[0], *which)) if stage else None

    numbers = {
        "converged_independent": of(sgd, barriers, "independent"),
        "converged_matched": of(sgd, barriers, "matched"),
        "adam_shared": of(adam, barriers, "shared"),
        "adam_excess_interval": of(adam, excess, how=interval),
        "adam_moved_large": of(adam, moved, "large"),
        "early_nearer": of(early, nearer, how=mean),
    }
    left = ratio(numbers["converged_matched"], numbers["converged_independent"])
    numbers["converged_removed"] = None if left is None else 1 - left
    guards = {
        "flat_road": guard(sgd, lambda found: plane(found, "shared")["verdict"] == claims.HOLDS),
        "mountain": guard(sgd, lambda found: plane(found, "independent")["verdict"] == claims.FAILS),
        "worse_than_guessing": known(lambda loss: loss > claims.UNIFORM_LOSS, of(sgd, top)),
        "nine_tenths": known(lambda share: round(share, 1) == 0.9, numbers["converged_removed"]),
        "hill_is_left": guard(
            sgd, lambda found: 2 * plane(found, "matched")["agree"] < plane(found, "matched")["seeds"]
        ),
        "distance_is_left": guard(sgd, lambda found: np.round(np.median(length_ratio(found)), 1) == 0.8),
        "shared_stay_close": guard(sgd, lambda found: np.median(apart(found)) < 1 / 3),
        "adam_hill": guard(adam, lambda found: plane(found, "shared")["verdict"] == claims.FAILS),
        "adam_only_numbering": guard(adam, lambda found: within(excess(found), 0.1 * np.mean(top(found)))),
        "adam_outgrows_its_start": guard(adam, lambda found: min(moved(found, "large")) > 10),
        "small_is_flatter": guard(early, lambda found: flatter(found)["verdict"] == claims.FAILS),
        "small_stays_flatter": guard(sgd, lambda found: flatter(found)["verdict"] == claims.FAILS),
        "flatter_is_not_better": guard(sgd, lambda found: within(better(found), 0.2)),
        "early_curve_is_noise": known(
            lambda size, error: size < 2 * error, of(early, span), of(early, error_of(history))
        ),
    }
    tables = {
        "lines": [line_row(stage, found, start) for stage, found in there.items() for start in STARTS],
        "solutions": [end_row(stage, found, end) for stage, found in there.items() for end in ENDS],
    }
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [c10(there)]})


# ----------------------------------------------------------------------------------------- values, one a seed


def moved(results: Results, end: str) -> np.ndarray:
    """Distance from the initial weights, in lengths of those."""
    return results("ends", end, "moved") / results("ends", end, "start_norm")


def between(results: Results, start: str, quantity: str) -> np.ndarray:
    """(seeds, points): a quantity along the line from one end to the other."""
    first, last = np.searchsorted(results("alpha"), (0, 1))
    return results("lines", start, quantity)[:, first : last + 1]


def top(results: Results) -> np.ndarray:
    """The highest training loss between ends from other starts, nats."""
    return between(results, "independent", "train_loss").max(axis=1)


def span(results: Results) -> np.ndarray:
    """Test accuracy between ends from one start: highest less lowest, in points."""
    return 100 * np.ptp(between(results, "shared", "test_accuracy"), axis=1)


def length_ratio(results: Results) -> np.ndarray:
    """How far apart ends from other starts are once renumbered, as a share of before."""
    return np.divide(*(results("lines", start, "length") for start in ("matched", "independent")))


def apart(results: Results) -> np.ndarray:
    """How far apart ends from one start are, as a share of the way that they went (mean of both)."""
    way = np.mean([results("ends", end, "moved") for end in ENDS], axis=0)
    return results("lines", "shared", "length") / way


def excess(results: Results) -> np.ndarray:
    """Barrier from a shared start less that from other starts once renumbered, nats, paired by the small end."""
    return barriers(results, "shared") - barriers(results, "matched")


def better(results: Results) -> np.ndarray:
    """Test accuracy of the large end less that of the small one, in points, paired by start."""
    return 100 * (results("ends", "large", "test_accuracy") - results("ends", "small", "test_accuracy"))


def nearer(results: Results) -> np.ndarray:
    """By which share the loss has risen nearer to the large end than to the small one."""
    return 1 - distances(results, "large") / distances(results, "small")


# ----------------------------------------------------------------------------------- comparisons, tables, claim


def limits(results: Results, start: str) -> np.ndarray:
    """Below which barrier the rule speaks of a plane, nats."""
    return claims.C10_BARRIER * below_guessing(results, start)


def plane(results: Results | None, start: str) -> dict[str, Any]:
    """Whether the barriers lie below their limits."""
    return verdict_of(limits(results, start) - barriers(results, start) if results else [])


def flatter(results: Results | None) -> dict[str, Any]:
    """Whether the large end is the flatter one."""
    return verdict_of(distances(results, "large") - distances(results, "small") if results else [])


def within(differences: np.ndarray, bound: float) -> bool:
    """Whether a mean difference may be 0, and its interval says that it is less than the bound either way."""
    ends = interval(differences)
    return ends is not None and ends[0] <= 0 <= ends[1] and max(-ends[0], ends[1]) < bound


def error_of(history: dict[str, Any]) -> Callable[[Results], np.ndarray]:
    """The binomial standard error of each solution's test accuracy, in points; NaN where the images are not counted."""
    images = claims.test_images(history) or math.nan
    return lambda found: [100 * claims.standard_error(each, images) for each in found("ends", "small", "test_accuracy")]


def line_row(stage: str, results: Results, start: str) -> dict[str, Any]:
    """A row of the table of lines; lists have a value for each seed."""
    return {
        "stage": stage,
        "start": start,
        "length": results("lines", start, "length"),
        "barrier": barriers(results, start),
        "limit": median(limits(results, start)),
        "below": plane(results, start)["agree"],
        "dip": 100 * results("lines", start, "barrier", "test_accuracy", "height"),
    }


def end_row(stage: str, results: Results, end: str) -> dict[str, Any]:
    """A row of the table of solutions: medians over seeds, accuracies in percent."""
    names = {"train_loss": 1, "test_loss": 1, "train_accuracy": 100, "test_accuracy": 100}
    row = {name: median(scale * results("ends", end, name)) for name, scale in names.items()}
    row |= {"moved": median(moved(results, end)), "distance": median(distances(results, end))}
    return {"stage": stage, "end": end, **row}


def c10(there: dict[str, Results]) -> dict[str, Any]:
    """C10: converged, the two solutions lie on one plane; stopped early, the large batch's is the flatter one."""
    sgd, early = there.get(PLANE), there.get(FLATTER)
    parts = [plane(sgd, "shared"), plane(sgd, "independent"), flatter(early)]
    lie = "Converged, small- and large-batch solutions lie on one smooth plane"
    return claim("C10", f"{lie}; stopped early, the large-batch one is the flatter", parts)
