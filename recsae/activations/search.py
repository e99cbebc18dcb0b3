"""The item ranked first by an index in place of all products, for catalogues of some hundred thousand items and more.

The index holds a copy of the item vectors, one in every actor process. What it misses is measured by searching a sample
of the cases exactly as well. It knows item vectors and what was seen, and nothing of cases or files.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
import torch

from recsae.config.schema import Config
from recsae.errors import BadInput
from recsae.recommenders import registry
from recsae.recommenders.base import Recommender, Trainable
from recsae.recommenders.topk import first_unseen

if TYPE_CHECKING:
    import faiss

NEIGHBOURS = 128
"""Items that the index gives for a case; where all of them were seen, the case is searched exactly."""
RECALL_SAMPLE = 1000
"""Cases of a run that are searched both ways."""
MIN_PROBED_LISTS = 16
MIN_POINTS_PER_LIST = 39
"""The least that faiss trains a centroid on without a warning."""
TRAINING_POINTS_PER_LIST = 64
"""Vectors for each centroid that it is trained on."""


def refuse_unsupported(config: Config) -> None:
    """Raises BadInput where the config asks for an index that cannot be."""
    if config.probe.search == "exact" or config.probe.site == "item":  # an item is not searched for
        return
    if config.recommender.kind not in registry.KINDS:
        raise BadInput(
            f'probe.search = "approximate" needs scores that are dot products with item vectors, which '
            f'recommender.kind = "{config.recommender.kind}" does not promise; set probe.search = "exact"'
        )
    if importlib.util.find_spec("faiss") is None:
        raise BadInput(
            'probe.search = "approximate" needs faiss; `pip install \'recsae[ann]\'` or set probe.search = "exact"'
        )


class Index:
    """An inverted file over the item vectors, by inner product (Jégou et al. 2011, as faiss has it).

    The vectors lie in lists, one for each of at most 4 √N centroids, faiss's own advice for up to a million items; a
    query reads the 1 in 32 of the lists, and at least 16, whose centroids are nearest. So a large catalogue is read to
    3 %; below some ten thousand items the exact search is as fast.
    """

    def __init__(self, model: Recommender, seed: int) -> None:
        import faiss

        assert isinstance(model, Trainable)  # others are refused before any actor starts
        faiss.omp_set_num_threads(1)
        self.model = model
        item_ND = np.ascontiguousarray(model.item_vectors(0, model.n_items).cpu().numpy(), dtype=np.float32)
        lists = max(1, min(int(4 * model.n_items**0.5), model.n_items // MIN_POINTS_PER_LIST))
        sample = np.random.default_rng(seed).permutation(model.n_items)[: TRAINING_POINTS_PER_LIST * lists]
        self.index: faiss.IndexIVFFlat = faiss.IndexIVFFlat(
            faiss.IndexFlatIP(item_ND.shape[1]), item_ND.shape[1], lists, faiss.METRIC_INNER_PRODUCT
        )
        self.index.train(item_ND[np.sort(sample)])
        self.index.add(item_ND)
        self.index.nprobe = min(lists, max(MIN_PROBED_LISTS, lists // 32))

    def first_unseen(self, u_XU: torch.Tensor, seen: list[np.ndarray]) -> np.ndarray:
        """`(X,)` int32: the first item found that is not among `seen`; -1 where a user has had them all."""
        _, near_XK = self.index.search(u_XU.cpu().numpy(), min(NEIGHBOURS, self.model.n_items))
        found = np.empty(len(near_XK), dtype=np.int32)
        left = []
        for case, (near_K, had) in enumerate(zip(near_XK, seen, strict=True)):
            unseen = near_K[~np.isin(near_K, had) & (near_K >= 0)]  # -1: the lists held fewer than were asked for
            if len(unseen):
                found[case] = unseen[0]
            else:
                left.append(case)
        if left:
            found[left] = first_unseen(
                self.model, u_XU[torch.tensor(left, device=u_XU.device)], [seen[i] for i in left]
            )
        return found
