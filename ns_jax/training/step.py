# SPDX-License-Identifier: Apache-2.0
"""The train step: pure, the same for every stage."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ns_jax.array_types import Array, Batch
from ns_jax.training import accumulation
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import Stage
from ns_jax.training.state import TrainState, inference_params, replaced

Logs = dict[str, Array]


def make_train_step(
  stage: Stage, phase: int = 0, micro_batches: int = 1
) -> Callable[[TrainState, Batch], tuple[TrainState, Logs]]:
  """Returns (state, batch) -> (next state, scalars to log), of a phase.

  Args:
    stage: what to train.
    phase: which of the stage's.
    micro_batches: parts of a batch, see `accumulation`.
  """

  def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Logs]:
    key = jax.random.fold_in(state.key, state.step)
    params, opt_state = state.params, state.opt_state
    model_state, logs = state.model_state, {}
    for player in stage.players:  # unrolled while tracing

      def loss_fn(own, model_state, rows, key, player=player, params=params):
        return player.loss_fn(
          {**params, player.name: own},
          model_state,
          state.frozen,
          rows,
          # The players share one key: XLA then merges the two identical
          # generator forwards of a GAN step.
          jax.random.clone(key),
          step=state.step,
          phase=phase,
          train=True,
        )

      grad_fn = accumulation.value_and_grad(loss_fn, micro_batches)
      own_params = params[player.name]
      (loss, (terms, model_state)), grads = grad_fn(
        own_params, model_state, batch, key
      )
      updates, new_opt = player.tx.update(
        grads, opt_state[player.name], own_params
      )
      params = {
        **params,
        player.name: optax.apply_updates(own_params, updates),
      }
      opt_state = {**opt_state, player.name: new_opt}
      logs |= {f"{player.name}/{name}": v for name, v in terms.items()}
      logs[f"{player.name}/loss"] = loss
      logs[f"{player.name}/grad_norm"] = optax.tree.norm(grads)
      rate = player.learning_rate(state.step)
      logs[f"{player.name}/learning_rate"] = jnp.asarray(rate)
    next_state = dataclasses.replace(
      state,
      step=state.step + 1,
      params=params,
      opt_state=opt_state,
      ema_params=_update_ema(stage, state, params),
      model_state=model_state,
    )
    return next_state, logs

  return train_step


def make_begin_step(
  stage: Stage, phase: int
) -> Callable[[TrainState, Batch], TrainState]:
  """Returns (state, batch) -> state that is ready for a phase."""
  begin_fn = stage.begin_fn
  assert begin_fn is not None

  def begin_step(state: TrainState, batch: Batch) -> TrainState:
    part, model_state = begin_fn(
      state.params,
      state.model_state,
      state.frozen,
      batch,
      jax.random.fold_in(state.key, state.step),
      phase=phase,
    )
    # The moving averages begin anew, too: nothing lies between old and new.
    averaged = {name: part[name] for name in part if name in state.ema_params}
    return dataclasses.replace(
      state,
      params=replaced(state.params, part),
      ema_params=replaced(state.ema_params, averaged),
      model_state=dict(model_state),
    )

  return begin_step


def _update_ema(stage: Stage, state: TrainState, params: dict) -> dict:
  """Moving average whose window grows with the step up to its decay."""
  step = state.step.astype(jnp.float32)
  warm_decay = (1.0 + step) / (10.0 + step)
  return {
    name: optax.incremental_update(
      params[name],
      average,
      1.0 - jnp.minimum(stage.ema_decay[name], warm_decay),
    )
    for name, average in state.ema_params.items()
  }


def make_eval_step(
  stage: Stage,
) -> Callable[[TrainState, Batch, Array], dict[str, Mean]]:
  """Returns (state, batch, key) -> named means of a held-out batch."""

  def eval_step(state: TrainState, batch: Batch, key: Array):
    return stage.eval_fn(
      inference_params(state), state.model_state, state.frozen, batch, key
    )

  return eval_step


def make_sample_step(
  stage: Stage,
) -> Callable[[TrainState, Batch, Array], dict[str, Array]]:
  """Returns (state, batch, key) -> audio and figures of a held-out batch."""
  sample_fn = stage.sample_fn
  if sample_fn is None:
    return lambda state, batch, key: {}

  def sample_step(state: TrainState, batch: Batch, key: Array):
    return sample_fn(
      inference_params(state), state.model_state, state.frozen, batch, key
    )

  return sample_step
