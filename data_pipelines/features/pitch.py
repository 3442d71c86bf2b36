# SPDX-License-Identifier: Apache-2.0
"""Fundamental frequency by PyWorld, on the codec's frames (NS2, Sec. 4)."""

import warnings

import numpy as np

from ns_jax.audio import AudioSpec

with warnings.catch_warnings():
  # pyworld looks up its own version through a deprecated setuptools module.
  warnings.simplefilter("ignore")
  import pyworld  # compiled, without types

FLOOR_HZ = 60.0
CEIL_HZ = 500.0
_DECIMATION = 4  # DIO's coarse search at 4 kHz: a quarter of the work


def f0(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """DIO refined by StoneMask, measured at the centre of each frame.

  Args:
    wav: [S] float, in [-1, 1].
    spec: gives rate and hop.

  Returns:
    [T] float32, Hz, 0 where unvoiced; T = ceil(S / hop).
  """
  num_frames = spec.num_frames(len(wav))
  padded = np.zeros(spec.num_samples(num_frames), np.float64)
  padded[: len(wav)] = wav
  # PyWorld measures at multiples of the period; frame i's centre is at i + 1/2.
  centred = padded[spec.hop_samples // 2 :]
  f0_hz, times_sec = pyworld.dio(  # pyright: ignore[reportAttributeAccessIssue]
    centred,
    spec.sample_rate_hz,
    f0_floor=FLOOR_HZ,
    f0_ceil=CEIL_HZ,
    frame_period=spec.frame_period_ms,
    speed=_DECIMATION,
  )
  f0_hz = pyworld.stonemask(  # pyright: ignore[reportAttributeAccessIssue]
    centred, f0_hz, times_sec, spec.sample_rate_hz
  )
  is_voiced = (f0_hz >= FLOOR_HZ) & (f0_hz <= CEIL_HZ)
  return np.where(is_voiced, f0_hz, 0.0)[:num_frames].astype(np.float32)
