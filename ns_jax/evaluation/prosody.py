# SPDX-License-Identifier: Apache-2.0
"""Prosody of an utterance in a few numbers (NaturalSpeech 2, Sec. 4.2).

Pitch and duration are taken per phoneme; how alike two utterances are is how
close the moments of these sequences are.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats

MOMENTS = ("mean", "std", "skew", "kurtosis")


def moments(values: np.ndarray) -> dict[str, float]:
  """Moments of [N] numbers; NaN where they do not exist (N = 0, no spread).

  Returns:
    mean and std (of the population) in the unit of `values`; skew and
    kurtosis (Fisher's: 0 for a normal distribution) without one.
  """
  values = np.asarray(values, np.float64)
  if values.size == 0:
    return dict.fromkeys(MOMENTS, float("nan"))
  spread = values.std() > 0
  return {
    "mean": float(values.mean()),
    "std": float(values.std()),
    "skew": float(scipy.stats.skew(values)) if spread else float("nan"),
    "kurtosis": float(scipy.stats.kurtosis(values)) if spread else float("nan"),
  }


def phoneme_f0_hz(f0_hz: np.ndarray, durations: np.ndarray) -> np.ndarray:
  """Mean pitch of each phoneme over its voiced frames.

  Args:
    f0_hz: [T] float, Hz, 0 where unvoiced.
    durations: [N] integers, frames, sum at most T.

  Returns:
    [N'] float64, Hz; phonemes without a voiced frame are left out.
  """
  ends = np.cumsum(durations)
  means = []
  for start, end in zip(ends - durations, ends, strict=True):
    voiced = f0_hz[start:end][f0_hz[start:end] > 0]
    if voiced.size:
      means.append(voiced.mean(dtype=np.float64))
  return np.array(means, np.float64)


def difference(
  spoken: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> dict[str, float]:
  """How far the prosody of two utterances is apart, moment by moment.

  Args:
    spoken: f0 [T] in Hz, 0 where unvoiced, and durations [N] in frames.
    other: the same of another utterance; it may say other words.

  Returns:
    Absolute differences `pitch_<moment>` (mean and std in Hz) and
    `duration_<moment>` (mean and std in frames).
  """
  differences = {}
  for quantity, of_both in {
    "pitch": [
      phoneme_f0_hz(f0_hz, frames) for f0_hz, frames in (spoken, other)
    ],
    "duration": [frames for _, frames in (spoken, other)],
  }.items():
    first, second = (moments(values) for values in of_both)
    for name in MOMENTS:
      differences[f"{quantity}_{name}"] = abs(first[name] - second[name])
  return differences


class Tuning(NamedTuple):
  """How well what was sung follows the pitch that was asked for."""

  in_tune: float  # share of the frames voiced in both; NaN if there are none
  voiced: float  # share of the frames planned voiced that are; NaN if none
  median_error_semitones: float  # of the frames voiced in both, unsigned


def tuning(
  measured_f0_hz: np.ndarray,
  planned_f0_hz: np.ndarray,
  *,
  tolerance_semitones: float = 1.0,
) -> Tuning:
  """Compares measured pitch with planned pitch, frame by frame.

  Args:
    measured_f0_hz: [T] float, Hz, 0 where unvoiced; measured up to the highest
      note planned.
    planned_f0_hz: [T'] float, Hz, 0 where unvoiced; T' may differ from T by a
      frame or so, and what is beyond the shorter is left out.
    tolerance_semitones: how far off is still in tune; octaves count.
  """
  length = min(len(measured_f0_hz), len(planned_f0_hz))
  measured = np.asarray(measured_f0_hz[:length], np.float64)
  planned = np.asarray(planned_f0_hz[:length], np.float64)
  both = (measured > 0.0) & (planned > 0.0)
  num_planned = int((planned > 0.0).sum())
  voiced = int(both.sum()) / num_planned if num_planned else float("nan")
  if not both.any():
    return Tuning(float("nan"), voiced, float("nan"))
  errors = 12.0 * np.abs(np.log2(measured[both] / planned[both]))
  return Tuning(
    float((errors <= tolerance_semitones).mean()),
    voiced,
    float(np.median(errors)),
  )
