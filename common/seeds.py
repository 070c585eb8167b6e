"""Random streams by name, all derived from the seed of a script; and a shuffle of examples that no seed changes."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np


def stream(seed: int, *names: str | int) -> int:
    """A separate seed, below 2**31, for each named use of a script's seed.

    `stream(0, "weights")` and `stream(0, "batches")` are unrelated, so that one more draw from one of them does not
    change the other.
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def fixed_examples(arrays: Sequence[np.ndarray], count: int | None = None) -> list[np.ndarray]:
    """The first `count` examples of a shuffle that is the same for every script, net and seed; None for all of them.

    arrays: (examples, ...) each, such as images and labels, which are shuffled alike.
    """
    order = np.random.default_rng(0).permutation(len(arrays[0]))[:count]
    return [array[order] for array in arrays]
