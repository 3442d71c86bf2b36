# SPDX-License-Identifier: Apache-2.0
"""The WaveNet stack: structure, masks, receptive field."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.nn import wavenet

BATCH, LENGTH, WIDTH = 2, 12, 4


def _stack(num_layers, **fields):
  return wavenet.WaveNet(
    num_layers=num_layers,
    kernel_size=3,
    dilation=2,
    cond_kernel_size=1,
    num_heads=2,
    dropout_rate=0.0,
    **fields,
  )


def _inputs(length=LENGTH):
  keys = jax.random.split(jax.random.key(0), 4)
  return dict(
    x=jax.random.normal(keys[0], (BATCH, length, WIDTH)),
    cond=jax.random.normal(keys[1], (BATCH, length, 6)),
    time=jax.random.normal(keys[2], (BATCH, WIDTH)),
    prompt=jax.random.normal(keys[3], (BATCH, 5, WIDTH)),
    prompt_mask=jnp.ones((BATCH, 5), bool),
    mask=jnp.arange(length)[None, :] < jnp.array([length, 7])[:, None],
  )


def _init(stack, inputs):
  init = jax.jit(lambda key: stack.init(key, **inputs, train=False))
  return init(jax.random.key(1))


def _apply(stack, params, inputs):
  return jax.jit(functools.partial(stack.apply, train=False))(params, **inputs)


@pytest.mark.parametrize("num_layers", [2, 3, 7])
def test_every_third_layer_attends(num_layers):
  stack = _stack(num_layers)
  shapes = jax.eval_shape(
    lambda key: stack.init(key, **_inputs(), train=False), jax.random.key(0)
  )["params"]
  blocks, rest = divmod(num_layers, 3)
  assert ("blocks" in shapes) == (blocks > 0)
  if blocks:
    attending = [
      name for name, layer in shapes["blocks"].items() if "film" in layer
    ]
    assert attending == ["layer_2"]
    assert shapes["blocks"]["layer_2"]["conv"]["kernel"].shape[0] == blocks
  left = shapes["rest"] if rest else {}
  assert len(left) == rest
  assert not any("film" in layer for layer in left.values())


def test_layers_are_the_published_formula():
  stack = _stack(1)
  inputs = _inputs()
  params = _init(stack, inputs)
  got = _apply(stack, params, inputs)
  p = jax.tree.map(np.asarray, params["params"]["rest"]["layer_0"])
  inputs = jax.tree.map(np.asarray, inputs)
  cond, mask = inputs["cond"], inputs["mask"][..., None]
  cond = cond - cond.mean(-1, keepdims=True)
  cond = cond / np.sqrt((cond**2).mean(-1, keepdims=True) + 1e-6) * mask
  time = inputs["time"] @ p["time"]["kernel"] + p["time"]["bias"]
  y = (inputs["x"] + time[:, None]) * mask
  padded = np.pad(y, ((0, 0), (2, 2), (0, 0)))
  h = sum(
    padded[:, 2 * j : 2 * j + LENGTH] @ p["conv"]["kernel"][j] for j in range(3)
  )
  h = h + p["conv"]["bias"] + cond @ p["cond"]["kernel"][0] + p["cond"]["bias"]
  h = np.tanh(h[..., WIDTH:]) / (1.0 + np.exp(-h[..., :WIDTH]))
  skip = (h @ p["out"]["kernel"] + p["out"]["bias"])[..., WIDTH:]
  np.testing.assert_allclose(got, skip * mask, atol=1e-5)


def test_padding_does_not_matter_and_comes_out_as_zero():
  stack = _stack(4)
  inputs = _inputs()
  mask = inputs["mask"][..., None]
  params = _init(stack, inputs)
  noisy = {name: jnp.where(mask, inputs[name], 50.0) for name in ("x", "cond")}
  clean = _apply(stack, params, inputs)
  dirty = _apply(stack, params, {**inputs, **noisy})
  np.testing.assert_allclose(clean, dirty, atol=1e-5)
  assert float(jnp.abs(jnp.where(mask, 0.0, clean)).max()) == 0.0


def test_forty_layers_see_eighty_frames_to_each_side():
  length, centre = 241, 120
  # The ends of the field weigh less than float32 can hold.
  with jax.enable_x64(True):
    stack = _stack(40, dtype=jnp.float64)
    inputs = _inputs(length)
    inputs["mask"] = jnp.ones((BATCH, length), bool)
    params = _init(stack, inputs)

    def output(x):
      y = stack.apply(params, **{**inputs, "x": x}, train=False)
      return y[0, centre, 0]

    gradient = jax.jit(jax.grad(output))(inputs["x"].astype(jnp.float64))
    seen = np.flatnonzero(np.abs(gradient[0]).sum(-1))
  assert (seen.min(), seen.max()) == (centre - 80, centre + 80)
