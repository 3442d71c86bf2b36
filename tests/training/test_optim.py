# SPDX-License-Identifier: Apache-2.0
"""What the optimiser touches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from ns_jax.errors import UserError
from ns_jax.training import optim


def options(**changes):
  return ConfigDict(
    dict(
      name="adamw",
      peak_lr=1e-2,
      schedule="constant",
      warmup_steps=0,
      decay_rate=1.0,
      decay_steps=10,
      b1=0.9,
      b2=0.98,
      weight_decay=0.5,
      clip_norm=1.0,
    )
    | changes
  )


def test_weight_decay_is_for_kernels_also_in_stacked_layers():
  params = {
    "layers": {"kernel": jnp.ones((3, 2, 2)), "bias": jnp.ones((3, 2))},
    "norm": {"scale": jnp.ones((3, 2))},
    "symbols": {"embedding": jnp.ones((5, 2))},
  }
  tx = optim.make_tx(options())
  still = jax.tree.map(jnp.zeros_like, params)
  updates, _ = tx.update(still, tx.init(params), params)
  kernel = updates["layers"].pop("kernel")
  np.testing.assert_allclose(kernel, -1e-2 * 0.5, rtol=1e-6)
  assert not any(leaf.any() for leaf in jax.tree.leaves(updates))


@pytest.mark.parametrize("field", ["name", "schedule"])
def test_unknown_names_are_one_line(field):
  with pytest.raises(UserError, match=f"config.optim.{field}='none'"):
    optim.make_tx(options(**{field: "none"}))


def test_the_rate_that_is_told_is_the_rate_that_is_used():
  """Of a constant gradient Adam's step is the learning rate."""
  section = options(schedule="cosine", clip_norm=None, weight_decay=0.0)
  player = optim.make_player("gen", None, section)
  params = {"kernel": jnp.ones(())}
  state = player.tx.init(params)
  for step in range(6):
    updates, state = player.tx.update(params, state, params)
    told = float(player.learning_rate(step))
    assert -float(updates["kernel"]) == pytest.approx(told, rel=1e-4)
