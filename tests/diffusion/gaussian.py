# SPDX-License-Identifier: Apache-2.0
"""A data distribution whose denoiser is known: N(MEAN, STD^2)."""

import jax.numpy as jnp

from ns_jax.diffusion.prediction import per_example
from ns_jax.diffusion.schedule import SCHEDULES

MEAN, STD = 0.7, 0.5
SCHEDULES = {name: schedule() for name, schedule in SCHEDULES.items()}


def denoiser(schedule):
  """E[x_0 | x_t] as a function of x_t and t."""

  def denoise(x, t):
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    residual = x - per_example(alpha, x) * MEAN
    return MEAN + per_example(gain, x) * residual

  return denoise


def exact(schedule, x_start, t):
  """Where the ODE carries x_start, at the schedule's start, to at time t."""

  def std(t):
    return jnp.sqrt((schedule.alpha(t) * STD) ** 2 + schedule.sigma(t) ** 2)

  start = jnp.asarray(schedule.start)
  centred = x_start - schedule.alpha(start) * MEAN
  return schedule.alpha(t) * MEAN + std(t) / std(start) * centred
