# SPDX-License-Identifier: Apache-2.0
"""The diffusion network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import denoiser
from ns_jax.models.prompt import Prompt

B, T, D = 2, 10, 5
NETWORK = denoiser.Denoiser(
  latent_dim=D,
  dim=8,
  num_layers=4,
  kernel_size=3,
  dilation=2,
  cond_kernel_size=3,
  num_heads=2,
  num_queries=3,
  hears="queries",
  dropout_rate=0.2,
)
evaluate = jax.jit(functools.partial(NETWORK.apply, train=False))


@functools.cache
def _inputs():
  keys = jax.random.split(jax.random.key(0), 3)
  return dict(
    x_t=jax.random.normal(keys[0], (B, T, D)),
    t=jnp.array([0.2, 0.7]),
    cond=jax.random.normal(keys[1], (B, T, 6)),
    prompt=Prompt(
      jax.random.normal(keys[2], (B, 6, 7)),
      jnp.arange(6)[None, :] < jnp.array([6, 4])[:, None],
      jnp.zeros(B),
    ),
    mask=jnp.arange(T)[None, :] < jnp.array([T, 7])[:, None],
  )


@functools.cache
def _params(opened=True):
  """Parameters at the start; `opened`: with the last layer not zero."""
  init = jax.jit(functools.partial(NETWORK.init, train=False))
  params = init(jax.random.key(1), **_inputs())["params"]
  if opened:
    kernel = params["out_proj"]["kernel"]
    kernel = jax.random.normal(jax.random.key(2), kernel.shape)
    params = {**params, "out_proj": {**params["out_proj"], "kernel": kernel}}
  return {"params": params}


def test_output_starts_at_zero():
  y = evaluate(_params(opened=False), **_inputs())
  np.testing.assert_array_equal(y, jnp.zeros((B, T, D)))


def test_everything_heard_changes_the_output():
  inputs = _inputs()
  prompt = inputs["prompt"]
  changed = dict(
    t=inputs["t"] + 0.1,
    x_t=inputs["x_t"] + 1.0,
    cond=-inputs["cond"],
    prompt=prompt._replace(hidden=-prompt.hidden),
  )
  y = evaluate(_params(), **inputs)
  for name, value in changed.items():
    other = evaluate(_params(), **{**inputs, name: value})
    assert float(jnp.abs(y - other)[inputs["mask"]].max()) > 1e-3, name


@pytest.mark.parametrize("hears", ["frames", "nothing"])
def test_other_ways_to_hear_the_prompt(hears):
  network, inputs = NETWORK.clone(hears=hears), _inputs()
  init = jax.jit(functools.partial(network.init, train=False))
  params = init(jax.random.key(1), **inputs)["params"]
  kernel = params["out_proj"]["kernel"]
  params["out_proj"]["kernel"] = jnp.ones_like(kernel)
  assert "queries" not in params
  run = jax.jit(functools.partial(network.apply, train=False))
  prompt = inputs["prompt"]
  y, padded, other = (
    run({"params": params}, **{**inputs, "prompt": prompt._replace(hidden=h)})
    for h in (
      prompt.hidden,
      jnp.where(prompt.mask[..., None], prompt.hidden, 30.0),
      -prompt.hidden,
    )
  )
  np.testing.assert_allclose(y, padded, atol=1e-5)
  assert np.allclose(y, other, atol=1e-5) == (hears == "nothing")


def test_padding_of_frames_and_prompt_does_not_matter():
  inputs = _inputs()
  mask, prompt = inputs["mask"], inputs["prompt"]
  hidden = jnp.where(prompt.mask[..., None], prompt.hidden, 30.0)
  noisy = dict(
    x_t=jnp.where(mask[..., None], inputs["x_t"], 30.0),
    cond=jnp.where(mask[..., None], inputs["cond"], 30.0),
    prompt=prompt._replace(hidden=hidden),
  )
  np.testing.assert_allclose(
    evaluate(_params(), **inputs)[mask],
    evaluate(_params(), **{**inputs, **noisy})[mask],
    atol=1e-5,
  )


def test_bfloat16_gives_float32_latents_near_the_float32_ones():
  half = NETWORK.clone(dtype=jnp.bfloat16)
  y = jax.jit(functools.partial(half.apply, train=False))(
    _params(), **_inputs()
  )
  assert y.dtype == jnp.float32
  want = evaluate(_params(), **_inputs())
  mask = _inputs()["mask"]
  error = jnp.abs(y - want)[mask].max() / jnp.abs(want)[mask].max()
  assert 0.0 < float(error) < 0.05
