# SPDX-License-Identifier: Apache-2.0
"""Gradients a part at a time are those of the whole batch."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax import sharding
from ns_jax.training import accumulation

ROWS, DIM = 32, 4
PARAMS = {"kernel": jnp.arange(1.0, DIM + 1.0)}
HOST_BATCH = {
  "x": np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32),
  "row": np.arange(ROWS, dtype=np.int32),
}


def loss_fn(params, model_state, batch, key, noise=0.0):
  """Squares, and what the model state saw: the rows, in the order of parts."""
  y = batch["x"] @ params["kernel"] + noise * jax.random.normal(key, ())
  seen = model_state["seen"].at[model_state["parts"]].set(batch["row"].min())
  state = {"parts": model_state["parts"] + 1, "seen": seen}
  return jnp.mean(y**2), ({"mean": y.mean()}, state)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_add_up_to_the_whole(parts):
  mesh = sharding.make_mesh(dict(data=4, fsdp=2, tensor=1))
  batch = sharding.to_global(HOST_BATCH, mesh)
  state = {"parts": jnp.zeros((), jnp.int32), "seen": jnp.full(4, -1)}
  with jax.set_mesh(mesh):
    compute = jax.jit(accumulation.value_and_grad(loss_fn, parts))
    (loss, (logs, state)), grads = compute(
      PARAMS, state, batch, jax.random.key(0)
    )
  y = HOST_BATCH["x"] @ np.asarray(PARAMS["kernel"])
  np.testing.assert_allclose(loss, np.mean(y**2), rtol=1e-5)
  np.testing.assert_allclose(logs["mean"], y.mean(), rtol=1e-4)
  expected = 2.0 * (y[:, None] * HOST_BATCH["x"]).mean(0)
  np.testing.assert_allclose(grads["kernel"], expected, rtol=1e-4)
  assert state["parts"] == parts
  np.testing.assert_array_equal(
    state["seen"], [*range(parts), *[-1] * (4 - parts)]
  )


def test_no_row_leaves_its_device():
  mesh = sharding.make_mesh(dict(data=4, fsdp=2, tensor=1))
  batch = sharding.to_global(HOST_BATCH, mesh)
  with jax.set_mesh(mesh):
    split = jax.jit(functools.partial(accumulation._parts, count=2))
    program = split.lower(batch).compile().as_text()
    parts = split(batch)
  for word in ("all-gather", "all-to-all", "collective-permute", "all-reduce"):
    assert word not in program
  assert {s.data.shape for s in parts["x"].addressable_shards} == {(2, 2, DIM)}


def test_every_part_has_its_own_randomness():
  noisy = functools.partial(loss_fn, noise=1.0)
  still = {name: jnp.zeros_like(rows) for name, rows in HOST_BATCH.items()}
  state = {"parts": jnp.zeros((), jnp.int32), "seen": jnp.full(4, -1)}
  means = []
  for parts in (1, 2):
    compute = accumulation.value_and_grad(noisy, parts)
    (loss, (logs, _)), _ = compute(PARAMS, state, still, jax.random.key(0))
    means.append((float(logs["mean"]) ** 2, float(loss)))
  assert means[0][0] == pytest.approx(means[0][1], rel=1e-5)  # one number
  assert means[1][0] < 0.99 * means[1][1]  # the mean of two
