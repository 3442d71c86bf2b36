# SPDX-License-Identifier: Apache-2.0
"""The voice that comes along: small, with a card, and heard as it should."""

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from ns_jax import audio, audio_files
from ns_jax.apps import cli
from ns_jax.dsp import pitch
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Utterance
from ns_jax.text import espeak
from ns_jax.text.frontend import Frontend
from tests import readers

SPEC = audio.AudioSpec()
TEXT = "The kettle is on, come and sit down."
_VOICES = {"low": espeak.Voice("m3"), "high": espeak.Voice("f2")}


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
  """A low and a high voice, recorded."""
  folder = tmp_path_factory.mktemp("prompts")
  for name, voice in _VOICES.items():
    readers.record(folder / f"{name}.wav", "we walked along the shore.", voice)
  return folder


def test_the_command_speaks_at_once_and_the_voice_follows(prompts, tmp_path):
  f0_hz = {}
  for name in _VOICES:
    out = tmp_path / f"{name}.wav"
    words = ["synthesize", "--text", TEXT, "--out", out]
    words += ["--prompt", prompts / f"{name}.wav"]
    result = CliRunner().invoke(cli.cli, list(map(str, words)))
    assert result.exit_code == 0, result.output
    wav, rate_hz = soundfile.read(out, dtype="float32")
    assert rate_hz == SPEC.sample_rate_hz
    assert 1.2 < len(wav) / rate_hz < 4.5
    assert 0.01 < np.sqrt(np.mean(wav**2)) < 0.3
    measured = pitch.f0(wav, SPEC, "dio")
    f0_hz[name] = np.median(measured[measured > 0.0])
  assert f0_hz["high"] > 1.25 * f0_hz["low"]


def test_what_is_said_is_heard(prompts):
  """An aligner finds phonemes where they were said, and no other ones."""
  model, aligner = Synthesizer.load(), SpeechAligner.load()
  voice = model.encode_prompt(audio_files.read(prompts / "high.wav", SPEC))
  ids = Frontend().ids(TEXT)
  (speech,) = model.speak([Utterance(ids, voice)])
  ends = np.cumsum(speech.durations)

  def away_ms(wav):
    (found,) = aligner.align([ids], [wav])
    frames = np.abs(np.cumsum(found) - ends).mean()
    return SPEC.frame_period_ms * frames

  right, backwards = away_ms(speech.wav), away_ms(speech.wav[::-1].copy())
  assert right < 40.0
  assert backwards > 2.0 * right
