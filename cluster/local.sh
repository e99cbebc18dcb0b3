#!/usr/bin/env bash
# Every stage as a job of its own on a cluster of three nodes on this machine: a head without cores and two workers.
#
#     cluster/local.sh jobs/configs/demo.toml [--set a.b=c …]
#
# The ports lie on loopback and ask for a token, made anew and kept in a file that only you can read. Only what was
# started here is ended here; called again, finished stages are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ $# -lt 1 ]]; then
    echo "usage: cluster/local.sh config.toml [--set a.b=c …]" >&2
    exit 2
fi
config=$1
shift
bin=$(cd "${RECSAE_BIN:-.venv/bin}" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/recsae.XXXXXX")
nodes=()

finish() {
    for node in "${nodes[@]}"; do kill "$node" 2>/dev/null || true; done
    wait
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

free_ports() {
    "$bin/python" -c "
import socket
probes = [socket.create_server(('127.0.0.1', 0)) for _ in range($1)]
print(*(probe.getsockname()[1] for probe in probes))"
}

node() { # agent port, then what `ray start` is told
    "$bin/ray" start --block --node-ip-address=127.0.0.1 --object-store-memory=500000000 \
        --min-worker-port=0 --max-worker-port=0 --dashboard-agent-listen-port="$1" "${@:2}" \
        >>"$folder/nodes.log" 2>&1 &
    nodes+=($!)
}

(umask 077 && "$bin/python" -c "import secrets; print(secrets.token_hex(32), end='')" >"$folder/token")
read -r gcs dashboard agent_head agent_data agent_labelling < <(free_ports 5)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token" RAY_USAGE_STATS_ENABLED=0
export RAY_API_SERVER_ADDRESS="http://127.0.0.1:$dashboard"
export RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 # or Ray takes the machine's address for 127.0.0.1 and listens there
unset RAY_ADDRESS RAY_AUTH_TOKEN

node "$agent_head" --head --num-cpus=0 --port="$gcs" --temp-dir="$folder/ray" \
    --dashboard-host=127.0.0.1 --dashboard-port="$dashboard"
for _ in $(seq 180); do
    if "$bin/python" -c "import urllib.request as u; u.urlopen('$RAY_API_SERVER_ADDRESS/api/gcs_healthz', timeout=5)" \
        2>/dev/null; then
        break
    fi
    if ! kill -0 "${nodes[0]}" 2>/dev/null; then
        echo "recsae: the head did not start:" >&2
        tail -n 5 "$folder/nodes.log" >&2
        exit 1
    fi
    sleep 1
done
node "$agent_data" --address="127.0.0.1:$gcs" --num-cpus=4 --labels=recsae/group=data
node "$agent_labelling" --address="127.0.0.1:$gcs" --num-cpus=4 --labels=recsae/group=labelling

"$bin/python" -m jobs.submit --config "$config" --set store.root="$PWD/runs" --set submit.python="$bin/python" "$@"
