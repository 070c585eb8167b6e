"""What the histories say about the reference's claims: holds, does not hold, unclear.

The unit of evidence is the seed, a training from its own initial weights. From 8 seeds on a part of a claim is
judged by a test over the seeds (95 %); with fewer it holds if all seeds agree, does not hold if all disagree, and is
unclear otherwise; one seed leaves it unclear. A claim in parts holds if all parts hold, and does not hold if any does
not.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

HOLDS, FAILS, UNCLEAR = "holds", "does not hold", "unclear"
LEVEL = 0.05
ENOUGH = 8  # seeds from which a test over them is made


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
    if not len(first) or not len(second):
        return {"superiority": None, "p": None, "verdict": UNCLEAR}
    share = superiority(first, second)
    if min(len(first), len(second)) < ENOUGH:
        agreed = {1.0: HOLDS, 0.0: FAILS}.get(share, UNCLEAR) if min(len(first), len(second)) > 1 else UNCLEAR
        return {"superiority": share, "p": None, "verdict": agreed}
    p = mann_whitney(first, second)
    verdict = UNCLEAR if p >= LEVEL else HOLDS if share > 0.5 else FAILS
    return {"superiority": share, "p": p, "verdict": verdict}


def by_margins(margins: Sequence[float]) -> dict[str, Any]:
    """Judge one margin a seed, positive where that seed agrees with the claim; a margin of 0 is on neither side.

    Returns agree and seeds, how many, and verdict.
    """
    margins = np.asarray(margins, float)
    agree, count = int(np.sum(margins > 0)), len(margins)
    verdict = UNCLEAR
    if count >= ENOUGH and np.all(np.isfinite(margins)):
        low, high = student_interval(margins)
        verdict = HOLDS if low > 0 else FAILS if high < 0 else UNCLEAR
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


def student_interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds, by Student's t."""
    from scipy import stats

    values = np.asarray(values, float)
    half = stats.t.ppf(1 - LEVEL / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    return float(np.mean(values) - half), float(np.mean(values) + half)


def student_p(values: Sequence[float]) -> float:
    """Two-sided p of Student's test that the mean of these values is 0; 0 where they are one number other than 0."""
    from scipy import stats

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = abs(float(np.mean(values)))
    return float(2 * stats.t.sf(mean / error, len(values) - 1)) if error else float(mean == 0)


def combined(verdicts: Sequence[str]) -> str:
    """Of the whole claim, from its parts."""
    if FAILS in verdicts:
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else UNCLEAR


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
