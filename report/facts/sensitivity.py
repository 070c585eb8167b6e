"""Facts of hw1_3/sensitivity: sensitivity and test results against batch size, and claims C11 and C12.

The mean norm of the softmax Jacobian on the test images decides. A trend with batch size is Spearman's rank correlation
with it, one a seed, over the batch sizes that were trained from as many seeds as any (eight, up to 1,000); all batch
sizes, over the seeds that they share, stand beside.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3.batch_nets import BEST, BUDGETS, FEWEST, MEASURES, Nets, common, judged, nets_of, trends, values_of
from report import claims
from report.claims import C11_TREND, C12_LARGER, C12_SMALLER
from report.facts import claim, interval, known, mean, plain, verdict_of

IMAGES = ("test", "train")
SMALL = {(5, "loss"), (10, "loss")}  # of C12: batch sizes that may do better than 50
JUDGED = ("test", *MEASURES["softmax"][1])
DISTANCE = ("distance",)
LEVEL = 0.2  # points of accuracy: less than that apart is level
COLUMNS = {  # of the table of results: path
    "train_loss": ("train", "loss"),
    "train_accuracy": ("train", "accuracy"),
    "test_loss": ("test", "loss"),
    "test_accuracy": ("test", "accuracy"),
    "softmax": JUDGED,
    "median": ("test", "softmax", "median"),
    "logits": ("test", "logits", "mean"),
    "top_percent": ("test", "softmax", "share_of_top_percent"),
    "distance": DISTANCE,
    "passes": ("epoch",),
}


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers (medians over seeds; trends and differences are means, with intervals), guards, tables, C11 and C12."""
    everything = {budget: nets_of(history, budget) for budget in BUDGETS}
    nets = {budget: judged(found) for budget, found in everything.items()}
    sizes = list(nets["steps"])
    reached = sorted(medians(nets["loss"], JUDGED))  # the judged batch sizes of which some net reaches the loss
    rows = trend_rows(everything, nets)
    results = {row["size"]: row for row in result_rows(everything["steps"])}
    small, large = (results.get(of(sizes, default=None), {}) for of in (min, max))
    numbers = {
        "smallest": small.get("size"),
        "largest": large.get("size"),
        "best": BEST,
        "sizes": len(results),
        "smallest_passes": small.get("passes"),
        "largest_passes": large.get("passes"),
        "largest_top_percent": large.get("top_percent"),
        "loss_smallest": min(reached, default=None),
        "loss_trend": rows[0]["loss"]["mean"],
        "steps_trend": rows[0]["steps"]["mean"],
        "epochs_best": best_size(nets["epochs"]),
        "accuracy_level_to": level_to(nets["steps"]),
    }
    eleven, twelve = c11(everything), c12(everything["steps"])
    way = {(row["measure"], row["images"], budget): row[budget]["direction"] for row in rows for budget in BUDGETS}
    away = {budget: direction(trends(found, DISTANCE)) for budget, found in nets.items()}
    at_reached = [trends({size: found[size] for size in reached if size in found}, JUDGED) for found in nets.values()]
    better = [
        part["verdict"] for part in twelve["parts"] if (part["size"], part["quantity"]) in SMALL and part["seeds"]
    ]
    updates = eleven["parts"][0]
    guards = {
        "measures_disagree": known(
            lambda *all_of: {-1, 1} <= {*all_of},
            *(way[name, images, "steps"] for name in MEASURES for images in IMAGES),
        ),
        "logits_turn": known(
            lambda *both: both == (1, -1), way["logits", "test", "steps"], way["logits", "test", "epochs"]
        ),
        "rises_at_equal_loss": known(lambda rises: rises == 1, way["softmax", "test", "loss"]),
        "smallest_never_reach": known(
            lambda first, least: first < least, small.get("size"), min(reached, default=None)
        ),
        "rises_at_sizes_that_reach": known(lambda *all_of: {*all_of} == {1}, *map(direction, at_reached)),
        "unclear_at_equal_updates": updates["verdict"] == claims.UNCLEAR if updates["seeds"] else None,
        "smallest_breaks_the_order": breaks_first(medians(nets["steps"], JUDGED)),
        "training_falls": known(lambda falls: falls == -1, way["softmax", "train", "steps"]),
        "median_vanishes": known(
            lambda falls, last: falls == -1 and last < 1e-6, way["median", "test", "steps"], large.get("median")
        ),
        "unequal_stages": known(lambda one, two: two < one / 1000, small.get("train_loss"), large.get("train_loss")),
        "few_carry_the_mean": known(
            lambda one, two: one < 0.25 and two > 0.5, small.get("top_percent"), large.get("top_percent")
        ),
        "worse_at_equal_loss": judged_worse(nets["loss"], large.get("size"), "accuracy"),
        "worse_at_equal_updates": judged_worse(nets["steps"], large.get("size"), "loss"),
        "small_batches_win": {*better} == {claims.FAILS} if len(better) == len(SMALL) else None,
        "best_moves": known(
            lambda updates, passes: updates < BEST < passes, best_size(nets["steps"]), numbers["epochs_best"]
        ),
        "accuracy_level": known(lambda size: size > BEST, numbers["accuracy_level_to"]),
        "stay_near": known(lambda *both: both == (-1, -1), away["epochs"], away["loss"]),
        "farther_at_equal_updates": known(lambda farther: farther == 1, away["steps"]),
    }
    tables = {"trends": rows, "best": twelve["parts"], "results": list(results.values())}
    return plain({"numbers": numbers, "guards": guards, "tables": tables, "claims": [eleven, twelve]})


# --------------------------------------------------------------------------------------------------- statistics


def direction(values: Sequence[float]) -> int | None:
    """1 or -1 where trends surely lie beyond C11_TREND on one side, else 0; None where there are none."""
    if not len(values):
        return None
    ways = {sign: claims.by_margins(sign * np.array(values) - C11_TREND)["verdict"] for sign in (1, -1)}
    return next((sign for sign, verdict in ways.items() if verdict == claims.HOLDS), 0)


def bounded(ends: list[float] | None) -> list[float] | None:
    """An interval of a rank correlation, whose ends lie at 1 at most."""
    return None if ends is None else [min(max(end, -1.0), 1.0) for end in ends]


def medians(nets: Nets, path: Sequence[str]) -> dict[int, float]:
    """{batch size: median over seeds}, where any was measured."""
    values = {size: list(values_of(nets, size, path).values()) for size in nets}
    return {size: float(np.median(each)) for size, each in values.items() if each}


def breaks_first(by_size: dict[int, float]) -> bool | None:
    """Whether medians rise from batch size to batch size, but for the first step; None for fewer than four sizes."""
    steps = np.diff(list(by_size.values()))
    return bool(steps[0] <= 0 and np.all(steps[1:] > 0)) if len(steps) >= FEWEST else None


def worse(nets: Nets, size: int, quantity: str) -> list[float]:
    """By how much the nets of a batch size are worse than those of BEST from the same initial weights, on test images.

    quantity: "loss", in nats, or "accuracy", in percentage points.
    """
    ours, best = (values_of(nets, each, ("test", quantity)) for each in (size, BEST))
    factor = 1 if quantity == "loss" else -100
    return [factor * (ours[seed] - best[seed]) for seed in sorted(ours.keys() & best.keys())]


def judged_worse(nets: Nets, size: int | None, quantity: str) -> bool | None:
    """Whether the nets of a batch size are surely worse than those of BEST; None where not measured."""
    values = worse(nets, size, quantity) if size else []
    return claims.by_margins(values)["verdict"] == claims.HOLDS if values else None


def level_to(nets: Nets) -> int | None:
    """The batch size up to which, from BEST on, test accuracies surely differ from those at BEST by less than LEVEL."""
    last = BEST if BEST in nets else None
    for size in (size for size in nets if size > BEST):
        ends = interval(worse(nets, size, "accuracy"))
        if ends is None or max(-ends[0], ends[1]) >= LEVEL:
            break
        last = size
    return last


def best_size(nets: Nets) -> int | None:
    """The batch size with the lowest median test loss."""
    found = medians(nets, ("test", "loss"))
    return min(found, key=found.get, default=None)


# ---------------------------------------------------------------------------------------------- tables, claims


def trend_rows(everything: dict[str, Nets], nets: dict[str, Nets]) -> list[dict[str, Any]]:
    """Rows of the table of trends: a measure, the images, and at each budget what its correlations are."""
    rows = []
    for measure, (words, below) in MEASURES.items():
        for images in IMAGES:
            row: dict[str, Any] = {"measure": measure, "words": words, "images": images}
            for budget in BUDGETS:
                values = trends(nets[budget], (images, *below))
                row[budget] = {"mean": mean(values), "interval": bounded(interval(values))}
                row[budget] |= {"direction": direction(values)}
                row[budget] |= {"all_sizes": trends(common(everything[budget]), (images, *below))}
            rows.append(row)
    return rows


def result_rows(nets: Nets) -> list[dict[str, Any]]:
    """Rows of the table of one budget: medians over seeds, by batch size."""
    found = {name: medians(nets, path) for name, path in COLUMNS.items()}
    return [
        {"size": size, "seeds": len(seeds), **{name: values.get(size) for name, values in found.items()}}
        for size, seeds in nets.items()
    ]


def c11(everything: dict[str, Nets]) -> dict[str, Any]:
    """C11: sensitivity rises with batch size, at equal updates and at equal training loss."""
    parts = [verdict_of(trends(judged(everything[budget]), JUDGED), above=C11_TREND) for budget in ("steps", "loss")]
    return claim("C11", "The larger the batch, the more sensitive the net is to its input", parts)


def c12(nets: Nets) -> dict[str, Any]:
    """C12: test results are best near a batch size of 50; at equal updates, each net against its twin at 50."""
    parts = [
        {"size": size, "quantity": quantity, **verdict_of(worse(nets, size, quantity))}
        for size in (*C12_SMALLER, *C12_LARGER)
        for quantity in ("loss", "accuracy")
    ]
    return claim("C12", "Test loss and accuracy are best near a batch size of 50", parts)
