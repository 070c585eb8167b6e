"""Statistics of recorded gradient norms and losses, and the part of the records that a history holds. NumPy."""

from typing import Any

import numpy as np

MEDIAN_SPAN, MEDIAN_EVERY = 201, 50  # iterations that a running median covers, and between two of them
FEWEST = 3  # points that a rank correlation needs
PAIR = ("loss", "gradient_norm")


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation, from -1 to 1; NaN for too few points or where one of the two does not vary."""
    from scipy import stats

    if len(first) < FEWEST or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def detrended(values: np.ndarray) -> np.ndarray:
    """(points,) values minus their least-squares straight line; exactly zero where they do not vary."""
    if np.ptp(values) == 0:
        return np.zeros(len(values))
    steps = np.arange(len(values)) - (len(values) - 1) / 2
    return values - values.mean() - steps * (steps @ values) / (steps @ steps)


def scatter(values: np.ndarray) -> float:
    """Standard deviation around the trend, as a share of the mean; NaN where all values are zero."""
    return float(np.std(detrended(values)) / np.mean(values)) if np.any(values) else float("nan")


def median_of_finite(values: list[float]) -> float:
    """The median of the finite values; NaN where there is none."""
    numbers = [value for value in values if np.isfinite(value)]
    return float(np.median(numbers)) if numbers else float("nan")


def statistics(
    loss: np.ndarray, norm: np.ndarray, fixed: dict[str, np.ndarray], window: dict[str, np.ndarray], epoch: int
) -> dict[str, float]:
    """Statistics of one net. loss, norm: (iterations,), of the mini-batch of every iteration.

    fixed: `iterations`, `loss`, `gradient_norm` of the fixed set, (records,); window: `loss`, `gradient_norm` of the
    mini-batches and `fixed_loss`, `fixed_gradient_norm` of the fixed set in one window, (iterations of the window,);
    epoch: iterations of one pass over the examples. Correlations are Spearman's. "Detrended" values are those minus
    their straight trend within a window.

    large_scale                norm with loss, fixed set, after the first epoch
    small_scale                detrended norm with detrended loss, mini-batches: median over all windows in turn
    small_scale_differences    changes of norm with changes of loss from one iteration to the next: median likewise
    window, window_fixed       detrended norm with detrended loss in the one window: mini-batches, fixed set
    window_fixed_differences   changes of norm with changes of loss in the window, fixed set
    batch_with_fixed           detrended norm of the mini-batches with that of the fixed set, in the window
    scatter, scatter_fixed     standard deviation of the detrended norm in the window, as a share of the mean norm
    norm_trend, loss_trend     norm or loss with the iteration, fixed set, after the first epoch
    """
    later = fixed["iterations"] >= epoch
    length = len(window["loss"])
    spans = [slice(first, first + length) for first in range(0, len(loss) - length + 1, length)]
    inside = {name: detrended(values) for name, values in window.items()}
    return {
        "large_scale": rank_correlation(fixed["gradient_norm"][later], fixed["loss"][later]),
        "small_scale": median_of_finite(
            [rank_correlation(detrended(norm[span]), detrended(loss[span])) for span in spans]
        ),
        "small_scale_differences": median_of_finite(
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
    """Iterations, and the median over the MEDIAN_SPAN iterations around each, (seeds, medians).

    values: (iterations, seeds).
    """
    span = min(MEDIAN_SPAN, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, span, axis=0)[::MEDIAN_EVERY]
    return np.arange(len(windows)) * MEDIAN_EVERY + span // 2, np.median(windows, axis=-1).T


def results_of(batch: np.ndarray, fixed: np.ndarray, stops: np.ndarray, every: int, window: range, epoch: int) -> dict:
    """The results of an arm: `statistics` over all iterations, and as many of the records as a history can hold.

    batch: (2, iterations, seeds), loss and norm of the mini-batches; fixed: (2, stops, seeds), of the fixed set after
    as many updates as `stops` (stops,) says; every: updates between the records of `fixed` in the results; window: its
    iterations; epoch: iterations of one pass. Of the mini-batches, the results hold all iterations of the first seed,
    the window of all seeds, and a running median of all seeds.
    """
    iterations = batch.shape[1]
    regular = (stops % every == 0) | (stops == iterations)
    inside = np.isin(stops, window)
    records: dict[str, dict[str, Any]] = {
        "first_seed": {},  # (iterations,)
        "running_median": {"iterations": running_median(batch[0])[0]},  # (seeds, medians)
        "fixed": {"iterations": stops[regular]},  # (seeds, records)
        "window": {"iterations": stops[inside]},  # (seeds, iterations of the window)
    }
    for name, of_batch, of_fixed in zip(PAIR, batch, fixed, strict=True):
        records["first_seed"][name] = of_batch[:, 0]
        records["running_median"][name] = running_median(of_batch)[1]
        records["fixed"][name] = of_fixed[regular].T
        records["window"][name] = of_batch[window.start : window.stop].T
        records["window"][f"fixed_{name}"] = of_fixed[inside].T
    by_seed = []
    for seed in range(batch.shape[2]):
        one_fixed = {name: records["fixed"][name][seed] for name in PAIR} | {"iterations": stops[regular]}
        one_window = {name: values[seed] for name, values in records["window"].items() if name != "iterations"}
        by_seed.append(statistics(batch[0, :, seed], batch[1, :, seed], one_fixed, one_window, epoch))
    return {**records, "statistics": {name: [each[name] for each in by_seed] for name in by_seed[0]}}  # (seeds,)
