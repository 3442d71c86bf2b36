# SPDX-License-Identifier: Apache-2.0
"""Texts in company and in streams: each is said as if alone and at once."""

import dataclasses

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.inference import narrate
from ns_jax.inference.narrate import Line
from ns_jax.inference.utterance import Manner
from ns_jax.text import sentences
from tests import speakers

TEXT = "Come in, sit down by the fire.\n\nWho is it?"


@pytest.fixture(scope="module")
def model():
  """It draws noise in each step, not only in the first."""
  synthesizer = speakers.synthesizer()
  options = dataclasses.replace(synthesizer.options, solver="ancestral")
  return synthesizer.with_options(options)


@pytest.fixture(scope="module")
def voices(model):
  return [
    model.in_voice(model.encode_prompt(speakers.voice(1.0 + i / 2, seed=i)))
    for i in range(2)
  ]


def _apart(ours, theirs):
  """Power of the difference, of that of one."""
  return np.square(ours - theirs).mean() / np.square(theirs).mean()


def test_company_changes_nothing(voices):
  """Of other length, voice, seed, manner and number of pieces."""
  manner = Manner(speed=2.0, pitch_semitones=3.0, energy_db=-6.0)
  lines = [
    Line(TEXT, voices[0], seed=3),
    Line("Hello.", voices[1], seed=2**32 - 1, manner=manner),
    Line("Hello.", voices[1], seed=4, manner=manner),
  ]
  together = narrate.narrate_all(lines)
  for line, said in zip(lines[:2], together, strict=False):
    (alone,) = narrate.narrate_all([line], batch_size=1)
    np.testing.assert_array_equal(said.durations, alone.durations)
    np.testing.assert_allclose(said.f0_hz, alone.f0_hz, rtol=1e-3)
    assert _apart(said.wav, alone.wav) < 1e-6
  assert _apart(together[2].wav, together[1].wav) > 1e-3  # another seed


@pytest.mark.parametrize("energy_db", [0.0, -6.0, 9.0])
def test_a_stream_is_the_narration_in_pieces(voices, energy_db):
  line = Line(TEXT, voices[0], seed=5, manner=Manner(energy_db=energy_db))
  pieces = list(narrate.stream(line, opening_phonemes=14))
  (whole,) = narrate.narrate_all([line], batch_size=1, opening_phonemes=14)
  np.testing.assert_allclose(np.concatenate(pieces), whole.wav, atol=1e-5)
  assert all(len(piece) for piece in pieces)
  if energy_db <= 0.0:  # else a sentence waits for its peak
    assert len(pieces) > 9
    longest = max(len(piece) for piece in pieces)
    assert longest <= 9_600  # half a second, or the pause of a paragraph


def test_a_stream_reads_no_further_than_it_speaks(voices, monkeypatch):
  read = []

  class Counting(sentences.Frontend):
    def read(self, text):
      read.append(text)
      return super().read(text)

  monkeypatch.setattr(sentences, "Frontend", Counting)
  stream = narrate.stream(Line("Hello. " * 1_000, voices[0]))
  assert next(stream).any() and len(read) == 1


def test_a_stream_complains_before_it_begins(voices):
  with pytest.raises(UserError, match="nothing in it"):
    narrate.stream(Line("...", voices[0]))
