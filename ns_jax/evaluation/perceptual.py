# SPDX-License-Identifier: Apache-2.0
"""PESQ and ESTOI of what the codec makes of unseen speakers.

Needs the extra `eval`. Chosen by `--config.eval.evaluators=(…, "perceptual")`.
"""

from typing import Any

import numpy as np
import tqdm

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.evaluation import clips
from ns_jax.evaluation.contract import Context, Section, mean
from ns_jax.inference.codec import SpeechCodec

PESQ_RATE_HZ = 16_000  # of its wide-band mode


def check(config: Any) -> None:
  """Checks that the judges can be used, before the model is trained."""
  _judges(AudioSpec(**config.audio))


def evaluate(context: Context) -> Section:
  """Compares decoded recordings with the originals as listeners would."""
  _judges(context.spec)  # before the work
  codec = SpeechCodec.of(context.weights)
  num_clips = context.weights.config.eval.num_clips
  records = clips.in_turn(context.test_records)[:num_clips]
  rows = []
  for record in tqdm.tqdm(records, desc="perceptual", unit="clip"):
    wav = clips.reference_wav(record)
    decoded = codec.reconstruct(wav)
    rows.append(
      {
        "clip": record["id"],
        "pesq_wb": pesq_wb(decoded, wav, context.spec),
        "estoi": estoi(decoded, wav, context.spec),
      }
    )
  return Section(
    title="Codec: as listeners would judge it",
    explanation=(
      "Wide-band PESQ (ITU-T P.862.2, 1 to 4.64) and extended STOI (0 to 1) of "
      "decoded test recordings."
    ),
    summary={name: mean(rows, name) for name in ("pesq_wb", "estoi")},
    rows=rows,
  )


def pesq_wb(wav: np.ndarray, reference: np.ndarray, spec: AudioSpec) -> float:
  """Wide-band PESQ (ITU-T P.862.2), 1 to 4.64.

  Args:
    wav: [S] float32, in [-1, 1].
    reference: [S] likewise.
    spec: of both.

  Returns:
    The score; NaN where there is no speech.

  Raises:
    UserError: the extra `eval` is missing, or the rate is another.
  """
  pesq, _ = _judges(spec)
  if not (wav.any() and reference.any()):  # it divides by the loudest sample
    return float("nan")
  try:
    return float(pesq.pesq(PESQ_RATE_HZ, reference, wav, "wb"))
  except pesq.NoUtterancesError:
    return float("nan")


def estoi(wav: np.ndarray, reference: np.ndarray, spec: AudioSpec) -> float:
  """Extended short-time objective intelligibility, 0 to 1.

  Args:
    wav: [S] float32, in [-1, 1].
    reference: [S] likewise.
    spec: of both.

  Raises:
    UserError: the extra `eval` is missing, or the rate is another.
  """
  _, pystoi = _judges(spec)
  rate_hz = spec.sample_rate_hz
  return float(pystoi.stoi(reference, wav, rate_hz, extended=True))


def _judges(spec: AudioSpec) -> tuple[Any, Any]:
  """The packages pesq and pystoi, if they can be used."""
  try:
    import pesq
    import pystoi
  except ImportError as error:
    raise UserError(
      "config.eval.evaluators: 'perceptual' needs more packages; "
      "pip install 'ns_jax[eval]'"
    ) from error
  if spec.sample_rate_hz != PESQ_RATE_HZ:
    raise UserError(
      f"config.eval.evaluators: 'perceptual' needs {PESQ_RATE_HZ} Hz, "
      f"this run has {spec.sample_rate_hz} Hz"
    )
  return pesq, pystoi
