"""Facts of hw1_2/grad_norm: gradient norm and loss together, where the norm's jumps come from, and claim C5.

Correlations are Spearman's, one a seed (`hw1_2/norm_and_loss.py` says of what). Dead nets are left out.
"""

from typing import Any

from common import reading

import numpy as np

from report import claims
from report.facts import claim, ends, guard, known, mean, plain

ARMS = {"mnist_adam": "MNIST, Adam", "mnist_sgd": "MNIST, momentum", "f1_adam": "f1, Adam"}
SHARED = 0.5  # a rank correlation of mini-batch and fixed set from which on the jumps count as the landscape's
NEAR_ZERO = 0.01  # a gradient norm that may be that of a place near a critical point
STALLED = 50  # times the median loss at the end: a net on a plateau
STATISTICS = (
    *("large_scale", "small_scale", "small_scale_differences", "window", "window_fixed", "window_fixed_differences"),
    *("batch_with_fixed", "norm_trend", "loss_trend"),
)
SHOWN = ("large_scale", "small_scale", "batch_with_fixed", "norm_ratio", "noise_share")
Seeds = dict[str, np.ndarray]  # (live seeds,) each


def facts(history: dict[str, Any]) -> dict[str, Any]:
    """Numbers by arm (means over seeds, as in C5), guards, the table of correlations (values of all live seeds), C5."""
    seeds = {arm: of_seeds(history, arm) for arm in ARMS}
    parts = {
        arm: [claims.beyond(seeds[arm].get(name, []), limits) for name, limits in claims.C5_PARTS.items()]
        for arm in ARMS
    }

    def values(name: str, *arms: str) -> list[float]:
        """Of all seeds of these arms; holds None where an arm is not measured."""
        return [value for arm in arms for value in seeds[arm].get(name, [None])]

    def verdicts(arm: str) -> list[str | None]:
        return [part["verdict"] if part["seeds"] else None for part in parts[arm]]

    images = "mnist_adam", "mnist_sgd"
    guards = {
        "fall_together": guard(verdicts("mnist_adam")[:1], claims.HOLDS.__eq__),
        "bumps_match": guard(verdicts("mnist_adam")[1:], claims.HOLDS.__eq__),
        "momentum_agrees": guard(verdicts("mnist_sgd"), claims.HOLDS.__eq__),
        "f1_differs": known(
            lambda *two: claims.HOLDS not in two and np.ptp(seeds["f1_adam"]["large_scale"]) > SHARED,
            *verdicts("f1_adam"),
        ),
        "jumps_of_the_batch": guard(values("batch_with_fixed", *images), lambda rank: rank < SHARED),
        "jumps_of_the_landscape": guard(values("batch_with_fixed", "f1_adam"), lambda rank: rank > SHARED),
        "mostly_noise": guard(values("noise_share", *images), lambda share: share > 0.8),
        "hardly_noise_on_f1": guard(values("noise_share", "f1_adam"), lambda share: share < 0.2),
        "several_times": guard(values("norm_ratio", *images), lambda times: 3 < times < 10),
        "never_critical": guard(values("lowest_norm", *images), lambda norm: norm > NEAR_ZERO),
        "f1_stalls": None if not seeds["f1_adam"] else bool(seeds["f1_adam"]["stalled"].any()),
        "both_fall": guard(values("norm_trend", *images) + values("loss_trend", *images), lambda rank: rank < 0),
    }
    f1 = seeds["f1_adam"]
    numbers = {arm: {name: mean(about.get(name, [])) for name in SHOWN} for arm, about in seeds.items()}
    numbers |= {
        "lowest_norm": min(values("lowest_norm", *images)) if all(seeds[arm] for arm in images) else None,
        "f1_large_scale": ends(values("large_scale", "f1_adam")),
        "seeds": max(len(about.get("large_scale", [])) for about in seeds.values()),
        "f1_stalled_seeds": f1["seed"][f1["stalled"]] if f1 else [],
    }
    statement = "Gradient norm and loss fall together, and their bumps match"
    judged = claim("C5", statement, parts["mnist_adam"])  # the reference's setting decides
    rows = [{"arm": words, "seeds": seeds[arm]} for arm, words in ARMS.items() if seeds[arm]]
    return plain({"numbers": numbers, "guards": guards, "tables": {"correlations": rows}, "claims": [judged]})


def of_seeds(history: dict[str, Any], arm: str) -> Seeds:
    """The statistics of an arm's live seeds; and of the window of iterations in which the fixed set was measured at
    every one: norm_ratio, root mean squares of the mini-batch's norm over the fixed set's, and noise_share.

    With g the gradient on all examples, the mean square of a batch's norm is |g|^2 + tr(Cov) / B, Cov being that of the
    examples' gradients and B the batch's size; noise_share is the second term's.
    """
    unit = arm.replace("_", "/")
    if unit not in history["results"]:
        return {}
    batch, fixed = (reading.field(history, unit, "window", name) for name in ("gradient_norm", "fixed_gradient_norm"))
    squares = np.mean(fixed**2, axis=1) / np.mean(batch**2, axis=1)
    end = reading.field(history, unit, "fixed", "loss")[:, -1]
    about = {name: reading.field(history, unit, "statistics", name) for name in STATISTICS}
    about |= {"norm_ratio": squares**-0.5, "noise_share": 1 - squares, "seed": np.arange(len(end))}
    about["lowest_norm"] = reading.field(history, unit, "fixed", "gradient_norm").min(axis=1)
    about["stalled"] = end > STALLED * np.median(end)
    kept = "dead" in history["results"][unit]  # of f1 alone: a net for MNIST is never dead
    live = ~reading.field(history, unit, "dead").astype(bool) if kept else np.full(len(end), True)
    return {name: values[live] for name, values in about.items()}
