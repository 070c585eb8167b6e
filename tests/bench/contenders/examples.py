"""Random examples of the right shapes and types, and the clock."""

import time
from collections.abc import Callable, Sequence

import numpy as np


def pictures(shape: Sequence[int], count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, *shape), float32 in [0, 1], and labels (count,), int32 in 0..9. No step depends on the values."""
    generator = np.random.default_rng(0)
    images = generator.random((count, *shape), dtype=np.float32)
    return images, generator.integers(0, 10, count).astype(np.int32)


def points(count: int, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """(count,) points of [-1, 1] and f1(x) = sin(exp(pi x)) there."""
    grid = np.linspace(-1, 1, count)
    return grid.astype(dtype), np.sin(np.exp(np.pi * grid)).astype(dtype)


def seconds(function: Callable, *arguments: object) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - started


def repeated(function: Callable[[], object]) -> Callable[[int], float]:
    """run(steps) -> seconds, of a function that is one step."""

    def run(steps: int) -> float:
        started = time.perf_counter()
        for _ in range(steps):
            function()
        return time.perf_counter() - started

    return run
