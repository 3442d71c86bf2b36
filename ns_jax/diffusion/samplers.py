# SPDX-License-Identifier: Apache-2.0
"""Solvers of the reverse process, from noise to data or back again.

A solver knows no model: it receives `denoise_fn(x [B, ...], t [B]) -> x0_hat`
and a grid of times. A falling grid generates (NaturalSpeech 2, Sec. 3.2); a
rising one carries latents to noise along the same ODE (Sec. 5, voice
conversion).

What is drawn comes from one key for a whole batch, or from keys [B], one for
each row: then a row is the same in any company, and whatever its padding.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array
from ns_jax.diffusion.prediction import score
from ns_jax.diffusion.schedule import Schedule

DenoiseFn = Callable[[Array, Array], Array]
_JUMP_LOG_SNR = 0.5  # alpha / sigma = 1.6
T_END = 1e-3  # where generation stops; the score is singular at 0


class Step(NamedTuple):
  """One step from `t` to `t_next`, with what the step before it saw."""

  x: Array  # [B, ...]
  t: Array  # [] float
  t_next: Array  # [] float
  previous_x0: Array  # [B, ...]; meaningless in the first step
  previous_t: Array  # []; equals t in the first step
  key: Array  # [] or [B]


# (denoise_fn, schedule, step) -> (x at t_next, x0_hat at t)
Stepper = Callable[[DenoiseFn, Schedule, Step], tuple[Array, Array]]


def uniform_times(
  schedule: Schedule, num_steps: int, t_start: float, t_end: float
) -> Array:
  """[num_steps + 1] times, evenly spaced."""
  del schedule
  return jnp.linspace(t_start, t_end, num_steps + 1)


def uniform_log_snr_times(
  schedule: Schedule,
  num_steps: int,
  t_start: float | Array,
  t_end: float | Array,
) -> Array:
  """[num_steps + 1] times, evenly spaced in log(alpha / sigma)."""
  ends = schedule.log_snr(jnp.stack([jnp.asarray(t_start), jnp.asarray(t_end)]))
  times = schedule.time_of_log_snr(
    jnp.linspace(ends[0], ends[1], num_steps + 1)
  )
  return times.at[0].set(t_start).at[-1].set(t_end)


def early_log_snr_times(
  schedule: Schedule, num_steps: int, t_start: float, t_end: float
) -> Array:
  """The same, but ending where speech is heard; a jump leads to the data.

  What a network gets wrong in x0_hat, it gets wrong in the noise times
  alpha / sigma, so that little is won, and on the way to noise much is lost, by
  going nearer to the data step by step.
  """
  del t_end
  last = schedule.time_of_log_snr(jnp.asarray(_JUMP_LOG_SNR))
  return uniform_log_snr_times(schedule, num_steps, t_start, last)


def integrate(
  denoise_fn: DenoiseFn,
  schedule: Schedule,
  x_init: Array,
  key: Array,
  *,
  times: Array,
  stepper: Stepper,
) -> Array:
  """Carries x from times[0] to times[-1].

  Args:
    denoise_fn: (x [B, ...], t [B]) -> x0_hat [B, ...].
    schedule: gives alpha, sigma, beta.
    x_init: [B, ...] at times[0].
    key: typed key or keys [B], for the stochastic steppers.
    times: [S + 1] float.
    stepper: see SOLVERS.

  Returns:
    [B, ...] at times[-1].
  """

  def body(carry, inputs):
    x, previous_x0, previous_t = carry
    t, t_next, step_key = inputs
    step = Step(x, t, t_next, previous_x0, previous_t, step_key)
    x_next, x0_hat = stepper(denoise_fn, schedule, step)
    return (x_next, x0_hat, t), None

  keys = _step_keys(key, times.shape[0] - 1)
  carry = (x_init, jnp.zeros_like(x_init), times[0])
  (x, _, _), _ = jax.lax.scan(body, carry, (times[:-1], times[1:], keys))
  return x


def sample(
  denoise_fn: DenoiseFn,
  schedule: Schedule,
  x_init: Array,
  key: Array,
  *,
  times: Array,
  stepper: Stepper,
) -> Array:
  """Generates: `integrate`, then x0_hat at the last time.

  Arguments as for `integrate`, with falling times.

  Returns:
    [B, ...] clean latents.
  """
  x = integrate(denoise_fn, schedule, x_init, key, times=times, stepper=stepper)
  return denoise_fn(x, _batched(times[-1], x))


def initial_noise(
  key: Array, shape: tuple[int, ...], temperature: float
) -> Array:
  """Draws x_1 from N(0, I / temperature) (the paper's 1.2^2), float32."""
  return _normal(key, shape) / jnp.sqrt(temperature)


def split(key: Array, count: int) -> tuple[Array, ...]:
  """So many new ones of a key [], or of each key of [B]."""
  if not key.shape:
    return tuple(jax.random.split(key, count))
  own = jax.vmap(lambda one: jax.random.split(one, count))(key)
  return tuple(own[:, i] for i in range(count))


def _step_keys(key: Array, count: int) -> Array:
  """Keys [count] of one key, or [count, B] of keys [B]."""
  if not key.shape:
    return jax.random.split(key, count)
  of_step = lambda i: jax.vmap(lambda one: jax.random.fold_in(one, i))(key)
  return jax.vmap(of_step)(jnp.arange(count))


def _normal(
  key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Array:
  """Draws from N(0, I), each row [...] of its own key where there are many.

  A longer row begins like a shorter one, because JAX numbers what it draws.
  """
  if not key.shape:
    return jax.random.normal(key, shape, dtype)
  return jax.vmap(lambda one: jax.random.normal(one, shape[1:], dtype))(key)


def _batched(t: Array, x: Array) -> Array:
  return jnp.broadcast_to(t, x.shape[:1])


def _ode_drift(
  denoise_fn: DenoiseFn, schedule: Schedule, x: Array, t: Array
) -> tuple[Array, Array]:
  """dx/dt and x0_hat."""
  x0_hat = denoise_fn(x, _batched(t, x))
  return schedule.ode_drift(x, x0_hat, t), x0_hat


def euler(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """Euler's method on the ODE, order 1: the paper's solver."""
  drift, x0_hat = _ode_drift(denoise_fn, schedule, step.x, step.t)
  return step.x + (step.t_next - step.t) * drift, x0_hat


def heun(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """Heun's method on the ODE, order 2, two evaluations a step."""
  dt = step.t_next - step.t
  drift, x0_hat = _ode_drift(denoise_fn, schedule, step.x, step.t)
  x_euler = step.x + dt * drift
  drift_next, _ = _ode_drift(denoise_fn, schedule, x_euler, step.t_next)
  return step.x + 0.5 * dt * (drift + drift_next), x0_hat


def _exponential_step(schedule: Schedule, step: Step, x0: Array) -> Array:
  """Solves the ODE exactly for an x0_hat that stays constant over the step."""
  keep, gain = _exponential_weights(schedule, step.t, step.t_next)
  return keep * step.x + gain * x0


def x0_between(
  schedule: Schedule, x: Array, x_next: Array, t: Array, t_next: Array
) -> Array:
  """The constant x0_hat that carries x at `t` to x_next at `t_next`."""
  keep, gain = _exponential_weights(schedule, t, t_next)
  return (x_next - keep * x) / gain


def _exponential_weights(
  schedule: Schedule, t: Array, t_next: Array
) -> tuple[Array, Array]:
  h = schedule.log_snr(t_next) - schedule.log_snr(t)
  keep = schedule.sigma(t_next) / schedule.sigma(t)
  return keep, -schedule.alpha(t_next) * jnp.expm1(-h)


def ddim(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """DDIM, order 1 in log-SNR."""
  x0_hat = denoise_fn(step.x, _batched(step.t, step.x))
  return _exponential_step(schedule, step, x0_hat), x0_hat


def dpmpp_2m(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """DPM-Solver++ 2M: order 2 with one evaluation a step, by multistep."""
  x0_hat = denoise_fn(step.x, _batched(step.t, step.x))
  log_snr = schedule.log_snr(step.t)
  h = schedule.log_snr(step.t_next) - log_snr
  h_previous = log_snr - schedule.log_snr(step.previous_t)
  is_first = h_previous == 0.0
  weight = 0.5 * h / jnp.where(is_first, 1.0, h_previous)
  weight = jnp.where(is_first, 0.0, weight)
  extrapolated = x0_hat + weight * (x0_hat - step.previous_x0)
  return _exponential_step(schedule, step, extrapolated), x0_hat


def euler_maruyama(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """Euler-Maruyama on the reverse SDE; for falling times only."""
  drift, x0_hat = _ode_drift(denoise_fn, schedule, step.x, step.t)
  towards = score(step.x, x0_hat, _batched(step.t, step.x), schedule)
  dt = step.t_next - step.t
  rate = schedule.noise_rate(step.t)
  noise = _normal(step.key, step.x.shape, step.x.dtype)
  x = step.x + dt * (drift - 0.5 * rate * towards)
  return x + jnp.sqrt(-dt * rate) * noise, x0_hat


def ancestral(
  denoise_fn: DenoiseFn, schedule: Schedule, step: Step
) -> tuple[Array, Array]:
  """Draws from q(x_next | x, x_0 = x0_hat); for falling times only."""
  x0_hat = denoise_fn(step.x, _batched(step.t, step.x))
  variance = schedule.sigma(step.t) ** 2
  variance_next = schedule.sigma(step.t_next) ** 2
  ratio = schedule.alpha(step.t) / schedule.alpha(step.t_next)
  transition = variance - ratio**2 * variance_next
  mean = (
    ratio * variance_next * step.x
    + schedule.alpha(step.t_next) * transition * x0_hat
  ) / variance
  noise = _normal(step.key, step.x.shape, step.x.dtype)
  std = jnp.sqrt(transition * variance_next / variance)
  return mean + std * noise, x0_hat


@dataclasses.dataclass(frozen=True)
class Solver:
  """A stepper with the grid it likes best."""

  stepper: Stepper
  make_times: Callable[[Schedule, int, float, float], Array]


SOLVERS = {
  "euler": Solver(euler, uniform_times),
  "heun": Solver(heun, uniform_times),
  "ddim": Solver(ddim, uniform_log_snr_times),
  "dpmpp_2m": Solver(dpmpp_2m, uniform_log_snr_times),
  # The path of distilled models, and of recordings that are retold.
  "jump": Solver(ddim, early_log_snr_times),
  "euler_maruyama": Solver(euler_maruyama, uniform_times),
  "ancestral": Solver(ancestral, uniform_log_snr_times),
}
