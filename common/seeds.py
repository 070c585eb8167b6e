"""Random streams by name, all from the seed of a script."""

import hashlib
import json


def stream(seed: int, *names: str | int) -> int:
    """A seed of its own, below 2**31, for each named use of a script's seed.

    `stream(0, "weights")` and `stream(0, "batches")` are unrelated, so that one more draw in one place
    changes nothing elsewhere.
    """
    digest = hashlib.sha256(json.dumps([seed, *names]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
