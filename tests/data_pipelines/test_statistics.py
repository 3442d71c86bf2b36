# SPDX-License-Identifier: Apache-2.0
import numpy as np

from data_pipelines import records, statistics
from ns_jax.text import symbols


def _record(speaker, ids, durations, f0, clip="c"):
  return {
    "id": clip,
    "speaker": speaker,
    "wav": np.zeros(200 * len(f0), np.int16),
    "f0": np.array(f0, np.float32),
    "phonemes": np.array(ids, np.int32),
    "durations": np.array(durations, np.int32),
  }


def test_counts_are_those_of_the_records(records_dir, spec):
  counted = statistics.collect(records_dir, spec)
  total = 0
  for split in ("train", "valid", "test"):
    stored = list(records.Records(records_dir, split))
    total += len(stored)
    seconds = sum(len(r["wav"]) for r in stored) / 16_000
    np.testing.assert_allclose(counted.hours(split), seconds / 3600)
    voices = counted.voices[split]
    assert set(voices) == {r["speaker"] for r in stored}
    ids = np.concatenate([r["phonemes"] for r in stored])
    np.testing.assert_array_equal(
      counted.phoneme_counts[split],
      np.bincount(ids, minlength=symbols.VOCABULARY_SIZE),
    )
    for name, voice in voices.items():
      f0 = np.concatenate([r["f0"] for r in stored if r["speaker"] == name])
      median = np.median(f0[f0 > 0])
      (found,) = voice.f0_percentiles_hz((50.0,))
      assert abs(found / median - 1) < 0.04  # half a bin
  assert counted.seconds_counts.sum() == total
  durations = np.concatenate(
    [
      r["durations"]
      for s in counted.voices
      for r in records.Records(records_dir, s)
    ]
  )
  frames = np.arange(counted.duration_counts.shape[1])
  assert (counted.duration_counts.sum(0) * frames).sum() == durations.sum()


def test_warnings_name_what_is_wrong(spec):
  counted = statistics.Statistics(spec, fields=("durations",))
  long_vowel = _record("ann", [1, 20, 60], [5, 90, 5], [100.0] * 100, "slow")
  counted.add("train", long_vowel)
  counted.add("train", _record("bob", [1, 21], [50, 50], [0.0] * 100))
  counted.add("test", _record("ann", [1, 60], [50, 50], [100.0] * 100))
  text = "\n".join(counted.warnings())
  assert "no record in split 'valid'" in text
  assert "1 held-out speakers are in training, too (ann)" in text
  assert "2 of 2 training speakers have less than 60 s" in text
  assert "1 training speakers have pitch" in text and "(bob)" in text
  assert "phonemes are never trained on" in text
  assert "last longer than" in text and "slow" in text
  assert "durations: NaturalSpeech" not in text


def test_reasons_are_summed_up():
  rejects = [
    {"id": "a", "file": "a.wav", "reason": "has 0.12 s of sound, too short"},
    {"id": "b", "file": "b.wav", "reason": "has 0.40 s of sound, too short"},
    {"id": "c", "file": "", "reason": "is silent"},
  ]
  (first, second) = statistics.top_reasons(iter(rejects))
  assert first[1:] == (2, "a.wav: has 0.12 s of sound, too short")
  assert second == ("is silent", 1, "c: is silent")
