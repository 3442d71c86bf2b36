# SPDX-License-Identifier: Apache-2.0
import shutil

import pytest

from data_pipelines import records
from data_pipelines.features import sup_phonemes
from ns_jax.errors import UserError
from ns_jax.text import sup_phonemes as tokens
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend

LINES = ["the cat sat on the mat, and that was that", "a cat and a hat"] * 20


def utterances():
  readings = map(Frontend().read, LINES)
  return [tokens.words(r.phonemes, r.word_starts) for r in readings]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "lines.txt"
  path.write_text("\n".join(LINES) + "\n\nДобрый день\n")
  frontend = Frontend()
  return sup_phonemes.learn(sup_phonemes.words_of_text(path, frontend), 200)


def test_phonemes_keep_their_ids(tokenizer):
  for i, character in enumerate(tokens.ALPHABET):
    assert tokenizer.token_to_id(character) == i
  assert symbols.VOCABULARY_SIZE < tokenizer.get_vocab_size() <= 200


def test_the_same_text_gives_the_same_merges(tokenizer):
  again = sup_phonemes.learn(utterances(), 200)
  assert tokens.digest(again) == tokens.digest(tokenizer)


def test_merges_are_the_most_frequent_pairs(tokenizer):
  """The first merge is the pair that comes most often inside words."""
  counts = {}
  for utterance in utterances():
    for word in utterance:
      for pair in zip(word, word[1:], strict=False):
        counts[pair] = counts.get(pair, 0) + 1
  first = tokenizer.id_to_token(symbols.VOCABULARY_SIZE)
  assert counts[tuple(first)] == max(counts.values())


def test_layers_of_two_tokenizers_are_not_mixed(
  records_dir, tokenizer, tmp_path
):
  copy = tmp_path / "copy"
  shutil.copytree(records_dir, copy)
  coarse = sup_phonemes.learn(utterances(), symbols.VOCABULARY_SIZE)
  layers = [
    sup_phonemes.add_sup_phonemes(copy, made) for made in (tokenizer, coarse)
  ]
  assert sup_phonemes.layers_of(copy) == sorted(layers)
  for layer, made in zip(layers, (tokenizer, coarse), strict=True):
    for record in records.Records(layer, "valid", ("sup_phonemes", "wav")):
      expected = tokens.encode(made, record["phonemes"], record["word_starts"])
      for name, values in expected.items():
        assert (record[name] == values).all()
    assert tokens.digest(tokens.load(layer)) == tokens.digest(made)
  with pytest.raises(UserError, match="no field 'sup_phonemes'"):
    records.Records(copy, "valid", ("sup_phonemes",))


def test_a_text_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match="no such text file"):
    list(sup_phonemes.words_of_text(tmp_path / "none.txt", Frontend()))
