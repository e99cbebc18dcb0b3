"""Parts of the training loop that need no Ray: the learning rate, and the events of the graph."""

from __future__ import annotations

import pytest

from recsae.config.recommender import RecommenderConfig
from recsae.data.chunks import n_chunks, read_chunk
from recsae.recommenders.training import WARM_UP_STEPS, learning_rate, training_events
from recsae.store.run_store import Committed


def test_the_rate_rises_stays_and_falls() -> None:
    config = RecommenderConfig(learning_rate=1.0, epochs=10, decay=0.5)
    assert (
        learning_rate(config, 0, 0) == pytest.approx(1 / WARM_UP_STEPS) and learning_rate(config, 0, WARM_UP_STEPS) == 1
    )
    assert [learning_rate(config, epoch, 10_000) for epoch in range(1, 10)] == pytest.approx(
        [1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]
    )
    assert learning_rate(RecommenderConfig(learning_rate=1.0, epochs=100, decay=1.0), 99, 10_000) == pytest.approx(0.1)


def test_without_decay_the_rate_stays() -> None:
    config = RecommenderConfig(learning_rate=0.5, epochs=10)
    assert {learning_rate(config, epoch, 10_000) for epoch in range(1, 10)} == {0.5}


def test_the_graph_is_made_of_training_events(ingested: Committed) -> None:
    found = sorted(zip(*(column.tolist() for column in training_events(ingested)), strict=True))
    expected = []
    for number in range(n_chunks(ingested)):
        chunk = read_chunk(ingested, number)
        for row, user in enumerate(chunk.users.tolist()):
            here = slice(chunk.offsets[row], chunk.offsets[row + 1])
            expected += [
                (user, item)
                for item, split in zip(chunk.items[here].tolist(), chunk.splits[here], strict=True)
                if split == 0
            ]
    assert found == sorted(expected)
