# SPDX-License-Identifier: Apache-2.0
"""Gradients of our own against XLA's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.nn import convolving


def _gradients(convolve, x, kernel):
  loss = lambda x, kernel: jnp.sum(jnp.sin(convolve(x, kernel)))
  return jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))(x, kernel)


@pytest.mark.parametrize(
  ("size", "stride", "length", "pads"),
  [
    (41, 4, 50, (19, 20)),
    (5, 2, 7, (2, 2)),
    (3, 1, 6, (1, 1)),
    (2, 3, 9, (0, 0)),
    (4, 2, 9, (3, 0)),
  ],
)
def test_grouped_has_the_plain_gradients(size, stride, length, pads):
  x = jax.random.normal(jax.random.key(0), (2, length, 6))
  kernel = jax.random.normal(jax.random.key(1), (size, 2, 9))
  groups = 3
  own = functools.partial(
    convolving.grouped, stride=stride, groups=groups, pads=pads
  )
  plain = functools.partial(
    convolving.plain,
    pads=pads,
    window_strides=(stride,),
    feature_group_count=groups,
  )
  for got, want in zip(
    jax.tree.leaves(_gradients(own, x, kernel)),
    jax.tree.leaves(_gradients(plain, x, kernel)),
    strict=True,
  ):
    np.testing.assert_allclose(got, want, atol=2e-5)
