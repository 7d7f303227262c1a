#!/usr/bin/env bash
#SBATCH --job-name=jssl
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@180
#SBATCH --open-mode=append
#SBATCH --output=jssl-%j.log
# A job of four nodes with eight GPUs each:
#
#     sbatch experiments/launch/slurm.sh simclr:imagenet --workdir=/shared/runs/simclr
#
# Arguments are those of `jssl train`; the workdir is a folder that all nodes see, and it must be
# given, for the job that is requeued goes on there.
#
# JAX gives the i-th task of a node its GPU i: as many tasks as GPUs, and no --gpus-per-task, which
# would hide the others. Three minutes before the time is over, and when the job is preempted, SLURM
# sends SIGTERM to all tasks; they save after the step that is running and end with status 143.
set -uo pipefail

srun --kill-on-bad-exit=1 python -m jssl train "$@" --distributed
status=$?
if [ "$status" -eq 143 ] || [ "$status" -eq 75 ]; then # stopped and saved, or a process hung
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
