"""The nets of sensitivity.py by batch size and seed, as its figures and the report read them from its history."""

from collections.abc import Sequence
from typing import Any

from common.settings import Problem

import numpy as np

BEST = 50  # images, the batch size that the claim calls best
FEWEST = 3  # batch sizes of a rank correlation
BUDGETS = ("steps", "epochs", "loss")  # what nets of different batch sizes have in common when they are compared
Nets = dict[int, dict[int, dict[str, Any] | None]]
MEASURES = {  # of sensitivity, of which the first decides: words, path below the images
    "softmax": ("softmax Jacobian, mean", ("softmax", "mean")),
    "median": ("softmax Jacobian, median", ("softmax", "median")),
    "logits": ("logit Jacobian, mean", ("logits", "mean")),
    "gradient": ("gradient of the mean loss", ("mean_loss_gradient",)),
}


def nets_of(history: dict[str, Any], budget: str) -> Nets:
    """{batch size: {seed: what was measured, None for a net that did not reach the loss}}, smallest batch first.

    Problem where a unit of the history lacks it.
    """
    nets: Nets = {}
    for unit, results in history["results"].items():
        try:
            measured = zip(results["seeds"], results["budgets"][budget], strict=True)
            nets.setdefault(int(results["batch_size"]), {}).update(measured)
        except (KeyError, TypeError, ValueError):
            experiment = history["experiment"]
            raise Problem(
                f"the history of {experiment} has no usable {budget} in {unit}: measure it again (--force)"
            ) from None
    return dict(sorted(nets.items()))


def values_of(nets: Nets, size: int, path: Sequence[str]) -> dict[int, float]:
    """{seed: a quantity at a batch size}, of the nets that were measured. Problem where one of them lacks it."""
    values = {}
    for seed, found in nets.get(size, {}).items():
        if found is not None:
            value: Any = found
            try:
                for name in path:
                    value = value[name]
                values[seed] = float(value)
            except (KeyError, TypeError, ValueError):
                raise Problem(f"{'/'.join(path)} is missing at batch size {size}: measure it again (--force)") from None
    return values


def judged(nets: Nets) -> Nets:
    """The batch sizes that were trained from as many seeds as any: those that decide."""
    most = max(map(len, nets.values()), default=0)
    return {size: found for size, found in nets.items() if len(found) == most}


def common(nets: Nets) -> Nets:
    """All batch sizes, over the seeds that every one of them was trained from."""
    seeds = set.intersection(*map(set, nets.values())) if nets else set()
    return {size: {seed: found[seed] for seed in sorted(seeds)} for size, found in nets.items()}


def trends(nets: Nets, path: Sequence[str]) -> list[float]:
    """Spearman's rank correlation of a quantity with batch size, one a seed, of the seeds with enough batch sizes.

    A quantity that is the same at all of them has no trend: 0.
    """
    from scipy import stats

    correlations = []
    for seed in sorted({seed for found in nets.values() for seed in found}):
        pairs = [(size, values[seed]) for size in nets if seed in (values := values_of(nets, size, path))]
        if len(pairs) >= FEWEST:
            sizes, values = (stats.rankdata(each) for each in np.array(pairs).T)
            correlations.append(float(np.corrcoef(sizes, values)[0, 1]) if np.ptp(values) else 0.0)
    return correlations
