# SPDX-License-Identifier: Apache-2.0
"""Waves, log-mels and pitch of clips, as the evaluators compare them."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel, pitch

_PAD_FRAMES = 160  # clips are padded to multiples, so few shapes are compiled

_log_mel = jax.jit(mel.log_mel, static_argnums=1)


def in_turn(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
  """One record of each speaker, then the next of each, and so on."""
  by_speaker: dict[str, list[Mapping[str, Any]]] = {}
  for record in records:
    by_speaker.setdefault(record["speaker"], []).append(record)
  turns = itertools.zip_longest(
    *(by_speaker[name] for name in sorted(by_speaker))
  )
  return [record for turn in turns for record in turn if record is not None]


def log_mel(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """Log-mel spectrogram of one wave.

  Args:
    wav: [S] float32, in [-1, 1].
    spec: gives rate, hop and number of bands.

  Returns:
    [T, M] float32, natural logarithm, T = ceil(S / hop).
  """
  block = spec.num_samples(_PAD_FRAMES)
  padded = np.pad(wav, (0, -len(wav) % block))
  frames = spec.num_frames(len(wav))
  return np.asarray(_log_mel(padded[None, :], spec))[0, :frames]


def f0_hz(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """Pitch of one wave [S], [T] float32 in Hz, 0 where unvoiced."""
  return pitch.f0(wav, spec, "dio")


def reference_wav(record: Mapping[str, Any]) -> np.ndarray:
  """The recording itself, [S] float32 in [-1, 1]."""
  return audio.from_int16(record["wav"])
