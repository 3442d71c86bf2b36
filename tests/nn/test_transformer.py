# SPDX-License-Identifier: Apache-2.0
"""The Transformer stack: masks, positions, scanning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.nn import transformer

STACK = transformer.Transformer(
  num_layers=2, num_heads=2, filter_size=12, kernel_size=3, dropout_rate=0.5
)
apply = jax.jit(STACK.apply, static_argnames="train")
MASK = jnp.arange(9)[None, :] < jnp.array([9, 5])[:, None]


def _init():
  x = jax.random.normal(jax.random.key(0), (2, 9, 8))
  init = jax.jit(functools.partial(STACK.init, train=False))
  return x, init(jax.random.key(1), x, MASK)


def test_padding_is_neither_attended_to_nor_convolved():
  x, params = _init()
  noisy = jnp.where(MASK[..., None], x, 100.0)
  clean = apply(params, x, MASK, train=False)
  dirty = apply(params, noisy, MASK, train=False)
  np.testing.assert_allclose(clean[MASK], dirty[MASK], atol=1e-5)


def test_equal_inputs_differ_by_position_and_batch_order_does_not_matter():
  x, params = _init()
  same = jnp.ones_like(x)
  y = apply(params, same, jnp.ones((2, 9), bool), train=False)
  steps = jnp.abs(y[0, 1:] - y[0, :-1]).max(-1)
  assert float(steps.min()) > 1e-3
  y = apply(params, x, MASK, train=False)
  flipped = apply(params, x[::-1], MASK[::-1], train=False)
  np.testing.assert_allclose(y[::-1], flipped, atol=1e-5)


def test_layers_are_stacked_and_differ():
  _, params = _init()
  kernel = params["params"]["layers"]["ffn_in"]["kernel"]
  assert kernel.shape == (2, 3, 8, 12)
  assert not np.allclose(kernel[0], kernel[1])


def test_dropout_acts_in_training_only():
  x, params = _init()
  run = lambda train, seed: apply(
    params, x, MASK, train=train, rngs={"dropout": jax.random.key(seed)}
  )
  assert np.array_equal(run(False, 0), run(False, 1))
  assert not np.allclose(run(True, 0), run(True, 1))


def test_relative_positions_and_a_second_convolution():
  """The size of VITS's encoder, and still nothing is heard of the padding."""
  stack = transformer.Transformer(
    num_layers=6,
    num_heads=2,
    filter_size=768,
    kernel_size=3,
    dropout_rate=0.1,
    out_kernel_size=3,
    relative_window=4,
  )
  x = jnp.zeros((1, 9, 192))
  shapes = jax.eval_shape(
    functools.partial(stack.init, train=False), jax.random.key(0), x, MASK[:1]
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert count == 6_208_128 + 6 * 2 * 9 * 96 + 384  # and a final norm
  small = stack.clone(num_layers=2, filter_size=12, dropout_rate=0.0)
  x = jax.random.normal(jax.random.key(0), (2, 9, 8))
  init, run = (
    jax.jit(functools.partial(method, train=False))
    for method in (small.init, small.apply)
  )
  params = init(jax.random.key(1), x, MASK)
  noisy = jnp.where(MASK[..., None], x, 100.0)
  clean, dirty = (run(params, one, MASK) for one in (x, noisy))
  np.testing.assert_allclose(clean[MASK], dirty[MASK], atol=1e-5)
