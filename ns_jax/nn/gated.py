# SPDX-License-Identifier: Apache-2.0
"""WaveNet without a condition: gated convolutions and the sum of their skips.

As in Glow-TTS and VITS (arXiv 2106.06103); the first layers are alike and
compiled once.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.nn import conv


class GatedLayer(nn.Module):
  """Gated convolution with a residual and a skip output."""

  kernel_size: int
  is_last: bool  # nobody needs its residual
  dtype: Any

  @nn.compact
  def __call__(
    self, carry: tuple[Array, Array], mask: Array
  ) -> tuple[tuple[Array, Array], None]:
    """Maps (x, sum of skips) [B, T, C] to the same, as `nn.scan` wants it."""
    x, skips = carry
    width = x.shape[-1]
    options: Any = dict(weight_norm=True, dtype=self.dtype)
    h = conv.Conv1d(
      2 * width, self.kernel_size, scanned=True, name="conv", **options
    )(x)
    gate, value = jnp.split(h, 2, axis=-1)
    h = nn.sigmoid(gate) * jnp.tanh(value)
    outputs = 1 if self.is_last else 2
    h = conv.Conv1d(outputs * width, 1, scanned=True, name="out", **options)(h)
    if self.is_last:
      return (x, skips + h), None
    residual, skip = jnp.split(h, 2, axis=-1)
    return ((x + residual) * mask[..., None], skips + skip), None


class GatedStack(nn.Module):
  """Layers of one width; returns the sum of their skips."""

  num_layers: int
  kernel_size: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, mask: Array) -> Array:
    """Maps [B, T, C] to [B, T, C] of `dtype`, zero where not `mask` [B, T]."""
    x = x.astype(self.dtype) * mask[..., None]
    carry = (x, jnp.zeros_like(x))
    if self.num_layers > 1:
      carry, _ = nn.scan(
        GatedLayer,
        variable_axes={"params": 0},
        split_rngs={"params": True},
        in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
        length=self.num_layers - 1,
      )(self.kernel_size, False, self.dtype, name="layers")(carry, mask)
    (_, skips), _ = GatedLayer(self.kernel_size, True, self.dtype, name="last")(
      carry, mask
    )
    return skips * mask[..., None]
