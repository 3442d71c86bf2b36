# SPDX-License-Identifier: Apache-2.0
"""Divergences of one sequence of Gaussians from another (NaturalSpeech, Eq. 3).

The first has been carried to the space of the second by a flow that keeps
volumes, so its own density is that of before. What is known of it there is a
draw ("sample"), or where its mean went, with the variance of before ("moment":
exact for shifts that do not depend on what is shifted, else too small).
"""

import flax.struct
import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes
from ns_jax.nn.gaussian import Gaussian

_EXACT = jax.lax.Precision.HIGHEST


@flax.struct.dataclass
class Carried:
  """Gaussians after a flow that keeps volumes."""

  mean: Array  # [B, T, C] float32, where the draw or the mean went
  variance: Array  # [B, T, C] float32 around it; 0 for draws
  log_std: Array  # [B, T, C] float32, of before


def drawn(sample: Array, log_std: Array) -> Carried:
  """A draw that was carried, and the log-deviation it was drawn with."""
  return Carried(sample, jnp.zeros_like(sample), log_std)


def moments(mean: Array, log_std: Array) -> Carried:
  """A mean that was carried; the variance is taken to be that of before."""
  return Carried(mean, jnp.exp(2.0 * log_std), log_std)


def divergence(one: Carried, other: Gaussian) -> Array:
  """KL divergence element by element, mean over channels.

  Args:
    one: [B, T, C].
    other: [B, T, C].

  Returns:
    [B, T] float32; of draws, an estimate, which may be negative.
  """
  check_shapes(one.mean, "B T C", other.mean, "B T C")
  squares = (one.mean - other.mean) ** 2 + one.variance
  terms = other.log_std - one.log_std - 0.5
  return jnp.mean(terms + 0.5 * squares * jnp.exp(-2.0 * other.log_std), -1)


def pairwise_divergence(one: Carried, other: Gaussian) -> Array:
  """KL divergence of each element from each, mean over channels.

  By two matrix products; [B, T, M, C] is never made.

  Args:
    one: [B, T, C].
    other: [B, M, C].

  Returns:
    [B, T, M] float32.
  """
  sizes = check_shapes(one.mean, "B T C", other.mean, "B M C")
  precision = jnp.exp(-2.0 * other.log_std)

  def product(rows: Array, columns: Array) -> Array:
    return jnp.einsum("btc,bmc->btm", rows, columns, precision=_EXACT)

  squares = (
    product(one.mean**2 + one.variance, precision)
    - 2.0 * product(one.mean, other.mean * precision)
    + jnp.sum(other.mean**2 * precision, axis=-1)[:, None, :]
  )
  logs = other.log_std.sum(-1)[:, None, :] - one.log_std.sum(-1)[:, :, None]
  return (logs + 0.5 * squares) / sizes["C"] - 0.5
