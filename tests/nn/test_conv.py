# SPDX-License-Identifier: Apache-2.0
"""Convolutions against their sums written out."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ns_jax.nn import conv


def _strided_sum(x, kernel, stride, dilation, left):
  """y[t] = Σ_j x[t · stride + j · dilation - left] kernel[j]."""
  length, size = x.shape[0], kernel.shape[0]
  y = np.zeros((-(-length // stride), kernel.shape[2]))
  for t in range(len(y)):
    for j in range(size):
      source = t * stride + j * dilation - left
      if 0 <= source < length:
        y[t] += x[source] @ kernel[j]
  return y


@pytest.mark.parametrize(
  ("size", "stride", "dilation", "causal", "left"),
  [
    (7, 1, 3, True, 18),
    (10, 5, 1, True, 5),
    (4, 2, 1, True, 2),
    (7, 1, 1, False, 3),
    (7, 4, 1, False, 2),
    (3, 2, 2, True, 3),
  ],
)
def test_conv_is_the_sum(size, stride, dilation, causal, left):
  x = jax.random.normal(jax.random.key(0), (1, 23, 3))
  layer = conv.Conv1d(
    4, size, stride=stride, dilation=dilation, causal=causal, use_bias=False
  )
  y, variables = layer.init_with_output(jax.random.key(1), x)
  kernel = np.asarray(variables["params"]["kernel"])
  expected = _strided_sum(np.asarray(x[0]), kernel, stride, dilation, left)
  np.testing.assert_allclose(y[0], expected, atol=1e-5)


def test_same_padding_is_flax_same():
  x = jax.random.normal(jax.random.key(0), (2, 21, 4))
  for stride in (1, 3):
    ours = conv.Conv1d(6, 5, stride=stride, groups=2)
    variables = ours.init(jax.random.key(1), x)
    theirs = nn.Conv(6, (5,), (stride,), feature_group_count=2)
    np.testing.assert_allclose(
      ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5
    )


@pytest.mark.parametrize(("size", "stride"), [(10, 5), (4, 2), (7, 3)])
@pytest.mark.parametrize("causal", [True, False])
def test_transposed_conv_spreads_every_input(size, stride, causal):
  x = jax.random.normal(jax.random.key(0), (1, 6, 3))
  layer = conv.ConvTranspose1d(4, size, stride, causal=causal)
  y, variables = layer.init_with_output(jax.random.key(1), x)
  kernel = np.asarray(variables["params"]["kernel"])
  full = np.zeros((6 * stride + size, 4))
  for t in range(6):
    for j in range(size):
      full[t * stride + j] += np.asarray(x[0, t]) @ kernel[j]
  offset = 0 if causal else (size - stride) // 2
  np.testing.assert_allclose(
    y[0], full[offset : offset + 6 * stride], atol=1e-5
  )


def test_weight_norm_starts_as_the_plain_layer_and_scales():
  x = jax.random.normal(jax.random.key(0), (2, 9, 3))
  normed = conv.Conv1d(4, 3, weight_norm=True)
  y, variables = normed.init_with_output(jax.random.key(1), x)
  params = variables["params"]
  plain = {name: params[name] for name in ("kernel", "bias")}
  np.testing.assert_allclose(
    y, conv.Conv1d(4, 3).apply({"params": plain}, x), atol=1e-5
  )
  longer = {**params, "kernel": 3.0 * params["kernel"]}
  np.testing.assert_allclose(y, normed.apply({"params": longer}, x), atol=1e-5)


def test_bfloat16_computes_with_float32_parameters():
  x = jax.random.normal(jax.random.key(0), (2, 8, 3))
  for layer in (
    conv.Conv1d(4, 4, stride=2, weight_norm=True, dtype=jnp.bfloat16),
    conv.ConvTranspose1d(4, 4, 2, dtype=jnp.bfloat16),
  ):
    y, variables = layer.init_with_output(jax.random.key(1), x)
    assert y.dtype == jnp.bfloat16
    assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(variables))


def test_lecun_normal_has_unit_gain():
  kernel = conv.lecun_normal(jax.random.key(0), (7, 30, 50))
  assert kernel.shape == (7, 30, 50)
  assert float(kernel.std()) == pytest.approx((1 / 210) ** 0.5, rel=0.03)
  assert abs(float(kernel.mean())) < 0.01 / 210**0.5 * 3


@pytest.mark.parametrize("kernel_size, dilation", [(3, 2), (4, 1), (1, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_scanned_layer_has_the_plain_layers_gradients(
  kernel_size, dilation, causal
):
  x = jax.random.normal(jax.random.key(0), (2, 11, 3))
  plain = conv.Conv1d(5, kernel_size, dilation=dilation, causal=causal)
  scanned = plain.clone(scanned=True)
  params = plain.init(jax.random.key(1), x)

  def gradients(layer):
    loss = lambda params, x: jnp.sum(jnp.sin(layer.apply(params, x)))
    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))
    return jax.tree.leaves(gradient(params, x))

  for got, want in zip(gradients(scanned), gradients(plain), strict=True):
    np.testing.assert_allclose(got, want, atol=1e-5)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_both(ours, theirs, x):
  params = ours.init(jax.random.key(1), x)
  return ours.apply(params, x), theirs.apply(params, x)


@pytest.mark.parametrize("strides", [(1, 1), (1, 2), (2, 2), (3, 2)])
@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 4), (7, 7)])
def test_two_dimensions_equal_linen(size, strides):
  for shape in ((2, 9, 13, 3), (1, 8, 16, 2), (1, 4, 5, 2)):
    x = jax.random.normal(jax.random.key(0), shape)
    ours, theirs = (kind(5, size, strides) for kind in (conv.Conv2d, nn.Conv))
    np.testing.assert_allclose(*_of_both(ours, theirs, x), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (3, 9), (4, 4), (7, 7)])
def test_two_dimensions_without_padding_equal_linen(size):
  ours, theirs = (
    kind(5, size, padding="VALID") for kind in (conv.Conv2d, nn.Conv)
  )
  x = jax.random.normal(jax.random.key(0), (2, 9, 13, 3))
  np.testing.assert_allclose(*_of_both(ours, theirs, x), atol=1e-4)
