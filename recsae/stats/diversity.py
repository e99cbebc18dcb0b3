"""How many different concepts a set of latents holds, comparable between sets of different sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence


def effective(counts: Sequence[int]) -> float | None:
    """exp(−Σ p log p) over concepts, the number of equally common concepts that are as diverse (Hill 1973, order 1).

    `counts`: latents of each concept, all above 0. None without a concept.
    """
    total = sum(counts)
    if not total:
        return None
    return math.exp(-sum(count / total * math.log(count / total) for count in counts))


def rarefied(counts: Sequence[int], sample: int) -> float | None:
    """Different concepts expected among `sample` latents drawn without replacement: Σ 1 − C(N − n, m) / C(N, m)
    (Hurlbert 1971). Two models are compared at the same m, since more latents alone give more concepts.

    None where there are fewer latents than `sample`, or `sample` is below 2.
    """
    total = sum(counts)
    if not 2 <= sample <= total:
        return None
    drawn = math.comb(total, sample)
    return sum(1 - math.comb(total - count, sample) / drawn for count in counts)
