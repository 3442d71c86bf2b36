# SPDX-License-Identifier: Apache-2.0
"""Loss weights that say what share of the gradient each term has."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array


def balanced(
  terms: Mapping[str, Callable[[Array], Array]],
  weights: Mapping[str, Array | float],
  x: Array,
) -> tuple[Array, dict[str, Array]]:
  """A loss in which term i has weight_i / Σ weights of the gradient at x.

  Each term's gradient is scaled to unit norm times its share (EnCodec, arXiv
  2210.13438, Sec. 3.4, with the norm of this batch instead of its moving
  average). The value of the loss says nothing; its gradient counts.

  Args:
    terms: scalar functions of x.
    weights: at least 0, one for each term.
    x: what all terms judge, such as a reconstruction.

  Returns:
    ([] loss to differentiate, value of each term).
  """
  values, direction = {}, jnp.zeros_like(x)
  total = sum(weights[name] for name in terms)
  for name, term in terms.items():
    values[name], gradient = jax.value_and_grad(term)(x)
    norm = jnp.sqrt(jnp.sum(gradient**2) + 1e-20)
    share = weights[name] / jnp.maximum(total, 1e-12)
    direction = direction + gradient * (share / norm)
  return jnp.sum(jax.lax.stop_gradient(direction) * x), values
