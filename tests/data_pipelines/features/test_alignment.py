# SPDX-License-Identifier: Apache-2.0
import shutil

import numpy as np
import pytest

from data_pipelines import records
from data_pipelines.features import alignment
from ns_jax.text import pauses, symbols


@pytest.fixture
def bare(records_dir, tmp_path):
  """A copy of the records, to be given a layer."""
  return shutil.copytree(records_dir, tmp_path / "bare")


def _evenly(phonemes, waves):
  """An aligner that gives every phoneme of a batch as much."""
  assert len(phonemes) == len(waves) == 5
  found = []
  for ids, wav in zip(phonemes, waves, strict=True):
    num_frames = -(-len(wav) // 200)
    bounds = np.linspace(0, num_frames, len(ids) + 1).astype(int)
    found.append(np.diff(bounds))
  return found


def test_durations_fill_the_clip_and_pauses_are_settled(bare):
  before = list(records.Records(bare, "train"))
  alignment.add_durations(bare, _evenly, "even", batch_size=5)
  after = list(records.Records(bare, "train"))
  for old, new in zip(before, after, strict=True):
    assert new["durations"].sum() == len(new["f0"])
    assert len(new["durations"]) == len(new["phonemes"])
    assert len(new["word_starts"]) == len(new["phonemes"])
    spoken = ~symbols.is_pause(new["phonemes"])
    told = ~symbols.is_pause(old["phonemes"])
    np.testing.assert_array_equal(
      new["phonemes"][spoken], old["phonemes"][told]
    )
    assert (new["durations"] >= 0).all()
    np.testing.assert_array_equal(new["wav"], old["wav"])


def test_a_pause_before_a_word_has_one_place():
  ids = symbols.to_ids(["_", "k", "æ", "t", ",", "s", "_", "æ"])
  starts = np.array([0, 1, 0, 0, 0, 1, 0, 1], np.uint8)
  offered = pauses.offer(ids, starts)
  np.testing.assert_array_equal(offered.phonemes, ids)  # all have one already
  starts[2] = 1
  offered = pauses.offer(ids, starts)
  assert symbols.from_ids(offered.phonemes)[:4] == ["_", "k", "_", "æ"]
