# SPDX-License-Identifier: Apache-2.0
"""Losses that teach an aligner without labels (arXiv 2108.10447)."""

import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes
from ns_jax.nn import monotonic


def forward_sum(
  log_probs: Array,
  num_frames: Array,
  num_phonemes: Array,
  is_pause: Array,
  min_frames: int = 1,
) -> Array:
  """Minus the log-probability of all monotone paths, per frame.

  Args:
    log_probs: [B, T, N] float32, of each phoneme at each frame.
    num_frames: [B] int32.
    num_phonemes: [B] int32.
    is_pause: [B, N] bool, symbols that may last no frame.
    min_frames: that others last at least.

  Returns:
    [B] float32; 0 where no path exists, because frames are too few.
  """
  total = monotonic.log_sum(
    log_probs, num_frames, num_phonemes, is_pause, min_frames
  )
  is_possible = total > -1e29
  return jnp.where(is_possible, -total / num_frames, 0.0)


def binarisation(log_soft: Array, durations: Array) -> Array:
  """How far a soft alignment is from a hard one.

  Args:
    log_soft: [B, T, N] float32, log-softmax over phonemes.
    durations: [B, N] int32, the hard path.

  Returns:
    [B, T] float32, minus the log-probability of the path's phoneme; 0 beyond
    the end.
  """
  check_shapes(log_soft, "B T N", durations, "B N")
  on_path = monotonic.on_path(durations, log_soft.shape[1])
  return -jnp.sum(jnp.where(on_path, log_soft, 0.0), axis=-1)
