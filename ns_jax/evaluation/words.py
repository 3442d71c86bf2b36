# SPDX-License-Identifier: Apache-2.0
"""Word errors of what a recogniser heard against what should be said."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable


@dataclasses.dataclass(frozen=True)
class WordErrors:
  """Errors of one or more utterances along the shortest edit."""

  words: int  # that should be said
  substitutions: int
  deletions: int  # words that were skipped
  insertions: int  # words that were repeated or made up

  @property
  def errors(self) -> int:
    """All of them."""
    return self.substitutions + self.deletions + self.insertions

  @property
  def rate_percent(self) -> float:
    """Word error rate; NaN where no word should be said."""
    return 100.0 * self.errors / self.words if self.words else float("nan")


def compare(said: str, heard: str, *, digits_apart: bool = False) -> WordErrors:
  """Counts word errors after Whisper's normalisation of English.

  Args:
    said: what should be said, as written.
    heard: what was recognised, as written.
    digits_apart: count "1 2" and "12" as the same two words. The normalisation
      makes one number of "one two three"; a recogniser may write three.
  """
  import jiwer

  normalise = _normaliser()
  reference, hypothesis = normalise(said), normalise(heard)
  if digits_apart:
    reference, hypothesis = map(_digits_apart, (reference, hypothesis))
  if not reference:
    return WordErrors(0, 0, 0, len(hypothesis.split()))
  found = jiwer.process_words(reference, hypothesis)
  return WordErrors(
    words=len(reference.split()),
    substitutions=found.substitutions,
    deletions=found.deletions,
    insertions=found.insertions,
  )


def total(parts: Iterable[WordErrors]) -> WordErrors:
  """Sums over utterances: a long one weighs more than a short one."""
  sums = [0, 0, 0, 0]
  for part in parts:
    sums = [a + b for a, b in zip(sums, dataclasses.astuple(part), strict=True)]
  return WordErrors(*sums)


def _digits_apart(text: str) -> str:
  # The normalisation writes a 1 that stands alone as a word.
  text = re.sub(r"\bone\b", "1", text)
  return " ".join(re.sub(r"(\d)", r" \1 ", text).split())


@functools.cache
def _normaliser() -> Callable[[str], str]:
  from whisper_normalizer import english

  return english.EnglishTextNormalizer()
