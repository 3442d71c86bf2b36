# SPDX-License-Identifier: Apache-2.0
"""A codec whose layers all work at the frame rate: ten times cheaper to train.

Encoder and decoder see the short-time spectrum with magnitudes compressed to
their cube roots, so that weak sounds count as they are heard, and what lies
between is residual blocks (ConvNeXt's, as in Vocos, arXiv 2306.00814). It takes
the place of `codec.Codec`. A frame spans two hops, so a code is known one hop
later than there; apart from that it is causal like the other.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array
from ns_jax.dsp import stft
from ns_jax.models.codec import AnyCodec
from ns_jax.nn import conv, streaming
from ns_jax.nn.activations import Activation

PARTITION_RULES = (
  (
    r"(encoder|decoder)/.*(stem|up|down)/kernel$",
    PartitionSpec(None, None, "fsdp"),
  ),
)

_LEVEL = (
  0.1  # typical amplitude of speech: inside, spectra have about unit size
)
_POWER_FLOOR = 1e-6


class Block(nn.Module):
  """x + down(activation(up(norm(depthwise convolution(x))))), at first x."""

  kernel_size: int
  expansion: int
  activation: str
  dtype: Any
  causal: bool = True

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T, C]."""
    width = x.shape[-1]
    y = conv.Conv1d(
      width,
      self.kernel_size,
      groups=width,
      causal=self.causal,
      use_bias=False,
      dtype=self.dtype,
      name="mix",
    )(x)
    y = nn.LayerNorm(dtype=self.dtype, name="norm")(y)
    y = conv.Conv1d(width * self.expansion, 1, dtype=self.dtype, name="up")(y)
    y = Activation(self.activation, self.dtype, name="activation")(y)
    return x + conv.Conv1d(
      width, 1, kernel_init=nn.initializers.zeros, dtype=self.dtype, name="down"
    )(y)


class Trunk(nn.Module):
  """Blocks between a map to their width and one to the width of the output."""

  features: int
  dim: int
  num_layers: int
  kernel_size: int
  expansion: int
  activation: str
  dtype: Any
  causal: bool = True

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T, features] float32."""
    x = conv.Conv1d(self.dim, 1, dtype=self.dtype, name="stem")(x)
    for i in range(self.num_layers):
      x = Block(
        self.kernel_size,
        self.expansion,
        self.activation,
        self.dtype,
        self.causal,
        name=f"block_{i}",
      )(x)
    x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
    y = conv.Conv1d(self.features, 1, dtype=self.dtype, name="head")(x)
    return y.astype(jnp.float32)


class SpectralEncoder(nn.Module):
  """Waveform to frames; frame t spans hops t and t + 1."""

  hop_samples: int
  trunk: Any  # keyword arguments of Trunk

  @nn.compact
  def __call__(self, wav: Array) -> Array:
    """Maps [B, S] in [-1, 1] to [B, T, latent_dim], T = ceil(S / hop).

    In a stream, S is a number of whole hops, and frames come one hop late: the
    first frame ever is that before the beginning.
    """
    whole = not streaming.is_streaming(self)
    remainder = -wav.shape[1] % self.hop_samples
    last_hop = self.hop_samples if whole else 0  # the silence after the end
    wav = jnp.pad(wav / _LEVEL, ((0, 0), (0, remainder + last_hop)))
    hops = wav.reshape(wav.shape[0], -1, self.hop_samples)
    hops = streaming.with_past(self, hops, 1)
    frames = jnp.concatenate([hops[:, :-1], hops[:, 1:]], axis=-1)
    spectrum = jnp.fft.rfft(frames * _window(self.hop_samples))
    spectrum = spectrum / self.hop_samples**0.5
    power = spectrum.real**2 + spectrum.imag**2 + _POWER_FLOOR
    gain = power ** (-1 / 3)
    features = (
      spectrum.real * gain,
      spectrum.imag * gain,
      0.25 * jnp.log(power) + 0.5,
    )
    x = jnp.concatenate(features, axis=-1)
    h = Trunk(**self.trunk, name="trunk")(x)
    return h[:, 1:] if whole else h


class SpectralDecoder(nn.Module):
  """Frames to waveform; frame t adds to hops t and t + 1."""

  hop_samples: int
  trunk: Any  # keyword arguments of Trunk

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """Maps [B, T, D] to [B, T * hop] float32."""
    y = Trunk(**self.trunk, name="trunk")(z)
    real, imaginary = jnp.split(y, 2, axis=-1)
    power = real**2 + imaginary**2
    spectrum = (real + 1j * imaginary) * power  # undoes the cube root
    frames = jnp.fft.irfft(spectrum, 2 * self.hop_samples)
    frames = frames * (_window(self.hop_samples) * self.hop_samples**0.5)
    first, second = jnp.split(frames, 2, axis=-1)
    hops = first + streaming.with_past(self, second, 1)[:, :-1]
    return hops.reshape(hops.shape[0], -1) * _LEVEL


class SpectralCodec(AnyCodec):
  """Like `codec.Codec`, at the frame rate."""

  hop_samples: int
  latent_dim: int
  dim: int
  encoder_layers: int
  decoder_layers: int
  kernel_size: int = 7
  expansion: int = 3
  activation: str = "gelu"
  dtype: Any = jnp.float32

  lookahead_hops = 1

  def setup(self) -> None:
    """Makes the two halves."""
    shared: dict[str, Any] = dict(
      dim=self.dim,
      kernel_size=self.kernel_size,
      expansion=self.expansion,
      activation=self.activation,
      dtype=self.dtype,
    )
    self.encoder = SpectralEncoder(
      self.hop_samples,
      dict(features=self.latent_dim, num_layers=self.encoder_layers, **shared),
    )
    bins = self.hop_samples + 1
    self.decoder = SpectralDecoder(
      self.hop_samples,
      dict(features=2 * bins, num_layers=self.decoder_layers, **shared),
    )


def _window(hop_samples: int) -> np.ndarray:
  """Root of Hann's window over two hops: its square adds up to one."""
  return np.sqrt(stft.hann_window(2 * hop_samples))[None, None, :]
