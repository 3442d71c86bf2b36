# SPDX-License-Identifier: Apache-2.0
"""Training examples of the diffusion and their weights (NaturalSpeech 2, 3.2).

The paper's second term, the squared distance of predicted and true score, is
exactly alpha^2 / sigma^4 times the first, the squared error of x0_hat. It is
therefore not computed from scores but as a weight of that error. Taken
literally the weight grows without bound towards t = 0 (4e12 at t = 1e-5) and
drowns every other term, hence the cap.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array
from ns_jax.diffusion.prediction import per_example
from ns_jax.diffusion.schedule import Schedule


def sample_times(key: Array, batch_size: int, t_min: float) -> Array:
  """Draws one time from each of B equal parts of [t_min, 1], shuffled.

  Args:
    key: typed key.
    batch_size: B.
    t_min: smallest time.

  Returns:
    [B] float32.
  """
  jitter_key, order_key = jax.random.split(key)
  jitter = jax.random.uniform(jitter_key, (batch_size,))
  strata = jax.random.permutation(order_key, batch_size)
  return t_min + (1.0 - t_min) * (strata + jitter) / batch_size


def grid_times(batch_size: int, t_min: float) -> Array:
  """The midpoints of the same B parts: fixed times for evaluation, [B]."""
  return t_min + (1.0 - t_min) * (jnp.arange(batch_size) + 0.5) / batch_size


def corrupt(x0: Array, t: Array, noise: Array, schedule: Schedule) -> Array:
  """Draws x_t from q(x_t | x_0) (NaturalSpeech 2, Eq. 4).

  Args:
    x0: [B, T, D] float32, clean latents of about unit variance.
    t: [B] float32, time in [0, 1]; 0 is data.
    noise: [B, T, D] float32, standard normal.
    schedule: gives alpha(t), sigma(t).

  Returns:
    [B, T, D] float32.
  """
  alpha = per_example(schedule.alpha(t), x0)
  sigma = per_example(schedule.sigma(t), x0)
  return alpha * x0 + sigma * noise


def _paper(t: Array, schedule: Schedule, cap: float) -> Array:
  """alpha^2 / sigma^4, the score term of the paper as it stands."""
  del cap
  return schedule.alpha(t) ** 2 / schedule.sigma(t) ** 4


def _snr_capped(t: Array, schedule: Schedule, cap: float) -> Array:
  """The same, at most `cap`."""
  # The cap is taken of logarithms: sigma^-4 overflows float32 at tiny t.
  log_weight = 2.0 * schedule.log_snr(t) - 2.0 * jnp.log(schedule.sigma(t))
  return jnp.exp(jnp.minimum(log_weight, jnp.log(cap)))


def _noise(t: Array, schedule: Schedule, cap: float) -> Array:
  """alpha^2 / sigma^2: the squared error of the implied noise."""
  del cap
  return schedule.alpha(t) ** 2 / schedule.sigma(t) ** 2


def _flow(t: Array, schedule: Schedule, cap: float) -> Array:
  """1 / sigma^2: the squared error of the direction of a straight path."""
  del cap
  return 1.0 / schedule.sigma(t) ** 2


# Weight of the squared error of x0_hat that stands for the score term.
SCORE_WEIGHTS: dict[str, Callable[[Array, Schedule, float], Array]] = {
  "paper": _paper,
  "snr_capped": _snr_capped,
  "noise": _noise,
  "flow": _flow,
}
