# SPDX-License-Identifier: Apache-2.0
"""Feature-wise linear modulation."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array


class FiLM(nn.Module):
  """x -> gain * x + shift, both linear in a condition; zero changes nothing."""

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array, condition: Array) -> Array:
    """Modulates [B, T, C] by a condition [B, T, D]."""
    features = x.shape[-1]
    gain = nn.Dense(
      features,
      bias_init=nn.initializers.ones,
      dtype=self.dtype,
      name="gain",
    )(condition)
    shift = nn.Dense(features, dtype=self.dtype, name="shift")(condition)
    return gain * x + shift
