# SPDX-License-Identifier: Apache-2.0
"""Wave and STFT discriminators of the codec (SoundStream, Sec. III-D)."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array
from ns_jax.dsp import stft
from ns_jax.nn import conv

PARTITION_RULES = (
  (r"wave_\d+/down_\d+/kernel$", PartitionSpec(None, None, "fsdp")),
  (r"stft/block_\d+/.*kernel$", PartitionSpec(None, None, None, "fsdp")),
)

# Strides over (time, frequency) of the STFT discriminator's blocks.
_STFT_STRIDES = ((1, 2), (2, 2)) * 3
_STFT_GROWTH = (2, 2, 1, 2, 1, 2)

# Logits [B, T_k] and the feature maps of each layer.
Judgement = tuple[Array, tuple[Array, ...]]


def _conv2d(
  features: int, size: tuple[int, int], name: str, **options: Any
) -> nn.Conv:
  return nn.Conv(
    features, size, kernel_init=conv.lecun_normal, name=name, **options
  )


def _leaky(x: Array) -> Array:
  return nn.leaky_relu(x, 0.2)


class WaveDiscriminator(nn.Module):
  """Strided grouped convolutions over the waveform (MelGAN's)."""

  channels: tuple[int, ...]  # after the stem and after each strided layer
  groups: tuple[int, ...]  # of each strided layer
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> Judgement:
    """Judges waves [B, S]; one logit per 4^len(groups) samples."""

    def layer(features: int, size: int, name: str, **options: Any):
      return conv.Conv1d(
        features, size, weight_norm=True, dtype=self.dtype, name=name, **options
      )

    x = _leaky(layer(self.channels[0], 15, "stem")(wav[..., None]))
    features = [x]
    plan = zip(self.channels[1:], self.groups, strict=True)
    for i, (width, groups) in enumerate(plan):
      down = layer(width, 41, f"down_{i}", stride=4, groups=groups)
      x = _leaky(down(x))
      features.append(x)
    x = _leaky(layer(self.channels[-1], 5, "mix")(x))
    logits = layer(1, 3, "head")(x)
    return logits[..., 0].astype(jnp.float32), (*features, x)


class StftBlock(nn.Module):
  """Residual pair of 2-D convolutions that shrinks time and frequency."""

  features: int
  strides: tuple[int, int]
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, M, F, C] to [B, ceil(M / s_t), ceil(F / s_f), features]."""
    size = (self.strides[0] + 2, self.strides[1] + 2)
    options = dict(strides=self.strides, dtype=self.dtype)
    y = _conv2d(x.shape[-1], (3, 3), "conv", dtype=self.dtype)(_leaky(x))
    y = _conv2d(self.features, size, "down", **options)(_leaky(y))
    skip = _conv2d(self.features, (1, 1), "skip", **options)(x)
    return y + skip


class StftDiscriminator(nn.Module):
  """2-D convolutions over real and imaginary parts of a spectrogram."""

  channels: int
  window_samples: int = 1024
  hop_samples: int = 256
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> Judgement:
    """Judges waves [B, S]; one logit per 8 hops, rounded up."""
    spectrum = stft.stft(
      wav,
      window_samples=self.window_samples,
      hop_samples=self.hop_samples,
      fft_size=self.window_samples,
    )[..., :-1]
    # A window of unit energy keeps the scale of the waveform.
    spectrum = spectrum / jnp.sqrt(0.375 * self.window_samples)
    x = jnp.stack([spectrum.real, spectrum.imag], axis=-1)
    x = _conv2d(self.channels, (7, 7), "stem", dtype=self.dtype)(x)
    features, width = [x], self.channels
    for i, strides in enumerate(_STFT_STRIDES):
      width *= _STFT_GROWTH[i]
      x = StftBlock(width, strides, self.dtype, name=f"block_{i}")(x)
      features.append(x)
    size = (1, x.shape[2])
    head = _conv2d(1, size, "head", padding="VALID", dtype=self.dtype)
    logits = head(_leaky(x))
    return logits[..., 0, 0].astype(jnp.float32), tuple(features)


class Discriminators(nn.Module):
  """Wave discriminators on 1, 1/2, 1/4 … of the rate, and one on the STFT."""

  wave_channels: tuple[int, ...]
  wave_groups: tuple[int, ...]
  stft_channels: int
  num_wave_scales: int = 3
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> tuple[Judgement, ...]:
    """Judges waves [B, S] in [-1, 1] by each discriminator."""
    judgements, scaled = [], wav
    for i in range(self.num_wave_scales):
      judge = WaveDiscriminator(
        self.wave_channels, self.wave_groups, self.dtype, name=f"wave_{i}"
      )
      judgements.append(judge(scaled))
      scaled = _half_rate(scaled)
    judge = StftDiscriminator(self.stft_channels, dtype=self.dtype, name="stft")
    return (*judgements, judge(wav))


def _half_rate(wav: Array) -> Array:
  """Averages 4 samples every 2; [B, S] to [B, S // 2]."""
  pooled = nn.avg_pool(
    wav[..., None],
    (4,),
    (2,),
    padding=((1, 1),),  # pyright: ignore[reportArgumentType]
    count_include_pad=False,
  )
  return pooled[..., 0]
