# SPDX-License-Identifier: Apache-2.0
"""Activations with parameters."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array
from ns_jax.errors import UserError


class Snake(nn.Module):
  """x + sin²(αx) / α with one α per channel (arXiv 2006.08195).

  It passes periodic signals on better than activations without a period.
  """

  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [..., C] to the same shape, `dtype`."""
    # As a logarithm, α stays positive.
    log_alpha = self.param("log_alpha", nn.initializers.zeros, (x.shape[-1],))
    alpha = jnp.exp(log_alpha).astype(self.dtype)
    alpha = alpha.reshape((1,) * (x.ndim - 1) + (-1,))
    x = x.astype(self.dtype)
    return x + jnp.sin(alpha * x) ** 2 / alpha


def elu(x: Array) -> Array:
  """The identity above 0; below, exp(x) - 1 to the rounding of numbers near 1.

  Not expm1, which takes twice as long on CPU.
  """
  return jnp.where(x > 0, x, jnp.exp(jnp.minimum(x, 0)) - 1)


class Activation(nn.Module):
  """One of the activations a config may name."""

  kind: str  # "elu", "gelu" or "snake"
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [..., C] to the same shape, `dtype`."""
    if self.kind == "snake":
      return Snake(self.dtype, name="snake")(x)
    plain = {"elu": elu, "gelu": nn.gelu}
    if self.kind not in plain:
      raise UserError(
        f"the activation {self.kind!r} of config.model is unknown; "
        f"use snake, {' or '.join(plain)}"
      )
    return plain[self.kind](x)
