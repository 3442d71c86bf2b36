# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech: phonemes to a wave, end to end (arXiv 2205.04421).

Each method is one arrow of the paper's Fig. 1; which of them a loss walks
along, and where its gradient ends, is the stage's business.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from ns_jax.array_types import Array, check_shapes
from ns_jax.errors import UserError
from ns_jax.models import hifigan, mixed_phonemes, source_filter, vae
from ns_jax.models.durator import Durator, Upsampled
from ns_jax.models.flow import Flow
from ns_jax.models.mixed_phonemes import Mixed, MixedEncoder
from ns_jax.nn.gaussian import Gaussian

SOURCE_FILTER = "source_filter"
# Layers are stacked on axis 0 by nn.scan, hence the leading None.
PARTITION_RULES = (
  *mixed_phonemes.PARTITION_RULES,
  (r"stack/layers/(conv|out)/kernel$", P(None, None, "fsdp", "tensor")),
  (r"memory/bank$", P("fsdp", None)),
)


class NaturalSpeech(nn.Module):
  """The whole model; its latents have as many channels as its vectors."""

  encoder: MixedEncoder
  durator: Durator
  flow: Flow
  posterior: vae.PosteriorEncoder
  memory: vae.Memory
  decoder: nn.Module

  def __call__(
    self, mixed: Mixed, durations: Array, spectra: Array
  ) -> tuple[Array, Array]:
    """Touches every parameter once, to initialise them; see the methods."""
    mask, frames = mixed.phonemes > 0, spectra.shape[1]
    frame_mask = jnp.ones(spectra.shape[:2], bool)
    hidden = self.encode(mixed, mask, train=False)
    self.predict_durations(hidden, mask, train=False)
    prior, _ = self.prior(hidden, durations, mask, frames)
    z = self.to_posterior(prior.mean, frame_mask)
    heard = self.hear(spectra, frame_mask).mean
    if hasattr(self.decoder, "log_f0"):
      self.log_f0(z)
    recalled = self.recall(z, frame_mask, remembers=True)
    return self.decode(recalled), self.to_prior(heard, frame_mask)

  def encode(self, mixed: Mixed, mask: Array, *, train: bool) -> Array:
    """Hidden phonemes [B, N, D]; mask [B, N] bool."""
    return self.encoder(mixed, mask, train=train)

  def predict_durations(
    self, hidden: Array, mask: Array, *, train: bool
  ) -> Array:
    """Frames [B, N] float32 of hidden phonemes [B, N, D]."""
    return self.durator.predict(hidden, mask, train=train)

  def prior(
    self, hidden: Array, durations: Array, mask: Array, num_frames: int
  ) -> tuple[Gaussian, Upsampled]:
    """p(z' | y) at M frames; durations [B, N] float32."""
    return self.durator(hidden, durations, mask, num_frames)

  def hear(self, spectra: Array, mask: Array) -> Gaussian:
    """The posterior q(z | x) of spectra [B, T, F]; mask [B, T] bool."""
    check_shapes(spectra, "B T F", mask, "B T")
    return self.posterior(spectra, mask)

  def to_posterior(self, z: Array, mask: Array) -> Array:
    """f: [B, T, D] of the prior to where the posterior is."""
    return self.flow(z, mask)

  def to_prior(self, z: Array, mask: Array) -> Array:
    """f⁻¹: [B, T, D] of the posterior to where the prior is."""
    return self.flow.inverse(z, mask)

  def recall(self, z: Array, mask: Array, *, remembers: Array | bool) -> Array:
    """What the decoder hears of latents [B, T, D]; mask [B, T] bool.

    Mixtures of what the memory holds, or, where `remembers` [] is 0 or False
    because it is not attached yet, the latents themselves.
    """
    if remembers is not False:
      z = jnp.where(remembers, self.memory(z)[0], z)
    return z * mask[..., None]

  def log_f0(self, recalled: Array) -> Array:
    """Logarithm of the pitch in Hz, [B, T], that the decoder would take."""
    return self.decoder.log_f0(recalled)

  def decode(self, recalled: Array) -> Array:
    """A wave [B, T · hop] float32 of [B, T, D]."""
    return self.decoder(recalled)

  def voice(self, z: Array, mask: Array, *, remembers: Array | bool) -> Array:
    """A wave of latents, as `recall` takes them; 0 after the end."""
    wav = self.decode(self.recall(z, mask, remembers=remembers))
    return wav * jnp.repeat(mask, wav.shape[1] // mask.shape[1], axis=1)


def make_model(config: ConfigDict, num_symbols: int) -> NaturalSpeech:
  """Builds the model of `configs/ns1.py`.

  Args:
    config: the whole of it.
    num_symbols: of phonemes.

  Raises:
    UserError: sizes that do not fit one another, or an unknown decoder.
  """
  options, dtype = config.model, jnp.dtype(config.dtype)
  dim = options.dim
  _check_sizes(options)
  return NaturalSpeech(
    encoder=mixed_phonemes.make_encoder(
      num_symbols, dim=dim, dtype=dtype, **options.encoder
    ),
    durator=Durator(**options.durator.to_dict(), latent_dim=dim, dtype=dtype),
    flow=Flow(dim=dim, dtype=dtype, **options.flow),
    posterior=vae.PosteriorEncoder(
      latent_dim=dim, dim=dim, dtype=dtype, **options.posterior
    ),
    memory=vae.Memory(**options.memory),
    decoder=_make_decoder(config, dtype),
  )


def has_pitch(config: ConfigDict) -> bool:
  """Whether the decoder of `configs/ns1.py` must be taught a pitch."""
  return config.model.decoder.architecture == SOURCE_FILTER


def _check_sizes(options: ConfigDict) -> None:
  """Refuses what would not fit."""
  heads, couplings = options.memory.num_heads, options.flow.num_couplings
  if heads < 1 or options.dim % heads:
    raise UserError(
      f"config.model.memory.num_heads={heads} must divide "
      f"config.model.dim={options.dim}"
    )
  if options.dim % 2:
    raise UserError(f"config.model.dim={options.dim}: the flow halves it")
  if couplings < 2 or couplings % 2:
    raise UserError(
      f"config.model.flow.num_couplings={couplings} must be even, 2 or more: "
      "each reverses the channels"
    )
  for name, size in (
    ("memory.size", options.memory.size),
    ("durator.upsampler.num_weights", options.durator.upsampler.num_weights),
  ):
    if size < 1:
      raise UserError(f"config.model.{name}={size} must be 1 or more")


def _make_decoder(config: ConfigDict, dtype: Any) -> nn.Module:
  """HiFi-GAN's generator, or one at the frame rate."""
  options, hop = config.model.decoder.to_dict(), config.audio.hop_samples
  architecture = options.pop("architecture")
  makers = {
    SOURCE_FILTER: lambda: source_filter.SourceFilterDecoder.of(
      hop, config.audio.sample_rate_hz, dtype, **options
    ),
    "hifigan": lambda: hifigan.HifiGan(**options, dtype=dtype),
  }
  if architecture not in makers:
    raise UserError(
      f"config.model.decoder.architecture={architecture!r} is unknown; "
      f"use {' or '.join(makers)}"
    )
  try:
    decoder = makers[architecture]()
  except TypeError as error:
    raise UserError(
      f"config.model.decoder: {error}; configs/ns1.py has a section for each "
      "architecture, which --config alone cannot change into another"
    ) from error
  if architecture == SOURCE_FILTER:
    if hop % source_filter.HOP_FACTOR:
      raise UserError(
        f"config.audio.hop_samples={hop} must be a multiple of "
        f"{source_filter.HOP_FACTOR}"
      )
  elif decoder.hop_samples != hop:
    raise UserError(
      f"config.model.decoder.strides={decoder.strides} multiply to "
      f"{decoder.hop_samples}, not to config.audio.hop_samples={hop}; "
      "change one of them"
    )
  return decoder
