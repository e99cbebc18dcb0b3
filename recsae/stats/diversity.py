"""How many different concepts some latents hold, however many latents were looked at. It knows counts of latents by
concept, and nothing of what a concept is."""

from __future__ import annotations

import math
from collections.abc import Sequence


def effective(counts: Sequence[int]) -> float | None:
    """exp(−Σ p log p) over concepts: so many equally common ones are as diverse (Hill 1973, order 1).

    `counts`: latents of each concept, all above 0. None where there is no concept.
    """
    total = sum(counts)
    if not total:
        return None
    return math.exp(-sum(count / total * math.log(count / total) for count in counts))


def rarefied(counts: Sequence[int], sample: int) -> float | None:
    """Different concepts expected among `sample` latents drawn without replacement: Σ 1 − C(N − n, m) / C(N, m)
    (Hurlbert 1971). Two models are compared at the same m, since whoever has more latents has more concepts by that.

    None where there are fewer latents than `sample`, or that is less than 2, of which there is nothing to say.
    """
    total = sum(counts)
    if not 2 <= sample <= total:
        return None
    drawn = math.comb(total, sample)
    return sum(1 - math.comb(total - count, sample) / drawn for count in counts)
