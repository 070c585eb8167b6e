"""The nets of sensitivity.py by batch size and seed, as its figures and the report read them from its history."""

from collections.abc import Sequence
from typing import Any

from common.settings import Problem

BEST = 50  # images, the batch size that the claim calls best
Nets = dict[int, dict[int, dict[str, Any] | None]]


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
