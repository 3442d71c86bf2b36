# SPDX-License-Identifier: Apache-2.0
"""Feature-wise linear modulation."""

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.nn import film


def test_no_condition_changes_nothing_and_others_scale_and_shift():
  x = jax.random.normal(jax.random.key(0), (2, 5, 6))
  condition = jax.random.normal(jax.random.key(1), (2, 5, 3))
  layer = film.FiLM()
  y, params = layer.init_with_output(jax.random.key(2), x, condition)
  np.testing.assert_array_equal(
    layer.apply(params, x, jnp.zeros_like(condition)), x
  )
  p = params["params"]
  gain = condition @ p["gain"]["kernel"] + 1.0
  shift = condition @ p["shift"]["kernel"]
  np.testing.assert_allclose(y, gain * x + shift, atol=1e-5)
