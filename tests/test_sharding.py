# SPDX-License-Identifier: Apache-2.0
"""Meshes, partition rules and feeding on eight simulated devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec as P

from ns_jax import sharding
from ns_jax.errors import UserError


def test_mesh_fills_in_the_free_axis():
  mesh = sharding.make_mesh(dict(data=-1, fsdp=2, tensor=2))
  assert dict(mesh.shape) == {"data": 2, "fsdp": 2, "tensor": 2}


@pytest.mark.parametrize(
  "sizes",
  [
    dict(data=3, fsdp=1, tensor=1),
    dict(data=-1, fsdp=-1, tensor=1),
    dict(data=2, fsdp=2, tensor=1),
    dict(data=-1, fsdp=0, tensor=1),
  ],
)
def test_impossible_meshes_are_one_line(sizes):
  with pytest.raises(UserError, match="mesh"):
    sharding.make_mesh(sizes)


def test_first_rule_wins_then_fsdp_then_replicated():
  mesh = sharding.make_mesh(dict(data=2, fsdp=2, tensor=2))
  tree = {
    "params": {"attn": {"kernel": jnp.zeros((8, 4))}},
    "opt": ({"attn": {"kernel": jnp.zeros((8, 4))}},),
    "big": jax.ShapeDtypeStruct((6, 1 << 18), jnp.float32),
    "odd": jax.ShapeDtypeStruct((3, (1 << 18) + 1), jnp.float32),
    "small": jnp.zeros((8, 8)),
    "key": jax.random.key(0),
  }
  rules = ((r"attn/kernel$", P(None, "tensor")), (r"kernel$", P("fsdp")))
  shardings = sharding.tree_shardings(tree, mesh, rules)
  assert shardings["params"]["attn"]["kernel"].spec == P(None, "tensor")
  assert shardings["opt"][0]["attn"]["kernel"].spec == P(None, "tensor")
  assert shardings["big"].spec == P(None, "fsdp")
  for name in ("odd", "small", "key"):
    assert shardings[name].spec == P()


def test_rules_split_only_what_divides():
  mesh = sharding.make_mesh(dict(data=1, fsdp=4, tensor=2))
  tree = {"kernel": jnp.zeros((6, 10)), "wide": {"kernel": jnp.zeros((6, 8))}}
  shardings = sharding.tree_shardings(
    tree, mesh, ((r"kernel$", P("tensor", "fsdp")),)
  )
  assert shardings["kernel"].spec == P("tensor", None)
  assert shardings["wide"]["kernel"].spec == P("tensor", "fsdp")


def test_what_only_the_update_needs_is_split_over_data_too():
  mesh = sharding.make_mesh(dict(data=2, fsdp=2, tensor=2))
  leaf = jax.ShapeDtypeStruct((4, 512, 512), jnp.float32)
  part = {"gen": {"kernel": leaf, "scale": jnp.zeros(64)}}
  tree = {"params": part, "opt_state": part, "ema_params": part}
  rules = ((r"kernel$", P(None, "fsdp")),)
  shardings = sharding.tree_shardings(tree, mesh, rules)
  assert shardings["params"]["gen"]["kernel"].spec == P(None, "fsdp")
  tall = {"opt_state": {"kernel": jax.ShapeDtypeStruct((3, 1 << 20), "f4")}}
  everywhere = ((r"kernel$", P(None, "fsdp")),)
  of_moments = sharding.tree_shardings(tall, mesh, everywhere)
  assert of_moments["opt_state"]["kernel"].spec == P(None, ("fsdp", "data"))
  for name in ("opt_state", "ema_params"):
    assert shardings[name]["gen"]["kernel"].spec == P(None, "fsdp", "data")
    assert shardings[name]["gen"]["scale"].spec == P()


def test_a_split_update_is_the_same_update():
  mesh = sharding.make_mesh(dict(data=8, fsdp=1, tensor=1))
  tx = optax.sgd(1e-2, momentum=0.9)
  x = jax.random.normal(jax.random.key(0), (16, 512))
  start = {"kernel": jax.random.normal(jax.random.key(1), (512, 1024)) / 32.0}

  def update(state, x):
    loss_fn = lambda params: jnp.mean(jnp.tanh(x @ params["kernel"]) ** 2)
    grads = jax.grad(loss_fn)(state["params"])
    updates, moments = tx.update(grads, state["opt_state"])
    params = optax.apply_updates(state["params"], updates)
    return {"params": params, "opt_state": moments}

  state = {"params": start, "opt_state": tx.init(start)}
  expected = jax.jit(update)(state, x)
  layouts = sharding.tree_shardings(state, mesh, ())
  split = jax.jit(
    update,
    in_shardings=(layouts, sharding.batch_sharding(mesh)),
    out_shardings=layouts,
  )(state, x)
  moment = split["opt_state"][0].trace["kernel"]
  assert {s.data.shape for s in moment.addressable_shards} == {(512, 128)}
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
    jax.device_get(split),
    jax.device_get(expected),
  )


def test_global_batch_keeps_rows_in_order():
  mesh = sharding.make_mesh(dict(data=4, fsdp=2, tensor=1))
  host = {"x": np.arange(32, dtype=np.float32).reshape(16, 2)}
  batch = sharding.to_global(host, mesh)
  assert batch["x"].sharding.spec == P(("data", "fsdp"))
  assert {s.data.shape for s in batch["x"].addressable_shards} == {(2, 2)}
  np.testing.assert_array_equal(batch["x"], host["x"])


def test_constrain_batch_without_a_mesh_does_nothing():
  x = jnp.ones((3, 2))
  assert jax.jit(sharding.constrain_batch)(x).shape == (3, 2)
  mesh = sharding.make_mesh(dict(data=4, fsdp=2, tensor=1))
  with jax.set_mesh(mesh):
    y = jax.jit(lambda v: sharding.constrain_batch(v * 2))(jnp.ones((8, 2)))
  assert y.sharding.spec == P(("data", "fsdp"))
