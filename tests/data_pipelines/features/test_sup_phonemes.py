# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import tokenizers

from data_pipelines import records
from data_pipelines.features import sup_phonemes
from ns_jax.errors import UserError
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend

LINES = ["the cat sat on the mat, and that was that", "a cat and a hat"] * 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "lines.txt"
  path.write_text("\n".join(LINES) + "\n\nДобрый день\n")
  frontend = Frontend()
  return sup_phonemes.learn(sup_phonemes.words_of_text(path, frontend), 200)


def test_words_and_pauses_are_kept_apart():
  reading = Frontend().read("the cat, a hat")
  words = sup_phonemes.words(reading.phonemes, reading.word_starts)
  assert sum(map(len, words)) == len(reading.phonemes)
  ids = [[ord(c) - 0xE000 for c in word] for word in words]
  names = ["".join(symbols.from_ids(word)) for word in ids]
  assert names == ["_", "ðə", "kˈæt", ",", "ɐ", "hˈæt", "."]


def test_tokens_cover_the_phonemes_and_stay_inside_words(tokenizer):
  reading = Frontend().read("that cat sat, and so did the hat")
  encoded = sup_phonemes.encode(
    tokenizer, reading.phonemes, reading.word_starts
  )
  lengths = encoded["sup_lengths"]
  assert lengths.sum() == len(reading.phonemes)
  assert lengths.max() > 1
  token_starts = np.cumsum(lengths) - lengths
  words = sup_phonemes.words(reading.phonemes, reading.word_starts)
  sizes = [len(word) for word in words]
  assert set(np.cumsum(sizes) - sizes) <= set(token_starts)
  vocabulary = {i: w for w, i in tokenizer.get_vocab().items()}
  spelled = "".join(vocabulary[i] for i in encoded["sup_phonemes"])
  assert [ord(c) - 0xE000 for c in spelled] == list(reading.phonemes)


def test_phonemes_keep_their_ids(tokenizer):
  for i in range(symbols.VOCABULARY_SIZE):
    assert tokenizer.token_to_id(chr(0xE000 + i)) == i
  assert symbols.VOCABULARY_SIZE < tokenizer.get_vocab_size() <= 200


def test_merges_are_the_most_frequent_pairs(tokenizer):
  """The first merge is the pair that comes most often inside words."""
  counts = {}
  frontend = Frontend()
  for line in LINES:
    reading = frontend.read(line)
    for word in sup_phonemes.words(reading.phonemes, reading.word_starts):
      for pair in zip(word, word[1:], strict=False):
        counts[pair] = counts.get(pair, 0) + 1
  first = tokenizer.id_to_token(symbols.VOCABULARY_SIZE)
  assert counts[tuple(first)] == max(counts.values())


def test_layer_is_stored_with_its_tokenizer(records_dir, tokenizer, tmp_path):
  import shutil

  copy = tmp_path / "copy"
  shutil.copytree(records_dir, copy)
  layer = sup_phonemes.add_sup_phonemes(copy, tokenizer)
  for record in records.Records(copy, "valid", ("sup_phonemes",)):
    assert record["sup_lengths"].sum() == len(record["phonemes"])
  stored = tokenizers.Tokenizer.from_file(
    str(layer / sup_phonemes.TOKENIZER_FILE)
  )
  assert stored.get_vocab() == tokenizer.get_vocab()


def test_a_text_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match="no such text file"):
    list(sup_phonemes.words_of_text(tmp_path / "none.txt", Frontend()))
