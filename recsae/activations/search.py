"""Approximate search for the item ranked first, for catalogues of some hundred thousand items and more.

Every actor process holds an index with a copy of the item vectors. Its recall is measured by also searching a sample of
the cases exactly.
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
"""Items that the index returns for a case; if all of them were seen, the case is searched exactly."""
RECALL_SAMPLE = 1000
"""Cases of a run that are searched both ways to measure recall."""
MIN_PROBED_LISTS = 16
MIN_POINTS_PER_LIST = 39
"""Least points per centroid on which faiss trains without a warning."""
TRAINING_POINTS_PER_LIST = 64
"""Training vectors per centroid."""


def refuse_unsupported(config: Config) -> None:
    """Raises BadInput if the config sets an approximate search that is not possible."""
    if config.probe.search == "exact" or config.probe.site == "item":  # the site `item` needs no search
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
    """An inverted file over the item vectors, by inner product (Jégou et al. 2011, implemented by faiss).

    The vectors lie in lists, one for each of at most 4 √N centroids, as faiss advises for up to a million items; a
    query reads the nearest 1 in 32 of the lists, at least 16. So it reads 3 % of a large catalogue; below some ten
    thousand items the exact search is as fast.
    """

    def __init__(self, model: Recommender, seed: int) -> None:
        import faiss

        assert isinstance(model, Trainable)  # refuse_unsupported has refused others
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
        """The best unseen item `(X,)` found, int32; -1 if the user has seen all items."""
        _, near_XK = self.index.search(u_XU.cpu().numpy(), min(NEIGHBOURS, self.model.n_items))
        found = np.empty(len(near_XK), dtype=np.int32)
        exhausted = []
        for case, (near_K, seen_items) in enumerate(zip(near_XK, seen, strict=True)):
            unseen = near_K[~np.isin(near_K, seen_items) & (near_K >= 0)]  # -1: the lists hold too few items
            if len(unseen):
                found[case] = unseen[0]
            else:
                exhausted.append(case)
        if exhausted:
            found[exhausted] = first_unseen(
                self.model, u_XU[torch.tensor(exhausted, device=u_XU.device)], [seen[i] for i in exhausted]
            )
        return found
