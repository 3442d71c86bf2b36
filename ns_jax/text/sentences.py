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


def pieces(
  text: str, max_phonemes: int, opening_phonemes: int | None = None
) -> list[Piece]:
  """All of `read_pieces`, at once."""
  return list(read_pieces(text, max_phonemes, opening_phonemes))


def read_pieces(
  text: str, max_phonemes: int, opening_phonemes: int | None = None
) -> Iterator[Piece]:
  """Cuts text at the ends of sentences, and long sentences inside.

  Args:
    text: American English; empty lines part paragraphs.
    max_phonemes: longest piece.
    opening_phonemes: of the first piece, where its sentence is half as long
      again or longer, so that somebody who waits soon hears something; None:
      it is like the others.

  Yields:
    What is to be said, in order; read when it is asked for.

  Raises:
    UserError: there is nothing to say.
  """
  check_text(text)
  found = list(_sentences(text))
  if not found:
    raise UserError("the text has nothing in it that can be spoken")
  for i, (sentence, pause_sec) in enumerate(found):
    reading = Frontend().read(sentence)
    if i == 0 and opening_phonemes is not None:
      if len(reading.phonemes) >= 1.5 * opening_phonemes:
        longest = min(opening_phonemes, max_phonemes)
        part, reading = _split(reading, longest, least=longest // 3)
        yield Piece(part, 0.0)
    while len(reading.phonemes) > max_phonemes:
      part, reading = _split(reading, max_phonemes)
      yield Piece(part, 0.0)
    yield Piece(reading, 0.0 if i == len(found) - 1 else pause_sec)


def _sentences(text: str) -> Iterator[tuple[str, float]]:
  """Sentences that hold a letter or digit, each with the pause after it."""
  for paragraph in re.split(r"\n\s*\n", text):
    segments = segment("en", " ".join(paragraph.split()))
    spoken = [s for s in segments if any(letter.isalnum() for letter in s)]
    for sentence in spoken[:-1]:
      yield sentence, _SENTENCE_PAUSE_SEC
    for sentence in spoken[-1:]:
      yield sentence, _PARAGRAPH_PAUSE_SEC


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


def _split(
  reading: Reading, max_phonemes: int, least: int = 2
) -> tuple[Reading, Reading]:
  """Cuts after the last pause that fits, else before the last word.

  What ends with a pause has `least` phonemes: a silence alone is no piece.
  """
  phonemes, word_starts = reading.phonemes, reading.word_starts
  silence, comma = (symbols.IDS[name] for name in (symbols.SILENCE, ","))
  ends = np.arange(max(least, 2), max_phonemes)
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
  return Reading(part, starts), Reading(
    np.append(silence, phonemes[end:]).astype(np.int32),
    np.append(0, word_starts[end:]).astype(np.uint8),
  )
