# SPDX-License-Identifier: Apache-2.0
"""Gradients have the shares their weights ask for, whatever their scale."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.losses import balance

TARGETS = jax.random.normal(jax.random.key(0), (2, 5))


def _gradient(weights, scales):
  terms = {
    name: lambda x, t=t, s=s: s * jnp.sum((x - t) ** 2)
    for name, t, s in zip("ab", TARGETS, scales, strict=True)
  }
  return jax.grad(lambda x: balance.balanced(terms, weights, x)[0])(jnp.ones(5))


def test_shares_are_those_of_the_weights():
  directions = 1.0 - np.asarray(TARGETS)
  directions /= np.linalg.norm(directions, axis=1, keepdims=True)
  expected = 0.75 * directions[0] + 0.25 * directions[1]
  for scales in ((1.0, 1.0), (1e-3, 1e4)):
    np.testing.assert_allclose(
      _gradient({"a": 3.0, "b": 1.0}, scales), expected, rtol=1e-4
    )


def test_values_are_those_of_the_terms_and_silence_is_finite():
  terms = {"flat": lambda x: 7.0 + 0.0 * jnp.sum(x)}
  loss = lambda x: balance.balanced(terms, {"flat": 1.0}, x)
  (_, values), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.ones(3))
  assert float(values["flat"]) == 7.0
  np.testing.assert_array_equal(gradient, np.zeros(3))
  # Not asked for: no gradient, and no division by zero.
  none = jax.grad(lambda x: balance.balanced(terms, {"flat": 0.0}, x)[0])
  np.testing.assert_array_equal(none(jnp.ones(3)), np.zeros(3))
