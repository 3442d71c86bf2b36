# SPDX-License-Identifier: Apache-2.0
"""A mean that can be merged over batches, steps and processes."""

from collections.abc import Iterable, Mapping

import flax.struct
import jax
import jax.numpy as jnp

from ns_jax.array_types import Array


@flax.struct.dataclass
class Mean:
  """Sum and weight of a quantity; `compute` divides them."""

  total: Array  # [] float32
  weight: Array  # [] float32

  @classmethod
  def of(cls, values: Array, mask: Array | None = None) -> "Mean":
    """Collects the elements of `values` where `mask` (same shape) is true."""
    values = values.astype(jnp.float32)
    if mask is None:
      return cls(values.sum(), jnp.asarray(values.size, jnp.float32))
    mask = mask.astype(jnp.float32)
    # `where`, not a product: padding may hold NaN or infinity.
    return cls(jnp.where(mask > 0, values * mask, 0.0).sum(), mask.sum())

  def merge(self, other: "Mean") -> "Mean":
    """The mean over both sets of elements."""
    return Mean(self.total + other.total, self.weight + other.weight)

  def compute(self) -> Array:
    """[] float32; NaN where nothing was collected."""
    return jnp.divide(self.total, self.weight)  # without a warning of 0 / 0


def merge_means(parts: Iterable[Mapping[str, Mean]]) -> dict[str, float]:
  """Merges the named means of several batches and computes them on the host."""
  merged: dict[str, Mean] = {}
  for part in parts:
    for name, mean in jax.device_get(part).items():
      merged[name] = merged[name].merge(mean) if name in merged else mean
  return {name: float(mean.compute()) for name, mean in merged.items()}
