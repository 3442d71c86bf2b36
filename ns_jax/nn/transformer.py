# SPDX-License-Identifier: Apache-2.0
"""Transformer with a convolutional feed-forward (NaturalSpeech 2, Table 8)."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax import sharding
from ns_jax.array_types import Array
from ns_jax.nn import attention, conv, embeddings, remat


class TransformerLayer(nn.Module):
  """Self-attention, then convolution and projection, each after a norm."""

  num_heads: int
  filter_size: int
  kernel_size: int
  dropout_rate: float
  out_kernel_size: int
  relative_window: int | None
  dtype: Any

  @nn.compact
  def __call__(self, x: Array, mask: Array, train: bool) -> tuple[Array, None]:
    """Maps [B, T, D] to ([B, T, D], None), as `nn.scan` wants it."""
    dropout = nn.Dropout(self.dropout_rate, deterministic=not train)
    y = nn.LayerNorm(dtype=self.dtype, name="attention_norm")(x)
    if self.relative_window is None:
      y = attention.MultiHeadAttention(
        self.num_heads, dtype=self.dtype, name="attention"
      )(y, y, mask)
    else:
      y = attention.RelativeAttention(
        self.num_heads,
        self.relative_window,
        dtype=self.dtype,
        name="attention",
      )(y, mask)
    x = x + dropout(y)
    y = nn.LayerNorm(dtype=self.dtype, name="ffn_norm")(x)
    # A convolution reaches into the padding, so that must be zero.
    y = conv.Conv1d(
      self.filter_size,
      self.kernel_size,
      scanned=True,
      dtype=self.dtype,
      name="ffn_in",
    )(y * mask[..., None])
    y = dropout(nn.relu(y))
    if self.out_kernel_size == 1:
      y = nn.Dense(x.shape[-1], dtype=self.dtype, name="ffn_out")(y)
    else:
      y = conv.Conv1d(
        x.shape[-1],
        self.out_kernel_size,
        scanned=True,
        dtype=self.dtype,
        name="ffn_out",
      )(y * mask[..., None])
    return sharding.constrain_batch(x + dropout(y)), None


class Transformer(nn.Module):
  """Pre-norm stack over sinusoidal positions, with a final norm."""

  num_layers: int
  num_heads: int
  filter_size: int
  kernel_size: int
  dropout_rate: float
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32
  out_kernel_size: int = 1  # of the second convolution
  relative_window: int | None = None  # attention knows distances up to it

  @nn.compact
  def __call__(self, x: Array, mask: Array, *, train: bool) -> Array:
    """Encodes.

    Args:
      x: [B, T, D].
      mask: [B, T] bool.
      train: whether to drop out.

    Returns:
      [B, T, D] of `dtype`; padding holds no meaning.
    """
    _, length, width = x.shape
    positions = embeddings.sinusoidal(jnp.arange(length), width)
    x = (x + positions[None]).astype(self.dtype)
    layer = remat.wrapped(TransformerLayer, self.remat, (3,))
    x, _ = nn.scan(
      layer,
      variable_axes={"params": 0},
      split_rngs={"params": True, "dropout": True},
      in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
      length=self.num_layers,
    )(
      self.num_heads,
      self.filter_size,
      self.kernel_size,
      self.dropout_rate,
      self.out_kernel_size,
      self.relative_window,
      self.dtype,
      name="layers",
    )(x, mask, train)
    return nn.LayerNorm(dtype=self.dtype, name="norm")(x)
