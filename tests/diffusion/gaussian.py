# SPDX-License-Identifier: Apache-2.0
"""A data distribution whose denoiser is known: N(MEAN, STD^2)."""

import jax.numpy as jnp

from ns_jax.diffusion.prediction import per_example
from ns_jax.diffusion.schedule import VPSchedule

MEAN, STD = 0.7, 0.5
SCHEDULE = VPSchedule()


def denoise(x, t):
  """E[x_0 | x_t]."""
  alpha, sigma = SCHEDULE.alpha(t), SCHEDULE.sigma(t)
  gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
  residual = x - per_example(alpha, x) * MEAN
  return MEAN + per_example(gain, x) * residual


def exact(x_1, t):
  """Where the ODE carries x_1 at time 1 to at time t."""

  def std(t):
    return jnp.sqrt((SCHEDULE.alpha(t) * STD) ** 2 + SCHEDULE.sigma(t) ** 2)

  one = jnp.ones(())
  centred = x_1 - SCHEDULE.alpha(one) * MEAN
  return SCHEDULE.alpha(t) * MEAN + std(t) / std(one) * centred
