"""The rules by which claims are judged: holds, does not hold, unclear.

The unit of evidence is the seed, a training from its own initial weights. From 8 seeds on a part of a claim is judged
by a test over the seeds (95 %); with fewer it holds if all seeds agree, does not hold if all disagree, and is unclear
otherwise; one seed leaves it unclear. A claim in parts holds if all parts hold, and does not hold if any does not;
those of C6 must agree either way. What of a history enters a rule stands in `facts/`:

    C1   function_fit    each pair of nets, all seeds with ReLU: `lower`
    C2   cifar10_cnn     the deep net's leads in training, seed by seed: `by_margins`
    C3*  mnist_cnn       leads in training and test results, means of five epochs: `by_margins`
    C4*  param_pca       the share of pairs of ends whose functions differ by more than the control's: `by_share`
    C5   grad_norm       rank correlations of norm and loss: `beyond`
    C6*  minimal_ratio   rank correlations of loss and ratio, over distinct points: `by_interval`, `unanimous`
    C7   error_surface   whether a seed's line has a bump: `by_signs`
    C8   random_labels   training result reached, test results: `by_signs`, `by_margins`
    C9*  param_count     trends and level over widths, pairs of neighbours seed by seed: `by_limits`, `by_span`
    C10  interpolation   barriers against their limits, distances to a rise: `by_margins`
    C11* sensitivity     rank correlations with batch size, of sizes with 8 seeds: `by_margins`
    C12* sensitivity     losses and accuracies against those at batch size 50, seed by seed: `by_margins`
    bonus  sharpness     each measure's taus with the gap: `by_directions`

Rules were written before the runs. Those with a star are second rules: the first runs showed the first ones to be
unsound. Their results are printed beside the second ones.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from hw1_3 import random_labels

HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "unclear"
LEVEL = 0.05
ENOUGH = 8  # seeds from which a test over them is made

UNIFORM_LOSS = math.log(10)  # nats: of an answer that gives each class one tenth

# The numbers of the rules.
C4_TIMES = 3  # the control's median distance: ends farther apart than so many of it count as different places
C4_SHARES = 0.95, 0.5  # of pairs of ends that differ: from the first on the claim holds, below the second it does not
C5_PARTS = {  # rank correlation of norm and loss: from where on it agrees, up to where it denies
    "large_scale": (0.5, 0.0),  # on the fixed images, after the first epoch, they rise and fall together
    "small_scale": (0.5, 0.2),  # around their trend, bumps of the mini-batch's norm and loss match
}
C6_DISTINCT = 30  # critical points, each counted once, from which on a net with a ridge is judged
C8_REACHED = random_labels.REFERENCE | {"epochs": random_labels.PAPER.epochs}  # the reference's result in training
C8_CHANCE, C8_AROUND = 0.1, 0.015  # test accuracy of a guess, and how far from it the claim's may lie
C9_RISING_TO, C9_LEVEL_FROM = 512, 1024  # units a layer up to which results improve, and from which on they are level
C9_TREND = 0.9, 0.5  # rank correlations with the width from which on they improve, and up to which they do not
C9_LEVEL = 0.3  # percentage points between the highest and the lowest test accuracy that is level
C10_BARRIER = 0.1  # of the way from the ends' mean loss to that of guessing: a lower barrier is none
C11_TREND = 0.5  # a rank correlation with batch size above which a quantity rises
C12_SMALLER, C12_LARGER = (1, 5, 10), (500, 1000, 5000, 10_000)  # batch sizes not better than 50, and worse


def superiority(first: Sequence[float], second: Sequence[float]) -> float:
    """Sup(first < second): share of all pairs of seeds in which the first is lower, ties counting one half."""
    first, second = _comparable(first), _comparable(second)
    differences = second[None, :] - first[:, None]
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the exact Mann-Whitney test that Sup(first < second) is 0.5: twice the observed side's tail.

    The pooled values are dealt out to the two from the lowest on, tie group by tie group, ties as they are; all ways
    are equally likely. Probabilities are carried, not counts, which exceed a float from some 520 seeds of each on.
    """
    first, second = _comparable(first), _comparable(second)
    if superiority(first, second) < 0.5:
        first, second = second, first
    sizes = len(first), len(second)
    # twice the pairs with the second lower; only ways with at most that many are followed
    most = round(2 * sizes[0] * sizes[1] * (1 - superiority(first, second)))
    chances = np.zeros((sizes[0] + 1, most + 1))  # by values given to the first so far, and by that number
    chances[0, 0] = 1.0
    before = 0
    for count in np.unique(np.concatenate([first, second]), return_counts=True)[1].tolist():
        following = np.zeros_like(chances)
        ways = math.comb(sum(sizes) - before, count)  # places that this tie group may take among those left
        for to_first in range(max(0, before - sizes[1]), min(before, sizes[0]) + 1):
            to_second = before - to_first
            for more in range(max(0, to_second + count - sizes[1]), min(count, sizes[0] - to_first) + 1):
                shift = more * (2 * to_second + count - more)
                if shift <= most:
                    such = math.comb(sizes[0] - to_first, more) * math.comb(sizes[1] - to_second, count - more)
                    following[to_first + more, shift:] += such / ways * chances[to_first, : most + 1 - shift]
        chances, before = following, before + count
    return min(1.0, 2 * float(chances[sizes[0]].sum()))


def _comparable(values: Sequence[float]) -> np.ndarray:
    """As an array in which what is not a number, a diverged net's loss, is the highest of all."""
    return np.nan_to_num(np.asarray(values, float), nan=1e300, posinf=1e300, neginf=-1e300)


def lower(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """Whether the first net's values, one a seed, are lower than the second's: share of pairs, p, verdict.

    With fewer than 8 seeds on a side there is no test: all pairs must agree, from 2 seeds on each side.
    """
    share, p, verdict = None, None, UNCLEAR
    fewest = min(len(first), len(second))
    if fewest:
        share = superiority(first, second)
    if fewest >= ENOUGH:
        p = mann_whitney(first, second)
        verdict = UNCLEAR if p >= LEVEL else HOLDS if share > 0.5 else FAILS
    elif fewest > 1:
        verdict = {1.0: HOLDS, 0.0: FAILS}.get(share, UNCLEAR)
    return {"superiority": share, "p": p, "verdict": verdict}


def by_interval(low: float, high: float) -> str:
    """Of an interval of what is above 0 where the claim holds; NaN is unclear."""
    return HOLDS if low > 0 else FAILS if high < 0 else UNCLEAR


def by_limits(low: float, high: float, limits: tuple[float, float]) -> str:
    """Of an interval, or of one number given twice: from the first limit on it holds, up to the second it does not."""
    agrees, denies = limits
    return HOLDS if low >= agrees else FAILS if high <= denies else UNCLEAR


def by_margins(margins: Sequence[float]) -> dict[str, Any]:
    """Judge one margin a seed, positive where that seed agrees with the claim; a margin of 0 is on neither side.

    Returns agree and seeds, how many, and verdict.
    """
    margins = np.asarray(margins, float)
    agree, count = int(np.sum(margins > 0)), len(margins)
    verdict = UNCLEAR
    if count >= ENOUGH and np.all(np.isfinite(margins)):
        verdict = by_interval(*student_interval(margins))
    elif count > 1:
        verdict = HOLDS if agree == count else FAILS if np.all(margins < 0) else UNCLEAR
    return {"agree": agree, "seeds": count, "verdict": verdict}


def by_signs(votes: Sequence[float]) -> dict[str, Any]:
    """`by_margins` of a yes (1) or no (-1) a seed, which have no mean to test: from 8 seeds on an exact sign test."""
    from scipy import stats

    votes = np.asarray(votes, float)
    found = by_margins(votes)
    if len(votes) < ENOUGH:
        return found
    against = int(np.sum(votes < 0))
    sure = found["agree"] + against and stats.binomtest(found["agree"], found["agree"] + against).pvalue < LEVEL
    verdict = HOLDS if found["agree"] > against else FAILS
    return found | {"verdict": verdict if sure and np.isfinite(votes).all() else UNCLEAR}


def beyond(values: Sequence[float], limits: tuple[float, float]) -> dict[str, Any]:
    """Whether a statistic, one value a seed, lies at the first limit or above, or at the second or below.

    From ENOUGH seeds on their mean's 95 % interval by Student's t decides, with fewer all seeds must; a seed without a
    value leaves it open. Returns mean, agree and seeds, how many, and verdict.
    """
    values = np.asarray(values, float)
    verdict = UNCLEAR
    if len(values) > 1 and np.isfinite(values).all():
        low, high = student_interval(values) if len(values) >= ENOUGH else (values.min(), values.max())
        verdict = by_limits(low, high, limits)
    mean = float(np.mean(values)) if len(values) else math.nan
    return {"mean": mean, "agree": int(np.sum(values >= limits[0])), "seeds": len(values), "verdict": verdict}


def by_share(share: float, live: Sequence[int]) -> str:
    """C4, of the share of pairs of ends that differ; too few live runs of either kind decide nothing."""
    if min(live) < ENOUGH:
        return UNCLEAR
    most, half = C4_SHARES
    return HOLDS if share >= most else FAILS if share < half else UNCLEAR


def by_span(points: float) -> str:
    """C9's level, of the percentage points between the highest and the lowest mean test accuracy."""
    points = round(points, 9) if math.isfinite(points) else points  # 0.983 less 0.980 is 0.3 points and round-off
    return HOLDS if points <= C9_LEVEL else FAILS if points > C9_LEVEL else UNCLEAR


def by_directions(signs: Sequence[float], nets: int) -> str:
    """The bonus, of the signs of a measure's taus with the gap, 0 where one does not surely differ from 0.

    Both positive: holds; any negative: does not hold; otherwise, and with fewer than ENOUGH nets, unclear.
    """
    if nets < ENOUGH:
        return UNCLEAR
    if any(sign < 0 for sign in signs):
        return FAILS
    return HOLDS if all(sign > 0 for sign in signs) else UNCLEAR


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds, by Student's t."""
    from scipy import stats

    values = np.asarray(values, float)
    half = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def combined(verdicts: Sequence[str]) -> str:
    """Of the whole claim, from its parts."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else UNCLEAR


def unanimous(verdicts: Sequence[str]) -> str:
    """Of a claim whose parts must all agree, either way (C6)."""
    return verdicts[0] if len(set(verdicts)) == 1 else UNCLEAR


def score(value: float) -> float:
    """The value, or the lowest there is for a net that diverged."""
    return value if math.isfinite(value) else -math.inf


def standard_error(share: float, images: int) -> float:
    """Binomial standard error of an accuracy on so many images; NaN where the share is none."""
    return math.sqrt(share * (1 - share) / images) if 0 <= share <= 1 else math.nan


def test_images(found: dict[str, Any]) -> int | None:
    """How many test images the data's description counts, in the words of `common.data`; None where it does not.

    A history keeps no other count of them. The report says so where the count is missing.
    """
    counted = re.search(r"([\d,]+) training and ([\d,]+) test", str(found.get("data", {}).get("source", "")))
    return int(counted[2].replace(",", "")) if counted else None
