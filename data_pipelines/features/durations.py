# SPDX-License-Identifier: Apache-2.0
"""Durations in whole frames from exact start times."""

import numpy as np


def from_starts(
  starts_frames: np.ndarray, is_pause: np.ndarray, num_frames: int
) -> np.ndarray:
  """Rounds boundaries, not lengths, so errors never add up.

  A phone gets at least one frame, taken from its neighbours where the times
  leave it less; a pause may get none.

  Args:
    starts_frames: [N] float, ascending, where each symbol begins; the first
      counts as 0.
    is_pause: [N] bool.
    num_frames: T, at least the number of phones.

  Returns:
    [N] int32, sum T.
  """
  shortest = np.where(is_pause, 0, 1)
  if shortest.sum() > num_frames:
    raise ValueError(f"{shortest.sum()} phones do not fit {num_frames} frames")
  bounds = np.rint(np.append(starts_frames, num_frames)).astype(np.int32)
  bounds[0] = 0
  for i in range(len(shortest)):
    bounds[i + 1] = max(bounds[i + 1], bounds[i] + shortest[i])
  bounds[-1] = num_frames
  for i in reversed(range(len(shortest))):
    bounds[i] = min(bounds[i], bounds[i + 1] - shortest[i])
  return np.diff(bounds)
