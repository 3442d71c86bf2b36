# SPDX-License-Identifier: Apache-2.0
"""Three systems are judged on the same sentences, by judges that are known."""

import math
import pathlib
import types

import numpy as np
import pytest

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.evaluation import (
  clips,
  robustness,
  systems,
  trials,
  voices,
  words,
  zero_shot,
)
from ns_jax.evaluation.contract import Context
from ns_jax.evaluation.judges import Judges
from ns_jax.evaluation.words import WordErrors
from ns_jax.inference.utterance import PitchedSpeech, Utterance
from ns_jax.text import symbols
from ns_jax.text.frontend import Frontend

SPEC = AudioSpec()
PHONEMES = symbols.to_ids(["_", "k", "ˈæ", "t", "."])
DURATIONS = np.array([40, 80, 120, 80, 20], np.int32)
LEVELS = {"a": 0.1, "b": 0.5}  # who speaks is how loud it is


def make_record(speaker, number, scale=1.0):
  durations = np.round(DURATIONS * scale).astype(np.int32)
  frames = durations.sum()
  wav = np.full(SPEC.num_samples(frames), LEVELS[speaker])
  return {
    "id": f"{speaker}{number}",
    "speaker": speaker,
    "text": f"sentence {number}",
    "wav": audio.to_int16(wav),
    "phonemes": PHONEMES,
    "durations": durations,
  }


def make_context(run_dir, records, stage="ns2"):
  # What evaluators read of a config, and no more.
  config = types.SimpleNamespace(
    stage=stage,
    audio={},
    eval=types.SimpleNamespace(
      prompt_sec=3.0,
      num_clips=4,
      recogniser="ear",
      speaker_model="nose",
      aligner=None,
    ),
    sample=types.SimpleNamespace(steps=2, solver="euler"),
    prompt=dict(
      min_sec=1.0, max_sec=2.0, max_fraction=0.5, drop_rate=0.0, rest_frames=9
    ),
    data=types.SimpleNamespace(max_frames=1000),
  )
  return Context(
    weights=types.SimpleNamespace(config=config),
    spec=SPEC,
    run_dir=run_dir,
    test_records=records,
    test_batches=iter,
  )


class FakeSynthesizer:
  """Speaks as loud as the prompt, each phoneme two frames too long."""

  def __init__(self, weights):
    pass

  def encode_prompt(self, wav):
    assert len(wav) == SPEC.num_samples(240)
    return wav

  def in_voice(self, voice):
    return voice

  def speak(self, utterances):
    (utterance,) = utterances
    durations = np.full(len(utterance.phonemes), 40, np.int32)
    if len(utterance.phonemes) == len(PHONEMES):
      durations = DURATIONS + 2
    samples = SPEC.num_samples(durations.sum())
    wav = np.full(samples, utterance.voice.mean())
    return [PitchedSpeech(wav, durations, np.zeros(durations.sum()))]


def embed_voice(wav):
  angle = np.pi * wav.mean()
  return np.array([np.cos(angle), np.sin(angle)])


@pytest.fixture
def fakes(monkeypatch):
  """Replaces model and judges; what the recogniser hears may be changed."""
  ear = types.SimpleNamespace(transcribe=lambda wav: "sentence")
  judges = Judges(lambda wav: ear.transcribe(wav), embed_voice, np.max)
  codec = types.SimpleNamespace(reconstruct=lambda wav: 0.8 * wav)
  monkeypatch.setattr(
    clips, "f0_hz", lambda wav, spec: wav[:: spec.hop_samples] * 200.0 + 100.0
  )
  monkeypatch.setattr(
    robustness.narrate,
    "narrate",
    lambda voice, text: FakeSynthesizer(None).speak(
      [Utterance(Frontend().ids(text), voice)]
    )[0],
  )
  monkeypatch.setattr(zero_shot.judges, "check", lambda *_: None)
  monkeypatch.setattr(zero_shot.Judges, "load", lambda *_: judges)
  monkeypatch.setattr(systems.SpeechCodec, "of", lambda _: codec)
  for module in (systems, robustness):
    monkeypatch.setattr(module, "Synthesizer", FakeSynthesizer)
  monkeypatch.setattr(
    robustness.judges, "load_recogniser", lambda *_: judges.transcribe
  )
  return ear


def count_words(said, heard, *, digits_apart=False):
  """Right as long as no word is heard that was not said."""
  said, heard = said.split(), heard.split()
  return WordErrors(len(said), 0, len(said) - len(heard), 0)


def test_systems_are_judged_side_by_side(tmp_path, fakes, monkeypatch):
  monkeypatch.setattr(words, "compare", count_words)
  # The recordings alone have these many samples.
  whole = SPEC.num_samples(DURATIONS.sum())
  fakes.transcribe = lambda wav: "a b" if len(wav) == whole else "a"
  records = [make_record(s, i) for i in range(3) for s in LEVELS]
  section = zero_shot.evaluate(make_context(tmp_path, records))
  got = section.comparison
  assert section.summary["clips"] == 4 and section.summary["speakers"] == 2
  assert section.summary["rtf"] > 0.0
  assert all(list(values) == list(systems.NAMES) for values in got.values())
  wanted = {
    "wer_percent": (0.0, 0.0, 50.0),
    "similarity_to_prompt": (
      1.0,
      np.mean([np.cos(0.2 * np.pi * level) for level in LEVELS.values()]),
      1.0,
    ),
    "similarity_to_recording": (
      math.nan,
      np.mean([np.cos(0.2 * np.pi * level) for level in LEVELS.values()]),
      1.0,
    ),
    "nearest_to_prompt": (1.0, 1.0, 1.0),
    "dnsmos": (0.3, 0.24, 0.3),
    # The prompt is the first 240 of the speech's 280 frames: 80 and 120.
    "duration_mean_from_prompt": (20 / 3, 20 / 3, 14 / 3),
    "pitch_rmse_hz": (math.nan, 0.2 * 0.3 * 200.0, 0.0),
    "pitch_mean_from_prompt": (0.0, 0.2 * 0.3 * 200.0, 0.0),
    "duration_rmse_frames": (math.nan, 0.0, 2.0),
    "duration_correlation": (math.nan, 1.0, 1.0),
  }
  for quantity, values in wanted.items():
    np.testing.assert_allclose(
      list(got[quantity].values()), values, rtol=1e-3, atol=1e-3
    )
  assert len(section.rows) == len(section.details) == 4 * 3
  for row in section.rows:
    for name in ("prompt", "speech"):
      assert (tmp_path / row[name]).is_file()
  assert all((tmp_path / picture).is_file() for picture in section.pictures)
  assert "of which the model hears 2 s" in section.explanation
  assert "{" not in section.explanation


def test_phonemes_may_lie_where_an_aligner_hears_them(
  tmp_path, fakes, monkeypatch
):
  monkeypatch.setattr(words, "compare", count_words)
  # Half of it is a pause, and the three phones are of one length.
  shares = np.array([0.5, 1 / 6, 1 / 6, 1 / 6, 0.0])

  def align(phonemes, waves):
    frames = SPEC.num_frames(len(waves[0]))
    ends = np.round(np.cumsum(shares) * frames).astype(np.int32)
    return [np.diff(ends, prepend=0)]

  monkeypatch.setattr(
    systems.SpeechAligner,
    "load",
    lambda _: types.SimpleNamespace(align=align),
  )
  monkeypatch.setattr(FakeSynthesizer, "encode_prompt", lambda self, wav: wav)
  records = [make_record(s, i) for i in range(2) for s in LEVELS]
  context = make_context(tmp_path, records)
  context.weights.config.eval.aligner = "shipped"
  section = zero_shot.evaluate(context)
  rmse = section.comparison["duration_rmse_frames"]
  # 340 frames against 350: 57 or 56 against 58 or 59 a phone.
  assert rmse["codec"] == 0.0 and rmse["synthesised"] == pytest.approx(
    1.6, abs=0.4
  )
  assert "where the aligner shipped hears them" in section.explanation
  wrong = types.SimpleNamespace(align=lambda *_: [DURATIONS + 1])
  monkeypatch.setattr(systems.SpeechAligner, "load", lambda _: wrong)
  with pytest.raises(UserError, match="another rate or hop"):
    zero_shot.evaluate(context)


def test_what_is_nobodys_voice_is_nearest_to_nobody():
  records = [make_record(s, i) for i in range(2) for s in LEVELS]
  speakers = voices.Voices(records, embed_voice)
  voice = embed_voice(np.full(9, 0.2))
  assert speakers.is_nearest(voice, "a", "a0") == 1.0
  assert speakers.is_nearest(voice, "b", "b0") == 0.0
  assert math.isnan(speakers.is_nearest(voice * math.nan, "a", "a0"))
  alone = voices.Voices(records[::2], embed_voice)
  assert math.isnan(alone.is_nearest(voice, "a", "a0"))


def test_prompts_are_other_sentences_long_enough():
  records = [
    make_record("a", 0),
    make_record("a", 1, scale=0.5),
    make_record("a", 2),
    make_record("a", 3, scale=0.6),
    make_record("b", 0),
  ]
  same_text = make_record("a", 0) | {"id": "again"}
  pairs = trials.choose([*records, same_text], 3.0, 9, SPEC)
  chosen = {target["id"]: other["id"] for target, other in pairs}
  assert chosen == {
    "a0": "a2",
    "a1": "a2",
    "a2": "again",
    "a3": "again",
    "again": "a2",
  }
  # Where nothing is long enough, the longest.
  pairs = trials.choose([records[1], records[3], records[0]], 9.0, 9, SPEC)
  assert [other["id"] for _, other in pairs] == ["a0", "a0", "a3"]
  assert len(trials.choose(records, 3.0, 2, SPEC)) == 2
  with pytest.raises(UserError, match="no test speaker has two"):
    trials.choose(records[-1:], 3.0, 2, SPEC)


def test_a_prompt_is_cut_with_its_phonemes():
  record = make_record("a", 0)
  prompt = trials.cut_prompt(record, 2.0, SPEC)  # 160 frames from "k" on
  assert symbols.from_ids(prompt.phonemes) == ["k"]
  assert len(prompt.wav) == SPEC.num_samples(160) and len(prompt.f0_hz) == 160
  whole = trials.cut_prompt(record, 60.0, SPEC)
  assert symbols.from_ids(whole.phonemes) == ["k", "ˈæ", "t"]
  assert len(whole.f0_hz) == whole.durations.sum() == 280


def test_fifty_sentences_that_can_be_spoken():
  texts = robustness.sentences()
  assert len(set(texts)) == 50
  assert all(text == text.strip() and text for text in texts)


def test_hard_sentences_are_counted_for_both_systems(
  tmp_path, fakes, monkeypatch
):
  monkeypatch.setattr(words, "compare", count_words)
  monkeypatch.setattr(robustness, "sentences", lambda: ["a b", "b c d", "e f"])
  fakes.transcribe = lambda wav: "a b"
  records = [make_record(s, i) for i in range(2) for s in LEVELS]
  section = robustness.evaluate(make_context(tmp_path, records))
  assert section.summary == {"sentences": 3}
  assert section.comparison["skips"] == {"synthesised": 1, "espeak-ng": 1}
  rates = section.comparison["error_rate_percent"]
  assert rates == pytest.approx({"synthesised": 100 / 3, "espeak-ng": 100 / 3})
  assert section.comparison["sentences_with_an_error"]["synthesised"] == 1
  assert len(section.rows) == 6
  for row in section.rows:
    assert pathlib.Path(tmp_path, row["speech"]).stat().st_size > 10_000
