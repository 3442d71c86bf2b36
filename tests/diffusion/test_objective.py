# SPDX-License-Identifier: Apache-2.0
"""Times and weights of the diffusion loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.diffusion import objective
from ns_jax.diffusion.schedule import StraightSchedule, VPSchedule

SCHEDULE = VPSchedule()


def _weight(mode, t, cap=5.0):
  weight = objective.SCORE_WEIGHTS[mode]
  return weight(jnp.asarray(t, jnp.float32), SCHEDULE, cap)


def test_each_stratum_gets_one_time():
  t = np.sort(objective.sample_times(jax.random.key(0), 8, 0.1))
  edges = np.linspace(0.1, 1.0, 9)
  assert (t >= edges[:-1]).all() and (t <= edges[1:]).all()
  other = objective.sample_times(jax.random.key(1), 8, 0.1)
  assert not np.allclose(np.sort(other), t)
  assert not (np.diff(other) > 0).all()


def test_grid_times_are_the_midpoints():
  np.testing.assert_allclose(
    objective.grid_times(4, 0.2), [0.3, 0.5, 0.7, 0.9], rtol=1e-6
  )


def test_paper_weight_is_alpha_squared_over_sigma_to_the_fourth():
  expected = {1e-3: 2.8e8, 0.05: 1328.3, 0.1: 91, 0.2: 5.9, 0.5: 0.095}
  for t, value in expected.items():
    assert float(_weight("paper", t)) == pytest.approx(value, rel=0.02)


def test_capped_weight_is_the_paper_weight_up_to_the_cap():
  t = jnp.linspace(1e-5, 1.0, 1000)
  capped = _weight("snr_capped", t)
  assert np.isfinite(capped).all()
  np.testing.assert_allclose(
    capped, np.minimum(_weight("paper", t), 5.0), rtol=1e-4
  )


def test_noise_weight_is_the_squared_error_of_the_noise():
  t = jnp.float32(0.3)
  x0, x0_hat, noise = 0.4, 0.9, -1.1
  alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
  x_t = alpha * x0 + sigma * noise
  noise_hat = (x_t - alpha * x0_hat) / sigma
  want = float((noise_hat - noise) ** 2)
  got = float(_weight("noise", t)) * (x0_hat - x0) ** 2
  assert got == pytest.approx(want, rel=1e-4)


def test_flow_weight_is_the_squared_error_of_the_straight_direction():
  t, path = jnp.float32(0.3), StraightSchedule()
  x0, x0_hat, noise = 0.4, 0.9, -1.1
  x_t = path.alpha(t) * x0 + path.sigma(t) * noise
  direction = (x_t - x0_hat) / t
  want = float((direction - (noise - x0)) ** 2)
  weight = objective.SCORE_WEIGHTS["flow"](t, path, 5.0)
  assert float(weight) * (x0_hat - x0) ** 2 == pytest.approx(want, rel=1e-4)


def test_gradient_norm_stays_within_two_decades_over_time():
  x0 = jax.random.normal(jax.random.key(0), (4, 16))

  def norm(t):
    def loss(x0_hat):
      weight = 1.0 + _weight("snr_capped", t)
      return jnp.mean(weight * (x0_hat - x0) ** 2)

    return float(jnp.linalg.norm(jax.grad(loss)(jnp.zeros_like(x0))))

  norms = [norm(t) for t in (1e-3, 0.5, 1.0)]
  assert max(norms) / min(norms) < 100.0
