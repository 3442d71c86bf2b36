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
class Frontend:
  """American English: normalisation, then grapheme to phoneme."""

  def phonemes(self, text: str) -> list[str]:
    """Reads text of any length.

    Returns:
      N symbols of the inventory: SILENCE, phones with stress, a punctuation
      mark for each pause, the last symbol being one.

    Raises:
      UserError: nothing to speak, or a symbol outside the inventory.
    """
    speech = _engine().synthesize(normalize.normalize(text), _READER)
    symbols.to_ids(speech.phonemes)
    return list(speech.phonemes)

  def ids(self, text: str) -> np.ndarray:
    """Ids of `phonemes(text)`, [N] int32."""
    return symbols.to_ids(self.phonemes(text))


@functools.cache
def _engine() -> espeak.Engine:
  return espeak.Engine()
