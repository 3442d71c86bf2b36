# SPDX-License-Identifier: Apache-2.0
"""Text to phonemes, the same way for the corpus and for inference.

Both take the symbols from the synthesiser's own events, so a sentence has one
phoneme sequence wherever it is read. Durations are not here: the corpus keeps
the events' times, a model predicts them.
"""

import dataclasses
import functools

import numpy as np

from ns_jax.text import espeak, normalize, symbols

# Fast, because only the symbols are wanted; they do not depend on the voice.
_READER = espeak.Voice(rate_wpm=400)


@dataclasses.dataclass(frozen=True)
class Reading:
  """How a text is pronounced."""

  phonemes: np.ndarray  # [N] int32 ids
  word_starts: np.ndarray  # [N] uint8, 1 where a word begins


@dataclasses.dataclass(frozen=True)
class Frontend:
  """American English: normalisation, then grapheme to phoneme."""

  def read(self, text: str) -> Reading:
    """Reads text of any length.

    Returns:
      N symbols of the inventory: SILENCE, phones with stress, a punctuation
      mark for each pause, the last symbol being one.

    Raises:
      UserError: nothing to speak, or a symbol outside the inventory.
    """
    speech = _engine().synthesize(normalize.normalize(text), _READER)
    return Reading(
      symbols.to_ids(speech.phonemes), np.array(speech.word_starts, np.uint8)
    )

  def phonemes(self, text: str) -> list[str]:
    """Symbols of `read(text)`."""
    return symbols.from_ids(self.ids(text))

  def ids(self, text: str) -> np.ndarray:
    """Phonemes of `read(text)`, [N] int32."""
    return self.read(text).phonemes


@functools.cache
def _engine() -> espeak.Engine:
  return espeak.Engine()
