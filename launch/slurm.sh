#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on a Slurm cluster, on any number of nodes: submits a job.
#
#   launch/slurm.sh [OPTION...] -- FLAGS of ns_jax.main
#
#   launch/slurm.sh --nodes=4 --gpus=8 --time=24:00:00 --sbatch=--partition=gpu \
#     -- --config=configs/ns2.py:paper --config.data.corpus=/data/mls \
#     --workdir=/data/runs/ns2
#
#   --nodes=1          computers
#   --gpus=0           GPUs of each; as many processes
#   --time=D-HH:MM:SS  limit after which the job is queued again
#   --sbatch=OPTION    one more option for sbatch; may be repeated
#   --grace=120        seconds before that limit at which the run saves and ends
#   --tries=3          see launch/restart.sh, which begins again what dies
#   --dry-run          print what would be submitted
#
# The job saves and queues again when its time is nearly over, and Slurm queues
# it again when it is preempted or a node fails; each time it goes on from its
# last checkpoint. Folders must be seen by all nodes. Paths are relative to the
# project's folder, where slurm-JOB.out is written. The Python is that of the
# active virtual environment, or PYTHON in the environment.
set -euo pipefail
# shellcheck source=launch/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

nodes=1 gpus=0 time='' grace=120 tries=3 dry_run='' more=()
while [ $# -gt 0 ]; do
  case $1 in
    --nodes=*) nodes=${1#*=} ;;
    --gpus=*) gpus=${1#*=} ;;
    --time=*) time=${1#*=} ;;
    --sbatch=*) more+=("${1#*=}") ;;
    --grace=*) grace=${1#*=} ;;
    --tries=*) tries=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --help) show_help && exit ;;
    --) shift && break ;;
    *) mistake "$1: unknown; flags of ns_jax.main come after --; see --help" ;;
  esac
  shift
done
for name in nodes gpus grace tries; do
  need_count "--$name" "${!name}"
done
[ "$nodes" -gt 0 ] || mistake "--nodes=$nodes: give at least one"
need_run "$@"
python=${PYTHON:-python}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

options=(
  --job-name=ns_jax
  --nodes="$nodes"
  --ntasks-per-node=$((gpus > 1 ? gpus : 1)) # JAX's way: a process for a GPU
  --chdir="$PWD"
  --requeue
  --open-mode=append # of the log, which goes on
  # Not TERM, which is how Slurm says that the job ends and stays ended.
  --signal=B:USR1@"$grace"
)
[ "$gpus" = 0 ] || options+=(--gpus-per-node="$gpus")
[ -z "$time" ] || options+=(--time="$time")
# Of the node that submits, because a batch job may get another PATH.
found=$(command -v "$python" || true)
command=(sbatch "${options[@]}" ${more[@]+"${more[@]}"} launch/slurm_job.sh
  "${found:-$python}" "$tries" "$@")
if [ -n "$dry_run" ]; then
  quoted cd "$PWD"
  quoted "${command[@]}"
  exit
fi
need sbatch "run this where jobs are submitted, or take launch/local.sh"
[ -n "$found" ] ||
  mistake "there is no $python here; activate the virtual environment"
exec "${command[@]}"
