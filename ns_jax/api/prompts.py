# SPDX-License-Identifier: Apache-2.0
"""Recordings as people have them: files, waves, voices heard before."""

import numbers
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ns_jax import audio, audio_files
from ns_jax.api.audio import Audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Voice

# A file, or a wave [S] or [S, channels] in [-1, 1] with its rate in Hz.
Recording: TypeAlias = str | os.PathLike[str] | tuple[np.ndarray, int] | Audio
Prompt: TypeAlias = Recording | Sequence[Recording] | Voice

_RATES_HZ = (1_000, 768_000)
_INTEGERS = ("uint8", "int16", "int32")  # as wave files hold them
_WAVE = (
  "give samples [S] or [S, channels], floats in [-1, 1] or integers of "
  "8 bits without sign, of 16 or of 32"
)


def read(recording: Recording, spec: AudioSpec) -> np.ndarray:
  """A recording as mono at the model's rate, [S] float32.

  Raises:
    UserError: it cannot be used.
  """
  if isinstance(recording, str | os.PathLike):
    return audio_files.read(os.path.expanduser(recording), spec)
  if not is_wave(recording):
    raise UserError(
      f"a recording is a file or (wave, sample rate), "
      f"not {type(recording).__name__}"
    )
  wave, rate_hz = recording
  samples = _samples(wave)
  low, high = _RATES_HZ
  if not low <= rate_hz <= high:  # NaN, too
    raise UserError(
      f"a wave at {rate_hz} Hz: give its sample rate, {low} to {high} Hz"
    )
  audio_files.check_samples("the wave", samples)
  return audio.to_mono(samples, round(rate_hz), spec)


def is_wave(value: Any) -> bool:
  """Whether it is a wave with its rate."""
  if isinstance(value, Audio):
    return True
  is_pair = isinstance(value, tuple | list) and len(value) == 2
  return is_pair and isinstance(value[1], numbers.Real)


def _samples(wave: Any) -> np.ndarray:
  """Samples [S, channels] float32 of [S] or [S, channels], full scale 1.

  Raises:
    UserError: they are none.
  """
  try:
    wav = np.asarray(wave)
  except ValueError as error:  # rows of unequal length
    raise UserError(f"a wave of no shape ({error}); {_WAVE}") from error
  is_integer = wav.dtype.name in _INTEGERS
  is_sound = wav.ndim in (1, 2) and wav.size and max(wav.shape) == len(wav)
  if not (is_sound and (is_integer or wav.dtype.kind == "f")):
    raise UserError(f"a wave of shape {wav.shape}, {wav.dtype}; {_WAVE}")
  if is_integer:
    half = 2.0 ** (8 * wav.dtype.itemsize - 1)
    wav = (wav - (np.iinfo(wav.dtype).min + half)) / half
  return wav.reshape(len(wav), -1).astype(np.float32)


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
