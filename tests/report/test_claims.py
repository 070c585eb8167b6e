"""The rules of the verdicts: exact tests against all ways, intervals, signs, and what few seeds decide."""

import itertools

import numpy as np
import pytest

from report import claims
from report.claims import FAILS, HOLDS, UNCLEAR


@pytest.mark.parametrize("seed", range(5))
def test_mann_whitney_against_all_ways(seed: int) -> None:
    random = np.random.default_rng(seed)
    first, second = random.integers(0, 4, 5).astype(float), random.integers(1, 6, 6).astype(float)
    pooled = np.concatenate([first, second])
    ways = [list(chosen) for chosen in itertools.combinations(range(11), 5)]
    shares = np.array([claims.superiority(pooled[way], np.delete(pooled, way)) for way in ways])
    observed = claims.superiority(first, second)
    tail = np.mean(shares >= observed - 1e-9) if observed >= 0.5 else np.mean(shares <= observed + 1e-9)
    assert claims.mann_whitney(first, second) == pytest.approx(min(1, 2 * tail), rel=1e-12)


def test_mann_whitney_against_scipy_and_for_many_seeds() -> None:
    from scipy import stats

    random, values = np.random.default_rng(0), np.arange(600.0)
    first, second = random.normal(size=40), random.normal(0.3, size=30)
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert claims.mann_whitney(first, second) == pytest.approx(expected, rel=1e-9)
    assert claims.mann_whitney(second, first) == pytest.approx(expected, rel=1e-9)
    assert 0 <= claims.mann_whitney(values, values + 600) < 1e-300


def test_superiority_counts_ties_half_and_puts_what_diverged_last() -> None:
    assert claims.superiority([1.0, 1.0], [1.0, 2.0]) == 0.75
    assert claims.superiority([np.nan], [1e6]) == 0


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([0.1] * 3, [0.2] * 83, HOLDS),
        ([0.1] * 3, [0.2] * 3 + [0.05] * 80, UNCLEAR),
        ([0.3] * 2, [0.2] * 83, FAILS),
        ([0.1], [0.2] * 83, UNCLEAR),
        ([], [0.2], UNCLEAR),
        (np.arange(8), np.arange(8) + 100, HOLDS),
    ],
)
def test_pairs_of_seeds(first: list, second: list, verdict: str) -> None:
    assert claims.lower(first, second)["verdict"] == verdict


@pytest.mark.parametrize(
    ("margins", "verdict"),
    [
        ([0.1] * 7 + [-0.01], HOLDS),
        ([-0.1] * 7 + [0.01], FAILS),
        ([0.1, -0.1] * 4, UNCLEAR),
        ([0.1, 0.1, 0.1], HOLDS),
        ([0.1, 0.1, 0.0], UNCLEAR),  # a tie is on neither side
        ([-0.1, -0.1], FAILS),
        ([0.1], UNCLEAR),
        ([0.1] * 7 + [np.nan], UNCLEAR),
        ([], UNCLEAR),
    ],
)
def test_margins(margins: list, verdict: str) -> None:
    assert claims.by_margins(margins)["verdict"] == verdict


@pytest.mark.parametrize(
    ("yes", "no", "verdict"),
    [(8, 0, HOLDS), (0, 8, FAILS), (7, 1, UNCLEAR), (20, 3, HOLDS), (3, 0, HOLDS), (2, 1, UNCLEAR), (1, 0, UNCLEAR)],
)
def test_signs(yes: int, no: int, verdict: str) -> None:
    assert claims.by_signs([1.0] * yes + [-1.0] * no)["verdict"] == verdict
    assert claims.by_signs([1.0] * 8 + [np.nan])["verdict"] == UNCLEAR


def test_the_interval_is_that_of_scipy() -> None:
    from scipy import stats

    values = np.random.default_rng(0).normal(0.7, 1, 8)
    assert claims.student_interval(values) == pytest.approx(stats.ttest_1samp(values, 0).confidence_interval(0.95))


def test_parts_together() -> None:
    assert claims.combined([HOLDS, UNCLEAR]) == claims.combined([]) == UNCLEAR
    assert claims.combined([HOLDS, UNCLEAR, FAILS]) == FAILS
    assert claims.unanimous([HOLDS, FAILS]) == UNCLEAR


def test_figures_and_verdicts_share_their_thresholds() -> None:
    from hw1_2 import plot_grad_norm
    from hw1_3 import plot_interpolation, plot_random_labels

    for name, bounds in claims.C5_PARTS.items():
        assert plot_grad_norm.CORRELATIONS[name][1:] == bounds
    assert plot_interpolation.TENTH == claims.C10_BARRIER
    assert (plot_random_labels.CHANCE, plot_random_labels.UNIFORM_LOSS) == (claims.C8_CHANCE, claims.UNIFORM_LOSS)
    assert claims.C8_REACHED["loss"] == plot_random_labels.REFERENCE_LOSS
