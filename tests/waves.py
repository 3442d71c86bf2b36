# SPDX-License-Identifier: Apache-2.0
"""Waves that are something like speech."""

import functools

import numpy as np
import scipy.signal

RATE_HZ = 16_000
# Of the four formants, lowest and highest.
_FORMANTS_HZ = ([300, 900, 2300, 3300], [800, 2200, 3200, 4500])


@functools.cache
def syllables(seconds=6.0, seed=0):
  """[S] float32: pulses and noise through formants that change."""
  rng = np.random.default_rng(seed)
  parts = []
  while sum(map(len, parts)) < seconds * RATE_HZ:
    size = int(rng.uniform(0.08, 0.3) * RATE_HZ)
    glide = np.linspace(1.0, rng.uniform(0.8, 1.2), size)
    turns = np.cumsum(rng.uniform(90, 220) * glide) / RATE_HZ
    sound = np.diff(np.floor(turns), prepend=0.0)
    sound += rng.uniform(0.02, 0.2) * rng.normal(size=size)
    for formant_hz in rng.uniform(*_FORMANTS_HZ):
      real = 0.97 * np.cos(2.0 * np.pi * formant_hz / RATE_HZ)
      sound = scipy.signal.lfilter([1], [1, -2.0 * real, 0.97**2], sound)
    parts.append(np.hanning(size) * sound / np.abs(sound).max())
    parts.append(np.zeros(int(rng.uniform(0.0, 0.08) * RATE_HZ)))
  wav = np.concatenate(parts)[: int(seconds * RATE_HZ)]
  wav += 1e-4 * rng.normal(size=len(wav))
  return (0.3 * wav).astype(np.float32)
