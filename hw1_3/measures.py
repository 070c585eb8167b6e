"""Rank correlations between measures of a net and its generalization gap, over many nets. NumPy and SciPy.

Kendall's tau is the share of pairs of nets that both quantities order in the same way, minus the share that they order
in opposite ways (tau-b where there are ties). It is computed

    all       over all pairs of nets: the batch size may change both quantities
    fixed     over pairs of nets of the same batch size
    between   over the medians of each batch size: what the batch size alone changes

p-values come from permutations of the gaps, over all nets or within each batch size, and are corrected over the
measures by Holm's method (1979). Intervals come from a bootstrap that resamples the nets of each batch size, as batch
sizes were chosen and nets are random. The p-value of the medians is exact, as they are few. Kendall's partial
coefficient, which adjusts for a third quantity without holding it fixed, is computed as well.
"""

from collections.abc import Sequence
from typing import Any

from common.settings import Problem

import numpy as np

MEASURES = {  # key in the history: words. Their p-values are corrected together
    "short_wide": "10-iteration sharpness (wide box)",
    "wide": "converged sharpness (wide box)",
    "short_narrow": "10-iteration sharpness (narrow box)",
    "narrow": "converged sharpness (narrow box)",
    "top": "largest eigenvalue",
    "bottom": "negated smallest eigenvalue",
    "trace_exact": "trace of the Hessian",
    "path_norm": "path norm",
    "train_jacobian": "Jacobian of the softmax",
    "distance": "distance from the start",
}
BESIDE = {  # shown without p-values
    "trace": "Hutchinson's trace",
    "train_logit_jacobian": "Jacobian of the logits",
    "norm": "length of the weight vector",
    "train_loss": "training loss",
}
NEGATED = ("bottom",)  # measures whose negative is compared
GAPS = ("gap", "accuracy_gap")  # in loss and in accuracy
PERMUTATIONS = 10_000
RESAMPLINGS = 2000
LEVEL = 0.05
CHUNK = 500  # permutations at once: some 16 MB for 64 nets


def nets_of(history: dict[str, Any], stop: str) -> dict[str, np.ndarray]:
    """{name: (nets,)} of all nets that were measured at this stop, with the `batch_size` of their unit.

    Problem where a unit of the history lacks one of MEASURES, BESIDE and GAPS, or has it for some nets only.
    """
    gathered: dict[str, list[float]] = {}
    for unit, results in history["results"].items():
        values = results.get(stop, {})
        counts = {np.shape(values.get(name)) for name in (*MEASURES, *BESIDE, *GAPS)}
        if len(counts) != 1 or len(*counts) != 1:
            raise Problem(
                f"the history of {history['experiment']} has no usable {stop} in {unit}: measure it again (--force)"
            )
        for name, numbers in values.items():
            gathered.setdefault(name, []).extend(numbers)
        gathered.setdefault("batch_size", []).extend([int(unit.removeprefix("batch-"))] * len(values["gap"]))
    nets = {name: np.array(numbers, float) for name, numbers in gathered.items()}
    there = np.isfinite(nets["gap"]) if nets else []
    return {name: numbers[there] for name, numbers in nets.items()}


def values_of(nets: dict[str, np.ndarray], name: str) -> np.ndarray:
    """(nets,): a measure, signed so that a higher value is expected to mean a larger gap."""
    return -nets[name] if name in NEGATED else nets[name]


def pair_signs(values: np.ndarray) -> np.ndarray:
    """(nets, nets): 1 where the row's value is larger than the column's, -1 where it is smaller, 0 where equal."""
    return np.sign(values[:, None] - values[None, :])


def kendall(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> float:
    """Tau-b over the pairs that are 1 in `pairs` (nets, nets); NaN where one of the two does not vary."""
    one, two = pair_signs(first) * pairs, pair_signs(second) * pairs
    scale = np.sqrt(np.sum(np.abs(one)) * np.sum(np.abs(two)))
    return float(np.sum(one * two) / scale) if scale else float("nan")


def kendall_partial(first: float, second: float, between: float) -> float:
    """Kendall's partial coefficient. first, second: taus of two quantities with a third; between: of the two."""
    scale = np.sqrt((1 - first**2) * (1 - second**2))
    return float((between - first * second) / scale) if scale > 0 else float("nan")


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p-values corrected by Holm's method (1979), in the given order; NaN counts as no test and stays NaN."""
    p_values = np.asarray(p_values, float)
    corrected, largest = np.full(len(p_values), np.nan), 0.0
    tested = np.flatnonzero(np.isfinite(p_values))
    for place, index in enumerate(tested[np.argsort(p_values[tested], kind="stable")]):
        largest = max(largest, min(1.0, (len(tested) - place) * p_values[index]))
        corrected[index] = largest
    return corrected


def permuted(size: int, groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(size, nets): random orders of the nets, with each net staying in its group."""
    orders = np.tile(np.arange(len(groups)), (size, 1))
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        orders[:, places] = generator.permuted(np.tile(places, (size, 1)), axis=1)
    return orders


def p_values_of(
    values: np.ndarray, gap: np.ndarray, pairs: np.ndarray, groups: np.ndarray, seed: int = 0
) -> np.ndarray:
    """Two-sided p of each measure's tau from PERMUTATIONS of the gaps within groups. values: (measures, nets)."""
    generator = np.random.default_rng(seed)
    ordered = np.stack([pair_signs(each) * pairs for each in values]).reshape(len(values), -1).astype(np.float32)
    signs = pair_signs(gap).astype(np.float32)
    observed = np.abs(ordered @ signs.ravel())
    as_extreme = np.zeros(len(values))
    for first in range(0, PERMUTATIONS, CHUNK):
        orders = permuted(min(CHUNK, PERMUTATIONS - first), groups, generator)
        drawn = signs[orders[:, :, None], orders[:, None, :]].reshape(len(orders), -1)
        as_extreme += np.sum(np.abs(drawn @ ordered.T) >= observed - 0.5, axis=0)  # sums of integers
    p_values = (as_extreme + 1) / (PERMUTATIONS + 1)
    return np.where(np.any(ordered, axis=1) & np.any(signs * pairs), p_values, np.nan)


def interval(
    first: np.ndarray, second: np.ndarray, pairs: np.ndarray, groups: np.ndarray, seed: int = 0
) -> list[float]:
    """95 % interval of tau: the nets of each group are resampled RESAMPLINGS times; copies of a net form no pair."""
    generator = np.random.default_rng(seed)
    counts = np.zeros((RESAMPLINGS, len(groups)))
    for group in np.unique(groups):
        places = np.flatnonzero(groups == group)
        drawn = places[generator.integers(0, len(places), (RESAMPLINGS, len(places)))]
        np.add.at(counts, (np.arange(RESAMPLINGS)[:, None], drawn), 1)
    one, two = pair_signs(first) * pairs, pair_signs(second) * pairs

    def summed(table: np.ndarray) -> np.ndarray:
        return np.einsum("ri,ri->r", counts @ table, counts)

    with np.errstate(invalid="ignore"):
        taus = summed(one * two) / np.sqrt(summed(np.abs(one)) * summed(np.abs(two)))
    taus = taus[np.isfinite(taus)]
    if not len(taus):
        return [float("nan")] * 2
    return [float(each) for each in np.quantile(taus, [LEVEL / 2, 1 - LEVEL / 2])]


def between_sizes(values: np.ndarray, gap: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Tau between the groups' medians of a measure and of the gap, and its exact p; NaN where one does not vary.

    With ties among the medians there is no exact p, and the normal approximation is used.
    """
    from scipy import stats

    sizes = np.unique(groups)
    first, second = (np.array([np.median(each[groups == size]) for size in sizes]) for each in (values, gap))
    if min(len(np.unique(first)), len(np.unique(second))) < 2:
        return float("nan"), float("nan")
    tied = min(len(np.unique(first)), len(np.unique(second))) < len(sizes)
    test = stats.kendalltau(first, second, method="asymptotic" if tied else "exact")
    return float(test.statistic), float(test.pvalue)


def correlations(nets: dict[str, np.ndarray], gap: str = "gap") -> dict[str, dict[str, Any]]:
    """Kendall's tau with the gap, for each of MEASURES and BESIDE.

    Returns {measure: {"all": {...}, "fixed": {...}, "between": {...}, "partial_batch": tau, "partial_loss": tau}}. Each
    {...} has `tau`; `interval`, but not in "between"; and the corrected `p`, for MEASURES.
    """
    names, groups, gaps = [*MEASURES, *BESIDE], nets["batch_size"], nets[gap]
    values = np.stack([values_of(nets, name) for name in names])
    all_pairs = 1.0 - np.eye(len(gaps))
    same_size = all_pairs * (groups[:, None] == groups[None, :])
    results: dict[str, dict[str, Any]] = {name: {} for name in names}
    for kind, pairs, permuted_within in (("all", all_pairs, np.zeros(len(gaps))), ("fixed", same_size, groups)):
        p_values = holm(p_values_of(values[: len(MEASURES)], gaps, pairs, permuted_within))
        for index, name in enumerate(names):
            results[name][kind] = {
                "tau": kendall(values[index], gaps, pairs),
                "interval": interval(values[index], gaps, pairs, groups),
            }
            if name in MEASURES:
                results[name][kind]["p"] = float(p_values[index])
    medians = [between_sizes(each, gaps, groups) for each in values]
    p_values = holm([p for _, p in medians[: len(MEASURES)]])
    for index, name in enumerate(names):
        results[name]["between"] = {"tau": medians[index][0]}
        if name in MEASURES:
            results[name]["between"]["p"] = float(p_values[index])
    for third, quantity in (("partial_batch", groups), ("partial_loss", nets["train_loss"])):
        with_gap = kendall(gaps, quantity, all_pairs)
        for index, name in enumerate(names):
            with_measure = kendall(values[index], quantity, all_pairs)
            results[name][third] = kendall_partial(with_measure, with_gap, results[name]["all"]["tau"])
    return results
