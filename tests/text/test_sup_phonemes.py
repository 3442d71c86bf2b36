# SPDX-License-Identifier: Apache-2.0
"""Sup-phonemes cover the phonemes, and a tokenizer is read as it was saved."""

import json

import numpy as np
import pytest

from data_pipelines.features.sup_phonemes import learn
from ns_jax.errors import UserError
from ns_jax.text import sup_phonemes, symbols
from ns_jax.text.frontend import Frontend

LINES = ["the cat sat on the mat, and that was that", "a cat and a hat"]


def words_of(text):
  reading = Frontend().read(text)
  return sup_phonemes.words(reading.phonemes, reading.word_starts)


@pytest.fixture(scope="module")
def tokenizer():
  return learn([words_of(line) for line in LINES] * 20, 200)


def test_words_and_pauses_are_kept_apart():
  words = words_of("the cat, a hat")
  ids = [[sup_phonemes.ALPHABET.index(c) for c in word] for word in words]
  names = ["".join(symbols.from_ids(word)) for word in ids]
  assert names == ["_", "ðə", "kˈæt", ",", "ɐ", "hˈæt", "."]
  assert sum(map(len, ids)) == len(Frontend().ids("the cat, a hat"))


def test_tokens_cover_the_phonemes_and_stay_inside_words(tokenizer):
  text = "that cat sat, and so did the hat"
  reading = Frontend().read(text)
  encoded = sup_phonemes.encode(
    tokenizer, reading.phonemes, reading.word_starts
  )
  lengths = encoded["sup_lengths"]
  assert lengths.sum() == len(reading.phonemes)
  assert lengths.max() > 1
  token_starts = np.cumsum(lengths) - lengths
  sizes = [len(word) for word in words_of(text)]
  assert set(np.cumsum(sizes) - sizes) <= set(token_starts)
  vocabulary = {i: w for w, i in tokenizer.get_vocab().items()}
  spelled = "".join(vocabulary[i] for i in encoded["sup_phonemes"])
  ids = [sup_phonemes.ALPHABET.index(c) for c in spelled]
  assert ids == list(reading.phonemes)


def test_a_saved_tokenizer_is_the_same(tokenizer, tmp_path):
  path = tmp_path / sup_phonemes.TOKENIZER_FILE
  sup_phonemes.save(tokenizer, path)
  for place in (path, tmp_path):
    loaded = sup_phonemes.load(place)
    assert sup_phonemes.digest(loaded) == sup_phonemes.digest(tokenizer)
  before = path.stat().st_mtime_ns
  sup_phonemes.save(tokenizer, path)
  assert path.stat().st_mtime_ns == before


def test_what_is_no_tokenizer_of_ours_is_one_line(tokenizer, tmp_path):
  with pytest.raises(UserError, match="no such tokenizer"):
    sup_phonemes.load(tmp_path)
  path = tmp_path / "a.json"
  path.write_text(tokenizer.to_str()[:-50])
  with pytest.raises(UserError, match="is damaged"):
    sup_phonemes.load(path)
  other = json.loads(tokenizer.to_str())
  del other["model"]["vocab"][sup_phonemes.ALPHABET[3]]
  other["model"]["merges"] = []
  path.write_text(json.dumps(other))
  with pytest.raises(UserError, match="this version's phonemes"):
    sup_phonemes.load(path)


@pytest.mark.parametrize(
  "more",
  [
    {"normalizer": {"type": "Lowercase"}},
    {
      "pre_tokenizer": {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},  # takes for ever to search for
        "behavior": "Isolated",
        "invert": False,
      }
    },
    {
      "post_processor": {
        "type": "BertProcessing",
        "sep": ["", 0],
        "cls": ["", 0],
      }
    },
    {"model": "BPE"},
    {"model": {"type": "BPE", "vocab": {"a": 2**32}, "merges": []}},
  ],
)
def test_tokenizers_that_do_more_are_refused(tokenizer, tmp_path, more):
  path = tmp_path / "a.json"
  path.write_text(json.dumps(json.loads(tokenizer.to_str()) | more))
  with pytest.raises(UserError, match="a.json: is "):
    sup_phonemes.load(path)
  path.write_text('{"a":' * 100_000)
  with pytest.raises(UserError, match="is damaged"):
    sup_phonemes.load(path)
