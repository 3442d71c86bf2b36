# SPDX-License-Identifier: Apache-2.0
"""Paths from data at t = 0 to noise at t = 1.

Along each, x_t given x_0 is Gaussian: mean alpha(t) x_0, variance sigma(t)^2.
"""

import abc
import dataclasses
from typing import ClassVar

import jax.numpy as jnp

from ns_jax.array_types import Array


@dataclasses.dataclass(frozen=True)
class Schedule(abc.ABC):
  """How data turns to noise; all functions work elementwise on any shape."""

  start: ClassVar[float] = 1.0  # latest time from which all solvers can start

  @abc.abstractmethod
  def alpha(self, t: Array) -> Array:
    """Scale of the data in x_t."""

  @abc.abstractmethod
  def sigma(self, t: Array) -> Array:
    """Standard deviation of the noise in x_t."""

  @abc.abstractmethod
  def log_snr(self, t: Array) -> Array:
    """lambda(t) = log(alpha / sigma), falling in t."""

  @abc.abstractmethod
  def time_of_log_snr(self, log_snr: Array) -> Array:
    """Inverse of `log_snr`: the t at which it has this value."""

  @abc.abstractmethod
  def ode_drift(self, x: Array, x0_hat: Array, t: Array) -> Array:
    """dx/dt of the ODE with the same marginals, at one time [] for all."""

  @abc.abstractmethod
  def noise_rate(self, t: Array) -> Array:
    """Variance that the stochastic form of the process gains in unit time."""


@dataclasses.dataclass(frozen=True)
class VPSchedule(Schedule):
  """Variance-preserving diffusion (NaturalSpeech 2, Sec. 3.2).

  Linear beta(t) = beta_0 + (beta_1 - beta_0) t. With B(t) its integral from 0,
  alpha = exp(-B/2) and sigma^2 = 1 - exp(-B). `expm1` keeps sigma exact where t
  is tiny and 1 - exp(-B) would cancel.
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
    """exp(-B / 2)."""
    return jnp.exp(-0.5 * self.beta_integral(t))

  def sigma(self, t: Array) -> Array:
    """sqrt(1 - exp(-B))."""
    return jnp.sqrt(-jnp.expm1(-self.beta_integral(t)))

  def log_snr(self, t: Array) -> Array:
    """-(B + log(1 - exp(-B))) / 2."""
    integral = self.beta_integral(t)
    return -0.5 * (integral + jnp.log(-jnp.expm1(-integral)))

  def time_of_log_snr(self, log_snr: Array) -> Array:
    """Solves the quadratic B(t) = log(1 + exp(-2 lambda))."""
    integral = jnp.logaddexp(0.0, -2.0 * log_snr)
    slope = self.beta_1 - self.beta_0
    root = jnp.sqrt(self.beta_0**2 + 2.0 * slope * integral)
    # The usual (root - beta_0) / slope cancels where t is tiny.
    return 2.0 * integral / (root + self.beta_0)

  def ode_drift(self, x: Array, x0_hat: Array, t: Array) -> Array:
    """-beta / 2 (x + score)."""
    score = (self.alpha(t) * x0_hat - x) / self.sigma(t) ** 2
    return -0.5 * self.beta(t) * (x + score)

  def noise_rate(self, t: Array) -> Array:
    """The beta(t) itself, as in the paper's reverse SDE."""
    return self.beta(t)


@dataclasses.dataclass(frozen=True)
class StraightSchedule(Schedule):
  """Straight lines from data to noise, x_t = (1 - t) x_0 + t noise.

  The path of flow matching (arXiv 2210.02747) and rectified flows.
  """

  start: ClassVar[float] = (
    1.0 - 1e-4
  )  # at 1 itself there is no signal to take the log of

  def alpha(self, t: Array) -> Array:
    """1 - t."""
    return 1.0 - t

  def sigma(self, t: Array) -> Array:
    """The t itself."""
    return 1.0 * t

  def log_snr(self, t: Array) -> Array:
    """log((1 - t) / t)."""
    return jnp.log1p(-t) - jnp.log(t)

  def time_of_log_snr(self, log_snr: Array) -> Array:
    """1 / (1 + exp(lambda))."""
    return 1.0 / (1.0 + jnp.exp(log_snr))

  def ode_drift(self, x: Array, x0_hat: Array, t: Array) -> Array:
    """(x - x0_hat) / t, the direction of the line through x."""
    return (x - x0_hat) / t

  def noise_rate(self, t: Array) -> Array:
    """2 t, finite everywhere; any rate keeps the marginals."""
    return 2.0 * t


SCHEDULES: dict[str, type[Schedule]] = {
  "vp": VPSchedule,
  "straight": StraightSchedule,
}
