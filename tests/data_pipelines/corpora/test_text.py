# SPDX-License-Identifier: Apache-2.0
"""Sentences of plain text: wrapped, in lines, odd, and always in one split."""

import csv

import numpy as np
import pytest

from data_pipelines import beam, builder, records
from data_pipelines.corpora.text import TextCorpus
from ns_jax.errors import UserError
from ns_jax.text.frontend import Frontend

BOOK = """\
  Chapter One

It was a bright cold day in
the village. "Come in," said
Mr. Brown. They came.\r
\r

* * *

The end came 3 years later, and nobody
minded.
"""


def corpus(tmp_path, text, name="book.txt"):
  path = tmp_path / name
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  return TextCorpus.of(path)


def sentences(of, notes=None):
  notes = [] if notes is None else notes
  return [item["text"] for _, item in of.plan(notes)]


def test_wrapped_lines_are_joined(tmp_path):
  assert sentences(corpus(tmp_path, BOOK)) == [
    "Chapter One",
    "It was a bright cold day in the village.",
    '"Come in," said Mr. Brown.',
    "They came.",
    "The end came 3 years later, and nobody minded.",
  ]


def test_lines_without_empty_ones_between_are_texts(tmp_path):
  lines = ["no full stop here", "One. Two.", "and another"] * 30
  assert sentences(corpus(tmp_path, "\n".join(lines)))[:4] == [
    *("no full stop here", "One.", "Two.", "and another"),
  ]
  # Nor does a single empty line make it a book.
  some = corpus(tmp_path, "\n".join(lines) + "\n\n" + "\n".join(lines))
  assert len(sentences(some)) == 240


def test_places_are_of_the_first_line(tmp_path):
  items = [item for _, item in corpus(tmp_path, BOOK).plan([])]
  lines = [int(item["place"].rsplit(":", 1)[1]) for item in items]
  assert lines == [1, 3, 3, 3, 10]
  assert len({item["id"] for item in items}) == 5


def test_a_sentence_is_always_in_the_same_split(tmp_path):
  lines = [f"This is sentence number {i}." for i in range(3000)]
  split_of = {
    item["text"]: split
    for split, item in corpus(tmp_path, "\n".join(lines)).plan([])
  }
  counts = corpus(tmp_path, "\n".join(lines)).split_sizes()
  assert sum(counts.values()) == 3000
  for split in ("valid", "test"):
    assert counts[split] == pytest.approx(60, abs=25)
  other = corpus(tmp_path, "\n\n".join(reversed(lines * 2)), "other.txt")
  assert all(split_of[item["text"]] == split for split, item in other.plan([]))


def test_identity_is_what_the_file_holds(tmp_path):
  one = corpus(tmp_path, BOOK)
  moved = corpus(tmp_path, BOOK, "moved.txt")
  other = corpus(tmp_path, BOOK + "More.\n", "other.txt")
  assert one.identity() == moved.identity() != other.identity()


@pytest.mark.parametrize("text", ["", "\n\n", "* * *\n"])
def test_a_text_without_a_sentence(tmp_path, text):
  with pytest.raises(UserError, match="holds no sentence"):
    sentences(corpus(tmp_path, text))


def test_a_file_that_cannot_be_read(tmp_path):
  with pytest.raises(UserError, match="cannot be read"):
    TextCorpus.of(tmp_path / "none.txt")


def test_records_hold_phonemes_and_rejects_are_listed(tmp_path):
  text = (
    BOOK.encode()
    + b"\nA broken \xff line.\n\nMixed \xd0\x94\xd0\xbe\xd0\xb1 letters.\n\n"
    + b"LOUD AS A BELL\n\nA bell\x07 rings.\n"
  )
  made = corpus(tmp_path, text)
  out = builder.build(
    made, tmp_path / "out", label="text", beam_options=beam.THIS_PROCESS
  )
  stored = {
    record["text"]: record
    for split in records.read_facts(out)["splits"]
    for record in records.Records(out, split, ("phonemes", "word_starts"))
  }
  reading = Frontend().read("They came.")
  np.testing.assert_array_equal(
    stored["They came."]["phonemes"], reading.phonemes
  )
  np.testing.assert_array_equal(
    stored["They came."]["word_starts"], reading.word_starts
  )
  np.testing.assert_array_equal(
    stored["LOUD AS A BELL"]["phonemes"], Frontend().ids("loud as a bell")
  )
  with (out / builder.REJECTS_FILE).open(newline="") as file:
    rejects = {
      row["file"].rsplit(":", 1)[1]: row["reason"]
      for row in csv.DictReader(file, dialect="excel-tab")
    }
  assert rejects["13"] == "line is not UTF-8"
  assert "only English" in rejects["15"]
  assert "control characters" in rejects["19"]
  assert len(stored) == 6 and len(rejects) == 3
