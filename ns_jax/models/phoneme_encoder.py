# SPDX-License-Identifier: Apache-2.0
"""Phonemes to hidden vectors (NaturalSpeech 2, Sec. 3.3)."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.nn import transformer


class PhonemeEncoder(nn.Module):
  """Embedding table and Transformer."""

  num_symbols: int
  dim: int
  num_layers: int
  num_heads: int
  filter_size: int
  kernel_size: int
  dropout_rate: float
  embedding_std: float
  remat: str = "none"  # a policy of nn.remat
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, phonemes: Array, mask: Array, *, train: bool) -> Array:
    """Encodes.

    Args:
      phonemes: [B, N] int32, ids; 0 is padding.
      mask: [B, N] bool.
      train: whether to drop out.

    Returns:
      [B, N, dim].
    """
    x = nn.Embed(
      self.num_symbols,
      self.dim,
      embedding_init=nn.initializers.normal(self.embedding_std),
      dtype=self.dtype,
      name="embedding",
    )(phonemes)
    return transformer.Transformer(
      self.num_layers,
      self.num_heads,
      self.filter_size,
      self.kernel_size,
      self.dropout_rate,
      self.remat,
      self.dtype,
      name="transformer",
    )(x, mask, train=train)
