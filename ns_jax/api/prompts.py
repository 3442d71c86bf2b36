# SPDX-License-Identifier: Apache-2.0
"""Recordings as people have them: files, waves, voices heard before."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ns_jax import audio
from ns_jax.api.audio import Audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Voice

# A file, or a wave [S] or [S, channels] in [-1, 1] with its rate in Hz.
Recording: TypeAlias = str | os.PathLike[str] | tuple[np.ndarray, int] | Audio
Prompt: TypeAlias = Recording | Sequence[Recording] | Voice


def read(recording: Recording, spec: AudioSpec) -> np.ndarray:
  """A recording as mono at the model's rate, [S] float32.

  Raises:
    UserError: it cannot be used.
  """
  if isinstance(recording, str | os.PathLike):
    return audio.read_audio(os.fspath(recording), spec)
  if not is_wave(recording):
    raise UserError(
      f"a recording is a file or (wave, sample rate), "
      f"not {type(recording).__name__}"
    )
  wav, rate_hz = recording
  wav = np.asarray(wav)
  if np.issubdtype(wav.dtype, np.integer):  # as wave files hold them
    wav = wav / -float(np.iinfo(wav.dtype).min)
  if wav.ndim not in (1, 2) or not wav.size or int(rate_hz) <= 0:
    raise UserError(
      f"a wave of shape {wav.shape} at {rate_hz} Hz: give samples [S] or "
      "[S, channels] with their rate"
    )
  samples = wav.reshape(len(wav), -1).astype(np.float32)
  audio.check_samples("the wave", samples)
  return audio.to_mono(samples, int(rate_hz), spec)


def is_wave(value: Any) -> bool:
  """Whether it is a wave with its rate."""
  if isinstance(value, Audio):
    return True
  is_pair = isinstance(value, tuple | list) and len(value) == 2
  return is_pair and np.ndim(value[0]) > 0 and np.ndim(value[1]) == 0


def listen(prompt: Prompt, model: Synthesizer) -> Voice:
  """What the model hears of a prompt.

  Raises:
    UserError: it cannot be used.
  """
  if isinstance(prompt, Voice):
    return prompt
  is_one = isinstance(prompt, str | os.PathLike) or is_wave(prompt)
  if not is_one and not isinstance(prompt, Iterable):
    raise UserError(
      "a prompt is a file, (wave, sample rate), several of them, or a Voice, "
      f"not {type(prompt).__name__}"
    )
  recordings: Any = [prompt] if is_one else list(prompt)  # pyright: ignore
  if not recordings:
    raise UserError("the prompt is missing: give a few seconds of the voice")
  return model.encode_prompt(*(read(one, model.spec) for one in recordings))


def wave(prompt: Prompt, model: Synthesizer) -> np.ndarray:
  """A prompt as a wave [S] float32, for those who need to hear it whole."""
  if isinstance(prompt, str | os.PathLike) or is_wave(prompt):
    return read(prompt, model.spec)  # pyright: ignore[reportArgumentType]
  return listen(prompt, model).wav
