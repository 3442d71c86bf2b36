# SPDX-License-Identifier: Apache-2.0
"""Normal distributions with a diagonal covariance."""

import flax.struct
import jax
import jax.numpy as jnp

from ns_jax.array_types import Array


@flax.struct.dataclass
class Gaussian:
  """One distribution for each element."""

  mean: Array  # [..., C] float32
  log_std: Array  # [..., C] float32

  @classmethod
  def of(cls, features: Array) -> "Gaussian":
    """Reads mean and log-deviation off features [..., 2 C]."""
    mean, log_std = jnp.split(features.astype(jnp.float32), 2, axis=-1)
    return cls(mean, log_std)

  def draw(self, key: Array, temperature: float = 1.0) -> Array:
    """A sample [..., C]; `temperature` multiplies the deviation."""
    noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
    return self.mean + temperature * jnp.exp(self.log_std) * noise
