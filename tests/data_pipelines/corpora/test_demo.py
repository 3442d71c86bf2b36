# SPDX-License-Identifier: Apache-2.0
import hashlib

import numpy as np
import pytest

from data_pipelines.corpora import demo, demo_voices
from ns_jax.errors import UserError
from ns_jax.text import espeak, symbols


@pytest.fixture(scope="module")
def tiny(spec):
  return {split: _speak(spec, split) for split in ("train", "valid", "test")}


def _speak(spec, wanted):
  corpus = demo.DemoCorpus("tiny", spec)
  items = [item for split, item in corpus.plan([]) if split == wanted]
  return list(corpus.records(items, []))


def _digest(record):
  parts = [
    value.encode() if isinstance(value, str) else value.tobytes()
    for value in record.values()
  ]
  return hashlib.sha256(b"|".join(parts)).hexdigest()


def test_same_bytes_twice(tiny, spec):
  again = _speak(spec, "train")
  assert [_digest(r) for r in again] == [_digest(r) for r in tiny["train"]]


def test_splits_share_no_speaker_no_timbre_and_no_sentence():
  tables = [demo_voices.TRAIN, demo_voices.VALID, demo_voices.TEST]
  names = [name for table in tables for name in table]
  assert len(set(names)) == len(names) == 52
  variants = [{voice.variant for voice in t.values()} for t in tables]
  assert not variants[0] & (variants[1] | variants[2])
  assert not variants[1] & variants[2]
  lines = [set(demo.sentences(s)) for s in ("train", "valid", "test")]
  assert sum(map(len, lines)) == len(set.union(*lines)) == 808
  assert all(4 <= len(line.split()) <= 9 for part in lines for line in part)


def test_one_voice_reads_all_sentences():
  texts = demo.SIZES["one_voice"].texts
  assert texts == {split: len(demo.sentences(split)) for split in texts}


def test_held_out_settings_lie_within_training():
  for table in (demo_voices.VALID, demo_voices.TEST):
    for field in ("rate_wpm", "pitch", "pitch_range"):
      trained = [getattr(v, field) for v in demo_voices.TRAIN.values()]
      held_out = [getattr(v, field) for v in table.values()]
      assert min(trained) <= min(held_out) <= max(held_out) <= max(trained)


def test_records_are_consistent(tiny, spec):
  corpus = demo.DemoCorpus("tiny", spec)
  records = sum(tiny.values(), [])
  assert len({r["id"] for r in records}) == sum(corpus.split_sizes.values())
  for record in records:
    assert tuple(record) == corpus.features
    num_frames = spec.num_frames(len(record["wav"]))
    assert record["f0"].shape == (num_frames,)
    assert record["durations"].sum() == num_frames
    is_pause = symbols.is_pause(record["phonemes"])
    assert (record["durations"][~is_pause] >= 1).all()
    assert is_pause[0] and is_pause[-1]
    assert len(record["wav"]) <= 3.5 * spec.sample_rate_hz
    assert np.abs(record["wav"].astype(int)).max() < 32_000


def test_boundaries_are_the_synthesisers(spec):
  voice = demo_voices.TEST["high_25"]
  text = "The old harbor was quiet, before sunrise."
  record = demo.speak(espeak.Engine(), "id", "high_25", voice, text, spec)
  speech = espeak.Engine().synthesize(text, voice)
  starts_sec = np.array(speech.starts_samples) / espeak.SAMPLE_RATE_HZ
  bounds = np.cumsum(record["durations"])[:-1] - 2  # frames of lead
  np.testing.assert_allclose(
    bounds, starts_sec[1:] * spec.frame_rate_hz, atol=1.0
  )


def test_fricatives_are_unvoiced_and_vowels_voiced(tiny):
  voiced = {"s": [], "ˈiː": []}
  for record in tiny["train"]:
    names = symbols.from_ids(record["phonemes"])
    ends = np.cumsum(record["durations"])
    for name, length, end in zip(names, record["durations"], ends, strict=True):
      if name in voiced:
        voiced[name].append(np.mean(record["f0"][end - length : end] > 0))
  assert np.mean(voiced["s"]) < 0.25
  assert np.mean(voiced["ˈiː"]) > 0.7


def test_voices_span_low_to_high(tiny):
  medians = {}
  for record in sum(tiny.values(), []):
    voiced = record["f0"][record["f0"] > 0]
    medians.setdefault(record["speaker"], []).append(np.median(voiced))
  low = [np.median(v) for k, v in medians.items() if k.startswith("low")]
  high = [np.median(v) for k, v in medians.items() if k.startswith("high")]
  assert len(low) >= 3 and len(high) >= 3
  assert 70 < min(low) and max(low) < 160 < min(high) and max(high) < 270


def test_unknown_size(spec):
  with pytest.raises(UserError, match="huge"):
    demo.DemoCorpus("huge", spec)
