"""Keyed randomness: each choice's generator is seeded with the recipe's seed, key and purpose."""

import numpy as np

from schemas.identity import stable_hash


def keyed_rng(seed: int, key: str, purpose: str) -> np.random.Generator:
    """A generator that depends on its arguments alone, so that workers and order change nothing.

    >>> one, other = keyed_rng(0, "a", "speed"), keyed_rng(0, "a", "speed")
    >>> int(one.integers(1000)) == int(other.integers(1000))
    True
    """
    return np.random.default_rng(stable_hash(seed, key, purpose))
