#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains on this machine: a laptop, or a host with one or more GPUs.
#
#   launch/local.sh [OPTION...] -- FLAGS of ns_jax.main
#
#   launch/local.sh -- --config=configs/ns2.py --workdir=runs/ns2-demo
#   launch/local.sh --gpus=all -- --config=configs/ns2.py:small \
#     --config.data.corpus=records/ljspeech --workdir=runs/ns2-small
#
#   --gpus=all|0,1,..  these and nothing else; without GPUs it fails
#   --gpus=none        the processor, whatever else there is
#                      (without --gpus: what JAX finds)
#   --tries=3          see launch/restart.sh, which begins again what dies
#   --dry-run          print what would be run
#
# One process uses all GPUs of a host. Run from the project's folder, to which
# paths are relative. On several plain hosts, run it on each, with a --workdir
# that they share and --coordinator=HOST:PORT --num_processes=N --process_id=I
# among the flags. PYTHON in the environment names another Python.
set -euo pipefail
# shellcheck source=launch/shell.sh
source "$(dirname "${BASH_SOURCE[0]}")/shell.sh"

gpus='' tries=3 dry_run=''
while [ $# -gt 0 ]; do
  case $1 in
    --gpus=*) gpus=${1#*=} ;;
    --tries=*) tries=${1#*=} ;;
    --dry-run) dry_run=1 ;;
    --help) show_help && exit ;;
    --) shift && break ;;
    *) mistake "$1: unknown; flags of ns_jax.main come after --; see --help" ;;
  esac
  shift
done
need_count --tries "$tries"
need_run "$@"
python=${PYTHON:-python}

variables=()
case $gpus in
  '') ;;
  none) variables=(JAX_PLATFORMS=cpu) ;;
  all) variables=("JAX_PLATFORMS=$GPU_PLATFORMS") ;;
  *)
    [[ $gpus =~ ^[0-9]+(,[0-9]+)*$ ]] ||
      mistake "--gpus=$gpus: give all, none, or numbers as nvidia-smi has them"
    variables=("JAX_PLATFORMS=$GPU_PLATFORMS" "CUDA_VISIBLE_DEVICES=$gpus")
    ;;
esac
command=(env ${variables[@]+"${variables[@]}"} launch/restart.sh --tries="$tries" --
  "$python" -m ns_jax.main "$@")
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -n "$dry_run" ]; then
  quoted cd "$PWD"
  quoted "${command[@]}"
  exit
fi
need "$python" "activate the virtual environment, or name another in PYTHON"
case $gpus in
  '' | none) ;;
  *) need_gpus "${variables[@]}" "$python" ;;
esac
exec "${command[@]}"
