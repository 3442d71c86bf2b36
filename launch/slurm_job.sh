#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What launch/slurm.sh submits; runs on the first node of the job.
#
#   launch/slurm_job.sh PYTHON TRIES FLAGS of ns_jax.main
#
# Slurm runs a copy of this file, in the project's folder.
set -euo pipefail
# shellcheck source=launch/shell.sh
source launch/shell.sh

python=$1 tries=$2
shift 2
if [ -n "${SLURM_GPUS_ON_NODE:-}" ]; then
  # Every process sees all GPUs of its node; JAX takes the one of its number.
  export JAX_PLATFORMS=$GPU_PLATFORMS SLURM_GPU_BIND=none
  need_gpus "$python"
else
  export JAX_PLATFORMS=cpu
fi
# srun does not take over what sbatch was told of --cpus-per-task.
[ -z "${SLURM_CPUS_PER_TASK:-}" ] ||
  export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

is_nearly_over=''
pass_on() { # SIGNAL
  noted "$1" || return 0
  kill -s TERM "$attended"
}
trap 'is_nearly_over=1; pass_on USR1' USR1
trap 'pass_on TERM' TERM

# srun kills its processes when it gets a SIGTERM; scancel hands it to them.
# Who ends first may leave others behind that still write the checkpoint.
status=0
attend launch/restart.sh --tries="$tries" \
  --stop="scancel --signal=TERM $SLURM_JOB_ID" -- \
  srun --kill-on-bad-exit=0 --wait=300 "$python" -m ns_jax.main "$@" ||
  status=$?
case $status in
  0 | "$MISTAKE" | "$STOPPED") exit "$status" ;;
esac
if [ -n "$is_nearly_over" ]; then
  say "exit status $status; the time is over, queues again"
  exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
