# SPDX-License-Identifier: Apache-2.0
"""Scores and parametrisations."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.diffusion import objective, prediction
from ns_jax.diffusion.schedule import StraightSchedule, VPSchedule

SCHEDULE = VPSchedule()


def test_score_error_is_the_weighted_data_error():
  with jax.enable_x64(True):
    keys = jax.random.split(jax.random.key(0), 3)
    x0, x0_hat, noise = (
      jax.random.normal(k, (4, 5, 3), jnp.float64) for k in keys
    )
    t = jnp.array([0.01, 0.1, 0.5, 1.0], jnp.float64)
    x_t = objective.corrupt(x0, t, noise, SCHEDULE)
    alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
    got = prediction.score(x_t, x0_hat, t, SCHEDULE)
    error = got + noise / sigma[:, None, None]
    want = (alpha / sigma**2)[:, None, None] * (x0_hat - x0)
    np.testing.assert_allclose(error, want, rtol=1e-10)
    exact = (
      prediction.score(x_t, x0, t, SCHEDULE) + noise / sigma[:, None, None]
    )
    np.testing.assert_allclose(exact, 0.0, atol=1e-10)


def test_velocity_recovers_the_data_from_the_true_velocity():
  keys = jax.random.split(jax.random.key(0))
  x0, noise = (jax.random.normal(k, (3, 5, 2)) for k in keys)
  t = jnp.array([0.05, 0.5, 1.0])
  x_t = objective.corrupt(x0, t, noise, SCHEDULE)
  alpha = SCHEDULE.alpha(t)[:, None, None]
  sigma = SCHEDULE.sigma(t)[:, None, None]
  output = sigma * x0 - alpha * noise
  to_data = prediction.PREDICTIONS["velocity"]
  np.testing.assert_allclose(to_data(output, x_t, t, SCHEDULE), x0, atol=1e-5)


def test_velocity_is_the_identity_without_noise():
  x = jax.random.normal(jax.random.key(0), (2, 5, 3))
  to_data = prediction.PREDICTIONS["velocity"]
  np.testing.assert_allclose(
    to_data(jnp.full_like(x, 9.0), x, jnp.zeros((2,)), SCHEDULE), x
  )


def test_data_prediction_is_the_output():
  x = jnp.ones((2, 5, 3))
  output = 3.0 * x
  to_data = prediction.PREDICTIONS["data"]
  assert to_data(output, x, jnp.ones((2,)), SCHEDULE) is output


def test_flow_recovers_the_data_from_the_straight_direction():
  keys = jax.random.split(jax.random.key(0))
  x0, noise = (jax.random.normal(k, (3, 5, 2)) for k in keys)
  t = jnp.array([0.05, 0.5, 1.0])
  x_t = objective.corrupt(x0, t, noise, StraightSchedule())
  to_data = prediction.PREDICTIONS["flow"]
  np.testing.assert_allclose(
    to_data(x0 - noise, x_t, t, StraightSchedule()), x0, atol=1e-5
  )
