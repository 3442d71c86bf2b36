# SPDX-License-Identifier: Apache-2.0
"""Recordings of sentences, by a formant synthesiser."""

import pathlib

import soundfile
import soxr

from ns_jax import audio
from ns_jax.text import espeak

SPEC = audio.AudioSpec()


def record(
  path: pathlib.Path, text: str, voice: espeak.Voice | None = None
) -> pathlib.Path:
  """Writes a spoken sentence, 16 kHz, at the level of records."""
  speech = espeak.Engine().synthesize(text, voice or espeak.Voice())
  wav = soxr.resample(
    speech.wav / 32768.0, espeak.SAMPLE_RATE_HZ, SPEC.sample_rate_hz
  )
  soundfile.write(path, audio.level(wav), SPEC.sample_rate_hz)
  return path
