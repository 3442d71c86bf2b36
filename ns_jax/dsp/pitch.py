# SPDX-License-Identifier: Apache-2.0
"""Pitch on the codec's frames: f0 by PyWorld (NS2, Sec. 4), and its phase."""

import warnings

import numpy as np

from ns_jax.audio import AudioSpec

with warnings.catch_warnings():
  # pyworld looks up its own version through a deprecated setuptools module.
  warnings.simplefilter("ignore")
  import pyworld  # compiled, without types

FLOOR_HZ = 60.0
CEIL_HZ = 500.0
CEIL_SUNG_HZ = 1100.0
_PHASE_WINDOW_SEC = 0.04  # keeps harmonics apart from 60 Hz on
_DECIMATION = 4  # DIO's coarse search at 4 kHz: a quarter of the work


def f0(
  wav: np.ndarray, spec: AudioSpec, method: str, ceil_hz: float = CEIL_HZ
) -> np.ndarray:
  """Pitch at the centre of each frame.

  Args:
    wav: [S] float, in [-1, 1].
    spec: gives rate and hop.
    method: "harvest", or "dio" refined by StoneMask: some 90 times faster, good
      enough for clean voices, but it follows mains hum rather than a voice.
    ceil_hz: highest pitch; CEIL_SUNG_HZ for singers.

  Returns:
    [T] float32, Hz, 0 where unvoiced; T = ceil(S / hop).
  """
  num_frames = spec.num_frames(len(wav))
  padded = np.zeros(spec.num_samples(num_frames), np.float64)
  padded[: len(wav)] = wav
  # PyWorld measures at multiples of the period; frame i's centre is at i + 1/2.
  centred = padded[spec.hop_samples // 2 :]
  estimate = {"dio": _dio, "harvest": _harvest}[method]
  f0_hz = estimate(centred, spec, ceil_hz)[:num_frames]
  is_voiced = (f0_hz >= FLOOR_HZ) & (f0_hz <= ceil_hz)
  return np.where(is_voiced, f0_hz, 0.0).astype(np.float32)


def f0_phase(wav: np.ndarray, f0_hz: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """Where in its period the fundamental is at the centre of each frame.

  Args:
    wav: [S] float, in [-1, 1].
    f0_hz: [T] float32, from `f0`.
    spec: gives rate and hop.

  Returns:
    [T] float32, radians in [-pi, pi], 0 at a crest; 0 where unvoiced.
  """
  is_voiced = f0_hz > 0.0
  if not is_voiced.any():
    return np.zeros(len(f0_hz), np.float32)
  half = round(0.5 * _PHASE_WINDOW_SEC * spec.sample_rate_hz)
  centres = spec.hop_samples * np.arange(len(f0_hz)) + spec.hop_samples // 2
  padded = np.pad(wav, (half, spec.num_samples(len(f0_hz)) - len(wav) + half))
  # What turns at the pitch stands still after multiplication by the carrier.
  samples = np.arange(len(padded)) - half
  sample_hz = np.interp(samples, centres[is_voiced], f0_hz[is_voiced])
  carrier = 2.0 * np.pi / spec.sample_rate_hz * np.cumsum(sample_hz)
  still = padded * np.exp(-1j * carrier)
  windows = np.lib.stride_tricks.sliding_window_view(still, 2 * half + 1)
  mean = windows[centres] @ np.hanning(2 * half + 1)
  phase = np.angle(mean * np.exp(1j * carrier[centres + half]))
  return np.where(is_voiced, phase, 0.0).astype(np.float32)


def _dio(wav: np.ndarray, spec: AudioSpec, ceil_hz: float) -> np.ndarray:
  f0_hz, times_sec = pyworld.dio(  # pyright: ignore[reportAttributeAccessIssue]
    wav,
    spec.sample_rate_hz,
    f0_floor=FLOOR_HZ,
    f0_ceil=ceil_hz,
    frame_period=spec.frame_period_ms,
    speed=_DECIMATION,
  )
  return pyworld.stonemask(  # pyright: ignore[reportAttributeAccessIssue]
    wav, f0_hz, times_sec, spec.sample_rate_hz
  )


def _harvest(wav: np.ndarray, spec: AudioSpec, ceil_hz: float) -> np.ndarray:
  f0_hz, _ = pyworld.harvest(  # pyright: ignore[reportAttributeAccessIssue]
    wav,
    spec.sample_rate_hz,
    f0_floor=FLOOR_HZ,
    f0_ceil=ceil_hz,
    frame_period=spec.frame_period_ms,
  )
  return f0_hz
