#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains the ns2 model that comes along, writes it as a bundle and measures it.
#
#   launch/train_ns2.sh SPEECH WORK [OPTIONS]
#
# SPEECH is a folder that `ns-jax prepare` can read, in which the speakers
# ls3242, ls32 (to validate), ls2136 and ls226 (to test) are named so; WORK is a
# folder for records and runs; OPTIONS, such as --config.train.num_steps=4, are
# for both trainings. The model card, ns_jax/bundles/ns2/README.md, stays as it is:
# bring its figures up to date by hand, from the reports in WORK.
# Needs the extra `judges`. Stopped in any way, the same command goes on.
set -euo pipefail
speech=$(realpath "$1")
work=$(realpath -m "$2")
options=("${@:3}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rejected=3 # exit status where some clips could not be used
ns-jax prepare "$speech" --out="$work/records" \
  --valid-speakers=ls3242,ls32 --test-speakers=ls2136,ls226 ||
  [ $? -eq $rejected ]
train() { # config and workdir, then more options
  local config=$1 workdir=$2
  shift 2
  python -m ns_jax.main --config="configs/$config.py:mini" \
    --config.data.corpus="$work/records" --workdir="$workdir" \
    "${options[@]}" "$@"
}
train ns2 "$work/ns2"
ns-jax export "$work/ns2" ns_jax/bundles/ns2 --card=ns_jax/bundles/ns2/README.md
train ns2 "$work/ns2" --mode=evaluate --config.eval.aligner=shipped \
  --config.eval.evaluators="('losses','zero_shot','robustness')"
train ns2_distilled "$work/distilled" --config.teacher="$work/ns2"
python launch/compare_solvers.py "$work/ns2" "$work/records" \
  --distilled="$work/distilled" --out="$work/solvers"
python launch/measure_uses.py "$work/ns2" "$work/records" --out="$work/uses"
