# SPDX-License-Identifier: Apache-2.0
"""Waveform encoder and decoder (SoundStream, Sec. III-A; NaturalSpeech 2, 3.1).

Causal, ELU, no normalisation. The quantiser is in `quantizer.py`.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array
from ns_jax.nn import conv
from ns_jax.nn.activations import Activation

PARTITION_RULES = (
  (
    r"(encoder|decoder)/.*(dilated|pointwise|up|down)/kernel$",
    PartitionSpec(None, None, "fsdp"),
  ),
)


# Typical amplitude of speech: inside, waves have about unit size.
_LEVEL = 0.1


class ResidualUnit(nn.Module):
  """x + conv1(act(dilated conv7(act(x)))), at first the identity.

  Without that start, the product of so many random layers without
  normalisation learns nothing for thousands of steps.
  """

  dilation: int
  kernel_size: int
  activation: str
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T, C]."""
    act = functools.partial(Activation, self.activation, self.dtype)
    y = conv.Conv1d(
      x.shape[-1],
      self.kernel_size,
      dilation=self.dilation,
      causal=True,
      dtype=self.dtype,
      name="dilated",
    )(act(name="activation_0")(x))
    y = conv.Conv1d(
      x.shape[-1],
      1,
      kernel_init=nn.initializers.zeros,
      dtype=self.dtype,
      name="pointwise",
    )(act(name="activation_1")(y))
    return x + y


class EncoderBlock(nn.Module):
  """Residual units, then `stride` times fewer steps of `features` channels."""

  features: int
  stride: int
  dilations: tuple[int, ...]
  kernel_size: int
  activation: str
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, ceil(T / stride), features]."""
    for i, dilation in enumerate(self.dilations):
      x = ResidualUnit(
        dilation,
        self.kernel_size,
        self.activation,
        self.dtype,
        name=f"unit_{i}",
      )(x)
    return conv.Conv1d(
      self.features,
      2 * self.stride,
      stride=self.stride,
      causal=True,
      dtype=self.dtype,
      name="down",
    )(Activation(self.activation, self.dtype, name="activation")(x))


class DecoderBlock(nn.Module):
  """`stride` times more steps of `features` channels, then residual units."""

  features: int
  stride: int
  dilations: tuple[int, ...]
  kernel_size: int
  activation: str
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T · stride, features]."""
    x = conv.ConvTranspose1d(
      self.features,
      2 * self.stride,
      self.stride,
      causal=True,
      dtype=self.dtype,
      name="up",
    )(Activation(self.activation, self.dtype, name="activation")(x))
    for i, dilation in enumerate(self.dilations):
      x = ResidualUnit(
        dilation,
        self.kernel_size,
        self.activation,
        self.dtype,
        name=f"unit_{i}",
      )(x)
    return x


class Encoder(nn.Module):
  """Waveform to frames; channels double with every stride."""

  channels: int
  latent_dim: int
  strides: tuple[int, ...]
  dilations: tuple[int, ...]
  kernel_size: int
  activation: str
  dtype: Any

  @nn.compact
  def __call__(self, wav: Array) -> Array:
    """Encodes.

    Args:
      wav: [B, S] float32, in [-1, 1].

    Returns:
      [B, T, latent_dim] float32, T = ceil(S / product of strides).
    """
    remainder = -wav.shape[1] % math.prod(self.strides)
    x = jnp.pad(wav / _LEVEL, ((0, 0), (0, remainder)))[..., None]
    x = conv.Conv1d(
      self.channels, 7, causal=True, dtype=self.dtype, name="stem"
    )(x)
    for i, stride in enumerate(self.strides):
      x = EncoderBlock(
        self.channels * 2 ** (i + 1),
        stride,
        self.dilations,
        self.kernel_size,
        self.activation,
        self.dtype,
        name=f"block_{i}",
      )(x)
    h = conv.Conv1d(
      self.latent_dim, 3, causal=True, dtype=self.dtype, name="head"
    )(Activation(self.activation, self.dtype, name="activation")(x))
    return h.astype(jnp.float32)


class Decoder(nn.Module):
  """Frames to waveform, the encoder's mirror image."""

  channels: int
  strides: tuple[int, ...]
  dilations: tuple[int, ...]
  kernel_size: int
  activation: str
  dtype: Any

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """Decodes.

    Args:
      z: [B, T, D] float32, quantised latents.

    Returns:
      [B, T · product of strides] float32.
    """
    top = self.channels * 2 ** len(self.strides)
    x = conv.Conv1d(top, 7, causal=True, dtype=self.dtype, name="stem")(z)
    for i, stride in enumerate(reversed(self.strides)):
      x = DecoderBlock(
        top // 2 ** (i + 1),
        stride,
        self.dilations,
        self.kernel_size,
        self.activation,
        self.dtype,
        name=f"block_{i}",
      )(x)
    x = conv.Conv1d(1, 7, causal=True, dtype=self.dtype, name="head")(
      Activation(self.activation, self.dtype, name="activation")(x)
    )
    return x[..., 0].astype(jnp.float32) * _LEVEL


class AnyCodec(nn.Module):
  """An encoder and a decoder under one roof; parameters {encoder, decoder}.

  Subclasses make the two in their setup. Both go on in a stream, see
  `nn.streaming`; there the encoder's frames come `lookahead_hops` late.
  """

  lookahead_hops = 0

  def __call__(self, wav: Array) -> Array:
    """Encodes and decodes without quantising, to initialise both halves."""
    return self.decode(self.encode(wav))

  def encode(self, wav: Array) -> Array:
    """Maps waves [B, S] in [-1, 1] to latents [B, T, D], T = ceil(S / hop)."""
    return self.encoder(wav)

  def decode(self, z: Array) -> Array:
    """Maps latents [B, T, D] to waves [B, T · hop] float32."""
    return self.decoder(z)


class Codec(AnyCodec):
  """SoundStream's, at the sample rate."""

  channels: int
  latent_dim: int
  strides: tuple[int, ...]
  dilations: tuple[int, ...] = (1, 3, 9)
  kernel_size: int = 7
  activation: str = "elu"
  dtype: Any = jnp.float32

  def setup(self) -> None:
    """Makes the two halves."""
    shared: dict[str, Any] = dict(
      channels=self.channels,
      strides=self.strides,
      dilations=self.dilations,
      kernel_size=self.kernel_size,
      activation=self.activation,
      dtype=self.dtype,
    )
    self.encoder = Encoder(latent_dim=self.latent_dim, **shared)
    self.decoder = Decoder(**shared)
