# SPDX-License-Identifier: Apache-2.0
"""Long text in pieces."""

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.text import sentences, symbols
from ns_jax.text.frontend import Frontend

LONG = (
  "The wind that came in from the sea that night, cold and wet as it was, did "
  "not keep the old men of the village from their table by the fire, nor from "
  "the stories that they had told one another every winter since the war."
)


def _spoken(pieces):
  """Phones of all pieces, without the pauses."""
  ids = np.concatenate([piece.reading.phonemes for piece in pieces])
  return symbols.from_ids(ids[~symbols.is_pause(ids)])


def test_sentences_are_parted_and_abbreviations_are_not():
  text = 'Dr. Smith left at 5 p.m. yesterday. "Why?" he said.\n\nNobody knew.'
  found = sentences.pieces(text, 200)
  assert [piece.pause_sec for piece in found] == [0.3, 0.6, 0.0]
  for piece, sentence in zip(
    found,
    [
      "Dr. Smith left at 5 p.m. yesterday.",
      '"Why?" he said.',
      "Nobody knew.",
    ],
    strict=True,
  ):
    assert _spoken([piece]) == _spoken(sentences.pieces(sentence, 200))


@pytest.mark.parametrize("max_phonemes", [40, 80])
def test_a_long_sentence_is_cut_and_nothing_is_lost(max_phonemes):
  found = sentences.pieces(LONG, max_phonemes)
  assert len(found) > 1
  assert _spoken(found) == _spoken(sentences.pieces(LONG, 10_000))
  for piece in found:
    assert len(piece.reading.phonemes) <= max_phonemes
    assert symbols.is_pause(piece.reading.phonemes[[0, -1]]).all()
  assert {piece.pause_sec for piece in found} == {0.0}


def test_cuts_lie_at_pauses_where_there_are_some():
  found = sentences.pieces(LONG, 80)
  comma = symbols.IDS[","]
  assert found[0].reading.phonemes[-1] == comma
  first = LONG[: LONG.index(" cold")]
  assert _spoken(found[:1])[: len(Frontend().phonemes(first)) - 2]


def test_an_endless_word_is_cut_all_the_same():
  found = sentences.pieces("na" * 60 + ".", 30)
  assert len(found) > 2
  assert all(len(piece.reading.phonemes) <= 30 for piece in found)


@pytest.mark.parametrize("text", ["", " \n\n ", "...!", "— ?"])
def test_nothing_to_say(text):
  with pytest.raises(UserError, match="nothing in it that can be spoken"):
    sentences.pieces(text, 80)


KETTLE = "The kettle is on the fire and we shall have tea before the others do."


def test_a_long_first_sentence_opens_with_a_few_words():
  whole, last = sentences.pieces(f"{KETTLE} Sit down.", 200)
  opening, rest, same = sentences.pieces(f"{KETTLE} Sit down.", 200, 28)
  assert 9 <= len(opening.reading.phonemes) <= 28
  assert symbols.is_pause(opening.reading.phonemes[[0, -1]]).all()
  assert opening.pause_sec == 0.0 and rest.pause_sec == whole.pause_sec
  assert _spoken([opening, rest]) == _spoken([whole])
  assert _spoken([same]) == _spoken([last])


def test_it_ends_at_a_comma_unless_too_little_comes_before():
  def opening(text):
    return _spoken(sentences.pieces(text, 200, 28)[:1])

  rest = "and all of us shall have tea before the others do."
  clause = "The kettle is on,"
  assert opening(f"{clause} {rest}") == opening(clause)
  assert len(opening(f"So, {rest}")) > 20


def test_a_short_first_sentence_stays_whole():
  text = "The kettle is on. Sit down."
  ours, theirs = (sentences.pieces(text, 200, size) for size in (28, None))
  assert list(map(_spoken, [ours[:1], ours[1:]])) == [
    _spoken(theirs[:1]),
    _spoken(theirs[1:]),
  ]
