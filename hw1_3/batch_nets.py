"""The nets of sensitivity.py by batch size and seed, as its figures and the report read them from its history."""

from collections.abc import Sequence
from typing import Any

from common.settings import Problem

import numpy as np

BEST = 50  # images, the batch size that the claim calls best
FEWEST = 3  # batch sizes that a rank correlation needs
BUDGETS = ("steps", "epochs", "loss")  # what nets of different batch sizes have in common when they are compared
Nets = dict[int, dict[int, dict[str, Any] | None]]
MEASURES = {  # of sensitivity: words, and keys below those of the images; the first one decides the claim
    "softmax": ("softmax Jacobian, mean", ("softmax", "mean")),
    "median": ("softmax Jacobian, median", ("softmax", "median")),
    "logits": ("logit Jacobian, mean", ("logits", "mean")),
    "gradient": ("gradient of the mean loss", ("mean_loss_gradient",)),
}


def nets_of(history: dict[str, Any], budget: str) -> Nets:
    """{batch size: {seed: measurements, None for a net that did not reach the loss}}, smallest batch first.

    Problem where a unit of the history lacks them.
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
    """{seed: a quantity at a batch size}, for the nets that were measured. Problem where one of them lacks it."""
    values = {}
    for seed, measurements in nets.get(size, {}).items():
        if measurements is not None:
            value: Any = measurements
            try:
                for name in path:
                    value = value[name]
                values[seed] = float(value)
            except (KeyError, TypeError, ValueError):
                raise Problem(f"{'/'.join(path)} is missing at batch size {size}: measure it again (--force)") from None
    return values


def judged(nets: Nets) -> Nets:
    """The batch sizes with the largest number of seeds; they alone decide a claim."""
    most = max(map(len, nets.values()), default=0)
    return {size: of_size for size, of_size in nets.items() if len(of_size) == most}


def common(nets: Nets) -> Nets:
    """All batch sizes, with only the seeds that all of them have."""
    seeds = set.intersection(*map(set, nets.values())) if nets else set()
    return {size: {seed: of_size[seed] for seed in sorted(seeds)} for size, of_size in nets.items()}


def trends(nets: Nets, path: Sequence[str]) -> list[float]:
    """Spearman's rank correlation of a quantity with batch size, one for each seed that has FEWEST batch sizes or more.

    It is 0 for a quantity that is the same at all batch sizes.
    """
    from scipy import stats

    correlations = []
    for seed in sorted({seed for of_size in nets.values() for seed in of_size}):
        pairs = [(size, values[seed]) for size in nets if seed in (values := values_of(nets, size, path))]
        if len(pairs) >= FEWEST:
            sizes, values = (stats.rankdata(each) for each in np.array(pairs).T)
            correlations.append(float(np.corrcoef(sizes, values)[0, 1]) if np.ptp(values) else 0.0)
    return correlations
