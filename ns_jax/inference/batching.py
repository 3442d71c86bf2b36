# SPDX-License-Identifier: Apache-2.0
"""Batches of a few fixed sizes, so that few programs are compiled."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from ns_jax.inference.utterance import Utterance
from ns_jax.models import ns2_sampling
from ns_jax.text import symbols

_LEAST_PHONEMES = 32
_FRAMES = 80  # a second
_FRAMES_PER_PHONEME = (5, 8)  # of fast and of slow speech


@dataclasses.dataclass(frozen=True)
class Sizes:
  """Sizes to prefer, each tuple rising; where they end, those below go on."""

  rows: tuple[int, ...] = ()
  phonemes: tuple[int, ...] = ()
  frames: tuple[int, ...] = ()


ANY = Sizes()


def rows(count: int, sizes: Sizes = ANY) -> int:
  """A batch's size for so many rows: 1, 2, 4, 8, ..."""
  return _up(count, sizes.rows, _powers(1))


def phonemes(count: int, sizes: Sizes = ANY) -> int:
  """Its length for so many phonemes: 32, 64, 128, ..."""
  return _up(count, sizes.phonemes, _powers(_LEAST_PHONEMES))


def frames(count: int, sizes: Sizes = ANY) -> int:
  """Its length for so many frames: 80 times 2, 3, 4, 6, 8, 12, 16, 24, ..."""
  steps = ((power, power + power // 2) for power in _powers(2))
  return _up(count, sizes.frames, (_FRAMES * n for pair in steps for n in pair))


def spoken_in(num_frames: int, sizes: Sizes) -> list[np.ndarray]:
  """Durations [N] int32 whose batches have the usual sizes for such speech."""
  counts = {phonemes(num_frames // pace, sizes) for pace in _FRAMES_PER_PHONEME}
  edges = [np.linspace(0, num_frames, count + 1).round() for count in counts]
  return [np.diff(edge).astype(np.int32) for edge in edges]


def _powers(least: int) -> Iterator[int]:
  return (least << i for i in itertools.count())


def _up(count: int, first: Iterable[int], then: Iterator[int]) -> int:
  return next(n for n in itertools.chain(first, then) if n >= count)


def pad(values: np.ndarray, size: int) -> np.ndarray:
  """Zeros after [n, ...] up to [size, ...]."""
  padded = np.zeros((size, *values.shape[1:]), values.dtype)
  padded[: len(values)] = values
  return padded


def request(
  utterances: Sequence[Utterance], max_prompt_frames: int, sizes: Sizes
) -> ns2_sampling.Request:
  """What the model is to say.

  Args:
    utterances: of any lengths.
    max_prompt_frames: what is beyond is not heard.
    sizes: of batches.
  """
  size = phonemes(max(len(u.phonemes) for u in utterances), sizes)
  padded = np.stack([pad(u.phonemes, size) for u in utterances])
  voices = [u.voice for u in utterances]
  prompts = [voice.latents[:max_prompt_frames] for voice in voices]
  heard = [pad(prompt, max_prompt_frames) for prompt in prompts]
  return ns2_sampling.Request(
    phonemes=jnp.asarray(padded),
    num_phonemes=jnp.asarray([len(u.phonemes) for u in utterances]),
    is_pause=jnp.asarray(symbols.is_pause(padded)),
    prompt=jnp.asarray(np.stack(heard)),
    prompt_frames=jnp.asarray([len(prompt) for prompt in prompts]),
    prompt_f0_hz=jnp.asarray([voice.f0_hz for voice in voices]),
  )
