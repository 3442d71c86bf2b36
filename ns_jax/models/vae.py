# SPDX-License-Identifier: Apache-2.0
"""Memory VAE: what a wave is encoded to, and what it is decoded from.

NaturalSpeech, Sec. 3.4. The latent is a query only; what the decoder hears are
mixtures of the rows of a memory.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from ns_jax.array_types import Array, check_shapes
from ns_jax.dsp import stft
from ns_jax.nn import conv, gated
from ns_jax.nn.gaussian import Gaussian

FFT_SIZE = 1024  # of the spectra that the posterior hears
_RIDGE = 1e-4  # of the variance of the inputs
_FIRST_QUERY = 0.25


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

    def project(x: Array, name: str, scale: float = 1.0) -> Array:
      projected = _linear(width, name, scale)(x)
      return projected.reshape(*x.shape[:-1], self.num_heads, -1)

    queries = project(z.astype(jnp.float32), "query", _FIRST_QUERY)
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


def _linear(width: int, name: str, scale: float = 1.0) -> nn.Dense:
  """A linear map [width, width] that starts as the identity, times `scale`."""
  return nn.Dense(
    width,
    use_bias=False,
    kernel_init=lambda key, shape, dtype: scale * jnp.eye(*shape, dtype=dtype),
    name=name,
  )
