# SPDX-License-Identifier: Apache-2.0
"""Spectral losses against NumPy and at their corners."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from ns_jax.losses import spectral

RATE_HZ = 16_000


def _waves(samples=4096):
  rng = np.random.default_rng(0)
  return (rng.normal(size=(2, 2, samples)) * 0.1).astype(np.float32)


def _numpy_distances(real, fake, scale):
  """L1 and log-L2 distance per frame [M] of one wave, with alpha_s."""
  size = max(scale, 512)
  filters = librosa.filters.mel(sr=RATE_HZ, n_fft=size, n_mels=64)
  hop = scale // 4
  frames = -(-len(real) // hop)
  window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(scale) / scale)
  mels = []
  for wav in (real, fake):
    padded = np.pad(wav.astype(np.float64), ((scale - hop) // 2, scale))
    cut = np.stack([padded[m * hop :][:scale] for m in range(frames)])
    mels.append(np.abs(np.fft.rfft(cut * window, size)) @ filters.T)
  log_difference = np.log(mels[0] + 1e-5) - np.log(mels[1] + 1e-5)
  l1 = np.abs(mels[0] - mels[1]).sum(-1)
  return l1, np.sqrt(scale / 2) * np.sqrt((log_difference**2).sum(-1))


@pytest.mark.parametrize("sum_over_time", [False, True])
def test_equals_numpy(sum_over_time):
  real, fake = _waves()
  ours = spectral.mel_distances(
    jnp.asarray(real),
    jnp.asarray(fake),
    sample_rate_hz=RATE_HZ,
    sum_over_time=sum_over_time,
  )
  reduce = np.sum if sum_over_time else np.mean
  for b in range(2):
    parts = [
      _numpy_distances(real[b], fake[b], scale)
      for scale in (64, 128, 256, 512, 1024, 2048)
    ]
    for part in range(2):
      expected = sum(reduce(distances[part]) for distances in parts)
      np.testing.assert_allclose(ours[part][b], expected, rtol=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_zero_with_finite_gradient_where_both_agree(level):
  wav = jnp.asarray(_waves(2048)[0]) * level
  options = dict(sample_rate_hz=RATE_HZ, scales=(64, 2048))

  def total(estimate):
    return sum(
      part.sum() for part in spectral.mel_distances(wav, estimate, **options)
    )

  value, gradient = jax.jit(jax.value_and_grad(total))(wav)
  # The root's floor of 1e-4 per frame is all that is left.
  assert float(value) < 2 * 1e-4 * (32**0.5 + 1024**0.5) * 1.01
  assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("gain", [0.0, 1e-4])
def test_gradient_is_finite_for_a_silent_estimate(gain):
  wav = jnp.asarray(_waves(2048)[0])
  gradient = jax.jit(
    jax.grad(
      lambda x: spectral.mel_distances(
        wav, x, sample_rate_hz=RATE_HZ, scales=(256,)
      )[1].sum()
    )
  )(gain * wav)
  assert jnp.isfinite(gradient).all()
  assert gain == 0.0 or jnp.abs(gradient).max() > 0


def _numpy_spectrum(wav, size):
  """Spectrogram [M, F] of one wave by windows of unit energy."""
  hop, window = size // 4, librosa.filters.get_window("hann", size)
  frames = -(-len(wav) // hop)
  padded = np.pad(wav.astype(np.float64), ((size - hop) // 2, size))
  cut = np.stack([padded[m * hop :][:size] for m in range(frames)])
  return np.fft.rfft(cut * window) / np.sqrt(np.sum(window**2))


def test_log_mel_distance_equals_numpy():
  real, fake = _waves()
  scales = {64: 10, 512: 64}
  expected = []
  for size, mels in scales.items():
    filters = librosa.filters.mel(sr=RATE_HZ, n_fft=size, n_mels=mels).T
    filters /= np.maximum(filters.sum(0), 1e-8)
    logs = [
      np.log(np.abs(_numpy_spectrum(wav[0], size)) @ filters + 1e-4)
      for wav in (real, fake)
    ]
    expected.append(np.abs(logs[0] - logs[1]).mean())
  ours = spectral.log_mel_distance(
    jnp.asarray(real), jnp.asarray(fake), sample_rate_hz=RATE_HZ, scales=scales
  )
  np.testing.assert_allclose(ours[0], np.mean(expected), rtol=1e-3)


def test_compressed_distances_equal_numpy():
  real, fake = _waves()
  magnitudes, complexes = [], []
  for size in (256, 512):
    x, y = (_numpy_spectrum(wav[0], size) for wav in (real, fake))
    energy = np.mean(np.abs(x) ** 0.6)
    magnitudes.append(np.mean((np.abs(x) ** 0.3 - np.abs(y) ** 0.3) ** 2))
    magnitudes[-1] /= energy
    x, y = (s * np.abs(s) ** -0.7 for s in (x, y))
    complexes.append(np.mean(np.abs(x - y) ** 2) / energy)
  ours = spectral.compressed_distances(
    jnp.asarray(real), jnp.asarray(fake), windows=(256, 512)
  )
  np.testing.assert_allclose(ours[0][0], np.mean(magnitudes), rtol=1e-3)
  np.testing.assert_allclose(ours[1][0], np.mean(complexes), rtol=1e-3)


def test_compressed_distances_at_their_corners():
  real, _ = (jnp.asarray(x) for x in _waves())
  distances = lambda x, y: spectral.compressed_distances(x, y, windows=(256,))
  for same in distances(real, real):
    np.testing.assert_allclose(same, 0.0, atol=1e-6)
  for silent in distances(10.0 * real, jnp.zeros_like(real)):
    np.testing.assert_allclose(silent, 1.0, atol=0.15)
  magnitude, complex_ = distances(real, -real)
  np.testing.assert_allclose(magnitude, 0.0, atol=1e-6)
  np.testing.assert_allclose(complex_, 4.0, rtol=1e-3)
  for x in (real, jnp.zeros_like(real)):
    gradient = jax.grad(lambda y, x=x: sum(distances(x, y)).sum())(0.0 * real)
    assert np.isfinite(gradient).all()
