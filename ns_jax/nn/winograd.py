# SPDX-License-Identifier: Apache-2.0
"""Convolutions of three taps with two thirds of the multiplications.

Winograd's F(2, 3) (arXiv 1509.09308): four products of sums of inputs and of
taps give two outputs, which plainly take six. Where products are what takes
time, as on CPU, that is worth the sums.
"""

import jax.numpy as jnp

from ns_jax.array_types import Array

_MIN_CHANNELS = 192  # of narrower ones, sums take as long as products


def suits(x: Array, kernel: Array) -> bool:
  """Whether it is faster for [B, T, C] and [K, C, F], and as exact."""
  is_wide = min(kernel.shape[1:]) >= _MIN_CHANNELS
  return len(kernel) == 3 and is_wide and x.dtype == jnp.float32


def convolve(
  x: Array, kernel: Array, pads: tuple[int, int], dilation: int
) -> Array:
  """Convolves [B, T, C] with [3, C, F] to [B, T + sum(pads) - 2 d, F]."""
  batch, length, channels = x.shape
  out = length + sum(pads) - 2 * dilation
  # Two outputs, d apart, see four inputs, d apart: of runs of d inputs, two
  # and the next two.
  pairs = -(-out // (2 * dilation))
  extra = 2 * dilation * (pairs + 1) - length - sum(pads)
  x = jnp.pad(x, ((0, 0), (pads[0], pads[1] + extra), (0, 0)))
  runs = x.reshape(batch, pairs + 1, 2, dilation, channels)
  runs = (runs[:, :-1, 0], runs[:, :-1, 1], runs[:, 1:, 0], runs[:, 1:, 1])
  # Of two axes: the gradients of products of more would copy them, transposed.
  a, b, c, d = (run.reshape(-1, channels) for run in runs)
  outer, inner = (kernel[0] + kernel[2]) / 2, kernel[1] / 2
  products = (
    (a - c) @ kernel[0],
    (b + c) @ (outer + inner),
    (c - b) @ (outer - inner),
    (b - d) @ kernel[2],
  )
  p, q, r, s = (y.reshape(batch, pairs, dilation, -1) for y in products)
  y = jnp.stack([p + q + r, q - r - s], axis=2)
  return y.reshape(batch, 2 * dilation * pairs, -1)[:, :out]
