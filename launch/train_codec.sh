#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains the codec that comes along, measures it and writes it as a bundle.
#
#   launch/train_codec.sh SPEECH WORK
#
# SPEECH is a folder that `ns-jax prepare` can read, in which the speakers
# ls3242, ls32 (to validate), ls2136 and ls226 (to test) are named so; WORK is a
# folder for records and the run. The model card, ns_jax/bundles/codec/README.md,
# stays as it is: bring its figures up to date by hand, from WORK/compared.
# Stopped in any way, the same command goes on.
set -euo pipefail
speech=$(realpath "$1")
work=$(realpath -m "$2")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

rejected=3 # exit status where some clips could not be used
ns-jax prepare "$speech" --out="$work/records" --pitch=dio --no-align \
  --valid-speakers=ls3242,ls32 --test-speakers=ls2136,ls226 ||
  [ $? -eq $rejected ]
python -m ns_jax.main --config=configs/codec.py:small \
  --config.data.corpus="$work/records" --config.data.reader=array_record \
  --workdir="$work/codec"
ns-jax export "$work/codec" ns_jax/bundles/codec \
  --card=ns_jax/bundles/codec/README.md
python launch/compare_codecs.py "$work/records" --out="$work/compared"
