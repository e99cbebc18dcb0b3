"""Hashes that spread numbers evenly over 64 bits, for draws that depend on nothing but what is drawn."""

from __future__ import annotations

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def finalise(mixed: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014), uint64 to uint64, one to one."""
    with np.errstate(over="ignore"):
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def keyed(numbers: np.ndarray, key: int) -> np.ndarray:
    """A hash of each number under a key below 2^64, uint64; under one key no two numbers share a hash."""
    with np.errstate(over="ignore"):
        return finalise(numbers.astype(np.uint64) * GOLDEN ^ finalise(np.array([key], dtype=np.uint64)))
