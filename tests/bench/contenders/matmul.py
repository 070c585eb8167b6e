"""How fast this machine multiplies square float32 matrices: the peak that the steps are measured against."""

from collections.abc import Callable

import numpy as np

from contenders.examples import repeated
from contenders.work import Work


def load(work: Work, name: str, layers: list) -> tuple[Callable[[int], float], str]:
    """A step is a product of two square matrices with `work.examples` rows.

    work.intra_threads: of TensorFlow, 0 for all; NumPy's come from the environment.
    """
    if name.startswith("tensorflow"):
        from common import backend

        backend.start(work.intra_threads, work.inter_threads)
        import tensorflow as tf

        matrix = tf.random.uniform((work.examples, work.examples))
        product = tf.function(lambda: tf.linalg.matmul(matrix, matrix), autograph=False, jit_compile=False)
    else:
        matrix = np.random.default_rng(0).random((work.examples, work.examples), dtype=np.float32)
        result = np.empty_like(matrix)

        def product() -> np.ndarray:
            return np.matmul(matrix, matrix, out=result)

    product()
    return repeated(product), ""
