# SPDX-License-Identifier: Apache-2.0
"""Word errors, counted by hand."""

import math

import pytest

from ns_jax.evaluation import words
from ns_jax.evaluation.words import WordErrors

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")


@pytest.mark.parametrize(
  ("said", "heard", "expected"),
  [
    ("the cat sat down", "The cat sat down.", (4, 0, 0, 0)),
    ("the cat sat down", "the hat sat", (4, 1, 1, 0)),
    ("the cat sat down", "the cat cat sat down down", (4, 0, 0, 2)),
    ("the cat sat down", "", (4, 0, 4, 0)),
    ("two dogs", "2 dogs and a cow", (2, 0, 0, 3)),
    ("Mr. Brown isn't grey", "mister brown is not gray", (5, 0, 0, 0)),
    ("", "you", (0, 0, 0, 1)),
  ],
)
def test_errors_are_counted_after_normalisation(said, heard, expected):
  assert words.compare(said, heard) == WordErrors(*expected)


def test_rate_is_that_of_all_words_together():
  long, short = WordErrors(9, 0, 0, 0), WordErrors(1, 1, 0, 1)
  both = words.total([long, short])
  assert both == WordErrors(10, 1, 0, 1)
  assert short.rate_percent == 200.0 and both.rate_percent == 20.0
  assert math.isnan(words.total([]).rate_percent)


def test_digits_may_be_counted_one_by_one():
  said, heard = "one two three go", "1 23 4 go"
  assert words.compare(said, heard).errors > 1
  apart = words.compare(said, heard, digits_apart=True)
  assert apart == WordErrors(4, 0, 0, 1)
  many = words.compare(
    "nine hundred and ninety nine thousand", "999,000", digits_apart=True
  )
  assert many == WordErrors(6, 0, 0, 0)
