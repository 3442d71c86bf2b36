# SPDX-License-Identifier: Apache-2.0
"""Chunks give what the whole gives, for every causal layer and both codecs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import codec as codec_lib
from ns_jax.models import spectral_codec
from ns_jax.nn import conv, streaming

HOP = 10
CODECS = {
  "waveform": codec_lib.Codec(
    channels=3, latent_dim=4, strides=(2, 5), dilations=(1, 3)
  ),
  "spectral": spectral_codec.SpectralCodec(
    hop_samples=HOP, latent_dim=4, dim=6, encoder_layers=2, decoder_layers=2
  ),
}


def _in_chunks(module, params, x, size, **options):
  """Applies a module to pieces of `size` steps and joins what it makes."""

  @jax.jit
  def step(state, chunk):
    variables = {"params": params, **state}
    return module.apply(
      variables, chunk, mutable=[streaming.COLLECTION], **options
    )

  state, parts = {}, []
  for first in range(0, x.shape[1], size):
    part, state = step(state, x[:, first : first + size])
    parts.append(part)
  return jnp.concatenate(parts, axis=1)


def _noisy(params):
  """Zero-initialised layers would hide what the others remember."""
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(9), len(leaves))
  noisy = [
    leaf + 0.3 * jax.random.normal(key, leaf.shape)
    for leaf, key in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(tree, noisy)


@pytest.mark.parametrize(
  "layer",
  [
    conv.Conv1d(3, 5, causal=True),
    conv.Conv1d(3, 3, dilation=4, causal=True),
    conv.Conv1d(3, 4, stride=2, causal=True),
    conv.Conv1d(2, 7, groups=2, causal=True),
    conv.Conv1d(3, 1, causal=True),
    conv.ConvTranspose1d(3, 6, stride=3, causal=True),
  ],
)
def test_layers_go_on(layer):
  x = jax.random.normal(jax.random.key(0), (2, 24, 2))
  params = _noisy(layer.init(jax.random.key(1), x)["params"])
  whole = layer.apply({"params": params}, x)
  for size in (2, 6, 24):
    np.testing.assert_allclose(
      _in_chunks(layer, params, x, size), whole, atol=1e-5
    )


@pytest.mark.parametrize("name", CODECS)
def test_codecs_go_on(name):
  codec = CODECS[name]
  late = codec.lookahead_hops
  wav = jax.random.normal(jax.random.key(0), (2, 21 * HOP)) * 0.1
  params = _noisy(jax.jit(codec.init)(jax.random.key(1), wav)["params"])
  apply = jax.jit(codec.apply, static_argnames="method")
  whole = apply({"params": params}, wav, method="encode")
  decoded = apply({"params": params}, whole, method="decode")
  flushed = jnp.pad(wav, ((0, 0), (0, late * HOP)))
  for frames in (1, 3, 7):
    h = _in_chunks(codec, params, flushed, frames * HOP, method="encode")
    np.testing.assert_allclose(h[:, late:], whole, atol=1e-5)
    np.testing.assert_allclose(
      _in_chunks(codec, params, whole, frames, method="decode"),
      decoded,
      atol=1e-5,
    )


def test_initialising_leaves_no_memory():
  codec = CODECS["spectral"]
  variables = jax.eval_shape(
    codec.init, jax.random.key(0), jnp.zeros((1, 2 * HOP))
  )
  assert set(variables) == {"params"}
