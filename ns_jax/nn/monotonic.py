# SPDX-License-Identifier: Apache-2.0
"""Monotone paths through a [frames, symbols] lattice: their sum and the best.

A path gives every frame one symbol, in order, and every symbol some least
number of frames, except optional ones (pauses), which it may leave out; two
optional ones never stand side by side. "One TTS Alignment", arXiv 2108.10447.

Inside, a symbol that lasts K frames or more is a chain of K states that sound
alike; only in the last of them may a path stay, so there is one way to go
through the chain in a given time.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes

_NEVER = -1e30  # finite, so that gradients of impossible paths are 0, not NaN


def log_sum(
  log_probs: Array,
  num_frames: Array,
  num_symbols: Array,
  optional: Array,
  min_frames: int = 1,
) -> Array:
  """Logarithm of the summed probability of all paths.

  Args:
    log_probs: [B, T, N] float32.
    num_frames: [B] int32, at least 1.
    num_symbols: [B] int32, at least 1.
    optional: [B, N] bool, symbols a path may leave out.
    min_frames: K, frames of each other symbol at least.

  Returns:
    [B] float32; below -1e29 where there are too few frames.
  """
  check_shapes(log_probs, "B T N", num_frames, "B", optional, "B N")
  scores = _scores(log_probs, num_frames, optional, min_frames, jnp.logaddexp)
  return jnp.logaddexp(*_ends(scores[-1], num_symbols, optional, min_frames))


def best_durations(
  log_probs: Array,
  num_frames: Array,
  num_symbols: Array,
  optional: Array,
  min_frames: int = 1,
) -> Array:
  """Frames of each symbol on the most probable path (Viterbi).

  Args:
    log_probs: [B, T, N] float32.
    num_frames: [B] int32, at least 1.
    num_symbols: [B] int32, at least 1.
    optional: [B, N] bool, symbols a path may leave out.
    min_frames: K, frames of each other symbol at least; of those, too, if they
      are not left out.

  Returns:
    [B, N] int32, which sum to num_frames; 0 in the padding. Meaningless where
    there are too few frames.
  """
  check_shapes(log_probs, "B T N", num_frames, "B", optional, "B N")
  size = log_probs.shape[-1]
  scores = _scores(log_probs, num_frames, optional, min_frames, jnp.maximum)
  at_last, before_last = _ends(scores[-1], num_symbols, optional, min_frames)
  end = (num_symbols - (before_last > at_last)) * min_frames - 1
  distances = jnp.array([0, 1, min_frames + 1])  # of `_arrivals`

  def step_back(
    state: Array, inputs: tuple[Array, Array]
  ) -> tuple[Array, Array]:
    t, before = inputs  # scores of frame t - 1, [B, N K]
    rows = jnp.arange(state.shape[0])
    reach = _arrivals(before, optional, min_frames)[:, rows, state]
    moves = distances[jnp.argmax(reach, axis=0)]
    inside = t < num_frames
    symbol = state // min_frames
    emitted = jax.nn.one_hot(symbol, size, dtype=jnp.int32) * inside[:, None]
    return jnp.where(inside & (t > 0), state - moves, state), emitted

  times = jnp.arange(log_probs.shape[1])
  before = jnp.concatenate([scores[:1], scores[:-1]])
  _, emitted = jax.lax.scan(step_back, end, (times, before), reverse=True)
  return emitted.sum(0)


def on_path(durations: Array, num_frames: int) -> Array:
  """Marks which symbol each frame has on a path.

  Args:
    durations: [B, N] int32, frames of each symbol.
    num_frames: T.

  Returns:
    [B, T, N] bool; none beyond the end.
  """
  ends = jnp.cumsum(durations, axis=1)[:, None, :]
  times = jnp.arange(num_frames)[None, :, None]
  return (ends - durations[:, None, :] <= times) & (times < ends)


def _scores(
  log_probs: Array,
  num_frames: Array,
  optional: Array,
  min_frames: int,
  join: Callable[[Array, Array], Array],
) -> Array:
  """Score of being in each state at each frame, [T, B, N K].

  After an utterance's last frame its scores stay as they are.
  """

  def emitted(frame: Array) -> Array:
    return jnp.repeat(frame, min_frames, axis=-1)

  states = jnp.arange(log_probs.shape[-1] * min_frames)[None, :]
  after_pause = (states == min_frames) & optional[:, :1]
  may_start = (states == 0) | after_pause
  start = jnp.where(may_start, emitted(log_probs[:, 0]), _NEVER)

  def step(scores: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
    t, emission = inputs
    stay, move, skip = _arrivals(scores, optional, min_frames)
    new = jnp.maximum(join(join(stay, move), skip) + emitted(emission), _NEVER)
    scores = jnp.where((t < num_frames)[:, None], new, scores)
    return scores, scores

  times = jnp.arange(1, log_probs.shape[1])
  emissions = jnp.moveaxis(log_probs, 1, 0)[1:]
  _, scores = jax.lax.scan(step, start, (times, emissions))
  return jnp.concatenate([start[None], scores])


def _arrivals(scores: Array, optional: Array, min_frames: int) -> Array:
  """Scores of coming from the same state, the one before, or over a pause.

  [3, B, N K] of [B, N K].
  """

  def shifted(values: Array, by: int) -> Array:
    return jnp.pad(values, ((0, 0), (by, 0)), constant_values=_NEVER)[:, :-by]

  place = (jnp.arange(scores.shape[1]) % min_frames)[None, :]  # in its chain
  may_skip = jnp.repeat(
    jnp.pad(optional, ((0, 0), (1, 0)))[:, :-1], min_frames, axis=1
  )
  stay = jnp.where(place == min_frames - 1, scores, _NEVER)
  skip = jnp.where(
    may_skip & (place == 0), shifted(scores, min_frames + 1), _NEVER
  )
  return jnp.stack([stay, shifted(scores, 1), skip])


def _ends(
  scores: Array, num_symbols: Array, optional: Array, min_frames: int
) -> tuple[Array, Array]:
  """Scores [B] of ending on the last symbol, and before it if it is a pause."""
  last = num_symbols[:, None] - 1

  def at_end_of(symbol: Array) -> Array:
    state = jnp.maximum((symbol + 1) * min_frames - 1, 0)
    return jnp.take_along_axis(scores, state, axis=1)[:, 0]

  at_last, before = at_end_of(last), at_end_of(last - 1)
  may_end_before = jnp.take_along_axis(optional, last, axis=1)[:, 0]
  may_end_before &= num_symbols > 1
  return at_last, jnp.where(may_end_before, before, _NEVER)
