# SPDX-License-Identifier: Apache-2.0
"""Frames and spectra against scipy's and librosa's."""

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest
import scipy.signal

from ns_jax.dsp import stft


def test_window_is_the_periodic_hann():
  np.testing.assert_allclose(
    stft.hann_window(64),
    scipy.signal.get_window("hann", 64, fftbins=True),
    atol=1e-7,
  )


@pytest.mark.parametrize(
  ("length", "size", "hop"), [(1000, 256, 64), (1001, 100, 30), (90, 200, 50)]
)
def test_frames_are_centred_on_hops(length, size, hop):
  wav = np.random.default_rng(0).normal(size=(2, length)).astype(np.float32)
  frames = stft.frame(jnp.asarray(wav), size, hop)
  assert frames.shape == (2, -(-length // hop), size)
  left = (size - hop) // 2
  padded = np.pad(wav, ((0, 0), (left, size + hop)))
  for m in range(frames.shape[1]):
    np.testing.assert_array_equal(
      frames[:, m], padded[:, m * hop : m * hop + size]
    )


def test_hop_wider_than_frame():
  wav = jnp.arange(40.0)[None, :]
  np.testing.assert_array_equal(
    stft.frame(wav, 4, 10)[0, :, 0], [3.0, 13.0, 23.0, 33.0]
  )


def test_spectrum_is_librosas():
  wav = np.random.default_rng(0).normal(size=4000).astype(np.float32)
  window, hop, fft_size = 400, 100, 512
  ours = stft.stft(
    jnp.asarray(wav)[None, :],
    window_samples=window,
    hop_samples=hop,
    fft_size=fft_size,
  )[0]
  # librosa centres the window in the transform, which only turns the phase.
  left = (window - hop) // 2 + (fft_size - window) // 2
  padded = np.pad(wav, (left, fft_size))
  theirs = librosa.stft(
    padded, n_fft=fft_size, hop_length=hop, win_length=window, center=False
  ).T[: len(ours)]
  np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=2e-4)


def test_magnitude_has_a_finite_gradient_at_silence():
  def total(wav):
    spectrum = stft.stft(wav, window_samples=64, hop_samples=16, fft_size=64)
    return stft.magnitude(spectrum).sum()

  assert jnp.isfinite(jax.grad(total)(jnp.zeros((1, 128)))).all()


def test_causal_frames_and_overlap_add_give_the_signal_back():
  wav = jax.random.normal(jax.random.key(3), (2, 40))
  frames = stft.frame(wav, 16, 4, causal=True)
  np.testing.assert_array_equal(frames[:, 5], wav[:, 24 - 16 : 24])
  window = stft.hann_window(16)[None, None, :]
  # Frame m ends with hop m there and begins with it here: three hops late.
  again = stft.overlap_add(frames * window**2, 4) / 1.5
  np.testing.assert_allclose(again[:, 12:], wav[:, :-12], atol=1e-6)
