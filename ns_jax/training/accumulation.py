# SPDX-License-Identifier: Apache-2.0
"""Gradients of a batch that is too large for memory, a part at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import sharding
from ns_jax.array_types import Array, Batch, Params

# (params, model_state, batch, key) -> (loss, (logs, new model_state))
LossFn = Callable[..., tuple[Array, tuple[dict[str, Array], Any]]]


def value_and_grad(loss_fn: LossFn, micro_batches: int) -> Callable[..., Any]:
  """Like jax.value_and_grad of `loss_fn`, over parts of the batch in turn.

  Losses, logs and gradients are means over the parts, each of which is a mean
  over its own real elements. The model state goes from part to part, and every
  part has its own randomness.

  Args:
    loss_fn: (params, model_state, batch, key) -> (loss, (logs, model_state)).
    micro_batches: how many parts; it divides the rows of every device.

  Returns:
    The same arguments -> ((loss, (logs, model_state)), gradients).
  """
  gradient = jax.value_and_grad(loss_fn, has_aux=True)
  if micro_batches == 1:
    return gradient

  def accumulated(params: Params, model_state: Any, batch: Batch, key: Array):
    def add(carry: tuple[Any, Any], part: tuple[Array, Batch]):
      model_state, total = carry
      number, rows = part
      own_key = jax.random.fold_in(jax.random.clone(key), number)
      (loss, (logs, model_state)), grads = gradient(
        params, model_state, rows, own_key
      )
      total = jax.tree.map(jnp.add, total, grads)
      return (model_state, total), (loss, logs)

    numbers = jnp.arange(micro_batches)
    zeros = jax.tree.map(jnp.zeros_like, params)
    (model_state, total), each = jax.lax.scan(
      add, (model_state, zeros), (numbers, _parts(batch, micro_batches))
    )
    loss, logs = jax.tree.map(lambda value: value.mean(0), each)
    grads = jax.tree.map(lambda grad: grad / micro_batches, total)
    return (loss, (logs, model_state)), grads

  return accumulated


def _parts(batch: Batch, count: int) -> Batch:
  """Rows [B, ...] as [count, B / count, ...].

  Every count-th row is of the same part, so that no row leaves its device.
  """

  def split(rows: Array) -> Array:
    parts = rows.reshape(len(rows) // count, count, *rows.shape[1:])
    return sharding.constrain_parts(parts.swapaxes(0, 1))

  return {name: split(rows) for name, rows in batch.items()}
