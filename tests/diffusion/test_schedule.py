# SPDX-License-Identifier: Apache-2.0
"""The schedule against tabulated values and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.diffusion import objective
from ns_jax.diffusion.schedule import SCHEDULES, VPSchedule

SCHEDULE = VPSchedule()
TABLE = {  # t: (alpha, sigma), computed in float64
  0.05: (0.98637, 0.16451),
  0.1: (0.94897, 0.31536),
  0.2: (0.81505, 0.57938),
  0.3: (0.63358, 0.77368),
  0.5: (0.28383, 0.95887),
  0.7: (0.08532, 0.99635),
  1.0: (0.0066542, 0.9999779),
}


@pytest.mark.parametrize("t", TABLE)
def test_alpha_and_sigma_have_the_tabulated_values(t):
  alpha, sigma = TABLE[t]
  assert float(SCHEDULE.alpha(jnp.float32(t))) == pytest.approx(alpha, abs=1e-4)
  assert float(SCHEDULE.sigma(jnp.float32(t))) == pytest.approx(sigma, abs=1e-4)


def test_variance_is_preserved():
  t = jnp.linspace(0.0, 1.0, 101)
  total = SCHEDULE.alpha(t) ** 2 + SCHEDULE.sigma(t) ** 2
  np.testing.assert_allclose(total, 1.0, atol=1e-6)


def test_tiny_times_are_exact_in_float32():
  t = 1e-5
  with jax.enable_x64(True):
    exact = float(SCHEDULE.sigma(jnp.float64(t)))
  assert float(SCHEDULE.sigma(jnp.float32(t))) == pytest.approx(exact, rel=1e-5)
  assert np.isfinite(float(SCHEDULE.log_snr(jnp.float32(t))))


@pytest.mark.parametrize("name", SCHEDULES)
def test_time_of_log_snr_inverts_log_snr(name):
  schedule = SCHEDULES[name]()
  t = jnp.array([1e-5, 1e-3, 0.01, 0.1, 0.5, 0.9, schedule.start])
  ratio = schedule.alpha(t) / schedule.sigma(t)
  np.testing.assert_allclose(schedule.log_snr(t), jnp.log(ratio), atol=1e-3)
  back = schedule.time_of_log_snr(schedule.log_snr(t))
  np.testing.assert_allclose(back, t, rtol=1e-4)


@pytest.mark.parametrize("name", SCHEDULES)
def test_drift_is_the_change_of_alpha_and_sigma(name):
  schedule, x0, noise, t = SCHEDULES[name](), 0.8, -1.7, jnp.float32(0.4)
  path = lambda t: schedule.alpha(t) * x0 + schedule.sigma(t) * noise
  want = jax.grad(path)(t)
  got = schedule.ode_drift(path(t), jnp.float32(x0), t)
  np.testing.assert_allclose(got, want, rtol=1e-4)


def test_beta_integral_is_the_integral_of_beta():
  t = np.linspace(0.0, 0.8, 10_001)
  numeric = np.trapezoid(np.asarray(SCHEDULE.beta(t)), t)
  assert float(SCHEDULE.beta_integral(0.8)) == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("t", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_corrupted_data_has_the_marginal_mean_and_variance(t):
  num, x0 = 100_000, 1.3
  noise = jax.random.normal(jax.random.key(0), (num, 1))
  x_t = objective.corrupt(
    jnp.full((num, 1), x0), jnp.full((num,), t), noise, SCHEDULE
  )
  assert abs(float(x_t.mean() - SCHEDULE.alpha(t) * x0)) < 4 / num**0.5
  assert float(x_t.var()) == pytest.approx(
    float(SCHEDULE.sigma(t) ** 2), rel=0.01
  )


def test_forward_sde_reaches_the_marginal_variance():
  num_steps, num = 1000, 20_000
  dt = 1.0 / num_steps

  def body(x, inputs):
    t, key = inputs
    beta = SCHEDULE.beta(t)
    noise = jax.random.normal(key, x.shape)
    x = x - 0.5 * beta * x * dt + jnp.sqrt(beta * dt) * noise
    return x, x.var()

  times = jnp.arange(num_steps) * dt
  keys = jax.random.split(jax.random.key(1), num_steps)
  _, variance = jax.lax.scan(body, jnp.zeros((num,)), (times, keys))
  for t in (0.3, 0.5, 1.0):
    want = float(SCHEDULE.sigma(t) ** 2)
    assert float(variance[round(t / dt) - 1]) == pytest.approx(want, rel=0.02)
