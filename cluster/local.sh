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
nodes=

finish() {
    if [[ -n $nodes ]]; then
        kill "$nodes" 2>/dev/null || true
        wait "$nodes" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$bin/python" cluster/local_nodes.py "$folder" 4 >"$folder/nodes.log" 2>&1 &
nodes=$!
until [[ -e $folder/reached ]]; do
    if ! kill -0 "$nodes" 2>/dev/null; then
        echo "recsae: the nodes did not start:" >&2
        tail -n 5 "$folder/nodes.log" >&2
        exit 1
    fi
    sleep 0.5
done
# shellcheck source=/dev/null
source "$folder/reached"
unset RAY_ADDRESS RAY_AUTH_TOKEN

"$bin/python" -m jobs.submit --config "$config" --set store.root="$PWD/runs" --set submit.python="$bin/python" "$@"
