# SPDX-License-Identifier: Apache-2.0
"""Waveform distances at known ratios."""

import jax.numpy as jnp
import numpy as np

from ns_jax.losses import wave


def test_si_sdr_ignores_scale_and_padding():
  rng = np.random.default_rng(0)
  signal = rng.normal(size=1000)
  noise = rng.normal(size=1000)
  noise -= signal * (signal @ noise) / (signal @ signal)
  noise *= np.linalg.norm(signal) / np.linalg.norm(noise) / 10.0
  reference = jnp.asarray(np.pad(signal, (0, 50)))[None, :]
  estimate = jnp.asarray(np.pad(signal + noise, (0, 50)))[None, :]
  estimate = 3.0 * estimate.at[:, 1000:].set(7.0)
  mask = (jnp.arange(1050) < 1000)[None, :]
  np.testing.assert_allclose(
    wave.si_sdr_db(reference, estimate, mask), [20.0], atol=1e-3
  )


def test_si_sdr_of_silence_is_finite():
  silence, mask = jnp.zeros((1, 8)), jnp.ones((1, 8), bool)
  assert jnp.isfinite(wave.si_sdr_db(silence, silence, mask)).all()


def test_absolute_error_is_elementwise():
  error = wave.absolute_error(jnp.array([[1.0, -1.0]]), jnp.array([[0.5, 1.0]]))
  np.testing.assert_array_equal(error, [[0.5, 2.0]])
