# SPDX-License-Identifier: Apache-2.0
"""Flow between a simple prior and the posterior (NaturalSpeech, Sec. 3.3).

Couplings that only shift keep volumes: the logarithm of the determinant is 0.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.nn import conv, gated


class Shift(nn.Module):
  """What one half of the channels is shifted by, told by the other."""

  dim: int  # inside
  num_layers: int
  kernel_size: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Array, mask: Array) -> Array:
    """Maps [B, T, C / 2] to as many of its dtype; at first to zeros."""
    h = conv.Conv1d(self.dim, 1, dtype=self.dtype, name="in")(x)
    h = gated.GatedStack(
      self.num_layers, self.kernel_size, self.dtype, name="stack"
    )(h, mask)
    shift = conv.Conv1d(
      x.shape[-1],
      1,
      kernel_init=nn.initializers.zeros,
      dtype=self.dtype,
      name="out",
    )(h)
    return shift.astype(x.dtype) * mask[..., None]


class Flow(nn.Module):
  """Affine couplings without scales, with channels flipped in between."""

  num_couplings: int
  dim: int  # inside the couplings
  num_layers: int  # of each
  kernel_size: int
  dtype: Any = jnp.float32

  def setup(self):
    """Makes the couplings."""
    self.shifts = [
      Shift(self.dim, self.num_layers, self.kernel_size, self.dtype)
      for _ in range(self.num_couplings)
    ]

  def __call__(self, x: Array, mask: Array) -> Array:
    """f: from the prior's space to the posterior's.

    Args:
      x: [B, T, C] float32, C even.
      mask: [B, T] bool.

    Returns:
      [B, T, C] of x's dtype.
    """
    for shift in self.shifts:
      kept, moved = jnp.split(x, 2, axis=-1)
      moved = moved + shift(kept, mask)
      x = jnp.concatenate([kept, moved], axis=-1)[..., ::-1]
    return x

  def inverse(self, x: Array, mask: Array) -> Array:
    """f⁻¹: from the posterior's space to the prior's; as `__call__`."""
    for shift in reversed(self.shifts):
      kept, moved = jnp.split(x[..., ::-1], 2, axis=-1)
      moved = moved - shift(kept, mask)
      x = jnp.concatenate([kept, moved], axis=-1)
    return x
