#!/usr/bin/env bash
# The same command on every host of a TPU slice:
#
#     export TPU=my-slice ZONE=us-east5-a
#     experiments/launch/tpu_pod.sh simclr:imagenet --workdir=/shared/simclr
#
# Arguments are those of `jssl train`; the workdir is a folder that all hosts see, such as a share
# of Filestore that is mounted on each. Once, on every host, a copy of jssl is installed:
#
#     gcloud compute tpus tpu-vm ssh $TPU --zone=$ZONE --worker=all \
#         --command="pip install '/shared/jssl[tpu]'"
#
# The run ends with the connection: start it in tmux or under nohup. Repeating the line goes on.
set -euo pipefail

: "${TPU:?the name of the slice, as in TPU=my-slice}" "${ZONE:?its zone, as in ZONE=us-east5-a}"
gcloud compute tpus tpu-vm ssh "$TPU" --zone="$ZONE" --worker=all \
    --command="python3 -m jssl train$(printf ' %q' "$@") --distributed"
