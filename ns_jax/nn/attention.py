# SPDX-License-Identifier: Apache-2.0
"""Multi-head attention from one sequence to another."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array


class MultiHeadAttention(nn.Module):
  """Scaled dot-product attention; logits and softmax are float32."""

  num_heads: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, queries: Array, context: Array, mask: Array) -> Array:
    """Attends.

    Args:
      queries: [B, T, D], what asks.
      context: [B, P, E], what is looked at, as keys and values.
      mask: [B, P] bool, real elements of the context.

    Returns:
      [B, T, D] of `dtype`.
    """
    width = queries.shape[-1]
    project = functools.partial(
      nn.DenseGeneral,
      (self.num_heads, width // self.num_heads),
      dtype=self.dtype,
    )
    attended = jax.nn.dot_product_attention(
      project(name="query")(queries),
      project(name="key")(context),
      project(name="value")(context),
      mask=mask[:, None, None, :],
    )
    return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, name="out")(
      attended
    )
