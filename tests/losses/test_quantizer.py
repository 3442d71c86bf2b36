# SPDX-License-Identifier: Apache-2.0
"""Commitment."""

import jax.numpy as jnp
import numpy as np

from ns_jax.losses import quantizer


def test_commitment_sums_stages():
  errors = jnp.array([[[0.5, 0.25], [1.0, 0.0]]], jnp.bfloat16)
  loss = quantizer.commitment(errors)
  assert loss.dtype == jnp.float32
  np.testing.assert_array_equal(loss, [[0.75, 1.0]])
