# SPDX-License-Identifier: Apache-2.0
"""Sinusoids of positions and of diffusion time."""

import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array

MAX_PERIOD = 10_000.0
TIME_SCALE = 1000.0  # sinusoids of t in [0, 1] itself are almost constant


def sinusoidal(positions: Array, dim: int) -> Array:
  """Sines and cosines of wavelengths from 2 pi to 10000 * 2 pi.

  Args:
    positions: [...] any real numbers.
    dim: D, even.

  Returns:
    [..., D] float32, sines then cosines.
  """
  half = dim // 2
  exponents = jnp.arange(half, dtype=jnp.float32) / max(half - 1, 1)
  frequencies = jnp.exp(-math.log(MAX_PERIOD) * exponents)
  shape = (1,) * positions.ndim + (half,)
  angles = positions[..., None] * frequencies.reshape(shape)
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class TimeEmbedding(nn.Module):
  """Diffusion time as a vector (NaturalSpeech 2, Sec. 3.2)."""

  features: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, t: Array) -> Array:
    """Maps times [B] in [0, 1] to [B, features]."""
    x = sinusoidal(TIME_SCALE * t, self.features)
    x = nn.Dense(4 * self.features, dtype=self.dtype, name="hidden")(x)
    return nn.Dense(self.features, dtype=self.dtype, name="out")(nn.silu(x))
