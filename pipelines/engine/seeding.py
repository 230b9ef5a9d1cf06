"""Keyed randomness: every draw comes from a generator seeded with the recipe's seed, a key and a
purpose.
"""

import numpy as np

from schemas.identity import stable_hash


def generator(seed: int, key: str, purpose: str) -> np.random.Generator:
    """A generator that depends on its arguments alone, so that workers and order change nothing.

    >>> int(generator(0, "a", "speed").integers(1000)) == int(generator(0, "a", "speed").integers(1000))
    True
    """
    return np.random.default_rng(stable_hash(seed, key, purpose))
