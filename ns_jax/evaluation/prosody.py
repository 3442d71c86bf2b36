# SPDX-License-Identifier: Apache-2.0
"""Prosody of an utterance in a few numbers (NaturalSpeech 2, Sec. 4.2).

Pitch and duration are taken per phoneme; how alike two utterances are is how
close the moments of these sequences are.
"""

from typing import NamedTuple

import numpy as np
import scipy.stats

from ns_jax.text import symbols

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
  of_each = _f0_hz_of_each(f0_hz, durations)
  return of_each[~np.isnan(of_each)]


def _f0_hz_of_each(f0_hz: np.ndarray, durations: np.ndarray) -> np.ndarray:
  """Like `phoneme_f0_hz`, [N]: NaN where a phoneme has no voiced frame."""
  ends = np.cumsum(durations)
  means = np.full(len(durations), np.nan)
  for i, (start, end) in enumerate(zip(ends - durations, ends, strict=True)):
    voiced = f0_hz[start:end][f0_hz[start:end] > 0]
    if voiced.size:
      means[i] = voiced.mean(dtype=np.float64)
  return means


def of_speech(
  phonemes: np.ndarray, f0_hz: np.ndarray, durations: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Leaves out the pauses of an utterance.

  Args:
    phonemes: [N] int32 ids.
    f0_hz: [T] float, Hz, 0 where unvoiced.
    durations: [N] integers, frames.

  Returns:
    Pitch [T'] and durations [N'] of what is spoken.
  """
  is_spoken = ~symbols.is_pause(phonemes)
  frames = np.repeat(is_spoken, durations)
  return f0_hz[: len(frames)][frames[: len(f0_hz)]], durations[is_spoken]


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


def agreement(
  spoken: tuple[np.ndarray, np.ndarray],
  reference: tuple[np.ndarray, np.ndarray],
) -> dict[str, float]:
  """How alike two utterances of the same words are, phoneme by phoneme.

  Args:
    spoken: f0 [T] in Hz, 0 where unvoiced, and durations [N] in frames.
    reference: the same of the other; its N phonemes are the same.

  Returns:
    `pitch_correlation` (Pearson's) and `pitch_rmse_hz` over phonemes voiced in
    both; `duration_correlation` and `duration_rmse_frames` over all. NaN where
    there is nothing to measure.
  """
  pitches = [
    _f0_hz_of_each(f0_hz, frames) for f0_hz, frames in (spoken, reference)
  ]
  in_both = ~np.isnan(pitches[0]) & ~np.isnan(pitches[1])
  pitch, pitch_reference = (values[in_both] for values in pitches)
  durations = [frames.astype(np.float64) for _, frames in (spoken, reference)]
  return {
    "pitch_correlation": _correlation(pitch, pitch_reference),
    "pitch_rmse_hz": _rmse(pitch, pitch_reference),
    "duration_correlation": _correlation(*durations),
    "duration_rmse_frames": _rmse(*durations),
  }


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
  if len(one) < 2 or one.std() == 0.0 or other.std() == 0.0:
    return float("nan")
  return float(np.corrcoef(one, other)[0, 1])


def _rmse(one: np.ndarray, other: np.ndarray) -> float:
  return (
    float(np.sqrt(np.mean((one - other) ** 2))) if len(one) else float("nan")
  )
