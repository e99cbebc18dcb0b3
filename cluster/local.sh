#!/usr/bin/env bash
# Every stage as a Ray job of its own, on a one-node cluster on this machine.
#
#     cluster/local.sh jobs/configs/demo.toml [--set a.b=c …]
#
# The ports stay on loopback, so token authentication is off. Ends with `ray stop`, which stops every Ray of yours on
# this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

config=$1
shift
bin=${RECSAE_BIN:-.venv/bin}
export RAY_AUTH_MODE=disabled RAY_USAGE_STATS_ENABLED=0
export RAY_TMPDIR=${RAY_TMPDIR:-/tmp/recsae-local}
export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265

"$bin/ray" start --head --node-ip-address=127.0.0.1 --dashboard-host=127.0.0.1 --num-cpus=6 --temp-dir="$RAY_TMPDIR"
trap '"$bin/ray" stop --grace-period 10 >/dev/null' EXIT

for stage in ingest recommender activations sae evidence statistics labels scores steering concepts report publish; do
    "$bin/ray" job submit --working-dir . -- \
        "$PWD/$bin/python" -m "jobs.$stage" --config "$config" --set store.root="$PWD/runs" "$@"
done
