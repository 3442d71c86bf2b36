# SPDX-License-Identifier: Apache-2.0
"""Optimisers and learning-rate schedules named by the config."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ns_jax.errors import UserError
from ns_jax.training.stage import LossFn, Player

SCHEDULES = ("constant", "inverse_sqrt", "exponential", "cosine")
OPTIMIZERS = ("adam", "adamw")


def make_schedule(optim: Any) -> Callable[[Any], jax.Array]:
  """Learning rate as a function of the step.

  All schedules rise linearly to `peak_lr` over `warmup_steps`, then: stay
  (constant), fall with sqrt(warmup / step) (inverse_sqrt, NaturalSpeech 2
  Sec. 4.1), fall by `decay_rate` every step (exponential), or fall along a
  half cosine to 2 % of the peak at `decay_steps` (cosine).

  Args:
    optim: config section with schedule, peak_lr, warmup_steps, decay_rate,
      decay_steps.

  Returns:
    step -> [] float32.

  Raises:
    UserError: the schedule's name is unknown.
  """
  if optim.schedule not in SCHEDULES:
    raise UserError(
      f"config.optim.schedule={optim.schedule!r} is unknown; "
      f"use one of {', '.join(SCHEDULES)}"
    )
  warmup = max(1, optim.warmup_steps)

  def after_warmup(step: jax.Array) -> jax.Array:
    if optim.schedule == "inverse_sqrt":
      return jnp.sqrt(warmup / jnp.maximum(step, warmup))
    if optim.schedule == "exponential":
      return jnp.power(optim.decay_rate, jnp.maximum(step - warmup, 0.0))
    if optim.schedule == "cosine":
      progress = (step - warmup) / max(1, optim.decay_steps - warmup)
      cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(progress, 0.0, 1.0)))
      return 0.02 + 0.98 * cosine
    return jnp.ones_like(step)

  def schedule(count: Any) -> jax.Array:
    step = jnp.asarray(count, jnp.float32) + 1.0
    ramp = jnp.minimum(step / warmup, 1.0)
    return optim.peak_lr * ramp * after_warmup(step)

  return schedule


def _is_kernel(params: Any) -> Any:
  """By name: scanned layers stack biases, too, to matrices."""
  return jax.tree_util.tree_map_with_path(
    lambda path, _: path[-1].key == "kernel", params
  )


def make_tx(optim: Any) -> optax.GradientTransformation:
  """Builds the optimiser: clip by global norm, then Adam or AdamW.

  Weight decay touches kernels only: not biases, scales or embeddings.

  Args:
    optim: config section; see `make_schedule`, plus name, b1, b2,
      weight_decay, clip_norm (None: no clipping).

  Returns:
    An optax transformation.

  Raises:
    UserError: the optimiser's or schedule's name is unknown.
  """
  if optim.name not in OPTIMIZERS:
    raise UserError(
      f"config.optim.name={optim.name!r} is unknown; "
      f"use one of {', '.join(OPTIMIZERS)}"
    )
  schedule = make_schedule(optim)
  if optim.name == "adam":
    tx = optax.adam(schedule, b1=optim.b1, b2=optim.b2)
  else:
    tx = optax.adamw(
      schedule,
      b1=optim.b1,
      b2=optim.b2,
      weight_decay=optim.weight_decay,
      mask=_is_kernel,
    )
  if optim.clip_norm is None:
    return tx
  return optax.chain(optax.clip_by_global_norm(optim.clip_norm), tx)


def make_player(name: str, loss_fn: LossFn, optim: Any) -> Player:
  """A player that learns as a config section says, see `make_tx`."""
  return Player(name, loss_fn, make_tx(optim), make_schedule(optim))
