# SPDX-License-Identifier: Apache-2.0
"""A codec whose layers all work at the frame rate, for small computers.

The encoder sees log-magnitudes of the short-time spectrum, the decoder predicts
magnitudes and phases and inverts them (the idea of Vocos, arXiv 2306.00814).
Nothing runs at the sample rate, so training is some ten times cheaper than with
`codec.Codec`, whose place it takes; latents know no phase, which makes them
easy to generate. Causal like the other.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array
from ns_jax.dsp import stft
from ns_jax.models.codec import AnyCodec
from ns_jax.nn import conv

PARTITION_RULES = (
  (
    r"(encoder|decoder)/.*(stem|conv_\d+|pointwise_\d+)/kernel$",
    PartitionSpec(None, None, "fsdp"),
  ),
)

HOPS_PER_WINDOW = 4
_SQUARED_HANN_SUM = 1.5  # of Hann windows at a quarter's distance
_LOG_FLOOR = 1e-2
_MAX_LOG_MAGNITUDE = 6.0  # keeps exp and its gradient finite


class _Trunk(nn.Module):
  """Normalised causal residual blocks, each the identity at first.

  Normalisation keeps the layers in range at the high learning rates of short
  trainings; without it they were seen to blow up.
  """

  num_layers: int
  kernel_size: int
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, T, C] to [B, T, C], normalised."""
    for i in range(self.num_layers):
      y = nn.LayerNorm(dtype=self.dtype, name=f"norm_{i}")(x)
      y = conv.Conv1d(
        x.shape[-1],
        self.kernel_size,
        causal=True,
        dtype=self.dtype,
        name=f"conv_{i}",
      )(y)
      x = x + conv.Conv1d(
        x.shape[-1],
        1,
        kernel_init=nn.initializers.zeros,
        dtype=self.dtype,
        name=f"pointwise_{i}",
      )(nn.gelu(y))
    return nn.LayerNorm(dtype=self.dtype, name="norm")(x)


class SpectralEncoder(nn.Module):
  """Waveform to frames."""

  hop_samples: int
  latent_dim: int
  dim: int
  num_layers: int
  kernel_size: int
  dtype: Any

  @nn.compact
  def __call__(self, wav: Array) -> Array:
    """Maps [B, S] in [-1, 1] to [B, T, latent_dim], T = ceil(S / hop)."""
    window = HOPS_PER_WINDOW * self.hop_samples
    frames = stft.frame(wav, window, self.hop_samples, causal=True)
    spectrum = jnp.fft.rfft(frames * stft.hann_window(window)[None, None, :])
    x = 0.5 * jnp.log(stft.magnitude(spectrum) + _LOG_FLOOR) + 1.0
    x = conv.Conv1d(self.dim, 1, dtype=self.dtype, name="stem")(x)
    x = _Trunk(self.num_layers, self.kernel_size, self.dtype, name="trunk")(x)
    h = conv.Conv1d(
      self.latent_dim, 3, causal=True, dtype=self.dtype, name="head"
    )(x)
    return h.astype(jnp.float32)


class SpectralDecoder(nn.Module):
  """Frames to waveform."""

  hop_samples: int
  dim: int
  num_layers: int
  kernel_size: int
  dtype: Any

  @nn.compact
  def __call__(self, z: Array) -> Array:
    """Maps [B, T, D] to [B, T * hop] float32."""
    window = HOPS_PER_WINDOW * self.hop_samples
    bins = window // 2 + 1
    x = conv.Conv1d(self.dim, 7, causal=True, dtype=self.dtype, name="stem")(z)
    x = _Trunk(self.num_layers, self.kernel_size, self.dtype, name="trunk")(x)
    log_magnitude = conv.Conv1d(bins, 1, dtype=self.dtype, name="magnitude")(x)
    phase = conv.Conv1d(bins, 1, dtype=self.dtype, name="phase")(x)
    # Untrained, the output should be about as loud as speech.
    log_magnitude = log_magnitude.astype(jnp.float32) - 1.0
    magnitude = jnp.exp(jnp.minimum(log_magnitude, _MAX_LOG_MAGNITUDE))
    spectrum = magnitude * jnp.exp(1j * phase.astype(jnp.float32))
    frames = jnp.fft.irfft(spectrum, window)
    frames = frames * stft.hann_window(window)[None, None, :]
    return stft.overlap_add(frames, self.hop_samples) / _SQUARED_HANN_SUM


class SpectralCodec(AnyCodec):
  """Like `codec.Codec`, at the frame rate."""

  hop_samples: int
  latent_dim: int
  dim: int
  num_layers: int
  kernel_size: int = 3
  dtype: Any = jnp.float32

  def setup(self) -> None:
    """Makes the two halves."""
    shared: dict[str, Any] = dict(
      hop_samples=self.hop_samples,
      dim=self.dim,
      num_layers=self.num_layers,
      kernel_size=self.kernel_size,
      dtype=self.dtype,
    )
    self.encoder = SpectralEncoder(latent_dim=self.latent_dim, **shared)
    self.decoder = SpectralDecoder(**shared)
