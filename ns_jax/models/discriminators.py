# SPDX-License-Identifier: Apache-2.0
"""Discriminators of waves.

On waves and on one STFT (SoundStream, Sec. III-D); on bands of several STFTs
(DAC, arXiv 2306.06546, Sec. 3.3); on every p-th sample (HiFi-GAN, arXiv
2010.05646, Sec. 2.3).
"""

import itertools
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array
from ns_jax.dsp import stft
from ns_jax.errors import UserError
from ns_jax.nn import conv

PARTITION_RULES = (
  (r"(wave|period)_\d+/down_\d+/kernel$", PartitionSpec(None, None, "fsdp")),
  (r"(stft|bands_\d+)/.*/kernel$", PartitionSpec(None, None, None, "fsdp")),
)

# Strides over (time, frequency) of the STFT discriminator's blocks.
_STFT_STRIDES = ((1, 2), (2, 2)) * 3
_STFT_GROWTH = (2, 2, 1, 2, 1, 2)
_BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # edges, as shares of all bins

# Logits [B, T_k] and the feature maps of each layer.
Judgement = tuple[Array, tuple[Array, ...]]


def _leaky(x: Array) -> Array:
  return nn.leaky_relu(x, 0.2)


def _period_leaky(x: Array) -> Array:
  return nn.leaky_relu(x, 0.1)


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


class PeriodDiscriminator(nn.Module):
  """Strided convolutions over every `period`-th sample, for each phase."""

  period: int
  channels: tuple[int, ...]  # the last layer does not stride
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> Judgement:
    """Judges waves [B, S]; period logits per 3^(layers - 1) periods."""
    batch = wav.shape[0]
    extra = -wav.shape[1] % self.period
    wav = jnp.pad(wav, ((0, 0), (0, extra)), mode="reflect")
    # Phases are examples of their own: no sample meets one of another phase.
    phases = wav.reshape(batch, -1, self.period).swapaxes(1, 2)
    x = phases.reshape(batch * self.period, -1, 1)

    def layer(features: int, size: int, stride: int, name: str):
      return conv.Conv1d(
        features,
        size,
        stride=stride,
        weight_norm=True,
        dtype=self.dtype,
        name=name,
      )

    features = []
    for i, width in enumerate(self.channels):
      stride = 3 if i + 1 < len(self.channels) else 1
      x = _period_leaky(layer(width, 5, stride, f"down_{i}")(x))
      features.append(x.reshape(batch, self.period, *x.shape[1:]))
    logits = layer(1, 3, 1, "head")(x)
    return logits.reshape(batch, -1).astype(jnp.float32), tuple(features)


class StftBlock(nn.Module):
  """Residual pair of 2-D convolutions that shrinks time and frequency."""

  features: int
  strides: tuple[int, int]
  dtype: Any

  @nn.compact
  def __call__(self, x: Array) -> Array:
    """Maps [B, M, F, C] to [B, ceil(M / s_t), ceil(F / s_f), features]."""
    size = (self.strides[0] + 2, self.strides[1] + 2)
    options: Any = dict(strides=self.strides, dtype=self.dtype)
    y = conv.Conv2d(x.shape[-1], (3, 3), dtype=self.dtype, name="conv")(
      _leaky(x)
    )
    y = conv.Conv2d(self.features, size, name="down", **options)(_leaky(y))
    skip = conv.Conv2d(self.features, (1, 1), name="skip", **options)(x)
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
    x = _spectrogram(wav, self.window_samples, self.hop_samples)[:, :, :-1]
    x = conv.Conv2d(self.channels, (7, 7), dtype=self.dtype, name="stem")(x)
    features, width = [x], self.channels
    for i, strides in enumerate(_STFT_STRIDES):
      width *= _STFT_GROWTH[i]
      x = StftBlock(width, strides, self.dtype, name=f"block_{i}")(x)
      features.append(x)
    size = (1, x.shape[2])
    head = conv.Conv2d(1, size, padding="VALID", dtype=self.dtype, name="head")
    logits = head(_leaky(x))
    return logits[..., 0, 0].astype(jnp.float32), tuple(features)


class BandDiscriminator(nn.Module):
  """2-D convolutions over each of five bands of a spectrogram by itself."""

  channels: int
  window_samples: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> Judgement:
    """Judges waves [B, S]; one logit per quarter window and few bins."""
    hop_samples = self.window_samples // 4
    x = _spectrogram(wav, self.window_samples, hop_samples)
    edges = [round(share * x.shape[2]) for share in _BANDS]
    features, tops = [], []
    for band, (low, high) in enumerate(itertools.pairwise(edges)):
      y = x[:, :, low:high]
      for i, stride in enumerate((1, 2, 2, 2)):
        layer = conv.Conv2d(
          self.channels,
          (3, 9),
          (1, stride),
          dtype=self.dtype,
          name=f"band_{band}_{i}",
        )
        y = _leaky(layer(y))
        features.append(y)
      tops.append(y)
    head = conv.Conv2d(1, (3, 3), dtype=self.dtype, name="head")
    logits = head(jnp.concatenate(tops, axis=2)).astype(jnp.float32)
    return logits.reshape(logits.shape[0], -1), tuple(features)


class Discriminators(nn.Module):
  """All that judge: a kind without channels is left out."""

  wave_channels: tuple[int, ...]
  wave_groups: tuple[int, ...]
  stft_channels: int
  num_wave_scales: int = 3  # 1, 1/2, 1/4 … of the sample rate
  band_channels: int = 0
  band_windows: tuple[int, ...] = ()  # in samples
  periods: tuple[int, ...] = ()  # in samples
  period_channels: tuple[int, ...] = ()
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, wav: Array) -> tuple[Judgement, ...]:
    """Judges waves [B, S] in [-1, 1] by each discriminator."""
    judgements, scaled = [], wav
    for i in range(self.num_wave_scales if self.wave_channels else 0):
      judge = WaveDiscriminator(
        self.wave_channels, self.wave_groups, self.dtype, name=f"wave_{i}"
      )
      judgements.append(judge(scaled))
      scaled = _half_rate(scaled)
    if self.stft_channels:
      judge = StftDiscriminator(
        self.stft_channels, dtype=self.dtype, name="stft"
      )
      judgements.append(judge(wav))
    for i, window in enumerate(self.band_windows if self.band_channels else ()):
      judge = BandDiscriminator(
        self.band_channels, window, self.dtype, name=f"bands_{i}"
      )
      judgements.append(judge(wav))
    for period in self.periods if self.period_channels else ():
      judge = PeriodDiscriminator(
        period, self.period_channels, self.dtype, name=f"period_{period}"
      )
      judgements.append(judge(wav))
    return tuple(judgements)


def make_discriminators(dtype: Any, **options: Any) -> Discriminators:
  """Builds those of a config's section.

  Raises:
    UserError: there is none, or sizes that do not fit one another.
  """
  made = Discriminators(dtype=dtype, **options)
  has_waves = made.wave_channels and made.num_wave_scales
  kinds = (
    has_waves,
    made.stft_channels,
    made.band_channels and made.band_windows,
    made.period_channels and made.periods,
  )
  where = "config.model.discriminators"
  if not any(kinds):
    raise UserError(
      f"{where}: none is left; for a training without, set "
      "config.model.adversarial.start_step beyond its end"
    )
  if has_waves and len(made.wave_channels) != len(made.wave_groups) + 1:
    raise UserError(
      f"{where}: wave_channels={made.wave_channels} must be one more than "
      f"wave_groups={made.wave_groups}"
    )
  if min(made.periods, default=1) < 1:
    raise UserError(f"{where}.periods={made.periods} must be 1 or more")
  return made


def _spectrogram(wav: Array, window_samples: int, hop_samples: int) -> Array:
  """Real and imaginary parts [B, M, F, 2] of spectra of waves [B, S]."""
  spectrum = stft.stft(
    wav,
    window_samples=window_samples,
    hop_samples=hop_samples,
    fft_size=window_samples,
  )
  # A window of unit energy keeps the scale of the waveform.
  spectrum = spectrum / jnp.sqrt(0.375 * window_samples)
  return jnp.stack([spectrum.real, spectrum.imag], axis=-1)


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
