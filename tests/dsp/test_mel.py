# SPDX-License-Identifier: Apache-2.0
"""Mel filters against librosa's; log-mel against a pure tone."""

import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel


@pytest.mark.parametrize(
  ("rate_hz", "fft_size", "num_mels"), [(16_000, 1024, 80), (24_000, 512, 64)]
)
def test_filters_are_librosas(rate_hz, fft_size, num_mels):
  np.testing.assert_allclose(
    mel.filterbank(rate_hz, fft_size, num_mels),
    librosa.filters.mel(sr=rate_hz, n_fft=fft_size, n_mels=num_mels).T,
    atol=1e-6,
  )


def test_log_mel_steps_with_the_codec_and_finds_a_tone():
  spec = AudioSpec()
  seconds = jnp.arange(3001) / spec.sample_rate_hz
  for hz in (300.0, 2500.0):
    log_mel = mel.log_mel(jnp.sin(2 * jnp.pi * hz * seconds)[None, :], spec)
    assert log_mel.shape == (1, spec.num_frames(3001), spec.num_mels)
    centres_hz = librosa.mel_frequencies(spec.num_mels + 2, fmin=0, fmax=8000)
    peak_hz = centres_hz[1 + int(log_mel[0, 7].argmax())]
    assert peak_hz == pytest.approx(hz, rel=0.1)


def test_silence_is_the_floor():
  log_mel = mel.log_mel(jnp.zeros((1, 800)), AudioSpec())
  np.testing.assert_allclose(log_mel, np.log(mel.LOG_FLOOR), atol=0.01)
