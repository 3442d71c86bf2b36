# SPDX-License-Identifier: Apache-2.0
"""Conversion and enhancement: what goes in, what is kept."""

import numpy as np
import pytest

from ns_jax import audio
from ns_jax.errors import UserError
from ns_jax.inference import convert, utterance
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.text import symbols
from tests import speakers

TEXT = "Come and sit down."


@pytest.fixture(scope="module")
def spec():
  return audio.AudioSpec()


@pytest.fixture(scope="module")
def heard(spec):
  wav = speakers.voice(2.01)
  return convert.listen(wav, TEXT, SpeechAligner.load(), spec)


def test_listening_finds_timing_and_pitch(heard):
  assert heard.durations.sum() == 161 == len(heard.f0_hz)
  assert len(heard.durations) == len(heard.phonemes)
  voiced = heard.f0_hz[heard.f0_hz > 0]
  assert np.median(voiced) == pytest.approx(140.0, rel=0.01)


def test_conversion_keeps_timing_and_moves_the_pitch(heard):
  synthesizer = speakers.synthesizer()
  t = np.arange(16_000) / 16_000
  high = 0.2 * np.sign(np.sin(2 * np.pi * 210.0 * t)).astype(np.float32)
  speech = convert.convert(synthesizer, heard, high, steps=2)
  np.testing.assert_array_equal(speech.durations, heard.durations)
  voiced = heard.f0_hz > 0
  assert np.abs(heard.f0_phase[voiced]).max() > 1.0
  ratio = speech.f0_hz[voiced] / heard.f0_hz[voiced]
  np.testing.assert_allclose(ratio, 1.5, rtol=0.02)
  assert len(speech.wav) == len(heard.wav)


@pytest.mark.nightly
def test_the_same_voice_gives_the_recording_back_and_another_does_not(heard):
  """What the codec makes of it, that is."""
  synthesizer = Synthesizer.load()
  wav = synthesizer.codec.reconstruct(heard.wav)
  distances = [
    _share(convert.convert(synthesizer, heard, voice).wav - wav, wav)
    for voice in (heard.wav, heard.wav[::-1])
  ]
  assert distances[0] < 0.3
  assert distances[1] > 2.0 * distances[0]


def test_long_recordings_are_retold_in_parts(heard):
  parts = utterance.parts(heard.phonemes, heard.durations, max_phonemes=6)
  phonemes = np.concatenate([heard.phonemes[p] for p, _ in parts])
  np.testing.assert_array_equal(phonemes, heard.phonemes)
  frames = np.concatenate([heard.f0_hz[f] for _, f in parts])
  np.testing.assert_array_equal(frames, heard.f0_hz)
  assert all(p.stop - p.start <= 6 for p, _ in parts)
  for p, f in parts:
    assert f.stop - f.start == heard.durations[p].sum()


def test_noise_is_heard_in_pauses(spec):
  rng = np.random.default_rng(0)
  noise = 0.01 * rng.normal(size=200 * 60).astype(np.float32)
  wav = noise.copy()
  wav[200 * 20 : 200 * 40] += 0.3
  ids = symbols.to_ids(["_", "ˈoʊ", "."])
  unvoiced = np.zeros(60, np.float32)
  heard = convert.Heard(wav, ids, np.full(3, 20), unvoiced, unvoiced)
  alone = convert.noise_in_pauses(heard, spec)
  np.testing.assert_array_equal(
    alone, np.concatenate([noise[400:3600], noise[8400:11600]])
  )
  speech = convert.Heard(wav, ids[1:2], np.full(1, 60), unvoiced, unvoiced)
  with pytest.raises(UserError, match="no pause long enough"):
    convert.noise_in_pauses(speech, spec)


def test_enhancement_keeps_timing_and_pitch_and_hears_the_noise(heard):
  rng = np.random.default_rng(1)
  synthesizer, voice = Synthesizer.load(), speakers.voice(1.5)
  waves = []
  for level in (0.0, 0.1):
    noise = level * rng.normal(size=4000).astype(np.float32)
    speech = convert.enhance(synthesizer, heard, voice, noise, steps=2)
    np.testing.assert_array_equal(speech.durations, heard.durations)
    np.testing.assert_array_equal(speech.f0_hz, heard.f0_hz)
    assert np.isfinite(speech.wav).all()
    waves.append(speech.wav)
  assert _share(waves[1] - waves[0], waves[0]) > 0.1


def test_what_cannot_be_heard(spec):
  aligner = SpeechAligner.load()
  with pytest.raises(UserError, match="silent"):
    convert.listen(np.zeros(16_000, np.float32), TEXT, aligner, spec)
  with pytest.raises(UserError, match="do not fit into 0.05 s"):
    convert.listen(speakers.voice(0.05), TEXT, aligner, spec)


def _share(part: np.ndarray, whole: np.ndarray) -> float:
  """Power of a part, of that of the whole."""
  return float(np.sum(part**2) / np.sum(whole**2))
