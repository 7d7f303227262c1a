#!/usr/bin/env bash
# Several processes of one job on this machine, to try out what several hosts do:
#
#     experiments/launch/localhost.sh simclr --workdir=runs/two
#     PROCESSES=4 experiments/launch/localhost.sh simclr:imagenet --workdir=runs/four
#
# Arguments are those of `jssl train`. On a box with GPUs process i has GPU i. A run does not need
# this: one process uses all devices that it sees. SIGTERM and Ctrl-C reach every process.
set -euo pipefail

processes=${PROCESSES:-2}
free='import socket; s = socket.create_server(("localhost", 0)); print(s.getsockname()[1])'
port=${PORT:-$(python -c "$free")}

pids=()
for ((process = 0; process < processes; process++)); do
    CUDA_VISIBLE_DEVICES=$process python -m jssl train "$@" \
        --coordinator="localhost:$port" --processes="$processes" --process="$process" &
    pids+=($!)
done
trap 'kill -TERM "${pids[@]}" 2>/dev/null || true' TERM INT

status=0
for pid in "${pids[@]}"; do
    while true; do
        code=0
        wait "$pid" || code=$?
        kill -0 "$pid" 2>/dev/null || break # else a signal ended the wait, and not the process
    done
    [ "$code" -eq 0 ] || status=$code
done
exit "$status"
