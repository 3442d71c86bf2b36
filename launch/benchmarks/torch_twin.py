# SPDX-License-Identifier: Apache-2.0
"""PyTorch twins of our codec, to be timed beside it; they train nobody.

The same layers, sizes, losses and optimiser, written as a PyTorch user would,
for `codec.py` in this folder. Needs `pip install torch`.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ns_jax.dsp import mel
from ns_jax.losses import spectral


def frames_of(wav: torch.Tensor, size: int, hop: int) -> torch.Tensor:
  """Frames [B, M, size] around the centre of each of M hops."""
  left = (size - hop) // 2
  count = -(-wav.shape[1] // hop)
  need = (count - 1) * hop + size
  padded = F.pad(wav, (left, max(0, need - left - wav.shape[1])))
  return padded.unfold(1, size, hop)[:, :count]


class Block(nn.Module):
  """ns_jax.models.spectral_codec.Block."""

  def __init__(self, dim: int, kernel_size: int, expansion: int):
    super().__init__()
    self.past = kernel_size - 1
    self.mix = nn.Conv1d(dim, dim, kernel_size, groups=dim, bias=False)
    self.norm = nn.LayerNorm(dim)
    self.up = nn.Linear(dim, dim * expansion)
    self.down = nn.Linear(dim * expansion, dim)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    y = self.mix(F.pad(x.transpose(1, 2), (self.past, 0))).transpose(1, 2)
    return x + self.down(F.gelu(self.up(self.norm(y)), approximate="tanh"))


class Trunk(nn.Sequential):
  """ns_jax.models.spectral_codec._Trunk."""

  def __init__(self, inputs: int, outputs: int, layers: int, codec: Any):
    super().__init__(
      nn.Linear(inputs, codec.dim),
      *(
        Block(codec.dim, codec.kernel_size, codec.expansion)
        for _ in range(layers)
      ),
      nn.LayerNorm(codec.dim),
      nn.Linear(codec.dim, outputs),
    )


class SpectralCodec(nn.Module):
  """ns_jax.models.spectral_codec.SpectralCodec with its codebooks."""

  def __init__(self, config: Any):
    super().__init__()
    codec, quantizer = config.model.codec, config.model.quantizer
    self.hop = config.audio.hop_samples
    bins = self.hop + 1
    self.encoder = Trunk(
      3 * bins, codec.latent_dim, codec.encoder_layers, codec
    )
    self.decoder = Trunk(
      codec.latent_dim, 2 * bins, codec.decoder_layers, codec
    )
    shape = (
      quantizer.num_stages, quantizer.codebook_size, codec.latent_dim
    )  # fmt: skip
    self.register_buffer("embeddings", torch.randn(shape) * 0.1)
    self.register_buffer("counts", torch.ones(shape[:2]))
    self.register_buffer("sums", self.embeddings.clone())
    self.register_buffer("window", torch.hann_window(2 * self.hop) ** 0.5)

  def encode(self, wav: torch.Tensor) -> torch.Tensor:
    """Waves [B, S] to latents before quantising [B, T, D]."""
    padded = F.pad(wav / 0.1, (self.hop, self.hop))
    frames = padded.unfold(1, 2 * self.hop, self.hop)
    spectrum = torch.fft.rfft(frames * self.window) / self.hop**0.5
    power = spectrum.real**2 + spectrum.imag**2 + 1e-6
    gain = power ** (-1 / 3)
    features = (
      spectrum.real * gain,
      spectrum.imag * gain,
      0.25 * torch.log(power) + 0.5,
    )
    return self.encoder(torch.cat(features, -1))[:, 1:]

  def quantize(self, h: torch.Tensor) -> tuple[torch.Tensor, list, list]:
    """Latents, codes and errors of each stage."""
    total, codes, errors = torch.zeros_like(h), [], []
    for embeddings in self.embeddings:
      residual = h - total
      flat = residual.detach().reshape(-1, h.shape[-1])
      distances = (embeddings**2).sum(-1) - 2 * flat @ embeddings.T
      index = distances.argmin(-1)
      vectors = embeddings[index].reshape(h.shape)
      errors.append(((residual - vectors) ** 2).mean())
      codes.append(index)
      total = total + vectors
    return h + (total - h).detach(), codes, errors

  def decode(self, z: torch.Tensor) -> torch.Tensor:
    """Latents to waves [B, S]."""
    y = self.decoder(z)
    real, imaginary = y.chunk(2, -1)
    power = real**2 + imaginary**2
    spectrum = torch.complex(real * power, imaginary * power)
    frames = torch.fft.irfft(spectrum, 2 * self.hop)
    frames = frames * self.window * self.hop**0.5
    first, second = frames.chunk(2, -1)
    hops = first + F.pad(second, (0, 0, 1, 0))[:, :-1]
    return hops.flatten(1) * 0.1

  @torch.no_grad()
  def follow(self, h: torch.Tensor, codes: list, decay: float) -> None:
    """Moves the codebooks towards a batch."""
    residual = h.detach().reshape(-1, h.shape[-1])
    for stage, index in enumerate(codes):
      hits = torch.zeros_like(self.counts[stage])
      hits.index_add_(0, index, torch.ones_like(index, dtype=hits.dtype))
      sums = torch.zeros_like(self.sums[stage]).index_add_(0, index, residual)
      residual = residual - self.embeddings[stage][index]
      self.counts[stage].lerp_(hits, 1 - decay)
      self.sums[stage].lerp_(sums, 1 - decay)
      self.embeddings[stage] = self.sums[stage] / self.counts[stage].clamp_min(
        1e-3
      ).unsqueeze(-1)


class WaveJudge(nn.Module):
  """ns_jax.models.discriminators.WaveDiscriminator."""

  def __init__(self, channels: tuple[int, ...], groups: tuple[int, ...]):
    super().__init__()
    norm = nn.utils.parametrizations.weight_norm
    layers = [norm(nn.Conv1d(1, channels[0], 15, padding=7))]
    for inputs, outputs, count in zip(
      channels, channels[1:], groups, strict=False
    ):
      conv = nn.Conv1d(inputs, outputs, 41, 4, padding=20, groups=count)
      layers.append(norm(conv))
    layers.append(norm(nn.Conv1d(channels[-1], channels[-1], 5, padding=2)))
    self.layers = nn.ModuleList(layers)
    self.head = norm(nn.Conv1d(channels[-1], 1, 3, padding=1))

  def forward(self, wav: torch.Tensor) -> tuple[torch.Tensor, list]:
    x, features = wav[:, None], []
    for layer in self.layers:
      x = F.leaky_relu(layer(x), 0.2)
      features.append(x)
    return self.head(x).flatten(1), features


class BandJudge(nn.Module):
  """ns_jax.models.discriminators.BandDiscriminator."""

  def __init__(self, channels: int, window: int):
    super().__init__()
    self.size = window
    self.register_buffer("window", torch.hann_window(window))
    edges = [round(s * (window // 2 + 1)) for s in (0, 0.1, 0.25, 0.5, 0.75, 1)]
    self.widths = [high - low for low, high in itertools.pairwise(edges)]
    self.bands = nn.ModuleList(
      nn.ModuleList(
        nn.Conv2d(
          channels if i else 2, channels, (3, 9), (1, stride), (1, 4)
        )
        for i, stride in enumerate((1, 2, 2, 2))
      )
      for _ in self.widths
    )  # fmt: skip
    self.head = nn.Conv2d(channels, 1, 3, padding=1)

  def forward(self, wav: torch.Tensor) -> tuple[torch.Tensor, list]:
    frames = frames_of(wav, self.size, self.size // 4)
    spectrum = torch.fft.rfft(frames * self.window) / (0.375 * self.size) ** 0.5
    x = torch.stack([spectrum.real, spectrum.imag], 1)
    features, tops = [], []
    for part, layers in zip(x.split(self.widths, 3), self.bands, strict=True):
      for layer in layers:
        part = F.leaky_relu(layer(part), 0.2)
        features.append(part)
      tops.append(part)
    return self.head(torch.cat(tops, 3)).flatten(1), features


class Judges(nn.Module):
  """ns_jax.models.discriminators.Discriminators, without the STFT's."""

  def __init__(self, options: Any):
    super().__init__()
    self.waves = nn.ModuleList(
      WaveJudge(tuple(options.wave_channels), tuple(options.wave_groups))
      for _ in range(options.num_wave_scales)
    )
    self.bands = nn.ModuleList(
      BandJudge(options.band_channels, window)
      for window in options.band_windows
    )

  def forward(self, wav: torch.Tensor) -> list:
    judgements, scaled = [], wav
    for judge in self.waves:
      judgements.append(judge(scaled))
      scaled = F.avg_pool1d(
        scaled[:, None], 4, 2, 1, count_include_pad=False
      )[:, 0]  # fmt: skip
    return judgements + [judge(wav) for judge in self.bands]


class Losses(nn.Module):
  """The reconstruction losses that count in `config.loss`."""

  def __init__(self, config: Any):
    super().__init__()
    self.weights: Mapping[str, float] = dict(config.loss)
    self.windows = tuple(config.model.spectral.compressed_windows)
    for size, mels in spectral.LOG_MEL_SCALES.items():
      filters = mel.filterbank(config.audio.sample_rate_hz, size, mels)
      filters = filters / filters.sum(0).clip(1e-8)
      self.register_buffer(f"filters_{size}", torch.tensor(filters))

  def forward(self, real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    total = torch.zeros(())
    for size in spectral.LOG_MEL_SCALES:
      filters = getattr(self, f"filters_{size}")
      logs = [
        torch.log(self._spectrum(w, size).abs() @ filters + 1e-4)
        for w in (real, fake)
      ]
      share = self.weights["log_mel"] / len(spectral.LOG_MEL_SCALES)
      total = total + share * (logs[0] - logs[1]).abs().mean()
    for size in self.windows:
      both = [self._spectrum(w, size) for w in (real, fake)]
      powers = [s.real**2 + s.imag**2 + 1e-8 for s in both]
      level = (powers[0] ** 0.3).mean()
      magnitude = (powers[0] ** 0.15 - powers[1] ** 0.15) ** 2
      complexes = [s * p**-0.35 for s, p in zip(both, powers, strict=True)]
      phase = (complexes[0] - complexes[1]).abs() ** 2
      total = total + (
        self.weights["magnitude"] * magnitude.mean()
        + self.weights["compressed"] * phase.mean()
      ) / (level * len(self.windows))
    return total

  def _spectrum(self, wav: torch.Tensor, size: int) -> torch.Tensor:
    window = torch.hann_window(size)
    frames = frames_of(wav, size, size // 4)
    return torch.fft.rfft(frames * window) / math.sqrt(0.375 * size)


class Descent:
  """One adversarial step: discriminators, then codec."""

  def __init__(
    self, config: Any, codec: nn.Module, judges: Judges, losses: Losses
  ):
    self._config, self._codec = config, codec
    self._judges, self._losses = judges, losses
    optim = config.optim
    self._optimisers = {
      module: torch.optim.AdamW(
        module.parameters(), optim.peak_lr, (optim.b1, optim.b2)
      )
      for module in (judges, codec)
    }
    self._weights = list(codec.parameters())
    self._average = [weight.detach().clone() for weight in self._weights]

  def step(
    self,
    real: torch.Tensor,
    fake: torch.Tensor,
    commitment: torch.Tensor,
    *,
    adversarial: bool,
  ) -> None:
    """Descends on waves [B, S] and their reconstructions."""
    loss = self._losses(real, fake)
    loss = loss + self._config.loss.commitment * commitment
    if adversarial:
      judged = self._config.model.adversarial.num_clips
      loss = loss + self._adversarial(real[:judged], fake[:judged])
    self._descend(self._codec, loss)
    with torch.no_grad():
      torch._foreach_lerp_(
        self._average, self._weights, 1 - self._config.ema_decay
      )

  def _adversarial(
    self, real: torch.Tensor, fake: torch.Tensor
  ) -> torch.Tensor:
    hinges = [
      F.relu(1 - good).mean() + F.relu(1 + bad).mean()
      for (good, _), (bad, _) in zip(
        self._judges(real), self._judges(fake.detach()), strict=True
      )
    ]
    self._descend(self._judges, torch.stack(hinges).mean())
    with torch.no_grad():
      wanted = self._judges(real)
    got = self._judges(fake)
    features = [
      (a - b).abs().mean()
      for (_, xs), (_, ys) in zip(wanted, got, strict=True)
      for a, b in zip(xs, ys, strict=True)
    ]
    hinges = [F.relu(1 - logits).mean() for logits, _ in got]
    weights = self._config.loss
    return (
      weights.adversarial * torch.stack(hinges).mean()
      + weights.feature * torch.stack(features).mean()
    )

  def _descend(self, module: nn.Module, loss: torch.Tensor) -> None:
    optimiser = self._optimisers[module]
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimiser.step()


class Training:
  """Our codec's step."""

  def __init__(self, config: Any):
    self.codec = SpectralCodec(config)
    self._decay = config.model.quantizer.decay
    judges = Judges(config.model.discriminators)
    self._descent = Descent(config, self.codec, judges, Losses(config))

  def step(self, wav: torch.Tensor, *, adversarial: bool) -> None:
    """Trains on waves [B, S]."""
    h = self.codec.encode(wav)
    z, codes, errors = self.codec.quantize(h)
    fake = self.codec.decode(z)[:, : wav.shape[1]]
    commitment = torch.stack(errors).sum()
    self._descent.step(wav, fake, commitment, adversarial=adversarial)
    self.codec.follow(h, codes, self._decay)
