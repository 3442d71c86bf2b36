# SPDX-License-Identifier: Apache-2.0
"""Texts as corpora of a run, and the tokenizer a run has."""

import pytest

from configs import ns2 as ns2_config
from configs import phoneme_lm as phoneme_lm_config
from data_pipelines import beam, builder, records
from data_pipelines.corpora.text import TextCorpus
from data_pipelines.features.sup_phonemes import learn
from ns_jax.apps import checks, corpora
from ns_jax.errors import UserError
from ns_jax.text import sup_phonemes

WORDS = ("cat", "hat", "mat", "bat", "rat")


@pytest.fixture(scope="module")
def book(tmp_path_factory):
  path = tmp_path_factory.mktemp("text") / "Book.TXT"
  lines = [f"The {a} saw {i} times a {b}." for i in range(24) for a in WORDS
           for b in WORDS]  # fmt: skip
  path.write_text("\n".join(lines))
  return path


@pytest.fixture(scope="module")
def made(book, tmp_path_factory):
  return builder.build(
    TextCorpus.of(book),
    tmp_path_factory.mktemp("records") / "book",
    label="text",
    beam_options=beam.THIS_PROCESS,
  )


def make_config(corpus, module=phoneme_lm_config):
  config = module.get_config("tiny")
  config.data.corpus = str(corpus)
  config.train.batch_size = config.eval.batch_size = 8  # simulated devices
  return config


def test_a_text_is_counted_before_it_is_read(book, made):
  before = corpora.split_sizes(make_config(book), "config")
  assert before == records.read_facts(made)["splits"]
  assert corpora.split_sizes(make_config(made), "config") == before
  for corpus in (book, made):
    checks.check(make_config(corpus))


def test_a_text_cannot_be_heard(book, made):
  for corpus in (book, made):
    config = make_config(corpus, ns2_config)
    with pytest.raises(UserError, match="a text has no 'durations'"):
      corpora.split_sizes(config, "config")


def test_a_text_that_is_not_there_or_too_short(tmp_path):
  with pytest.raises(UserError, match="none.txt: cannot be read"):
    checks.check(make_config(tmp_path / "none.txt"))
  (tmp_path / "short.txt").write_text("One sentence. Another.")
  with pytest.raises(UserError, match="no record in split 'valid'"):
    checks.check(make_config(tmp_path / "short.txt"))


def test_a_run_keeps_its_tokenizer(made, tmp_path):
  config, run_dir = make_config(made), tmp_path / "run"
  run_dir.mkdir()
  layer = corpora.add_sup_phonemes(config, made, run_dir)
  tokenizer = sup_phonemes.load(run_dir)
  assert layer.name == f"sup_phonemes-{sup_phonemes.digest(tokenizer)}"
  assert 0 < tokenizer.get_vocab_size() <= 200
  # It would learn another now.
  config.model.encoder.num_sup_phonemes = 250
  assert corpora.add_sup_phonemes(config, made, run_dir) == layer
  # Another run takes that of the layer it is given.
  other = tmp_path / "other"
  other.mkdir()
  assert corpora.add_sup_phonemes(config, layer, other) == layer
  assert sup_phonemes.digest(sup_phonemes.load(other)) == (
    sup_phonemes.digest(tokenizer)
  )


def test_a_tokenizer_must_fit_the_model(made, tmp_path):
  words = [[sup_phonemes.ALPHABET[20] * 3 + sup_phonemes.ALPHABET[30] * 2]]
  sup_phonemes.save(
    learn(words * 50, 300), tmp_path / sup_phonemes.TOKENIZER_FILE
  )
  config = make_config(made)
  size = sup_phonemes.load(tmp_path).get_vocab_size()
  config.model.encoder.num_sup_phonemes = size - 1
  with pytest.raises(UserError, match=f"less than the {size} sup-phonemes"):
    corpora.add_sup_phonemes(config, made, tmp_path)


def test_phonemes_alone_need_no_layer(made):
  config = make_config(made)
  assert corpora.needs_sup_phonemes(config)
  config.model.encoder.num_sup_phonemes = 0
  assert not corpora.needs_sup_phonemes(config)
  checks.check(config)
