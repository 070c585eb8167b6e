"""Rank correlations of measures with the gap: against scipy, by hand, and under made-up relations."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from common import settings

from hw1_3 import measures

GROUPS = np.repeat([32.0, 64.0, 128.0, 256.0], 8)
APART = 1.0 - np.eye(len(GROUPS))
SAME_SIZE = APART * np.equal.outer(GROUPS, GROUPS)


def drawn(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("ties", [False, True])
def test_tau_is_that_of_scipy(ties):
    first, second = drawn().normal(size=(2, 32))
    second += 0.5 * first
    if ties:
        first, second = np.round(first), np.round(second)
    assert measures.kendall(first, second, APART) == pytest.approx(stats.kendalltau(first, second).statistic)
    blocks = zip(first.reshape(4, 8), second.reshape(4, 8), strict=True)  # the sizes one after the other
    within = [stats.kendalltau(*block).statistic for block in blocks]
    if not ties:  # groups of one size weigh alike
        assert measures.kendall(first, second, SAME_SIZE) == pytest.approx(np.mean(within))
    assert np.isnan(measures.kendall(np.ones(32), second, APART))


def test_pairs_of_one_size_do_not_see_what_the_size_does():
    """Batch size moves both, and within a size the two are opposed."""
    inside = drawn().normal(size=32)
    first, second = GROUPS + inside, GROUPS - inside
    assert measures.kendall(first, second, APART) > 0.4
    assert measures.kendall(first, second, SAME_SIZE) == -1


def test_the_partial_coefficient_by_hand():
    assert measures.kendall_partial(0.5, 0.4, 0.6) == pytest.approx(0.4 / np.sqrt(0.75 * 0.84))
    assert np.isnan(measures.kendall_partial(1.0, 0.4, 0.4))


def test_holm_by_hand():
    np.testing.assert_allclose(measures.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(measures.holm([0.6, np.nan, 0.5]), [1.0, np.nan, 1.0])
    assert len(measures.holm([])) == 0


def test_chances_are_those_of_the_exact_test():
    first, second = drawn(1).normal(size=(2, 8))
    second += 0.8 * first
    exact = stats.kendalltau(first, second, method="exact").pvalue
    apart = 1.0 - np.eye(8)
    found = measures.p_values_of(np.stack([first, -first, np.ones(8)]), second, apart, np.zeros(8))
    assert found[0] == pytest.approx(exact, abs=3 * np.sqrt(exact / measures.PERMUTATIONS))
    assert found[1] == found[0]
    assert np.isnan(found[2])


def test_chances_under_no_relation_are_even():
    values = drawn(2).normal(size=(40, 32))
    gap = drawn(3).normal(size=32) + GROUPS
    found = measures.p_values_of(values + 3 * GROUPS, gap, SAME_SIZE, GROUPS)  # related by batch size alone
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert (measures.p_values_of(values + 3 * GROUPS, gap, APART, np.zeros(32)) < 0.001).all()


def test_the_interval_covers_the_tau_of_many_nets():
    covered = []
    for seed in range(40):
        first, noise = drawn(seed).normal(size=(2, 32))
        second = first + noise
        low, high = measures.interval(first, second, APART, GROUPS, seed)
        covered.append(low <= 0.5 <= high)  # 2 / pi asin(1 / sqrt 2) of a normal pair with that correlation
        assert low <= measures.kendall(first, second, APART) <= high
    assert sum(covered) >= 33  # 38 expected; 3.6 standard deviations below


def made_up(seed: int = 0) -> dict[str, np.ndarray]:
    """Nets with a gap that follows `wide` within each batch size, and nothing else."""
    generator = drawn(seed)
    nets = {name: generator.normal(size=32) for name in [*measures.MEASURES, *measures.BESIDE]}
    nets |= {"batch_size": GROUPS, "accuracy_gap": generator.normal(size=32)}
    nets["gap"] = nets["wide"] + 0.2 * generator.normal(size=32)
    nets["bottom"] = -nets["wide"]
    return nets


def test_a_planted_relation_is_found_and_no_other():
    found = measures.correlations(made_up())
    assert list(found) == [*measures.MEASURES, *measures.BESIDE]
    for name in measures.MEASURES:
        planted = name in ("wide", "bottom")  # the smallest eigenvalue counts negated
        for kind in ("all", "fixed"):
            about = found[name][kind]
            assert (about["p"] < 0.05) == planted, (name, kind)
            assert about["interval"][0] <= about["tau"] <= about["interval"][1]
    assert found["wide"]["fixed"]["tau"] > 0.7
    assert found["wide"]["between"]["p"] > 0.05  # of four sizes
    assert "p" not in found["train_loss"]["between"]
    assert "p" not in found["train_loss"]["all"]
    assert found["wide"]["partial_batch"] == pytest.approx(found["wide"]["all"]["tau"], abs=0.1)


def test_medians_of_the_batch_sizes_count_once():
    sizes = 2.0 ** np.arange(8)
    groups, inside = np.repeat(sizes, 3), np.tile([-0.1, 0.0, 0.1], 8)
    order = drawn(4).permutation(8)
    first, second = groups + inside, sizes[order].repeat(3) - inside
    tau, p = measures.between_sizes(first, second, groups)
    exact = stats.kendalltau(sizes, sizes[order], method="exact")
    assert (tau, p) == (exact.statistic, exact.pvalue)
    assert measures.between_sizes(first, groups, groups) == pytest.approx((1, 2 / 40_320))
    tied = np.where(groups < 4, 1.0, groups)
    assert measures.between_sizes(tied, groups, groups)[1] < 0.01
    assert np.isnan(measures.between_sizes(np.ones(24), groups, groups)).all()


def test_nets_are_gathered_in_order_and_without_those_that_did_not_stop():
    def unit(gap: list[float]) -> dict:
        names = (*measures.MEASURES, *measures.BESIDE, *measures.GAPS)
        return {"equal_loss": {name: [1.0, 2.0] for name in names} | {"gap": gap}}

    history = {"experiment": "x", "results": {"batch-0032": unit([0.1, np.nan]), "batch-0064": unit([0.3, 0.4])}}
    nets = measures.nets_of(history, "equal_loss")
    np.testing.assert_array_equal(nets["batch_size"], [32, 64, 64])
    np.testing.assert_array_equal(nets["wide"], [1, 1, 2])
    for broken in ({}, {"equal_loss": unit([0.3])["equal_loss"]}):
        history["results"]["batch-0064"] = broken
        with pytest.raises(settings.Problem, match="no usable equal_loss in batch-0064: measure it again"):
            measures.nets_of(history, "equal_loss")
