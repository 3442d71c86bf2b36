# SPDX-License-Identifier: Apache-2.0
"""Length masks and masked means. True (or 1) marks a real element."""

import jax.numpy as jnp

from ns_jax.array_types import Array


def length_mask(lengths: Array, size: int) -> Array:
  """Turns lengths into a mask.

  Args:
    lengths: [B] int32, number of real elements.
    size: length of the padded axis.

  Returns:
    [B, size] bool.
  """
  return jnp.arange(size)[None, :] < lengths[:, None]


def masked_mean(values: Array, mask: Array) -> Array:
  """Mean over real elements of the whole batch.

  Args:
    values: [B, ...] float.
    mask: same leading shape as values; trailing axes of values that mask lacks
      are averaged plainly.

  Returns:
    [] float32; 0 where the mask is empty.
  """
  values = values.astype(jnp.float32)
  extra = tuple(range(mask.ndim, values.ndim))
  per_element = values.mean(extra) if extra else values
  weights = mask.astype(jnp.float32)
  # `where`, not a product: padding may hold NaN or infinity.
  total = jnp.sum(jnp.where(weights > 0, per_element, 0.0))
  return total / jnp.maximum(jnp.sum(weights), 1.0)
