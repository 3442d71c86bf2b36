# SPDX-License-Identifier: Apache-2.0
"""Mel spectrograms of linear magnitudes (not power)."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.array_types import Array
from ns_jax.audio import AudioSpec
from ns_jax.dsp import stft

LOG_FLOOR = 1e-5
_PAD_FRAMES = 160  # clips are padded to multiples, so few shapes are compiled
DB_PER_NEPER = 20.0 / math.log(10.0)  # a log-mel is in nepers
# Slaney's scale: linear below 1 kHz, logarithmic above.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def _hz_to_mel(hz: float) -> float:
  if hz < _BREAK_HZ:
    return hz / _HZ_PER_MEL
  return _BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
  log_part = _BREAK_HZ * np.exp(_LOG_STEP * (mel - _BREAK_MEL))
  return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, log_part)


@functools.lru_cache(maxsize=32)
def filterbank(sample_rate_hz: int, fft_size: int, num_mels: int) -> np.ndarray:
  """Triangular filters of unit area on Slaney's mel scale, 0 to Nyquist.

  Args:
    sample_rate_hz: of the signal.
    fft_size: length of the Fourier transform.
    num_mels: number of filters.

  Returns:
    [fft_size / 2 + 1, num_mels] float32.
  """
  nyquist_hz = sample_rate_hz / 2
  edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(nyquist_hz), num_mels + 2))
  bins_hz = np.linspace(0.0, nyquist_hz, fft_size // 2 + 1)[:, None]
  low, centre, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
  rising = (bins_hz - low) / (centre - low)
  falling = (high - bins_hz) / (high - centre)
  triangles = np.maximum(0.0, np.minimum(rising, falling))
  return (triangles * 2.0 / (high - low)).astype(np.float32)


def mel_spectrogram(
  wav: Array,
  *,
  sample_rate_hz: int,
  window_samples: int,
  hop_samples: int,
  fft_size: int,
  num_mels: int,
) -> Array:
  """Mel-weighted magnitudes.

  Args:
    wav: [B, S] float.
    sample_rate_hz: of the signal.
    window_samples: length of the Hann window.
    hop_samples: distance between frames.
    fft_size: length of the transform, at least `window_samples`.
    num_mels: number of filters.

  Returns:
    [B, M, num_mels], M = ceil(S / hop_samples), not negative.
  """
  spectrum = stft.stft(
    wav,
    window_samples=window_samples,
    hop_samples=hop_samples,
    fft_size=fft_size,
  )
  filters = filterbank(sample_rate_hz, fft_size, num_mels)
  return stft.magnitude(spectrum) @ filters.astype(wav.dtype)


def log_mel(wav: Array, spec: AudioSpec) -> Array:
  """Log-mel spectrogram in step with the codec's frames.

  Args:
    wav: [B, S] float32, in [-1, 1].
    spec: gives rate, hop and number of filters.

  Returns:
    [B, T, spec.num_mels] float32, natural logarithm.
  """
  window_samples = 4 * spec.hop_samples
  mels = mel_spectrogram(
    wav.astype(jnp.float32),
    sample_rate_hz=spec.sample_rate_hz,
    window_samples=window_samples,
    hop_samples=spec.hop_samples,
    fft_size=1 << (window_samples - 1).bit_length(),
    num_mels=spec.num_mels,
  )
  return jnp.log(mels + LOG_FLOOR)


_log_mel = jax.jit(log_mel, static_argnums=1)


def clip_log_mel(wav: np.ndarray, spec: AudioSpec) -> np.ndarray:
  """Log-mel spectrogram of one wave, to look at or to compare.

  Args:
    wav: [S] float32, in [-1, 1].
    spec: gives rate, hop and number of bands.

  Returns:
    [T, M] float32, natural logarithm, T = ceil(S / hop).
  """
  block = spec.num_samples(_PAD_FRAMES)
  padded = np.pad(wav, (0, -len(wav) % block))
  frames = spec.num_frames(len(wav))
  return np.asarray(_log_mel(padded[None, :], spec))[0, :frames]
