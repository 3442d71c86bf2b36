# SPDX-License-Identifier: Apache-2.0
"""What is measured of a model with a voice of its own, with one made up."""

import types

import numpy as np
import pytest

from ns_jax import audio_files
from ns_jax.audio import AudioSpec, to_int16
from ns_jax.errors import UserError
from ns_jax.evaluation import reading, reading_judged
from ns_jax.evaluation.contract import Context
from ns_jax.evaluation.judges import Judges
from ns_jax.inference.single_voice import Said

SPEC = AudioSpec()
DURATIONS = np.array([2, 12, 20, 6], np.int32)
PHONEMES = np.array([1, 12, 29, 3], np.int32)
LONGER = 4  # frames


class FakeVoice:
  """Half as loud where it hears; too long in its own timing."""

  def __init__(self, weights):
    self._recording = weights.recording

  def revoice(self, wav):
    return 0.5 * wav

  def speak(self, sentences):
    (sentence,) = sentences
    assert len(sentence.reading.phonemes) == len(PHONEMES)
    own = sentence.durations
    if own is None:
      own = DURATIONS + [0, LONGER, 0, 0]
    wav = np.pad(self._recording, (0, SPEC.num_samples(LONGER)))
    weights = np.full((own.sum(), 4), 0.25, np.float32)
    return [Said(wav[: SPEC.num_samples(own.sum())], own, weights)]


@pytest.fixture
def context(tmp_path):
  rng = np.random.default_rng(0)
  wav = 0.2 * rng.normal(size=SPEC.num_samples(DURATIONS.sum())).clip(-1, 1)
  record = {
    "id": "a",
    "speaker": "s",
    "text": "come in",
    "wav": to_int16(wav.astype(np.float32)),
    "phonemes": PHONEMES,
    "word_starts": np.array([0, 1, 1, 0], np.uint8),
    "durations": DURATIONS,
  }
  options = types.SimpleNamespace(
    num_clips=5, recogniser="r", speaker_model="s"
  )
  config = types.SimpleNamespace(eval=options, stage="ns1")
  return Context(
    weights=types.SimpleNamespace(
      config=config, recording=record["wav"].astype(np.float32) / 32767
    ),
    spec=SPEC,
    run_dir=tmp_path,
    test_records=[record],
    test_batches=iter,
  )


def test_reading_is_compared_with_the_recording(context, monkeypatch):
  monkeypatch.setattr(reading, "SingleVoice", FakeVoice)
  section = reading.evaluate(context)
  found = section.summary
  assert found["revoiced_mel_db"] == pytest.approx(6.02, abs=0.05)
  assert found["said_mel_db"] == pytest.approx(0.0, abs=0.05)
  assert found["duration_error_frames"] == LONGER / len(PHONEMES)
  assert found["length_ratio"] == pytest.approx(1 + LONGER / DURATIONS.sum())
  assert all((context.run_dir / path).exists() for path in section.pictures)
  (row,) = section.rows
  halved = audio_files.read(context.run_dir / row["revoiced"], SPEC)
  recorded = audio_files.read(context.run_dir / row["recording"], SPEC)
  np.testing.assert_allclose(halved, 0.5 * recorded, atol=1e-4)


def test_judges_hear_each_system(context, monkeypatch):
  """A recogniser that hears one word less in what is not loud."""
  loud = 0.1
  judges = Judges(
    lambda wav: "come in" if wav.std() > loud else "come",
    lambda wav: np.array([1.0, 0.0] if wav.std() > loud else [0.6, 0.8]),
    np.max,
  )
  monkeypatch.setattr(reading_judged.judges, "check", lambda *_: None)
  monkeypatch.setattr(reading_judged.Judges, "load", lambda *_: judges)
  monkeypatch.setattr(reading_judged, "SingleVoice", FakeVoice)
  reading_judged.check(context.weights.config)
  section = reading_judged.evaluate(context)
  wer = section.comparison["wer_percent"]
  assert wer == {"recording": 0.0, "revoiced": 50.0, "said": 0.0}
  alike = section.comparison["similarity_to_recording"]
  assert alike["said"] == pytest.approx(1.0)
  assert alike["revoiced"] == pytest.approx(0.6)
  assert section.summary["clips"] == 1 and section.summary["rtf"] > 0.0


@pytest.mark.parametrize("evaluator", [reading, reading_judged])
def test_models_without_a_voice_are_refused(evaluator):
  with pytest.raises(UserError, match="voice of its own"):
    evaluator.check(types.SimpleNamespace(stage="ns2"))
