# SPDX-License-Identifier: Apache-2.0
"""What a network's output means, and the score it implies."""

from collections.abc import Callable

from ns_jax.array_types import Array
from ns_jax.diffusion.schedule import Schedule


def per_example(values: Array, like: Array) -> Array:
  """Reshapes [B] to [B, 1, ...] so that it multiplies `like` [B, ...]."""
  return values.reshape(values.shape + (1,) * (like.ndim - 1))


def score(x_t: Array, x0_hat: Array, t: Array, schedule: Schedule) -> Array:
  """Score of p(x_t | x_0) at x_0 = x0_hat (NaturalSpeech 2, Eq. 5).

  Args:
    x_t: [B, T, D] float32, noisy latents.
    x0_hat: [B, T, D] float32, predicted (or true) clean latents.
    t: [B] float32, time in (0, 1].
    schedule: gives alpha(t), sigma(t).

  Returns:
    [B, T, D] float32, (alpha x0_hat - x_t) / sigma^2.
  """
  alpha = per_example(schedule.alpha(t), x_t)
  sigma = per_example(schedule.sigma(t), x_t)
  return (alpha * x0_hat - x_t) / sigma**2


def _from_data(
  output: Array, x_t: Array, t: Array, schedule: Schedule
) -> Array:
  """The network predicts x_0 itself, as in the paper."""
  del x_t, t, schedule
  return output


def _from_velocity(
  output: Array, x_t: Array, t: Array, schedule: Schedule
) -> Array:
  """x0_hat = alpha x_t + sigma F, right at t = 0 whatever F is.

  For latents of unit variance this is the preconditioning that keeps the
  target of F at unit variance for every t (F is minus the velocity).
  """
  alpha = per_example(schedule.alpha(t), x_t)
  sigma = per_example(schedule.sigma(t), x_t)
  return alpha * x_t + sigma * output


def _from_flow(
  output: Array, x_t: Array, t: Array, schedule: Schedule
) -> Array:
  """x0_hat = x_t + sigma F; on straight paths F is x_0 minus the noise."""
  return x_t + per_example(schedule.sigma(t), x_t) * output


PREDICTIONS: dict[str, Callable[[Array, Array, Array, Schedule], Array]] = {
  "data": _from_data,
  "velocity": _from_velocity,
  "flow": _from_flow,
}
