"""One cluster of three nodes and two undisturbed nights for all faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.cluster import ThreeNodes
from tests.faults.nights import Store, make


@pytest.fixture(scope="session")
def cluster() -> Iterator[ThreeNodes]:
    nodes = ThreeNodes()
    yield nodes
    nodes.close()


@pytest.fixture(scope="session")
def nights(cluster: ThreeNodes, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return make(tmp_path_factory.mktemp("nights"), cluster.address)
