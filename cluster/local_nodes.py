"""Ray nodes on this machine: a head without cores and one worker a group, on loopback alone, with a token made anew.

python cluster/local_nodes.py FOLDER CORES [GROUP …]

FOLDER needs a short name, since sockets lie in it. Once all nodes are there, FOLDER/reached holds the shell variables
with which the cluster is reached. The nodes end with this process, however it ends; `ray stop` would end every Ray on
the machine.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import sys
from pathlib import Path


def main(folder: Path, cores: int, groups: list[str]) -> None:
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        del os.environ[name]
    reached = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        # Or Ray takes the machine's address for 127.0.0.1, and listens on all.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    # Also where a job's driver looks up its cluster; in Ray's own folder it may find another one.
    os.environ.update(reached, RAY_TMPDIR=str(folder), RAY_USAGE_STATS_ENABLED="0")
    from ray.cluster_utils import Cluster  # reads these variables once

    dashboard = {"include_dashboard": True, "dashboard_host": "127.0.0.1"}
    free = {"dashboard_port": None, "dashboard_agent_listen_port": None}  # another Ray may hold the usual ports
    labels = {"recsae/group": "head"}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "labels": labels, **dashboard, **free})
    for group in groups:
        cluster.add_node(num_cpus=cores, labels={"recsae/group": group}, object_store_memory=500 * 2**20)
    reached["RAY_API_SERVER_ADDRESS"] = f"http://{cluster.webui_url}"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in reached.items()]
    ready = folder / "reached.tmp"
    ready.write_text("".join(lines))
    ready.rename(folder / "reached")
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or ["data", "labelling"])
