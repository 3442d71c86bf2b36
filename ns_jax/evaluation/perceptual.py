# SPDX-License-Identifier: Apache-2.0
"""PESQ and ESTOI of what the codec makes of unseen speakers.

Needs the extra `eval`. Chosen by `--config.eval.evaluators=(…, "perceptual")`.
"""

import contextlib

import tqdm

from ns_jax.errors import UserError
from ns_jax.evaluation import clips
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.inference.codec import SpeechCodec

PESQ_RATE_HZ = 16_000  # of its wide-band mode


def evaluate(context: Context) -> Section:
  """Compares decoded recordings with the originals as listeners would."""
  try:
    import pesq
    import pystoi
  except ImportError as error:
    raise UserError(
      "config.eval.evaluators: 'perceptual' needs more packages; "
      "pip install -e '.[eval]'"
    ) from error
  rate_hz = context.spec.sample_rate_hz
  if rate_hz != PESQ_RATE_HZ:
    raise UserError(
      f"config.eval.evaluators: 'perceptual' needs {PESQ_RATE_HZ} Hz, "
      f"this run has {rate_hz} Hz"
    )
  codec = SpeechCodec.of(context.weights)
  num_clips = context.weights.config.eval.num_clips
  records = clips.in_turn(context.test_records)[:num_clips]
  rows = []
  for record in tqdm.tqdm(records, desc="perceptual", unit="clip"):
    wav = clips.reference_wav(record)
    decoded = codec.reconstruct(wav)
    pesq_wb = float("nan")
    if wav.any() and decoded.any():  # it divides by the loudest sample
      with contextlib.suppress(pesq.NoUtterancesError):
        pesq_wb = float(pesq.pesq(rate_hz, wav, decoded, "wb"))
    estoi = float(pystoi.stoi(wav, decoded, rate_hz, extended=True))
    rows.append({"clip": record["id"], "pesq_wb": pesq_wb, "estoi": estoi})
  return Section(
    title="Codec: as listeners would judge it",
    explanation=(
      "Wide-band PESQ (ITU-T P.862.2, 1 to 4.64) and extended STOI (0 to 1) of "
      "decoded test recordings."
    ),
    summary={name: mean(rows, name) for name in ("pesq_wb", "estoi")},
    rows=rows,
  )
