# SPDX-License-Identifier: Apache-2.0
"""Speaking with a model, whatever it has learned."""

import dataclasses

import numpy as np
import pytest

from ns_jax.errors import UserError
from ns_jax.inference import narrate
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Manner, Utterance
from ns_jax.text import sentences
from ns_jax.text.frontend import Frontend
from tests import speakers


@pytest.fixture(scope="module")
def prompt():
  return speakers.synthesizer().encode_prompt(speakers.voice())


@pytest.fixture(scope="module")
def phonemes():
  return Frontend().ids("Come and sit down.")


def _speak(*utterances):
  return speakers.synthesizer().speak(utterances)


def test_a_wave_as_long_as_its_phonemes(phonemes, prompt):
  (speech,) = _speak(Utterance(phonemes, prompt))
  assert len(speech.durations) == len(phonemes)
  assert len(speech.f0_hz) == speech.durations.sum()
  assert len(speech.wav) == 200 * speech.durations.sum()
  assert np.isfinite(speech.wav).all() and speech.wav.any()


def test_given_timing_and_pitch_are_kept(phonemes, prompt):
  durations = np.arange(1, len(phonemes) + 1, dtype=np.int32)
  f0_hz = np.linspace(90.0, 200.0, durations.sum()).astype(np.float32)
  manner = Manner(speed=2.0, pitch_semitones=5.0)
  planned = Utterance(phonemes, prompt, durations, f0_hz, manner=manner)
  (speech,) = _speak(planned)
  np.testing.assert_array_equal(speech.durations, durations)
  np.testing.assert_array_equal(speech.f0_hz, f0_hz)


def test_the_seed_alone_decides(phonemes, prompt):
  first, again = (_speak(Utterance(phonemes, prompt))[0] for _ in range(2))
  (other,) = _speak(Utterance(phonemes, prompt, seed=1))
  np.testing.assert_array_equal(first.wav, again.wav)
  assert not np.array_equal(first.wav, other.wav)


def test_manner(phonemes, prompt):
  manners = (
    Manner(),
    Manner(speed=0.5),
    Manner(pitch_semitones=12.0),
    Manner(energy_db=-6.0),
    Manner(energy_db=40.0),
  )
  plain, slow, high, loud, loudest = _speak(
    *(Utterance(phonemes, prompt, manner=manner) for manner in manners)
  )
  assert abs(slow.durations.sum() - 2 * plain.durations.sum()) <= 1
  wanted_hz = np.minimum(2.0 * plain.f0_hz, 1100.0)  # bins end there
  np.testing.assert_allclose(high.f0_hz, wanted_hz, rtol=1e-5)
  np.testing.assert_allclose(loud.wav, plain.wav * 10 ** (-0.3), rtol=1e-5)
  assert np.abs(loudest.wav).max() <= max(np.abs(plain.wav).max(), 0.9901)


@pytest.mark.parametrize(
  "wrong",
  [
    {"speed": 0.0},
    {"speed": float("nan")},
    {"pitch_semitones": 90.0},
    {"energy_db": float("inf")},
  ],
)
def test_no_such_manner(wrong):
  with pytest.raises(UserError, match=next(iter(wrong))):
    Manner(**wrong)


def test_several_prompts_share_what_can_be_heard():
  synthesizer, voice = speakers.synthesizer(), speakers.voice(seconds=9.0)
  whole = synthesizer.encode_prompt(voice).latents
  both = synthesizer.encode_prompt(voice, speakers.voice(9.0, seed=1)).latents
  assert abs(len(both) - len(whole)) <= 1
  half = len(both) // 2
  # All but the cut is alike of the same voice, little is of the other noise.
  assert np.isclose(both[:half], whole[:half]).mean() > 0.95
  assert np.isclose(both[half:], whole[half : len(both)]).mean() < 0.5


@pytest.mark.parametrize(
  ("wav", "message"),
  [
    (np.zeros(16_000, np.float32), "silent"),
    (speakers.voice(0.3), "only 0.30 s"),
  ],
)
def test_no_prompt(wav, message):
  with pytest.raises(UserError, match=message):
    speakers.synthesizer().encode_prompt(wav)


def test_long_text_is_its_sentences_with_pauses(prompt):
  text = "Come in. Sit down by the fire.\n\nWho is it? " + "And so on, " * 30
  speaker = speakers.synthesizer().in_voice(prompt)
  speech = narrate.narrate(speaker, text)
  found = sentences.pieces(text, speaker.model.max_phonemes)
  assert len(found) > 4
  assert len(speech.durations) == sum(len(p.reading.phonemes) for p in found)
  assert (
    len(speech.wav) == 200 * speech.durations.sum() == 200 * len(speech.f0_hz)
  )
  alone = narrate.narrate(speaker, "Come in.")
  assert len(alone.wav) == 200 * alone.durations.sum()  # no pause at its end


def test_a_bundle_speaks_like_the_run(tmp_path, phonemes):
  folder = speakers.bundle(tmp_path / "bundle")
  prompt = speakers.synthesizer().encode_prompt(speakers.voice())
  utterance = Utterance(phonemes, prompt)
  (ours,) = Synthesizer.load(folder).speak([utterance])
  (run,) = _speak(utterance)
  np.testing.assert_array_equal(ours.durations, run.durations)
  np.testing.assert_allclose(ours.wav, run.wav, atol=2e-3)
  # Nobody's folders are told.
  assert "corpus" not in (folder / "config.json").read_text()


def test_the_codec_comes_along_once(tmp_path):
  folder = speakers.bundle(tmp_path / "bundle", on_shipped=True)
  restored = Synthesizer.load(folder)
  run = Synthesizer(speakers.weights(on_shipped=True))
  assert restored.codec.codec_id == run.codec.codec_id
  size = (folder / "model.safetensors").stat().st_size
  codec = (speakers.restore.BUNDLES / "codec/model.safetensors").stat().st_size
  assert size < codec / 2


def test_other_models_do_not_speak():
  with pytest.raises(UserError, match="codec cannot speak"):
    Synthesizer.load(speakers.restore.BUNDLES / "codec")


def test_a_distilled_model_keeps_to_its_path():
  given = speakers.weights()
  config = given.config.copy_and_resolve_references()
  config.stage = "ns2_distilled"
  config["sample"].solver = "jump"
  distilled = Synthesizer(dataclasses.replace(given, config=config))
  with pytest.raises(UserError, match="was distilled for solver=jump"):
    distilled.options = dataclasses.replace(distilled.options, steps=7)
  voice = distilled.encode_prompt(speakers.voice(1.0))
  with pytest.raises(UserError, match="cannot retell"):
    distilled.retell(
      Utterance(np.array([5]), voice), voice.latents, voice, np.ones(1), steps=2
    )
