# SPDX-License-Identifier: Apache-2.0
"""WaveNet with attention and FiLM every third layer (NaturalSpeech 2, Fig. 4).

Layers are compiled once and scanned: blocks of three (two plain, one that
attends), then the plain layers that are left over.
"""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax import sharding
from ns_jax.array_types import Array
from ns_jax.nn import attention, conv, film, remat

BLOCK_LAYERS = 3


class ResidualLayer(nn.Module):
  """Gated dilated convolution with a residual and a skip output."""

  attends: bool
  kernel_size: int
  dilation: int
  cond_kernel_size: int
  num_heads: int
  dropout_rate: float
  dtype: Any

  @nn.compact
  def __call__(
    self,
    x: Array,
    cond: Array,
    time: Array,
    prompt: Array,
    prompt_mask: Array,
    mask: Array,
    train: bool,
  ) -> tuple[Array, Array]:
    """Maps x [B, T, C] to (next x, skip), both [B, T, C]."""
    features, dtype = x.shape[-1], self.dtype
    y = x + nn.Dense(features, dtype=dtype, name="time")(time)[:, None]
    y = y * mask[..., None]
    h = conv.Conv1d(
      2 * features,
      self.kernel_size,
      dilation=self.dilation,
      scanned=True,
      dtype=dtype,
      name="conv",
    )(y)
    h = h + conv.Conv1d(
      2 * features,
      self.cond_kernel_size,
      scanned=True,
      dtype=dtype,
      name="cond",
    )(cond)
    if self.attends:
      queries = nn.LayerNorm(dtype=dtype, name="attention_norm")(y)
      heard = attention.MultiHeadAttention(
        self.num_heads, dtype=dtype, name="attention"
      )(queries, prompt, prompt_mask)
      h = film.FiLM(dtype=dtype, name="film")(h, heard)
    gate, value = jnp.split(h, 2, axis=-1)
    h = nn.sigmoid(gate) * jnp.tanh(value)
    h = nn.Dropout(self.dropout_rate, deterministic=not train)(h)
    h = nn.Dense(2 * features, dtype=dtype, name="out")(h)
    residual, skip = jnp.split(h, 2, axis=-1)
    return (x + residual) / math.sqrt(2.0), skip * mask[..., None]


class Block(nn.Module):
  """Residual layers, each told whether it attends to the prompt."""

  attends: tuple[bool, ...]
  kernel_size: int
  dilation: int
  cond_kernel_size: int
  num_heads: int
  dropout_rate: float
  dtype: Any

  @nn.compact
  def __call__(
    self,
    carry: tuple[Array, Array],
    cond: Array,
    time: Array,
    prompt: Array,
    prompt_mask: Array,
    mask: Array,
    train: bool,
  ) -> tuple[tuple[Array, Array], None]:
    """Maps (x, sum of skips) to the same, as `nn.scan` wants it."""
    x, skips = carry
    for i, attends in enumerate(self.attends):
      x, skip = ResidualLayer(
        attends,
        self.kernel_size,
        self.dilation,
        self.cond_kernel_size,
        self.num_heads,
        self.dropout_rate,
        self.dtype,
        name=f"layer_{i}",
      )(x, cond, time, prompt, prompt_mask, mask, train)
      skips = skips + skip
    return (sharding.constrain_batch(x), sharding.constrain_batch(skips)), None


class WaveNet(nn.Module):
  """Stack of residual layers; returns the scaled sum of their skips."""

  num_layers: int
  kernel_size: int
  dilation: int
  cond_kernel_size: int
  num_heads: int
  dropout_rate: float
  attends: bool = True  # False: no layer hears the prompt
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Array,
    cond: Array,
    time: Array,
    prompt: Array,
    prompt_mask: Array,
    mask: Array,
    *,
    train: bool,
  ) -> Array:
    """Transforms a sequence.

    Args:
      x: [B, T, C].
      cond: [B, T, E], frame-level condition.
      time: [B, C], embedded diffusion time.
      prompt: [B, R, E], what every third layer attends to.
      prompt_mask: [B, R] bool.
      mask: [B, T] bool.
      train: whether to drop out.

    Returns:
      [B, T, C] of `dtype`, zero in the padding.
    """
    # One norm for all layers: their own scales would only repeat what the
    # projections that follow can do.
    cond = nn.LayerNorm(dtype=self.dtype, name="cond_norm")(cond)
    args = (cond * mask[..., None], time, prompt, prompt_mask, mask, train)
    block = remat.wrapped(Block, self.remat, (7,))
    options = (
      self.kernel_size,
      self.dilation,
      self.cond_kernel_size,
      self.num_heads,
      self.dropout_rate,
      self.dtype,
    )
    carry = (x, jnp.zeros_like(x))
    num_blocks, num_rest = divmod(self.num_layers, BLOCK_LAYERS)
    if num_blocks:
      carry, _ = nn.scan(
        block,
        variable_axes={"params": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
        length=num_blocks,
      )((False, False, self.attends), *options, name="blocks")(carry, *args)
    if num_rest:
      carry, _ = block((False,) * num_rest, *options, name="rest")(carry, *args)
    return carry[1] / math.sqrt(self.num_layers)
