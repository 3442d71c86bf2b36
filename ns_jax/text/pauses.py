# SPDX-License-Identifier: Apache-2.0
"""Pauses that no punctuation announces.

Readers pause between any two words. For an aligner every word may be preceded
by a SILENCE, which lasts 0 frames where there is none; those are taken out
again afterwards.
"""

import dataclasses

import numpy as np

from ns_jax.text import symbols

# A shorter silence is the closure of the next word's first sound: 100 ms.
LEAST_FRAMES = 8


@dataclasses.dataclass(frozen=True)
class Offered:
  """Phonemes with a SILENCE before every word that has no pause there."""

  phonemes: np.ndarray  # [N'] int32
  word_starts: np.ndarray  # [N'] uint8
  is_offer: np.ndarray  # [N'] bool, True for what was added


def offer(phonemes: np.ndarray, word_starts: np.ndarray) -> Offered:
  """Adds an optional SILENCE before each word.

  Args:
    phonemes: [N] int32 ids.
    word_starts: [N] uint8.
  """
  after_pause = np.append(True, symbols.is_pause(phonemes[:-1]))
  places = np.flatnonzero((word_starts == 1) & ~after_pause)
  silence = symbols.IDS[symbols.SILENCE]
  return Offered(
    np.insert(phonemes, places, silence).astype(np.int32),
    np.insert(word_starts, places, 0).astype(np.uint8),
    np.insert(np.zeros(len(phonemes), bool), places, True),
  )


def settle(offered: Offered, durations: np.ndarray) -> dict[str, np.ndarray]:
  """Keeps the offered pauses that were taken.

  Args:
    offered: from `offer`.
    durations: [N'] int32 frames.

  Returns:
    phonemes, word_starts and durations, [N]; the frames of a pause that is
    none are the next phone's.
  """
  durations = durations.copy()
  is_none = offered.is_offer & (durations < LEAST_FRAMES)
  for i in np.flatnonzero(is_none):
    durations[i + 1] += durations[i]
  return {
    "phonemes": offered.phonemes[~is_none],
    "word_starts": offered.word_starts[~is_none],
    "durations": durations[~is_none].astype(np.int32),
  }
