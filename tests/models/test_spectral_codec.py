# SPDX-License-Identifier: Apache-2.0
"""Shapes, causality and gradients of the frame-rate codec."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from ns_jax.models import spectral_codec

HOP = 8
CODEC = spectral_codec.SpectralCodec(
  hop_samples=HOP, latent_dim=5, dim=6, encoder_layers=2, decoder_layers=2
)
apply = jax.jit(CODEC.apply, static_argnames="method")


@pytest.fixture(scope="module")
def params():
  return jax.jit(CODEC.init)(jax.random.key(0), jnp.zeros((1, 4 * HOP)))


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 10 * HOP])
def test_frames_cover_the_wave(params, samples):
  wav = jax.random.normal(jax.random.key(1), (2, samples))
  h = apply(params, wav, method="encode")
  frames = -(-samples // HOP)
  assert h.shape == (2, frames, 5)
  assert apply(params, h, method="decode").shape == (2, frames * HOP)


def test_nothing_depends_on_the_future_but_one_hop(params):
  wav = jax.random.normal(jax.random.key(1), (4 * HOP,))
  encoder = jax.jit(
    jax.jacobian(
      lambda x: CODEC.apply(params, x[None, :], method="encode")[0].sum(-1)
    )
  )(wav)
  z = jax.random.normal(jax.random.key(2), (4, 5))
  decoder = jax.jit(
    jax.jacobian(lambda z: CODEC.apply(params, z[None], method="decode")[0])
  )(z)
  for t in range(4):
    assert not encoder[t, (t + 2) * HOP :].any()
    assert encoder[t, (t + 1) * HOP - 1] != 0.0
    assert t == 3 or encoder[t, (t + 1) * HOP + 1] != 0.0
    assert not decoder[: t * HOP, t].any()
    assert decoder[t * HOP :, t].any()


def test_spectra_survive_when_nothing_is_in_between():
  """The analysis and the synthesis, with the layers left out, are inverse."""

  class Straight(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x):
      return x[..., : self.features]

  hop, wav = 16, jax.random.normal(jax.random.key(3), (2, 8 * 16))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(spectral_codec, "Trunk", Straight)
    bins = dict(features=2 * (hop + 1))
    h = spectral_codec.SpectralEncoder(hop, bins).apply({}, wav)
    back = spectral_codec.SpectralDecoder(hop, bins).apply({}, h)
  # The first hop is faded in: it has no frame before it.
  np.testing.assert_allclose(back[:, hop:], wav[:, hop:], atol=1e-4)


def test_gradients_are_finite_also_for_silence(params):
  def loss(params, wav):
    return jnp.abs(CODEC.apply(params, wav)).sum()

  for wav in (jnp.zeros((1, 4 * HOP)), jnp.ones((1, 4 * HOP))):
    grads = jax.jit(jax.grad(loss))(params, wav)
    for leaf in jax.tree.leaves(grads):
      assert np.isfinite(leaf).all()
