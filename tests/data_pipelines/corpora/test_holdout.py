# SPDX-License-Identifier: Apache-2.0
import collections

import pytest

from data_pipelines.corpora import holdout
from data_pipelines.corpora.listing import Clip
from ns_jax.errors import UserError


def _clips(speakers, each, subset=""):
  return [
    Clip(f"{s}_{i}", f"s{s}", "text", f"/{s}_{i}.wav", subset=subset)
    for s in range(speakers)
    for i in range(each)
  ]


def _split(clips, **options):
  split = {
    clip.id: split for split, clip in holdout.assign(lambda: clips, **options)
  }
  assert len(split) == len(clips)
  return split


def test_many_speakers_are_held_out_whole():
  clips = _clips(40, 3)
  split = _split(clips)
  by_speaker = collections.defaultdict(set)
  for clip in clips:
    by_speaker[clip.speaker].add(split[clip.id])
  assert all(len(found) == 1 for found in by_speaker.values())
  counts = collections.Counter(next(iter(f)) for f in by_speaker.values())
  assert counts == {"train": 36, "valid": 2, "test": 2}
  assert _split(clips[::-1]) == split  # the order is of no account


def test_single_clips_of_few_speakers():
  counts = collections.Counter(_split(_clips(2, 50)).values())
  assert counts == {"train": 90, "valid": 5, "test": 5}
  counts = collections.Counter(_split(_clips(1, 3)).values())
  assert counts == {"train": 1, "valid": 1, "test": 1}
  assert set(_split(_clips(1, 2)).values()) == {"train"}


def test_parts_of_the_corpus_are_kept_and_missing_ones_taken():
  clips = [
    *_clips(30, 2, "train-clean-100"),
    *[c for c in _clips(40, 2, "dev-clean") if int(c.speaker[1:]) >= 30],
  ]
  split = _split(clips)
  for clip in clips:
    if clip.subset == "dev-clean":
      assert split[clip.id] == "valid"
    else:
      assert split[clip.id] in ("train", "test")
  assert collections.Counter(split.values())["test"] == 4


def test_named_speakers():
  split = _split(
    _clips(30, 2), valid_speakers=("s3",), test_speakers=("s4", "s5")
  )
  assert collections.Counter(split.values()) == {
    "train": 54,
    "valid": 2,
    "test": 4,
  }
  assert split["3_0"] == "valid" and split["5_1"] == "test"
  with pytest.raises(UserError, match="no speaker 's99'"):
    _split(_clips(3, 2), test_speakers=("s99",))


def test_evaluation_sets():
  clips = _clips(40, 30, "test-clean") + _clips(3, 5, "train-clean-100")
  found = list(holdout.evaluation_set(lambda: clips, "librispeech-test-clean"))
  assert len(found) == 600 and {split for split, _ in found} == {"test"}
  speakers = collections.Counter(clip.speaker for _, clip in found)
  assert set(speakers.values()) == {15} and len(speakers) == 40
  with pytest.raises(UserError, match="no evaluation set 'x'"):
    list(holdout.evaluation_set(lambda: clips, "x"))
