# SPDX-License-Identifier: Apache-2.0
"""What is to be said, in whose voice and how, and what was said."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.models import prosody
from ns_jax.text import symbols
from ns_jax.text.frontend import Reading

_LOUDEST = 0.99  # where more energy would clip
_SPEEDS = (0.25, 4.0)
_SEMITONES = (-24.0, 24.0)
_DECIBELS = (-40.0, 40.0)


@dataclasses.dataclass(frozen=True)
class Manner:
  """How to say it, relative to what the model would do."""

  speed: float = 1.0  # 2: in half the time; only of predicted durations
  pitch_semitones: float = 0.0  # only of predicted pitch
  energy_db: float = 0.0  # of the wave; never so much that it clips

  def __post_init__(self) -> None:
    """Checks the values."""
    for name, (low, high) in {
      "speed": _SPEEDS,
      "pitch_semitones": _SEMITONES,
      "energy_db": _DECIBELS,
    }.items():
      if not low <= getattr(self, name) <= high:  # NaN, too
        raise UserError(
          f"{name}={getattr(self, name)} is out of range; "
          f"give {low:g} to {high:g}"
        )

  def pace(self, durations: np.ndarray, phonemes: np.ndarray) -> np.ndarray:
    """Durations [N] in frames at the speed; phones last at least one.

    Boundaries are rounded, not lengths, so that errors do not add up.
    """
    ends = np.rint(np.cumsum(durations) / self.speed).astype(np.int32)
    least = np.where(symbols.is_pause(phonemes), 0, 1)
    return np.maximum(np.diff(ends, prepend=0), least)

  def bend(self, f0_hz: np.ndarray) -> np.ndarray:
    """Pitch [...] float32, Hz, moved as far as models can sing; 0 stays."""
    bent_hz = f0_hz * 2.0 ** (self.pitch_semitones / 12.0)
    bent_hz = np.clip(bent_hz, prosody.MIN_F0_HZ, prosody.MAX_F0_HZ)
    return np.where(f0_hz > 0.0, bent_hz, 0.0).astype(np.float32)

  def amplify(self, wav: np.ndarray) -> np.ndarray:
    """The wave [S] with the gain, less where it would clip."""
    if self.energy_db == 0.0:
      return wav
    peak = max(float(np.abs(wav).max(initial=0.0)), 1e-9)
    gain = min(10.0 ** (self.energy_db / 20.0), max(_LOUDEST / peak, 1.0))
    return (gain * wav).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Voice:
  """What the model hears of a prompt."""

  latents: np.ndarray  # [P, D] float32, normalised
  f0_hz: float  # geometric mean; 0 where nothing is voiced
  wav: np.ndarray  # [S] float32, the speech itself, at the level of records


@dataclasses.dataclass(frozen=True)
class Utterance:
  """What to say, in whose voice and how."""

  phonemes: np.ndarray  # [N] int32 ids
  voice: Voice  # from `Synthesizer.encode_prompt`
  durations: np.ndarray | None = None  # [N] int32 frames; None: predict
  f0_hz: np.ndarray | None = None  # [T] float32, 0 unvoiced; None: predict
  f0_phase: np.ndarray | None = None  # [T] float32, rad; None: as f0_hz turns
  seed: int = 0  # of the diffusion's noise, whoever else is in the batch
  manner: Manner = Manner()


@dataclasses.dataclass(frozen=True)
class Speech:
  """What was said."""

  wav: np.ndarray  # [S] float32, in [-1, 1]
  durations: np.ndarray  # [N] int32, frames


@dataclasses.dataclass(frozen=True)
class PitchedSpeech(Speech):
  """What was said at a planned pitch."""

  f0_hz: np.ndarray  # [T] float32, 0 where unvoiced


class Model(Protocol):
  """Says what its speakers have to say."""

  @property
  def spec(self) -> AudioSpec:
    """Of the waves."""
    ...

  @property
  def max_phonemes(self) -> int:
    """That are said at once."""
    ...

  def speak(self, utterances: Sequence[Any], /) -> Sequence[Speech]:
    """One `Speech` for each utterance; none depends on the others."""
    ...

  def stream(self, utterance: Any, /) -> Iterator[np.ndarray]:
    """The same wave in pieces [S] float32, as soon as they are known."""
    ...

  def warm_up(self, rows: int, frames: int, /) -> None:
    """Compiles what such sizes need."""
    ...


class Speaker(Protocol):
  """Somebody who says what is read."""

  @property
  def model(self) -> Model:
    """That speaks for it, together with others of the same model."""
    ...

  def utterance(self, reading: Reading, seed: int, manner: Manner, /) -> Any:
    """What the model is to be given."""
    ...


@dataclasses.dataclass(frozen=True)
class InVoice:
  """A model that has listened to a prompt; a `Speaker`."""

  model: Model
  voice: Voice

  def utterance(
    self, reading: Reading, seed: int, manner: Manner, /
  ) -> Utterance:
    """What the model is to be given."""
    return Utterance(reading.phonemes, self.voice, seed=seed, manner=manner)


def seeds(utterances: Sequence[Any]) -> np.ndarray:
  """Of each, [B] uint32, as JAX takes them."""
  return np.array([u.seed % 2**32 for u in utterances], np.uint32)


def parts(
  phonemes: np.ndarray, durations: np.ndarray, max_phonemes: int
) -> list[tuple[slice, slice]]:
  """Cuts what is too long to be said at once, after a pause where it can.

  Args:
    phonemes: [N] int32 ids.
    durations: [N] int32, frames.
    max_phonemes: longest part.

  Returns:
    Phonemes and frames of each part.
  """
  is_pause = symbols.is_pause(phonemes)
  bounds = np.append(0, np.cumsum(durations))
  first, count, found = 0, len(phonemes), []
  while first < count:
    last = min(first + max_phonemes, count)
    if last < count and is_pause[first + 1 : last].any():
      last = first + 2 + int(np.flatnonzero(is_pause[first + 1 : last])[-1])
    found.append((slice(first, last), slice(bounds[first], bounds[last])))
    first = last
  return found
