# SPDX-License-Identifier: Apache-2.0
"""Losses of durations and pitch."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.losses import prosody

F0_HZ = jnp.array([[0.0, 100.0, 0.0, 220.0]])


def test_duration_loss_is_zero_at_log_one_plus_frames():
  frames = jnp.array([[0, 1, 12]])
  log_frames = jnp.log1p(frames.astype(jnp.float32))
  np.testing.assert_allclose(
    prosody.duration_deviance(log_frames, frames), 0.0, atol=1e-6
  )
  # Half of scikit-learn's mean_gamma_deviance of 1, 2 and 13, predicted as 1.
  np.testing.assert_allclose(
    prosody.duration_deviance(jnp.zeros((1, 3)), frames),
    [[0.0, 1.0 - np.log(2.0), 12.0 - np.log(13.0)]],
    rtol=1e-6,
  )


def test_duration_loss_is_least_at_the_mean():
  frames = jnp.array(np.random.default_rng(0).geometric(0.2, (1, 4000)))
  gradient = jax.grad(
    lambda x: prosody.duration_deviance(
      jnp.full(frames.shape, x), frames
    ).mean()
  )
  mean = float(frames.mean())
  assert abs(gradient(np.log1p(mean))) < 1e-5
  assert gradient(np.log1p(0.9 * mean)) < 0 < gradient(np.log1p(1.1 * mean))


def test_pitch_loss_ignores_unvoiced_frames_without_nans():
  predicted = jnp.log(jnp.full((1, 4), 200.0))
  loss = lambda x: prosody.log_f0_l1(x, F0_HZ)
  np.testing.assert_allclose(
    loss(predicted), [[0.0, np.log(2.0), 0.0, np.log(1.1)]], rtol=1e-5
  )
  gradient = jax.grad(lambda x: loss(x).sum())(predicted)
  np.testing.assert_array_equal(gradient, [[0.0, 1.0, 0.0, -1.0]])


def test_voiced_loss_is_the_binary_cross_entropy():
  logit = jnp.array([[2.0, 2.0, -1.0, -1.0]])
  want = [np.log1p(np.exp(x)) for x in (2.0, -2.0, -1.0, 1.0)]
  np.testing.assert_allclose(
    prosody.voiced_cross_entropy(logit, F0_HZ), [want], rtol=1e-5
  )
