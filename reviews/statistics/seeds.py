"""Chance that can be repeated: a generator from a text."""

import hashlib

import numpy as np

__all__ = ["generator"]


def generator(seed: str, purpose: str) -> np.random.Generator:
    """A PCG64 generator that is the same for the same seed and purpose, on every machine; two purposes share no
    numbers.
    """
    digest = hashlib.sha256(f"{purpose}\0{seed}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))
