"""Ray that a job starts in its own process listens on loopback alone and asks for a token."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.integration.own_cluster import LOOPBACK, REPOSITORY

EMBEDDED = """
import os
from recsae.distributed.cluster import start_ray
from recsae.config.schema import Config
from tests.integration.own_cluster import listening
start_ray(Config(name="ports"))
from ray._private.authentication.authentication_utils import is_token_auth_enabled
print("listening", *sorted(listening(os.getpid())))
print("token", is_token_auth_enabled())
"""


def test_embedded_ray_listens_on_loopback_and_asks_for_a_token() -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", EMBEDDED], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300
    )
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("listening ", "token ")))
    assert done.returncode == 0, done.stderr
    assert told["listening"] and set(told["listening"].split()) <= LOOPBACK
    assert told["token"] == "True"
