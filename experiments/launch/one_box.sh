#!/usr/bin/env bash
# One machine, such as a box of eight GPUs: a single process uses all devices that it sees.
#
#     experiments/launch/one_box.sh simclr:imagenet --workdir=runs/simclr
#
# Arguments are those of `jssl train`. A run that a signal has stopped goes on with the same line;
# one that was killed, or whose device failed, is started again up to TRIES times.
set -uo pipefail

for ((try = 1; try <= ${TRIES:-3}; try++)); do
    python -m jssl train "$@"
    status=$?
    case $status in
        0 | 2 | 130 | 143) exit "$status" ;; # done, bad input, Ctrl-C, SIGTERM
    esac
    echo "one_box.sh: ended with status $status (try $try)" >&2
done
exit "$status"
