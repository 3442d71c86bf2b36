# SPDX-License-Identifier: Apache-2.0
"""Masks and masked means."""

import jax.numpy as jnp
import numpy as np

from ns_jax import masks


def test_length_mask():
  mask = masks.length_mask(jnp.array([0, 2, 3]), 3)
  np.testing.assert_array_equal(
    mask, [[False] * 3, [True, True, False], [True] * 3]
  )


def test_masked_mean_ignores_whatever_is_in_the_padding():
  values = jnp.array([[1.0, jnp.nan], [3.0, 5.0]])
  mask = jnp.array([[True, False], [True, True]])
  assert masks.masked_mean(values, mask) == 3.0
  wide = jnp.stack([values, values + 2.0], axis=-1)
  assert masks.masked_mean(wide, mask) == 4.0
  assert masks.masked_mean(values, jnp.zeros_like(mask)) == 0.0
