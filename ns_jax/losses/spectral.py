# SPDX-License-Identifier: Apache-2.0
"""Reconstruction losses on spectra.

`mel_distances` is SoundStream's (Sec. III-E). The others are what later codecs
found: logarithms alone, with fewer filters for shorter windows (DAC, arXiv
2306.06546), and spectra whose magnitudes are compressed as the ear does it,
with and without their phase (Braun and Tashev, arXiv 2009.12286).
"""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from ns_jax.array_types import Array
from ns_jax.dsp import mel, stft

SCALES = (64, 128, 256, 512, 1024, 2048)
LOG_MEL_SCALES = {64: 10, 128: 20, 256: 40, 512: 64, 1024: 80, 2048: 80}
_MAGNITUDE_FLOOR = 1e-4  # of unit-energy windows, below which logs flatten
_COMPRESSION = 0.3
_MIN_FFT_SIZE = 512  # below it, most of 64 mel filters would hold no bin


def mel_distances(
  reference: Array,
  estimate: Array,
  *,
  sample_rate_hz: int,
  scales: tuple[int, ...] = SCALES,
  num_mels: int = 64,
  sum_over_time: bool = False,
  log_floor: float = mel.LOG_FLOOR,
) -> tuple[Array, Array]:
  """Distances of mel spectrograms, summed over window lengths.

  With S^s the spectrogram of window s and hop s / 4: the L1 distance of S^s,
  and sqrt(s / 2) times the L2 distance of log S^s, per frame.

  Args:
    reference: [B, S] float, the original.
    estimate: [B, S] float, the reconstruction.
    sample_rate_hz: of both.
    scales: window lengths in samples.
    num_mels: filters per scale.
    sum_over_time: sum over frames as in the paper, which makes the loss grow
      with the length of the clip; otherwise their mean.
    log_floor: magnitude below which logarithms flatten.

  Returns:
    (L1 part, log part), each [B] float32 (float64 for float64 input).
  """
  reduce = jnp.sum if sum_over_time else jnp.mean
  linear, logarithmic = [], []
  for scale in scales:
    options = dict(
      sample_rate_hz=sample_rate_hz,
      window_samples=scale,
      hop_samples=scale // 4,
      fft_size=max(scale, _MIN_FFT_SIZE),
      num_mels=num_mels,
    )
    real = mel.mel_spectrogram(reference, **options)
    fake = mel.mel_spectrogram(estimate, **options)
    l1 = jnp.sum(jnp.abs(real - fake), axis=-1)
    log_difference = jnp.log(real + log_floor) - jnp.log(fake + log_floor)
    # sqrt has no finite gradient at 0, where both spectrograms agree.
    l2 = jnp.sqrt(jnp.sum(log_difference**2, axis=-1) + 1e-8)
    linear.append(reduce(l1, axis=-1))
    logarithmic.append((scale / 2) ** 0.5 * reduce(l2, axis=-1))
  return jnp.stack(linear).sum(0), jnp.stack(logarithmic).sum(0)


def log_mel_distance(
  reference: Array,
  estimate: Array,
  *,
  sample_rate_hz: int,
  scales: Mapping[int, int],
) -> Array:
  """Mean absolute difference of log-mel spectrograms of several windows.

  Args:
    reference: [B, S] float, the original.
    estimate: [B, S] float, the reconstruction.
    sample_rate_hz: of both.
    scales: window length in samples -> number of mel filters.

  Returns:
    [B] float32, nepers.
  """

  def log_mel(wav: Array, window: int, num_mels: int) -> Array:
    magnitude = stft.magnitude(_spectrum(wav, window))
    filters = mel.filterbank(sample_rate_hz, window, num_mels)
    # Short windows have no bin for some filters.
    filters = filters / np.maximum(filters.sum(axis=0), 1e-8)
    return jnp.log(magnitude @ filters + _MAGNITUDE_FLOOR)

  distances = [
    jnp.abs(
      log_mel(reference, window, num_mels) - log_mel(estimate, window, num_mels)
    ).mean((1, 2))
    for window, num_mels in scales.items()
  ]
  return jnp.stack(distances).mean(axis=0)


def compressed_distances(
  reference: Array, estimate: Array, *, windows: tuple[int, ...]
) -> tuple[Array, Array]:
  """Squared distances of spectra whose magnitudes are to the power 0.3.

  So loud and weak sounds count about as they are heard. Relative to the energy
  of the original's: 0 where both agree, 1 where the estimate is silent.

  Args:
    reference: [B, S] float, the original.
    estimate: [B, S] float, the reconstruction.
    windows: window lengths in samples; hops are a quarter of them.

  Returns:
    (of magnitudes, of complex spectra), each [B] float32, mean over windows.
  """
  magnitudes, complexes = [], []
  for window in windows:
    real, fake = _spectrum(reference, window), _spectrum(estimate, window)
    real_power, fake_power = (
      s.real**2 + s.imag**2 + _MAGNITUDE_FLOOR**2 for s in (real, fake)
    )
    energy = jnp.mean(real_power**_COMPRESSION, axis=(1, 2))
    energy = jnp.maximum(energy, 1e-3)
    difference = real_power ** (_COMPRESSION / 2) - fake_power ** (
      _COMPRESSION / 2
    )
    magnitudes.append(jnp.mean(difference**2, axis=(1, 2)) / energy)
    gain = (_COMPRESSION - 1.0) / 2.0
    difference = real * real_power**gain - fake * fake_power**gain
    squared = difference.real**2 + difference.imag**2
    complexes.append(jnp.mean(squared, axis=(1, 2)) / energy)
  return jnp.stack(magnitudes).mean(0), jnp.stack(complexes).mean(0)


def _spectrum(wav: Array, window_samples: int) -> Array:
  """Spectrogram by windows of unit energy, a quarter of them apart."""
  spectrum = stft.stft(
    wav.astype(jnp.float32),
    window_samples=window_samples,
    hop_samples=window_samples // 4,
    fft_size=window_samples,
  )
  return spectrum / (0.375 * window_samples) ** 0.5
