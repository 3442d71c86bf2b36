# SPDX-License-Identifier: Apache-2.0
"""A clip's audio: measured, its silences cut, brought to one level."""

import dataclasses
import warnings

import librosa
import numpy as np
import pyloudnorm

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

_FULL_SCALE = 0.999
_SILENT_DB = -60.0  # RMS of what is nothing but noise
_FRAME_SEC, _HOP_SEC = 0.05, 0.0125  # of the search for speech
_LOUDNESS_BLOCK_SEC = 0.4  # ITU-R BS.1770


@dataclasses.dataclass(frozen=True)
class Limits:
  """Which clips are worth training on."""

  min_sec: float = 0.5  # of speech, silence around it not counted
  max_sec: float = 30.0  # of the clip as it comes
  max_clipped: float = 0.01  # share of samples at full scale
  trim_db: float = 40.0  # below the loudest frame is silence
  margin_sec: float = 0.1  # of silence that stays on each side


@dataclasses.dataclass(frozen=True)
class CleanClip:
  """Speech as records store it, and what was measured before."""

  wav: np.ndarray  # [S] float32
  lead_sec: float  # cut off before it
  measured: dict[str, float]


def clean(
  samples: np.ndarray, rate_hz: int, spec: AudioSpec, limits: Limits
) -> CleanClip:
  """Measures and cleans a clip.

  Args:
    samples: [S, channels] float32, finite.
    rate_hz: of the samples.
    spec: rate to resample to.
    limits: what is acceptable.

  Returns:
    Speech without offset, with little silence around it, at one level; of
    `measured`: seconds, speech_sec, loudness_lufs, peak, clipped (share),
    dc_offset, all of the clip as it came.

  Raises:
    UserError: the clip is not worth training on.
  """
  clipped = float(np.mean(np.abs(samples) >= _FULL_SCALE))
  if clipped > limits.max_clipped:
    raise UserError(f"is clipped: {clipped:.1%} of its samples at full scale")
  mono = audio.to_mono(samples, rate_hz, spec)
  dc_offset = float(mono.mean())
  mono = mono - dc_offset
  if np.sqrt(np.mean(mono**2)) < 10 ** (_SILENT_DB / 20):
    raise UserError("is silent")
  first, last = _find_speech(mono, spec, limits)
  speech_sec = (last - first) / spec.sample_rate_hz
  if speech_sec < limits.min_sec:
    raise UserError(f"has {speech_sec:.2f} s of sound, too short")
  margin = round(limits.margin_sec * spec.sample_rate_hz)
  first, last = max(first - margin, 0), min(last + margin, len(mono))
  return CleanClip(
    wav=audio.level(mono[first:last]),
    lead_sec=first / spec.sample_rate_hz,
    measured=dict(
      seconds=len(mono) / spec.sample_rate_hz,
      speech_sec=speech_sec,
      loudness_lufs=_loudness_lufs(mono, spec),
      peak=float(np.abs(samples).max()),
      clipped=clipped,
      dc_offset=dc_offset,
    ),
  )


def _find_speech(
  wav: np.ndarray, spec: AudioSpec, limits: Limits
) -> tuple[int, int]:
  """First and last sample of what is louder than silence."""
  _, (first, last) = librosa.effects.trim(
    wav,
    top_db=limits.trim_db,
    frame_length=round(_FRAME_SEC * spec.sample_rate_hz),
    hop_length=round(_HOP_SEC * spec.sample_rate_hz),
  )
  return int(first), int(last)


def _loudness_lufs(wav: np.ndarray, spec: AudioSpec) -> float:
  """Integrated loudness; of a very short clip, as if it went on in silence."""
  block = round(_LOUDNESS_BLOCK_SEC * spec.sample_rate_hz)
  padded = np.pad(wav, (0, max(block - len(wav), 0)))
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # every block may be below its gate
    loudness = pyloudnorm.Meter(spec.sample_rate_hz).integrated_loudness(padded)
  return float(max(loudness, -99.0))
