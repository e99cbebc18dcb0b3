"""A cluster of this test's own, as cluster/local_nodes.py makes it, and the addresses on which processes listen."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def listening(process: int) -> set[str]:
    """The addresses on which the processes below one listen."""
    found = set()
    for below in psutil.Process(process).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            found |= {one.laddr.ip for one in below.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN}
    return found


@contextlib.contextmanager
def own_cluster(folder: Path, *, cores: int) -> Iterator[dict[str, str]]:
    """The environment in which a head and one worker are reached."""
    command = [sys.executable, "cluster/local_nodes.py", str(folder), str(cores), "data"]
    with (folder / "nodes.log").open("w") as log:
        nodes = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 180
        while not (folder / "reached").exists():
            assert nodes.poll() is None, (folder / "nodes.log").read_text()
            assert time.monotonic() < deadline, "no cluster within three minutes"
            time.sleep(0.1)
        assert listening(nodes.pid) <= LOOPBACK
        exports = [line.removeprefix("export ") for line in (folder / "reached").read_text().splitlines()]
        reached = dict(shlex.split(line)[0].split("=", 1) for line in exports)
        yield {**{key: value for key, value in os.environ.items() if not key.startswith("RAY_")}, **reached}
    finally:
        nodes.terminate()
        try:
            nodes.wait(timeout=30)
        except subprocess.TimeoutExpired:
            nodes.kill()
