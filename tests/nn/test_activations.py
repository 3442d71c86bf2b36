# SPDX-License-Identifier: Apache-2.0
"""Snake by its formula, and the names a config may use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ns_jax.errors import UserError
from ns_jax.nn.activations import Activation


def test_snake_follows_its_formula():
  x = jnp.linspace(-3.0, 3.0, 14).reshape(1, 7, 2)
  alpha = np.array([0.5, 2.0])
  params = {"snake": {"log_alpha": jnp.log(alpha)}}
  y = Activation("snake").apply({"params": params}, x)
  x = np.asarray(x)
  np.testing.assert_allclose(y, x + np.sin(alpha * x) ** 2 / alpha, atol=1e-6)


@pytest.mark.parametrize("kind", ["elu", "gelu"])
def test_others_have_no_parameters(kind):
  x = jnp.linspace(-3.0, 3.0, 8)
  y, variables = Activation(kind).init_with_output(jax.random.key(0), x)
  assert not variables
  np.testing.assert_allclose(y, getattr(nn, kind)(x), atol=1e-6)


def test_an_unknown_one_is_the_users_error():
  with pytest.raises(UserError, match="'foo' of config.model is unknown"):
    Activation("foo").init(jax.random.key(0), jnp.ones(3))
