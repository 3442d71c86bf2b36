# SPDX-License-Identifier: Apache-2.0
"""The static shape check."""

import jax.numpy as jnp
import pytest

from ns_jax.array_types import check_shapes


def test_names_sizes_and_catches_mismatches():
  x, y = jnp.zeros((2, 3, 4)), jnp.zeros((2, 3))
  assert check_shapes(x, "B T D", y, "B T") == {"B": 2, "T": 3, "D": 4}
  check_shapes(x, "B _ 4")
  with pytest.raises(ValueError, match="D.*expected 4"):
    check_shapes(x, "B T D", y, "B D")
  with pytest.raises(ValueError, match="shape"):
    check_shapes(x, "B T")
  with pytest.raises(ValueError, match="expected 5"):
    check_shapes(x, "B T 5")
