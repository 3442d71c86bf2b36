# SPDX-License-Identifier: Apache-2.0
"""Shapes, causality, sizes and layout of the codec."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax import sharding
from ns_jax.models import codec as codec_lib

TINY = codec_lib.Codec(
  channels=4, latent_dim=6, strides=(2, 5), dilations=(1, 3)
)
HOP = 10


@functools.cache
def _tiny_params():
  return _params(TINY)


def _params(codec):
  init = jax.jit(codec.init)
  return init(jax.random.key(0), jnp.zeros((1, HOP)))["params"]


def _count(tree):
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("samples", [1, 199, 200, 201, 16_000])
def test_frames_cover_the_wave(samples):
  codec = codec_lib.Codec(channels=4, latent_dim=6, strides=(2, 4, 5, 5))
  wav = jax.ShapeDtypeStruct((2, samples), jnp.float32)
  frames = -(-samples // 200)
  h, variables = jax.eval_shape(
    lambda wav: codec.init_with_output(
      jax.random.key(0), wav, method=lambda m, x: (m.encode(x), m(x))
    ),
    wav,
  )
  assert h[0].shape == (2, frames, 6)
  assert h[1].shape == (2, frames * 200)
  assert set(variables["params"]) == {"encoder", "decoder"}


def test_nothing_depends_on_the_future():
  params = {"params": _tiny_params()}
  wav = jax.random.normal(jax.random.key(1), (4 * HOP,))
  z = jax.random.normal(jax.random.key(2), (5, 6))
  encoder = jax.jit(
    jax.jacobian(
      lambda x: TINY.apply(params, x[None, :], method="encode")[0].sum(-1)
    )
  )(wav)
  decoder = jax.jit(
    jax.jacobian(lambda z: TINY.apply(params, z[None], method="decode")[0])
  )(z)
  for t in range(4):
    assert not encoder[t, (t + 1) * HOP :].any()
    assert encoder[t, (t + 1) * HOP - 1] != 0.0
  for s in range(5 * HOP):
    assert not decoder[s, s // HOP + 1 :].any()
    assert decoder[s, s // HOP].any()


def test_residual_units_start_as_the_identity():
  unit = codec_lib.ResidualUnit(3, 7, "elu", jnp.float32)
  x = jax.random.normal(jax.random.key(0), (1, 9, 4))
  y, _ = unit.init_with_output(jax.random.key(1), x)
  np.testing.assert_array_equal(y, x)


def test_padding_to_whole_frames_is_silence():
  params = {"params": _tiny_params()}
  wav = jax.random.normal(jax.random.key(1), (1, 33))
  padded = jnp.pad(wav, ((0, 0), (0, 7)))
  encode = jax.jit(lambda wav: TINY.apply(params, wav, method="encode"))
  np.testing.assert_allclose(encode(wav), encode(padded), atol=1e-6)


def test_soundstream_has_its_size():
  codec = codec_lib.Codec(channels=16, latent_dim=64, strides=(2, 4, 5, 8))
  assert _count(jax.eval_shape(lambda: _params(codec))) == 2_461_761


def test_bfloat16_returns_float32():
  codec = TINY.clone(dtype=jnp.bfloat16)
  params = _params(codec)
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))
  wav = jax.jit(codec.apply)({"params": params}, jnp.ones((1, 20)))
  assert wav.dtype == jnp.float32
  assert jnp.isfinite(wav).all()


def test_every_parameter_learns():
  # Away from the start, where residual units are the identity.
  params = jax.tree.map(lambda p: p + 0.1, _tiny_params())
  wav = jax.random.normal(jax.random.key(1), (2, 3 * HOP))
  grads = jax.jit(
    jax.grad(lambda p: jnp.sum(TINY.apply({"params": p}, wav) ** 2))
  )(params)
  for path, grad in jax.tree_util.tree_leaves_with_path(grads):
    assert jnp.isfinite(grad).all() and jnp.abs(grad).max() > 0, path


def test_partition_rules_match_and_divide():
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  params = jax.eval_shape(lambda: _params(TINY))
  for rule in codec_lib.PARTITION_RULES:
    shardings = sharding.tree_shardings(params, mesh, (rule,))
    split = [
      (leaf.shape, placed)
      for leaf, placed in zip(
        jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
      )
      if placed.spec == rule[1]
    ]
    assert split
    for shape, placed in split:
      placed.shard_shape(shape)  # raises where an axis does not divide
