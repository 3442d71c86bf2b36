# SPDX-License-Identifier: Apache-2.0
"""Meshes, partition rules and feeding on eight simulated devices."""

import jax
import jax.numpy as jnp
import numpy as np
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
