# SPDX-License-Identifier: Apache-2.0
"""Multi-head attention, from one sequence to another or to itself."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array

_NEVER = -1e9  # logit of padding


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


class RelativeAttention(nn.Module):
  """Self-attention that knows how far off what it sees is (arXiv 1803.02155).

  Distances up to `window` have a key and a value of their own, shared by all
  heads; farther ones add nothing.
  """

  num_heads: int
  window: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, mask: Array) -> Array:
    """Maps [B, T, D], of which `mask` [B, T] is real, to [B, T, D]."""
    length, width = x.shape[1:]
    head_width = width // self.num_heads
    project = functools.partial(
      nn.DenseGeneral, (self.num_heads, head_width), dtype=self.dtype
    )
    queries = project(name="query")(x) / head_width**0.5
    keys, values = project(name="key")(x), project(name="value")(x)
    near_keys, near_values = (
      self.param(
        name,
        nn.initializers.normal(head_width**-0.5),
        (2 * self.window + 1, head_width),
      ).astype(self.dtype)
      for name in ("near_keys", "near_values")
    )
    distance = jnp.arange(length)[None, :] - jnp.arange(length)[:, None]
    is_near = jnp.abs(distance) <= self.window
    place = jnp.clip(distance + self.window, 0, 2 * self.window)
    near = jnp.einsum("bthk,nk->bhtn", queries, near_keys)
    near = jnp.take_along_axis(near, place[None, None], axis=-1)
    logits = jnp.einsum("bthk,bshk->bhts", queries, keys)
    logits = (logits + jnp.where(is_near, near, 0.0)).astype(jnp.float32)
    logits = jnp.where(mask[:, None, None, :], logits, _NEVER)
    weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
    heard = jnp.einsum("bhts,bshk->bthk", weights, values)
    one_hot = jax.nn.one_hot(place, len(near_values), dtype=self.dtype)
    by_distance = jnp.einsum(
      "bhts,tsn->bthn", weights, one_hot * is_near[..., None]
    )
    heard += jnp.einsum("bthn,nk->bthk", by_distance, near_values)
    return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, name="out")(
      heard
    )
