# SPDX-License-Identifier: Apache-2.0
"""Long text to pieces that a model can say in one breath."""

import dataclasses
import re
from collections.abc import Iterator

import numpy as np
from sentencex import segment  # pyright: ignore[reportAttributeAccessIssue]

from ns_jax.errors import UserError
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend, Reading

_SENTENCE_PAUSE_SEC, _PARAGRAPH_PAUSE_SEC = 0.3, 0.6


@dataclasses.dataclass(frozen=True)
class Piece:
  """A sentence, or a part of a long one."""

  reading: Reading
  pause_sec: float  # silence after it, at least


def pieces(text: str, max_phonemes: int) -> list[Piece]:
  """Cuts text at the ends of sentences, and long sentences inside.

  Args:
    text: American English; empty lines part paragraphs.
    max_phonemes: longest piece.

  Returns:
    What is to be said, in order.

  Raises:
    UserError: there is nothing to say.
  """
  check_text(text)
  found: list[Piece] = []
  for paragraph in re.split(r"\n\s*\n", text):
    for sentence in segment("en", " ".join(paragraph.split())):
      reading = _read(sentence)
      if reading is None:
        continue
      parts = list(_cut(reading, max_phonemes))
      found += [Piece(part, 0.0) for part in parts[:-1]]
      found.append(Piece(parts[-1], _SENTENCE_PAUSE_SEC))
    if found:
      found[-1] = dataclasses.replace(found[-1], pause_sec=_PARAGRAPH_PAUSE_SEC)
  if not found:
    raise UserError("the text has nothing in it that can be spoken")
  found[-1] = dataclasses.replace(found[-1], pause_sec=0.0)
  return found


def check_text(text: str) -> None:
  """Refuses what came as bytes that are no UTF-8.

  Raises:
    UserError: it did.
  """
  try:
    text.encode()
  except UnicodeEncodeError as error:
    raise UserError(
      f"the text is no UTF-8, from character {error.start + 1} on"
    ) from error


def _read(sentence: str) -> Reading | None:
  """How a sentence is read; None for what holds no letter or digit."""
  if not any(character.isalnum() for character in sentence):
    return None
  return Frontend().read(sentence)


def _cut(reading: Reading, max_phonemes: int) -> Iterator[Reading]:
  """Cuts after the last pause that fits, else before the last word."""
  phonemes, word_starts = reading.phonemes, reading.word_starts
  silence, comma = (symbols.IDS[name] for name in (symbols.SILENCE, ","))
  while len(phonemes) > max_phonemes:
    ends = np.arange(2, max_phonemes)  # a silence alone is no piece
    after_pause = ends[symbols.is_pause(phonemes[ends - 1])]
    before_word = ends[word_starts[ends] == 1]
    if after_pause.size:
      end = int(after_pause[-1])
    elif before_word.size:
      end = int(before_word[-1])
    else:  # one endless word
      end = max_phonemes - 1
    part, starts = phonemes[:end], word_starts[:end]
    if not symbols.is_pause(part[-1:])[0]:
      part = np.append(part, comma).astype(np.int32)
      starts = np.append(starts, 0).astype(np.uint8)
    yield Reading(part, starts)
    phonemes = np.append(silence, phonemes[end:]).astype(np.int32)
    word_starts = np.append(0, word_starts[end:]).astype(np.uint8)
  yield Reading(phonemes, word_starts)
