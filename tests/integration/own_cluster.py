"""A cluster of this test's own on loopback: a head without cores and one worker, with token authentication.

It is ended by ending the two commands that were started, never by `ray stop`, which ends every Ray on the machine.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def listening(process: int) -> set[str]:
    """The addresses on which the processes below one listen."""
    found = set()
    for below in psutil.Process(process).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it may end while it is looked at
            found |= {one.laddr.ip for one in below.net_connections(kind="tcp") if one.status == psutil.CONN_LISTEN}
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--node-ip-address=127.0.0.1"),
        *("--disable-usage-stats", "--object-store-memory=200000000", "--min-worker-port=0", "--max-worker-port=0"),
        f"--dashboard-agent-listen-port={free_port()}",
        *options,
    ]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def own_cluster(folder: Path, environment: dict[str, str], *, cores: int) -> Iterator[dict[str, str]]:
    """The environment in which this cluster is reached; `folder` must have a short name, sockets lie in it."""
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    port, dashboard = free_port(), free_port()
    reached = {
        **{key: value for key, value in environment.items() if not key.startswith("RAY_")},
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # or Ray takes the machine's address for 127.0.0.1
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_API_SERVER_ADDRESS": f"http://127.0.0.1:{dashboard}",
    }
    started: list[subprocess.Popen[bytes]] = []
    try:
        head = (f"--port={port}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={folder}")
        started.append(_start(reached, "--head", "--num-cpus=0", *head))
        _wait_for(f"{reached['RAY_API_SERVER_ADDRESS']}/api/gcs_healthz", started[0])
        worker = (f"--address=127.0.0.1:{port}", f"--num-cpus={cores}", "--labels=recsae/group=data")
        started.append(_start(reached, *worker))
        yield reached
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(address: str, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 180  # a machine that is busy with other tests
    while time.monotonic() < deadline:
        assert head.poll() is None, "the head did not start"
        with contextlib.suppress(requests.RequestException):
            if requests.get(address, timeout=2).ok:
                return
        time.sleep(0.2)
    raise AssertionError("no dashboard within three minutes")
