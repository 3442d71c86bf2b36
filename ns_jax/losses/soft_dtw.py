# SPDX-License-Identifier: Apache-2.0
"""Soft dynamic time warping over a table of costs (NaturalSpeech, Sec. 3.3)."""

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes

_NEVER = 1e10  # finite, so that gradients of impossible paths are 0, not NaN


def soft_dtw(
  costs: Array,
  num_rows: Array,
  num_columns: Array,
  *,
  gamma: float,
  warp: float,
) -> Array:
  """Soft minimum, over all monotone paths, of what a path costs.

  A path leads from the first cell to the last of the real ones by steps of one
  row, one column or both; a step that is not both costs `warp` more:
  r[i,j] = c[i,j] + softmin(r[i-1,j-1], r[i-1,j] + warp, r[i,j-1] + warp), with
  softmin(a) = -gamma log sum exp(-a / gamma). Its gradient is the probability
  that a path goes through each cell. Worked off diagonal by diagonal.

  Args:
    costs: [B, T, M] float.
    num_rows: [B] int32, real rows of each table, at least 1.
    num_columns: [B] int32, real columns, at least 1.
    gamma: softness, in the unit of the costs; towards 0, plain DTW.
    warp: penalty of a step along one axis alone.

  Returns:
    [B] of the costs' dtype.
  """
  sizes = check_shapes(costs, "B T M", num_rows, "B", num_columns, "B")
  rows = jnp.arange(sizes["T"])[None, :]
  diagonals = _skewed(costs)  # [T + M - 1, B, T]
  goal = num_rows + num_columns - 2
  first = jnp.where(rows == 0, diagonals[0], _NEVER)
  before = jnp.full_like(first, _NEVER)

  def from_row_above(scores: Array) -> Array:
    return jnp.pad(scores[:, :-1], ((0, 0), (1, 0)), constant_values=_NEVER)

  def at_goal(scores: Array, diagonal: Array, so_far: Array) -> Array:
    last = jnp.take_along_axis(scores, num_rows[:, None] - 1, axis=1)[:, 0]
    return jnp.where(diagonal == goal, last, so_far)

  def step(carry, inputs):
    one_ago, two_ago, total = carry
    diagonal, cost = inputs
    arrivals = jnp.stack(
      [from_row_above(two_ago), from_row_above(one_ago) + warp, one_ago + warp]
    )
    # The least is taken off before the division: costs are many gammas large.
    least = jax.lax.stop_gradient(arrivals.min(axis=0))
    spread = jax.nn.logsumexp((least[None] - arrivals) / gamma, axis=0)
    scores = jnp.minimum(cost + least - gamma * spread, _NEVER)
    return (scores, one_ago, at_goal(scores, diagonal, total)), None

  carry = (
    first,
    before,
    at_goal(first, jnp.array(0), jnp.zeros_like(goal, costs.dtype)),
  )
  steps = jnp.arange(1, diagonals.shape[0]), diagonals[1:]
  (_, _, total), _ = jax.lax.scan(step, carry, steps)
  return total


def _skewed(costs: Array) -> Array:
  """Diagonals of tables [B, T, M], by row: [T + M - 1, B, T]."""
  batch, rows, columns = costs.shape
  padded = jnp.pad(costs, ((0, 0), (0, 0), (0, rows)), constant_values=_NEVER)
  # Dropping the last elements moves each row one place on from the row above.
  flat = padded.reshape(batch, -1)[:, :-rows]
  skewed = flat.reshape(batch, rows, rows + columns - 1)
  return skewed.transpose(2, 0, 1)
