# SPDX-License-Identifier: Apache-2.0
"""The phoneme encoder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.models import phoneme_encoder

ENCODER = phoneme_encoder.PhonemeEncoder(
  num_symbols=9,
  dim=8,
  num_layers=1,
  num_heads=2,
  filter_size=12,
  kernel_size=3,
  dropout_rate=0.1,
  embedding_std=0.02,
)
MASK = jnp.arange(6)[None, :] < jnp.array([6, 4])[:, None]
encode = jax.jit(functools.partial(ENCODER.apply, train=False))


@functools.cache
def _params():
  init = jax.jit(functools.partial(ENCODER.init, train=False))
  return init(jax.random.key(0), jnp.ones((2, 6), jnp.int32), MASK)


def test_one_symbol_repeated_differs_by_position():
  y = encode(_params(), jnp.full((2, 6), 3), jnp.ones((2, 6), bool))
  assert y.shape == (2, 6, 8)
  assert float(jnp.abs(y[0, 1:] - y[0, :-1]).max(-1).min()) > 1e-3
  np.testing.assert_allclose(y[0], y[1], atol=1e-6)


def test_padding_symbols_do_not_matter():
  phonemes = jnp.array([[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 0, 0]])
  noisy = phonemes.at[1, 4:].set(7)
  np.testing.assert_allclose(
    encode(_params(), phonemes, MASK)[MASK],
    encode(_params(), noisy, MASK)[MASK],
    atol=1e-5,
  )


def test_symbols_are_told_apart():
  one, two = (
    encode(_params(), jnp.full((2, 6), symbol), MASK) for symbol in (1, 2)
  )
  assert float(jnp.abs(one - two).max()) > 1e-3
