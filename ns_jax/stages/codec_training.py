# SPDX-License-Identifier: Apache-2.0
"""What the codec's stage does: forward passes, codebooks, held-out measures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.losses import quantizer as quantizer_losses
from ns_jax.losses import wave
from ns_jax.models import codebooks, quantizer
from ns_jax.models import codec as codec_lib
from ns_jax.stages import wave_losses
from ns_jax.training.metrics import Mean

Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class QuantizerOptions:
  """Sizes and update rules of the residual quantiser."""

  num_stages: int  # Q
  codebook_size: int  # K
  decay: float  # of the moving averages
  dead_threshold: float  # hits per batch below which a code is replaced
  dropout: float  # share of examples that use a random number of stages
  code_dim: int | None  # width of the space a stage works in; None: all


@dataclasses.dataclass(frozen=True)
class CodecTraining:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  codec: codec_lib.AnyCodec
  quantization: QuantizerOptions
  losses: wave_losses.WaveLosses

  @property
  def phases(self) -> tuple[int, ...]:
    """First step of all, and first step with discriminators."""
    return tuple(dict.fromkeys((0, self.losses.adversarial.start_step)))

  def is_judged(self, phase: int) -> bool:
    """Whether a phase has discriminators."""
    return self.phases[phase] >= self.losses.adversarial.start_step

  def init(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Initialises both players, and the codebooks from the first batch."""
    del frozen
    gen_key, disc_key, kmeans_key = jax.random.split(key, 3)
    wav, options = batch["wav"][:1], self.quantization
    gen = dict(self.codec.init(gen_key, wav)["params"])
    disc = self.losses.discriminators.init(disc_key, wav)["params"]
    h = self._encode(gen, batch)
    if options.code_dim is not None:
      slices = quantizer.slice_projections(
        h.shape[-1], options.num_stages, options.code_dim
      )
      gen["quantizer"] = {"down": slices.down, "up": slices.up}
    codebook = codebooks.kmeans(
      h,
      self._frame_mask(batch, h),
      kmeans_key,
      num_stages=options.num_stages,
      codebook_size=options.codebook_size,
      projections=quantizer.projections_of(gen),
    )
    return {"gen": gen, "disc": disc}, {"codebook": codebook}

  def discriminator_loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Loss on originals and reconstructions; none in the first phase."""
    del frozen, step, train
    if not self.is_judged(phase):
      return jnp.zeros(()), ({}, model_state)
    fake, *_ = self._reconstruct(params["gen"], model_state, batch, key)
    loss, terms = self.losses.discriminator(
      params["disc"], batch["wav"], jax.lax.stop_gradient(fake)
    )
    return loss, (terms, model_state)

  def generator_loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Weighted sum of all terms; moves the codebooks when training."""
    del frozen
    fake, h, quantized, num_stages = self._reconstruct(
      params["gen"], model_state, batch, key
    )
    loss, terms = self.losses.generator(
      params["disc"],
      batch["wav"],
      fake,
      step,
      is_judged=self.is_judged(phase),
    )
    frame_mask = self._frame_mask(batch, h)
    terms["commitment"] = masks.masked_mean(
      quantizer_losses.commitment(quantized.errors), frame_mask
    )
    loss = loss + self.losses.weights["commitment"] * terms["commitment"]
    if train:
      codebook = codebooks.update(
        model_state["codebook"],
        h,
        quantized.codes,
        jax.random.fold_in(key, 1),
        num_stages=num_stages,
        frame_mask=frame_mask,
        decay=self.quantization.decay,
        dead_threshold=self.quantization.dead_threshold,
        projections=quantizer.projections_of(params["gen"]),
      )
      model_state = {**model_state, "codebook": codebook}
    logs = {**terms, "adversarial_ramp": self.losses.adversarial(step)}
    logs |= self._codebook_usage(batch, h, quantized)
    return loss, (logs, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """Distances of held-out reconstructions from the originals."""
    del frozen, key
    h = self._encode(params["gen"], batch)
    quantized = self._quantize(params["gen"], model_state, h)
    fake = self._decode(params["gen"], quantized.latents, batch)
    linear, logarithmic = self.losses.mel_distances(batch["wav"], fake)
    frame_mask = self._frame_mask(batch, h)
    sample_mask = masks.length_mask(batch["num_samples"], fake.shape[1])
    difference = jnp.abs(
      mel.log_mel(batch["wav"], self.spec) - mel.log_mel(fake, self.spec)
    )
    commitment = quantizer_losses.commitment(quantized.errors)
    usage = self._perplexity(quantized, frame_mask)
    return {
      "spectral_linear": Mean.of(linear),
      "spectral_log": Mean.of(logarithmic),
      "log_mel_db": Mean.of(difference.mean(-1) * mel.DB_PER_NEPER, frame_mask),
      "si_sdr_db": Mean.of(wave.si_sdr_db(batch["wav"], fake, sample_mask)),
      "commitment": Mean.of(commitment, frame_mask),
      "perplexity": Mean.of(usage),
      **self._each_codebook(model_state, usage),
    }

  def sample(self, params, model_state, frozen, batch, key) -> dict[str, Array]:
    """Originals and reconstructions, as audio and log-mel pictures."""
    del frozen, key
    h = self._encode(params["gen"], batch)
    quantized = self._quantize(params["gen"], model_state, h)
    fake = self._decode(params["gen"], quantized.latents, batch)
    samples = {"codebook/usage": model_state["codebook"].counts}
    for name, wav in (("original", batch["wav"]), ("reconstruction", fake)):
      samples[f"audio/{name}"] = wav
      samples[f"figure/{name}"] = mel.log_mel(wav, self.spec).swapaxes(1, 2)
    return samples

  def _encode(self, gen: Params, batch: Batch) -> Array:
    wav = sharding.constrain_batch(batch["wav"])
    h: Any = self.codec.apply({"params": gen}, wav, method="encode")
    return h

  def _decode(self, gen: Params, latents: Array, batch: Batch) -> Array:
    """Reconstructs as many samples as the batch has; silence after its end."""
    wav: Any = self.codec.apply({"params": gen}, latents, method="decode")
    size = batch["wav"].shape[1]
    wav = sharding.constrain_batch(wav)[:, :size]
    return jnp.where(masks.length_mask(batch["num_samples"], size), wav, 0.0)

  def _frame_mask(self, batch: Batch, h: Array) -> Array:
    num_frames = -(-batch["num_samples"] // self.spec.hop_samples)
    return masks.length_mask(num_frames, h.shape[1])

  def _reconstruct(
    self, gen: Params, model_state: Mapping[str, Any], batch: Batch, key: Array
  ) -> tuple[Array, Array, quantizer.Quantized, Array]:
    """Forward pass in training, with quantiser dropout.

    Both players run it on the same key, so that the compiler keeps one copy.
    """
    h = self._encode(gen, batch)
    num_stages = self._drop_stages(jax.random.fold_in(key, 0), h.shape[0])
    quantized = self._quantize(gen, model_state, h, num_stages)
    fake = self._decode(gen, quantized.latents, batch)
    return fake, h, quantized, num_stages

  def _drop_stages(self, key: Array, batch_size: int) -> Array:
    drop_key, stage_key = jax.random.split(key)
    size = self.quantization.num_stages
    share = self.quantization.dropout
    dropped = jax.random.bernoulli(drop_key, share, (batch_size,))
    num_stages = jax.random.randint(stage_key, (batch_size,), 1, size + 1)
    return jnp.where(dropped, num_stages, size)

  def _quantize(
    self,
    gen: Params,
    model_state: Mapping[str, Any],
    h: Array,
    num_stages: Array | None = None,
  ) -> quantizer.Quantized:
    return quantizer.quantize(
      model_state["codebook"], h, num_stages, quantizer.projections_of(gen)
    )

  def _perplexity(
    self, quantized: quantizer.Quantized, frame_mask: Array
  ) -> Array:
    size = self.quantization.codebook_size
    return quantizer.perplexity(quantized.codes, frame_mask, size)

  def _each_codebook(
    self, model_state: Mapping[str, Any], usage: Array
  ) -> dict[str, Mean]:
    """Of each: perplexity [Q], and the share of codes that are alive."""
    counts = model_state["codebook"].counts
    alive = (counts >= self.quantization.dead_threshold).mean(axis=1)
    return {
      f"codebook/{name}_{stage + 1:02}": Mean.of(values[stage])
      for name, values in (("perplexity", usage), ("used", alive))
      for stage in range(self.quantization.num_stages)
    }

  def _codebook_usage(
    self, batch: Batch, h: Array, quantized: quantizer.Quantized
  ) -> dict[str, Array]:
    frame_mask = self._frame_mask(batch, h)
    usage = self._perplexity(quantized, frame_mask)
    rms = jnp.sqrt(masks.masked_mean(h**2, frame_mask))
    return {"perplexity": usage.mean(), "latent_rms": rms}
