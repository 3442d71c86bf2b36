# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from data_pipelines.corpora import demo, demo_voices
from ns_jax.errors import UserError
from ns_jax.text import espeak, frontend, normalize, symbols


def test_reads_numbers_and_stress():
  phonemes = frontend.Frontend().phonemes("$2, please!")
  assert phonemes == "_ t ˈuː d ˈɑː l ɚ z , p l ˈiː z !".split()


def test_ids_are_the_phonemes_and_repeat():
  reader = frontend.Frontend()
  text = "The oyster measured its pleasure, quietly."
  ids = reader.ids(text)
  assert ids.dtype == np.int32
  assert symbols.from_ids(ids) == reader.phonemes(text)
  np.testing.assert_array_equal(ids, reader.ids(text))


@pytest.mark.parametrize("voice", demo_voices.TEST.values())
def test_inference_reads_like_the_corpus(voice):
  reader = frontend.Frontend()
  engine = espeak.Engine()
  for text in demo.sentences("test")[:4]:
    spoken = engine.synthesize(normalize.normalize(text), voice)
    assert reader.phonemes(text) == list(spoken.phonemes)


def test_all_corpus_sentences_are_in_the_inventory():
  reader = frontend.Frontend()
  seen = {
    split: {p for text in demo.sentences(split) for p in reader.phonemes(text)}
    for split in ("train", "valid", "test")
  }
  assert len(seen["train"]) >= 100
  assert seen["valid"] | seen["test"] <= seen["train"]
  phones = {s.strip("ˈˌ") for s in symbols.SYMBOLS[1:]}
  rare = {"x", "ɬ", "ʲ", "r", "u", "ɑ̃"}  # names and loan words
  assert phones - rare <= {s.strip("ˈˌ") for s in seen["train"]}


def test_no_words_is_an_error():
  with pytest.raises(UserError, match="nothing to speak"):
    frontend.Frontend().ids("😀")
