# SPDX-License-Identifier: Apache-2.0
"""Prosody of an utterance in a few numbers (NaturalSpeech 2, Sec. 4.2).

Pitch and duration are taken per phoneme; how alike two utterances are is how
close the moments of these sequences are. NumPy only.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Moments:
  """Moments of a sequence, in its own unit; the last two have none."""

  mean: float
  std: float  # of the population, not of a sample
  skew: float
  kurtosis: float  # Fisher's: 0 for a normal distribution


def moments(values: np.ndarray) -> Moments:
  """Moments of [N] numbers; NaN where they do not exist (N = 0, no spread)."""
  values = np.asarray(values, np.float64)
  if values.size == 0:
    return Moments(*[float("nan")] * 4)
  centred = values - values.mean()
  std = np.sqrt(np.mean(centred**2))
  unit = centred / std if std > 0 else np.full_like(centred, np.nan)
  return Moments(
    mean=float(values.mean()),
    std=float(std),
    skew=float(np.mean(unit**3)),
    kurtosis=float(np.mean(unit**4) - 3.0),
  )


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
