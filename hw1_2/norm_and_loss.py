"""What a record of gradient norms and losses says, and what of it a history keeps. Numbers only, no TensorFlow."""

from typing import Any

import numpy as np

RUNNING, RUNNING_EVERY = 201, 50  # iterations that a running median spans, and between two of them
FEWEST = 3  # points of a rank correlation
PAIR = ("loss", "gradient_norm")


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's, from -1 to 1; NaN where there are too few points or one of the two does not vary."""
    from scipy import stats

    if len(first) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def detrended(values: np.ndarray) -> np.ndarray:
    """(points,) values less their least-squares straight line; a constant stays constant."""
    if np.ptp(values) == 0:
        return np.zeros(len(values))
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    return values - values.mean() - steps * (steps @ values) / (steps @ steps)


def scatter(values: np.ndarray) -> float:
    """Standard deviation around the trend, as a share of the mean; NaN where all are zero."""
    return float(np.std(detrended(values)) / np.mean(values)) if np.any(values) else float("nan")


def middle(values: list[float]) -> float:
    """The median of those that are numbers; NaN where none is."""
    numbers = [value for value in values if np.isfinite(value)]
    return float(np.median(numbers)) if numbers else float("nan")


def statistics(
    loss: np.ndarray, norm: np.ndarray, fixed: dict[str, np.ndarray], window: dict[str, np.ndarray], epoch: int
) -> dict[str, float]:
    """What one net's record says, over *all* its iterations. loss, norm: (iterations,), of the mini-batches.

    fixed: `iterations`, `loss`, `gradient_norm` of the fixed set, (records,); window: `loss`, `gradient_norm` of the
    mini-batches, and `fixed_loss`, `fixed_gradient_norm`, (window,); epoch: iterations of one pass over the examples.
    Correlations are Spearman's:

    large_scale                of norm and loss on the fixed set, after the first epoch
    small_scale                of norm and loss of the mini-batches around their trends: median over successive windows
    small_scale_differences    the same of their changes from one iteration to the next
    window, window_fixed       as small_scale, in the window, of the mini-batches and of the fixed set
    window_fixed_differences   of the changes of norm and loss on the fixed set in the window
    batch_with_fixed           in the window, of the norm on the mini-batch and on the fixed set around their trends
    scatter, scatter_fixed     in the window, of the norm around its trend, as a share of its mean
    norm_trend, loss_trend     of norm or loss on the fixed set with the iteration, after the first epoch
    """
    later = fixed["iterations"] >= epoch
    length = len(window["loss"])
    spans = [slice(first, first + length) for first in range(0, len(loss) - length + 1, length)]
    inside = {name: detrended(values) for name, values in window.items()}
    return {
        "large_scale": rank_correlation(fixed["gradient_norm"][later], fixed["loss"][later]),
        "small_scale": middle([rank_correlation(detrended(norm[span]), detrended(loss[span])) for span in spans]),
        "small_scale_differences": middle(
            [rank_correlation(np.diff(norm[span]), np.diff(loss[span])) for span in spans]
        ),
        "window": rank_correlation(inside["gradient_norm"], inside["loss"]),
        "window_fixed": rank_correlation(inside["fixed_gradient_norm"], inside["fixed_loss"]),
        "window_fixed_differences": rank_correlation(
            np.diff(window["fixed_gradient_norm"]), np.diff(window["fixed_loss"])
        ),
        "batch_with_fixed": rank_correlation(inside["gradient_norm"], inside["fixed_gradient_norm"]),
        "scatter": scatter(window["gradient_norm"]),
        "scatter_fixed": scatter(window["fixed_gradient_norm"]),
        "norm_trend": rank_correlation(fixed["iterations"][later], fixed["gradient_norm"][later]),
        "loss_trend": rank_correlation(fixed["iterations"][later], fixed["loss"][later]),
    }


def running_median(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Iterations, and the median over the RUNNING iterations around each, (seeds, middles).

    values: (iterations, seeds).
    """
    span = min(RUNNING, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, span, axis=0)[::RUNNING_EVERY]
    return np.arange(len(windows)) * RUNNING_EVERY + span // 2, np.median(windows, axis=-1).T


def condensed(batch: np.ndarray, fixed: np.ndarray, stops: np.ndarray, every: int, window: range, epoch: int) -> dict:
    """What a history keeps of an arm, from everything that was measured.

    batch: (2, iterations, seeds), loss and norm of the mini-batches; fixed: (2, stops, seeds), of the fixed set before
    the iterations `stops`, of which each multiple of `every`, each of `window` and the last are kept; epoch: iterations
    of one pass. The statistics are over all iterations; of the mini-batches themselves every iteration is kept for the
    first seed and in the window, and for all seeds a running median.
    """
    iterations = batch.shape[1]
    regular = (stops % every == 0) | (stops == iterations)
    inside = np.isin(stops, window)
    kept: dict[str, dict[str, Any]] = {
        "first_seed": {},  # (iterations,)
        "running_median": {"iterations": running_median(batch[0])[0]},  # (seeds, middles)
        "fixed": {"iterations": stops[regular]},  # (seeds, records)
        "window": {"iterations": stops[inside]},  # (seeds, iterations of the window)
    }
    for name, of_batch, of_fixed in zip(PAIR, batch, fixed, strict=True):
        kept["first_seed"][name] = of_batch[:, 0]
        kept["running_median"][name] = running_median(of_batch)[1]
        kept["fixed"][name] = of_fixed[regular].T
        kept["window"][name] = of_batch[window.start : window.stop].T
        kept["window"][f"fixed_{name}"] = of_fixed[inside].T
    by_seed = []
    for seed in range(batch.shape[2]):
        one_fixed = {name: kept["fixed"][name][seed] for name in PAIR} | {"iterations": stops[regular]}
        one_window = {name: values[seed] for name, values in kept["window"].items() if name != "iterations"}
        by_seed.append(statistics(batch[0, :, seed], batch[1, :, seed], one_fixed, one_window, epoch))
    return {**kept, "statistics": {name: [each[name] for each in by_seed] for name in by_seed[0]}}  # (seeds,)
