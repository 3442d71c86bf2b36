# SPDX-License-Identifier: Apache-2.0
"""Variance-preserving diffusion in continuous time (NaturalSpeech 2, Sec. 3.2).

With B(t) the integral of beta from 0 to t, x_t given x_0 is Gaussian with mean
alpha(t) x_0, alpha = exp(-B/2), and variance sigma(t)^2 = 1 - exp(-B).
"""

import dataclasses

import jax.numpy as jnp

from ns_jax.array_types import Array


@dataclasses.dataclass(frozen=True)
class VPSchedule:
  """Linear beta(t) = beta_0 + (beta_1 - beta_0) t on t in [0, 1]; 0 is data.

  All methods work elementwise on any float shape. `expm1` keeps sigma exact
  where t is tiny and 1 - exp(-B) would cancel.
  """

  beta_0: float = 0.05
  beta_1: float = 20.0

  def beta(self, t: Array) -> Array:
    """Rate of noise, beta(t)."""
    return self.beta_0 + (self.beta_1 - self.beta_0) * t

  def beta_integral(self, t: Array) -> Array:
    """B(t), the integral of beta from 0 to t."""
    return self.beta_0 * t + 0.5 * (self.beta_1 - self.beta_0) * t**2

  def alpha(self, t: Array) -> Array:
    """Scale of the data in x_t."""
    return jnp.exp(-0.5 * self.beta_integral(t))

  def sigma(self, t: Array) -> Array:
    """Standard deviation of the noise in x_t."""
    return jnp.sqrt(-jnp.expm1(-self.beta_integral(t)))

  def log_snr(self, t: Array) -> Array:
    """lambda(t) = log(alpha / sigma), falling in t."""
    integral = self.beta_integral(t)
    return -0.5 * (integral + jnp.log(-jnp.expm1(-integral)))

  def time_of_log_snr(self, log_snr: Array) -> Array:
    """Inverse of `log_snr`: the t at which it has this value."""
    integral = jnp.logaddexp(0.0, -2.0 * log_snr)
    slope = self.beta_1 - self.beta_0
    root = jnp.sqrt(self.beta_0**2 + 2.0 * slope * integral)
    # The usual (root - beta_0) / slope cancels where t is tiny.
    return 2.0 * integral / (root + self.beta_0)
