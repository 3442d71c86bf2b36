# SPDX-License-Identifier: Apache-2.0
"""Monotone paths through a [frames, symbols] lattice: their sum and the best.

A path gives every frame one symbol, in order, and every symbol at least one
frame, except optional ones (pauses), which it may leave out; two optional
symbols never stand side by side. "One TTS Alignment", arXiv 2108.10447.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes

_NEVER = -1e30  # finite, so that gradients of impossible paths are 0, not NaN


def log_sum(
  log_probs: Array, num_frames: Array, num_symbols: Array, optional: Array
) -> Array:
  """Logarithm of the summed probability of all paths.

  Args:
    log_probs: [B, T, N] float32.
    num_frames: [B] int32, at least 1.
    num_symbols: [B] int32, at least 1.
    optional: [B, N] bool, symbols a path may leave out.

  Returns:
    [B] float32; below -1e29 where there are more symbols than frames.
  """
  check_shapes(log_probs, "B T N", num_frames, "B", optional, "B N")
  scores = _scores(log_probs, num_frames, optional, jnp.logaddexp)[-1]
  return jnp.logaddexp(*_ends(scores, num_symbols, optional))


def best_durations(
  log_probs: Array, num_frames: Array, num_symbols: Array, optional: Array
) -> Array:
  """Frames of each symbol on the most probable path (Viterbi).

  Args:
    log_probs: [B, T, N] float32.
    num_frames: [B] int32, at least 1.
    num_symbols: [B] int32, at least 1.
    optional: [B, N] bool, symbols a path may leave out.

  Returns:
    [B, N] int32, which sum to num_frames; 0 in the padding.
  """
  check_shapes(log_probs, "B T N", num_frames, "B", optional, "B N")
  size = log_probs.shape[-1]
  scores = _scores(log_probs, num_frames, optional, jnp.maximum)
  at_last, before_last = _ends(scores[-1], num_symbols, optional)
  end = num_symbols - 1 - (before_last > at_last)

  def step_back(
    symbol: Array, inputs: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    t, before = inputs  # scores of frame t - 1, [B, N]
    rows = jnp.arange(symbol.shape[0])
    reach = _arrivals(before, optional)  # [3, B, N]: from itself, 1, 2 before
    moves = jnp.argmax(reach[:, rows, symbol], axis=0)
    inside = t < num_frames
    emitted = jax.nn.one_hot(symbol, size, dtype=jnp.int32) * inside[:, None]
    return jnp.where(inside & (t > 0), symbol - moves, symbol), emitted

  times = jnp.arange(log_probs.shape[1])
  before = jnp.concatenate([scores[:1], scores[:-1]])
  _, emitted = jax.lax.scan(step_back, end, (times, before), reverse=True)
  return emitted.sum(0)


def _scores(
  log_probs: Array,
  num_frames: Array,
  optional: Array,
  join: Callable[[Array, Array], Array],
) -> Array:
  """Score of being at each symbol at each frame, [T, B, N].

  After an utterance's last frame its scores stay as they are.
  """
  size = log_probs.shape[-1]
  is_first = jnp.arange(size)[None, :] == 0
  after_pause = (jnp.arange(size)[None, :] == 1) & optional[:, :1]
  start = jnp.where(is_first | after_pause, log_probs[:, 0], _NEVER)

  def step(scores: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
    t, emission = inputs
    stay, move, skip = _arrivals(scores, optional)
    new = jnp.maximum(join(join(stay, move), skip) + emission, _NEVER)
    scores = jnp.where((t < num_frames)[:, None], new, scores)
    return scores, scores

  times = jnp.arange(1, log_probs.shape[1])
  emissions = jnp.moveaxis(log_probs, 1, 0)[1:]
  _, scores = jax.lax.scan(step, start, (times, emissions))
  return jnp.concatenate([start[None], scores])


def _arrivals(scores: Array, optional: Array) -> Array:
  """Scores of coming from the same symbol, the one before, or over a pause."""

  def shifted(values: Array, by: int) -> Array:
    return jnp.pad(values, ((0, 0), (by, 0)), constant_values=_NEVER)[:, :-by]

  may_skip = jnp.pad(optional, ((0, 0), (1, 0)))[:, :-1]
  skip = jnp.where(may_skip, shifted(scores, 2), _NEVER)
  return jnp.stack([scores, shifted(scores, 1), skip])


def _ends(
  scores: Array, num_symbols: Array, optional: Array
) -> tuple[Array, Array]:
  """Scores [B] of ending on the last symbol, and before it if it is a pause."""
  last = num_symbols[:, None] - 1
  at_last = jnp.take_along_axis(scores, last, axis=1)[:, 0]
  before = jnp.take_along_axis(scores, jnp.maximum(last - 1, 0), axis=1)[:, 0]
  may_end_before = jnp.take_along_axis(optional, last, axis=1)[:, 0]
  may_end_before &= num_symbols > 1
  return at_last, jnp.where(may_end_before, before, _NEVER)
