# SPDX-License-Identifier: Apache-2.0
"""The command on a text: it trains, is killed, and goes on the same."""

import json

import pytest

from ns_jax.text import sup_phonemes
from tests import commands

pytestmark = [pytest.mark.slow, pytest.mark.nightly]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  with commands.forked(tmp_path_factory.mktemp("commands")) as forked:
    yield lambda *flags: commands.succeed(forked("phoneme_lm.py:tiny", *flags))


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
  root = tmp_path_factory.mktemp("lm")
  animals = ("cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant")
  sentences = [f"The {a} saw {i} of the {b}s." for i in range(5)
               for a in animals for b in animals]  # fmt: skip
  book = root / "book.txt"
  book.write_text("\n".join(sentences))
  return f"--config.data.corpus={book}", f"--config.data.dir={root / 'data'}"


def test_a_text_is_learned_from_and_a_run_goes_on(run, flags, tmp_path):
  whole, parts = tmp_path / "whole", tmp_path / "parts"
  run(*flags, f"--workdir={whole}")
  report = json.loads((whole / "report.json").read_text())
  assert set(report["losses"]["summary"]) == {
    *("phoneme_ce", "phoneme_accuracy"),
    *("sup_phoneme_ce", "sup_phoneme_accuracy"),
  }
  tokenizer = sup_phonemes.load(whole)
  assert tokenizer.get_vocab_size() <= 200
  run(*flags, f"--workdir={parts}", "--config.train.num_steps=4")
  run(*flags, f"--workdir={parts}", "--config.data.reader=array_record")
  assert commands.metrics(parts) == commands.metrics(whole)
  assert sup_phonemes.digest(sup_phonemes.load(parts)) == (
    sup_phonemes.digest(tokenizer)
  )


def test_phonemes_alone_are_enough(run, flags, tmp_path):
  run(
    *flags,
    f"--workdir={tmp_path / 'run'}",
    "--config.data.reader=array_record",
    "--config.model.encoder.num_sup_phonemes=0",
  )
  report = json.loads((tmp_path / "run" / "report.json").read_text())
  assert set(report["losses"]["summary"]) == {"phoneme_ce", "phoneme_accuracy"}
  assert not (tmp_path / "run" / sup_phonemes.TOKENIZER_FILE).exists()
