# SPDX-License-Identifier: Apache-2.0
"""Waves, log-mels and pitch of clips, as the evaluators compare them."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel

_PAD_FRAMES = 160  # clips are padded to multiples, so few shapes are compiled

_log_mel = jax.jit(mel.log_mel, static_argnums=1)


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


def reference_wav(record: Mapping[str, Any]) -> np.ndarray:
  """The recording itself, [S] float32 in [-1, 1]."""
  return audio.from_int16(record["wav"])
