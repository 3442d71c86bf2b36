# SPDX-License-Identifier: Apache-2.0
"""Speech of a model with one voice: timing, draws, padding, bundles."""

import dataclasses

import jax
import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.inference import narrate
from ns_jax.inference.single_voice import Sentence, SingleVoice
from ns_jax.inference.utterance import Manner
from ns_jax.text.frontend import Frontend
from tests import narrators


@pytest.fixture(scope="module")
def readings():
  return [Frontend().read(text) for text in ("Come in.", "Sit by the fire.")]


def most_likely():
  speaker = SingleVoice(narrators.weights())
  speaker.options = dataclasses.replace(speaker.options, temperature=0.0)
  return speaker


def test_given_durations_are_kept_to_the_frame(readings):
  durations = [np.arange(len(reading.phonemes)) % 3 + 1 for reading in readings]
  for said, wanted in zip(
    narrators.speaker().speak(list(map(Sentence, readings, durations))),
    durations,
    strict=True,
  ):
    np.testing.assert_array_equal(said.durations, wanted)
    assert len(said.wav) == 200 * wanted.sum()
    assert np.isfinite(said.wav).all() and said.wav.std() > 1e-4
    assert said.weights.shape == (wanted.sum(), len(wanted))
    np.testing.assert_allclose(said.weights.sum(axis=1), 1.0, atol=1e-5)


def test_durations_of_its_own_add_up_at_any_speed(readings):
  speaker = narrators.speaker()
  plain, fast = speaker.speak(
    [
      Sentence(readings[1]),
      Sentence(readings[1], manner=Manner(speed=2.0)),
    ]
  )
  for said in (plain, fast):
    assert len(said.wav) == 200 * said.durations.sum()
  assert abs(len(plain.wav) - 2 * len(fast.wav)) <= 400


def test_company_changes_nothing(readings):
  """Neither padding nor the rest of a batch is heard."""
  speaker = most_likely()
  together = speaker.speak(list(map(Sentence, readings)))
  for reading, said in zip(readings, together, strict=True):
    (alone,) = speaker.speak([Sentence(reading)])
    np.testing.assert_array_equal(alone.durations, said.durations)
    np.testing.assert_allclose(alone.weights, said.weights, atol=1e-5)
    # Rounding moves a pulse by a little, and single samples by more.
    apart = np.square(alone.wav - said.wav).mean()
    assert apart < 2e-4 * np.square(said.wav).mean()


def test_only_the_draw_depends_on_the_seed(readings):
  def say(speaker, seed):
    return speaker.speak([Sentence(readings[0], seed=seed)])[0].wav

  np.testing.assert_array_equal(say(most_likely(), 0), say(most_likely(), 1))
  drawn = narrators.speaker()
  np.testing.assert_array_equal(say(drawn, 0), say(drawn, 0))
  assert np.abs(say(drawn, 0) - say(drawn, 1)).max() > 1e-4


def test_the_memory_is_heard_once_it_is_attached(readings):
  without = SingleVoice(narrators.weights(remembers=0.0))
  ours, other = (
    speaker.speak([Sentence(readings[0])])[0].wav
    for speaker in (narrators.speaker(), without)
  )
  assert len(ours) == len(other) and np.abs(ours - other).max() > 1e-4


def test_a_recording_is_voiced_again():
  wav = np.random.default_rng(0).normal(size=3_333).astype(np.float32)
  assert narrators.speaker().revoice(wav).shape == wav.shape


def test_a_bundle_speaks_like_the_run(tmp_path, readings):
  loaded = SingleVoice.load(narrators.bundle(tmp_path / "bundle"))
  (ours,) = loaded.speak([Sentence(readings[0])])
  (run,) = narrators.speaker().speak([Sentence(readings[0])])
  np.testing.assert_array_equal(ours.durations, run.durations)
  np.testing.assert_allclose(ours.wav, run.wav, atol=1e-5)
  assert "posterior" not in loaded.weights.params["gen"]
  assert np.shape(loaded.weights.model_state["remembers"]) == ()
  with pytest.raises(UserError, match="cannot hear"):
    loaded.revoice(np.zeros(200, np.float32))


def test_long_text_is_its_sentences():
  speaker = narrators.speaker()
  text = "Come in. Sit down by the fire.\n\nWho is it?"
  speech = narrate.narrate(speaker, text)
  assert len(speech.wav) == 200 * speech.durations.sum()  # with the pauses
  assert speech.f0_hz is None


def test_mistakes_get_one_clear_line(readings):
  with pytest.raises(UserError, match="no pitch to move"):
    high = Sentence(readings[0], manner=Manner(pitch_semitones=2.0))
    narrators.speaker().speak([high])
  given = narrators.weights()
  config = given.config.copy_and_resolve_references()
  config.stage = "codec"
  with pytest.raises(UserError, match="codec has no voice of its own"):
    SingleVoice(dataclasses.replace(given, config=config))
  with pytest.raises(UserError, match="temperature=-1"):
    dataclasses.replace(narrators.speaker().options, temperature=-1.0)
  broken = dataclasses.replace(
    given, params=jax.tree.map(lambda x: x + np.nan, given.params)
  )
  with pytest.raises(UserError, match="diverged"):
    SingleVoice(broken).speak([Sentence(readings[0])])


def test_weights_that_do_not_fit_are_refused(tmp_path):
  folder = narrators.bundle(tmp_path / "bundle")
  path = folder / "config.json"
  path.write_text(path.read_text().replace('"size": 8', '"size": 9'))
  with pytest.raises(UserError, match="do not fit its config"):
    SingleVoice.load(folder)
