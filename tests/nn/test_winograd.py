# SPDX-License-Identifier: Apache-2.0
"""Convolutions by fewer products against XLA's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.nn import convolving, remat, winograd


def _operands(length, channels=192, features=200, dtype=jnp.float32):
  x = jax.random.normal(jax.random.key(0), (2, length, channels), dtype)
  kernel = jax.random.normal(jax.random.key(1), (3, channels, features), dtype)
  return x, kernel / (3 * channels) ** 0.5


def _all_of(convolve, x, kernel):
  """Value, and gradients of x and kernel."""

  def run(x, kernel):
    y, pull = jax.vjp(convolve, x, kernel)
    return y, *pull(jnp.sin(y))

  return jax.jit(run)(x, kernel)


@pytest.mark.parametrize("length", [8, 9, 11])  # whole pairs and a part of one
@pytest.mark.parametrize(
  ("dilation", "pads"), [(1, (1, 1)), (2, (4, 0)), (3, (3, 3))]
)
def test_value_and_gradients_are_the_plain_ones(length, dilation, pads):
  x, kernel = _operands(length)
  assert winograd.suits(x, kernel)
  own = functools.partial(winograd.convolve, pads=pads, dilation=dilation)
  tapped = lambda x, kernel: convolving.tapped(x, kernel, pads, dilation)
  plain = functools.partial(
    convolving.plain, pads=pads, window_strides=(1,), rhs_dilation=(dilation,)
  )
  wanted = _all_of(plain, x, kernel)
  for convolve in (own, tapped):
    for got, want in zip(_all_of(convolve, x, kernel), wanted, strict=True):
      scale = jnp.abs(want).max()
      np.testing.assert_allclose(got / scale, want / scale, atol=2e-6)


def test_only_what_gains_is_done_so():
  assert not winograd.suits(*_operands(8, dtype=jnp.bfloat16))
  assert not winograd.suits(*_operands(8, channels=16))
  x, kernel = _operands(8)
  assert not winograd.suits(x, kernel[:2])


@pytest.mark.parametrize(
  ("platform", "convolutions"), [("cpu", 0), ("tpu", 1), ("cuda", 1)]
)
def test_other_platforms_convolve(platform, convolutions):
  convolve = jax.jit(lambda x, k: convolving.tapped(x, k, (1, 1), 1))
  traced = convolve.trace(*_operands(8))
  program = traced.lower(lowering_platforms=(platform,)).as_text()
  assert program.count("stablehlo.convolution") == convolutions


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("channels", [16, 192])
def test_other_platforms_convolve_for_gradients(platform, channels):
  """A convolution for the value, one for each gradient, nothing else."""
  run = jax.jit(jax.grad(
    lambda x, k: jnp.sum(jnp.sin(convolving.tapped(x, k, (2, 0), 1))), (0, 1)
  ))  # fmt: skip
  traced = run.trace(*_operands(8, channels=channels))
  program = traced.lower(lowering_platforms=(platform,)).as_text()
  assert program.count("stablehlo.convolution") == 3
  assert program.count("stablehlo.dot_general") == 0


def test_its_result_is_kept_as_a_product_is():
  x, kernel = _operands(8, features=192)
  layer = lambda x: jnp.tanh(convolving.tapped(jnp.sin(x), kernel, (1, 1), 1))
  kept = {}
  for name in ("dots", "full"):
    once = jax.checkpoint(layer, policy=remat.POLICIES[name])
    saved = jax.eval_shape(lambda x, once=once: jax.vjp(once, x)[1], x)
    kept[name] = [leaf.shape for leaf in jax.tree.leaves(saved)]
  assert kept["dots"].count(x.shape) == kept["full"].count(x.shape) + 1
