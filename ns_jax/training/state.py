# SPDX-License-Identifier: Apache-2.0
"""Everything that training changes or carries, as one pytree."""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.array_types import Array, Batch, Params
from ns_jax.training.stage import Stage


@flax.struct.dataclass
class TrainState:
  """The whole state of a run; dictionaries are keyed by player."""

  step: Array  # [] int32, optimiser steps done
  key: Array  # [] typed key; constant, folded with step
  params: dict[str, Params]
  opt_state: dict[str, Any]
  ema_params: dict[str, Params]  # absent player: no moving average
  model_state: dict[str, Any]  # collections without gradient (codebook)
  frozen: dict[str, Any]  # weights of earlier stages


def create_state(
  stage: Stage,
  key: Array,
  batch: Batch,
  frozen: dict[str, Any],
  start: dict[str, Params] | None = None,
) -> TrainState:
  """Initialises a run; meant to be called under jit or eval_shape.

  Args:
    stage: what to train.
    key: [] typed key, from the config's seed.
    batch: the first global batch; codebooks start from it.
    frozen: weights of earlier stages, carried along unchanged.
    start: parameters that do not begin at random: of players, or of parts of
      them, in the same nested dictionaries.

  Returns:
    The state at step 0.

  Raises:
    ValueError: `start` has something that is not a parameter, or of another
      shape.
  """
  init_key, state_key = jax.random.split(key)
  params, model_state = stage.init_fn(init_key, batch, frozen)
  params = replaced(params, start or {})
  opt_state = {p.name: p.tx.init(params[p.name]) for p in stage.players}
  ema_params = {
    name: jax.tree.map(jnp.copy, params[name]) for name in stage.ema_decay
  }
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    key=state_key,
    params=params,
    opt_state=opt_state,
    ema_params=ema_params,
    model_state=model_state,
    frozen=frozen,
  )


def replaced(params: Any, part: Any, name: str = "start") -> Any:
  """Nested dictionaries with a partial tree in the place of what it has.

  Raises:
    ValueError: the part has something that is not there, or of another shape;
      `name` says where.
  """
  if not isinstance(part, Mapping):
    if np.shape(part) != np.shape(params):
      raise ValueError(
        f"{name} is {np.shape(part)}, the parameter {np.shape(params)}"
      )
    return part
  if not isinstance(params, Mapping) or part.keys() - params.keys():
    raise ValueError(f"{name} has {sorted(part)}, which are no parameters")
  return {**params} | {
    key: replaced(params[key], child, f"{name}/{key}")
    for key, child in part.items()
  }


def inference_params(state: TrainState) -> dict[str, Params]:
  """Parameters to evaluate with: the moving average where there is one."""
  return {**state.params, **state.ema_params}
