# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from data_pipelines.features import durations


def test_rounds_boundaries_not_lengths():
  starts = np.arange(10) * 1.4
  result = durations.from_starts(starts, np.zeros(10, bool), 14)
  assert result.dtype == np.int32 and result.sum() == 14
  np.testing.assert_array_equal(np.cumsum(result)[:-1], np.rint(starts[1:]))


def test_random_times_keep_sum_and_minimum():
  rng = np.random.default_rng(0)
  for _ in range(200):
    count = int(rng.integers(1, 20))
    num_frames = int(rng.integers(count, 60))
    starts = np.sort(rng.uniform(0, num_frames, count))
    is_pause = rng.random(count) < 0.3
    result = durations.from_starts(starts, is_pause, num_frames)
    assert result.sum() == num_frames
    assert (result >= np.where(is_pause, 0, 1)).all()


def test_short_phone_takes_a_frame_and_pause_may_vanish():
  phones = np.array([False, False, False])
  pauses = np.array([False, True, False])
  starts = np.array([0.0, 3.1, 3.2])
  np.testing.assert_array_equal(
    durations.from_starts(starts, phones, 6), [3, 1, 2]
  )
  np.testing.assert_array_equal(
    durations.from_starts(starts, pauses, 6), [3, 0, 3]
  )


def test_crowd_at_the_end_is_pushed_back():
  starts = np.array([0.0, 4.9, 4.95, 5.0])
  result = durations.from_starts(starts, np.zeros(4, bool), 5)
  np.testing.assert_array_equal(result, [2, 1, 1, 1])


def test_too_many_phones_raise():
  with pytest.raises(ValueError, match="do not fit"):
    durations.from_starts(np.zeros(3), np.zeros(3, bool), 2)
