# SPDX-License-Identifier: Apache-2.0
"""Memory VAE: what a wave is encoded to, and what it is decoded from.

NaturalSpeech, Sec. 3.4. The latent is a query only; what the decoder hears are
mixtures of the rows of a memory.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array, Params, check_shapes
from ns_jax.dsp import stft
from ns_jax.nn import conv, gated
from ns_jax.nn.gaussian import Gaussian

FFT_SIZE = 1024  # of the spectra that the posterior hears
_RIDGE = 1e-4  # of the variance of the inputs
# Times the identity: what a memory's maps begin as.
_FIRST = {"query": 0.25, "key": 1.0, "value": 1.0, "out": 1.0}


def spectra(wav: Array, hop_samples: int) -> Array:
  """What the posterior hears of waves.

  Args:
    wav: [B, T · hop] float32.
    hop_samples: between frames.

  Returns:
    [B, T, bins] float32, magnitudes, compressed to cube roots.
  """
  spectrum = stft.stft(
    wav, window_samples=FFT_SIZE, hop_samples=hop_samples, fft_size=FFT_SIZE
  )
  return jnp.cbrt(stft.magnitude(spectrum))


class PosteriorEncoder(nn.Module):
  """Spectra to the posterior q(z | x)."""

  latent_dim: int
  dim: int
  num_layers: int
  kernel_size: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, spectra: Array, mask: Array) -> Gaussian:
    """Maps [B, T, F], with mask [B, T], to [B, T, latent_dim]."""
    h = conv.Conv1d(self.dim, 1, dtype=self.dtype, name="in")(spectra)
    h = gated.GatedStack(
      self.num_layers, self.kernel_size, self.dtype, name="stack"
    )(h, mask)
    out = conv.Conv1d(2 * self.latent_dim, 1, name="out")
    return Gaussian.of(out(h.astype(jnp.float32)) * mask[..., None])


class Memory(nn.Module):
  """Attention(z, M, M): each latent becomes a mixture of memory rows.

  Its maps start as identities, but that of the queries, which is less: at first
  all rows are heeded a little, and what comes out is almost a linear map of the
  latent, which `linear_map` can undo.
  """

  size: int
  num_heads: int

  @nn.compact
  def __call__(self, z: Array) -> tuple[Array, Array]:
    """Attends.

    Args:
      z: [B, T, D], the queries.

    Returns:
      [B, T, D] float32, and the weights [B, H, T, size].
    """
    check_shapes(z, "B T D")
    width = z.shape[-1]
    bank = self.param("bank", nn.initializers.normal(1.0), (self.size, width))

    def project(x: Array, name: str) -> Array:
      projected = _linear(width, name)(x)
      return projected.reshape(*x.shape[:-1], self.num_heads, -1)

    queries = project(z.astype(jnp.float32), "query")
    keys, values = project(bank, "key"), project(bank, "value")
    logits = jnp.einsum("bthd,mhd->bhtm", queries, keys)
    weights = jax.nn.softmax(logits / keys.shape[-1] ** 0.5, axis=-1)
    heard = jnp.einsum("bhtm,mhd->bthd", weights, values).reshape(z.shape)
    return _linear(width, "out")(heard), weights


def linear_map(inputs: Array, outputs: Array) -> Array:
  """The matrix [D, D] that makes outputs out of inputs [B, T, D] best.

  By least squares, with a small part of the inputs' variance as a ridge.
  """
  rows, wanted = (x.reshape(-1, x.shape[-1]) for x in (inputs, outputs))
  products = rows.T @ rows
  ridge = _RIDGE * jnp.trace(products) / len(products)
  return jnp.linalg.solve(
    products + ridge * jnp.eye(len(products)), rows.T @ wanted
  )


def first_maps(width: int) -> Params:
  """The maps of a memory of latents [.., width] as they begin.

  For when it is attached: until then weight decay has made them smaller.
  """
  return {name: {"kernel": _first(name, width)} for name in _FIRST}


def _linear(width: int, name: str) -> nn.Dense:
  return nn.Dense(
    width,
    use_bias=False,
    kernel_init=lambda key, shape, dtype: _first(name, width),
    name=name,
  )


def _first(name: str, width: int) -> Array:
  return _FIRST[name] * jnp.eye(width)
