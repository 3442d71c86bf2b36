# SPDX-License-Identifier: Apache-2.0
"""What the codec's stage does: losses, codebook updates, held-out measures."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.losses import adversarial, spectral, wave
from ns_jax.losses import quantizer as quantizer_losses
from ns_jax.models import codec as codec_lib
from ns_jax.models import discriminators as discriminators_lib
from ns_jax.models import quantizer
from ns_jax.training.metrics import Mean

_DB_PER_NEPER = 20.0 / math.log(10.0)

Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class QuantizerOptions:
  """Sizes and update rules of the residual quantiser."""

  num_stages: int  # Q
  codebook_size: int  # K
  decay: float  # of the moving averages
  dead_threshold: float  # hits per batch below which a code is replaced
  dropout: float  # share of examples that use a random number of stages


@dataclasses.dataclass(frozen=True)
class SpectralOptions:
  """Form of the paper's reconstruction loss, and of those of later codecs."""

  scales: tuple[int, ...]  # window lengths in samples
  sum_over_time: bool  # the paper's sum; otherwise the mean
  log_floor: float  # mel magnitude below which logarithms flatten
  compressed_windows: tuple[int, ...]  # of the compressed spectra, in samples


@dataclasses.dataclass(frozen=True)
class AdversarialOptions:
  """When the discriminators begin to teach the generator, and from what."""

  start_step: int
  ramp_steps: int
  num_clips: int | None  # of a batch that are judged; None: all

  def __call__(self, step: Array) -> Array:
    """Factor in [0, 1] of the adversarial and feature losses."""
    progress = (step - self.start_step) / max(1, self.ramp_steps)
    return jnp.clip(progress, 0.0, 1.0).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class CodecTraining:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  codec: codec_lib.AnyCodec
  discriminators: discriminators_lib.Discriminators
  quantization: QuantizerOptions
  spectral: SpectralOptions
  adversarial: AdversarialOptions
  weights: Mapping[str, float]

  def init(
    self, key: Array, batch: Batch
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Initialises both players, and the codebooks from the first batch."""
    gen_key, disc_key, kmeans_key = jax.random.split(key, 3)
    gen = self.codec.init(gen_key, batch["wav"][:1])["params"]
    disc = self.discriminators.init(disc_key, batch["wav"][:1])["params"]
    h = self._encode(gen, batch)
    codebook = quantizer.kmeans_codebook(
      h,
      self._frame_mask(batch, h),
      kmeans_key,
      num_stages=self.quantization.num_stages,
      codebook_size=self.quantization.codebook_size,
    )
    return {"gen": gen, "disc": disc}, {"codebook": codebook}

  def discriminator_loss(
    self, params, model_state, frozen, batch, key, *, step, train
  ) -> Losses:
    """Hinge loss on originals and reconstructions."""
    del frozen, train
    fake, *_ = self._reconstruct(params["gen"], model_state, batch, key)
    fake = jax.lax.stop_gradient(fake)
    loss, terms = self._while_adversarial(
      step, self._discriminator_terms, params["disc"], batch["wav"], fake
    )
    return loss, (terms, model_state)

  def generator_loss(
    self, params, model_state, frozen, batch, key, *, step, train
  ) -> Losses:
    """Weighted sum of all terms; moves the codebooks when training."""
    del frozen
    fake, h, quantized, num_stages = self._reconstruct(
      params["gen"], model_state, batch, key
    )
    terms = self._reconstruction_terms(batch, fake, quantized)
    terms |= self._while_adversarial(
      step, self._adversarial_terms, params["disc"], batch["wav"], fake
    )
    ramp = self.adversarial(step)
    scales = {"adversarial": ramp, "feature": ramp}
    weighted = [
      self.weights[name] * scales.get(name, 1.0) * term
      for name, term in terms.items()
    ]
    loss = jnp.stack(weighted).sum()
    if train:
      codebook = quantizer.update(
        model_state["codebook"],
        h,
        quantized.codes,
        jax.random.fold_in(key, 1),
        num_stages=num_stages,
        frame_mask=self._frame_mask(batch, h),
        decay=self.quantization.decay,
        dead_threshold=self.quantization.dead_threshold,
      )
      model_state = {**model_state, "codebook": codebook}
    logs = {**terms, "adversarial_ramp": ramp}
    logs |= self._codebook_usage(batch, h, quantized)
    return loss, (logs, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """Distances of held-out reconstructions from the originals."""
    del frozen, key
    h = self._encode(params["gen"], batch)
    quantized = quantizer.quantize(model_state["codebook"], h)
    fake = self._decode(params["gen"], quantized.latents, batch)
    linear, logarithmic = self._mel_distances(batch["wav"], fake)
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
      "log_mel_db": Mean.of(difference.mean(-1) * _DB_PER_NEPER, frame_mask),
      "si_sdr_db": Mean.of(wave.si_sdr_db(batch["wav"], fake, sample_mask)),
      "commitment": Mean.of(commitment, frame_mask),
      "perplexity": Mean.of(usage),
    }

  def sample(self, params, model_state, frozen, batch, key) -> dict[str, Array]:
    """Originals and reconstructions, as audio and log-mel pictures."""
    del frozen, key
    h = self._encode(params["gen"], batch)
    quantized = quantizer.quantize(model_state["codebook"], h)
    fake = self._decode(params["gen"], quantized.latents, batch)
    samples = {}
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
    quantized = quantizer.quantize(model_state["codebook"], h, num_stages)
    fake = self._decode(gen, quantized.latents, batch)
    return fake, h, quantized, num_stages

  def _drop_stages(self, key: Array, batch_size: int) -> Array:
    drop_key, stage_key = jax.random.split(key)
    size = self.quantization.num_stages
    share = self.quantization.dropout
    dropped = jax.random.bernoulli(drop_key, share, (batch_size,))
    num_stages = jax.random.randint(stage_key, (batch_size,), 1, size + 1)
    return jnp.where(dropped, num_stages, size)

  def _judge(
    self, disc: Params, wav: Array
  ) -> tuple[discriminators_lib.Judgement, ...]:
    judgements: Any = self.discriminators.apply({"params": disc}, wav)
    return judgements

  def _mel_distances(self, real: Array, fake: Array) -> tuple[Array, Array]:
    return spectral.mel_distances(
      real,
      fake,
      sample_rate_hz=self.spec.sample_rate_hz,
      scales=tuple(self.spectral.scales),
      sum_over_time=self.spectral.sum_over_time,
      log_floor=self.spectral.log_floor,
    )

  def _reconstruction_terms(
    self, batch: Batch, fake: Array, quantized: quantizer.Quantized
  ) -> dict[str, Array]:
    """The terms that count, by name; the others are not computed."""
    real = batch["wav"]
    terms = {}
    if self.weights["spectral_linear"] or self.weights["spectral_log"]:
      linear, logarithmic = self._mel_distances(real, fake)
      terms["spectral_linear"] = linear.mean()
      terms["spectral_log"] = logarithmic.mean()
    if self.weights["log_mel"]:
      terms["log_mel"] = spectral.log_mel_distance(
        real,
        fake,
        sample_rate_hz=self.spec.sample_rate_hz,
        scales=spectral.LOG_MEL_SCALES,
      ).mean()
    if self.weights["magnitude"] or self.weights["compressed"]:
      magnitude, compressed = spectral.compressed_distances(
        real, fake, windows=tuple(self.spectral.compressed_windows)
      )
      terms["magnitude"] = magnitude.mean()
      terms["compressed"] = compressed.mean()
    if self.weights["wave"]:
      terms["wave"] = wave.absolute_error(real, fake).mean()
    commitment = quantizer_losses.commitment(quantized.errors)
    terms["commitment"] = masks.masked_mean(
      commitment, self._frame_mask(batch, quantized.latents)
    )
    return terms

  def _while_adversarial(
    self,
    step: Array,
    terms_fn: Callable[[Params, Array, Array], Any],
    disc: Params,
    real: Array,
    fake: Array,
  ) -> Any:
    """Runs the discriminators from their start on; before it, all is 0."""
    judged = slice(self.adversarial.num_clips)
    real, fake = real[judged], fake[judged]
    shapes = jax.eval_shape(terms_fn, disc, real, fake)
    return jax.lax.cond(
      step >= self.adversarial.start_step,
      terms_fn,
      lambda *_: jax.tree.map(jnp.zeros_like, shapes),
      *(disc, real, fake),
    )

  def _discriminator_terms(
    self, disc: Params, real: Array, fake: Array
  ) -> tuple[Array, dict[str, Array]]:
    both = self._judge(disc, jnp.concatenate([real, fake]))
    logits = [jnp.split(logit, 2) for logit, _ in both]
    real_logits, fake_logits = zip(*logits, strict=True)
    loss = adversarial.hinge_discriminator(real_logits, fake_logits).mean()
    return loss, {
      "real_logit": _mean_over_judges(real_logits),
      "fake_logit": _mean_over_judges(fake_logits),
    }

  def _adversarial_terms(
    self, disc: Params, real: Array, fake: Array
  ) -> dict[str, Array]:
    real_judgements = jax.lax.stop_gradient(self._judge(disc, real))
    fake_judgements = self._judge(disc, fake)
    _, real_features = zip(*real_judgements, strict=True)
    fake_logits, fake_features = zip(*fake_judgements, strict=True)
    feature = adversarial.feature_matching(real_features, fake_features)
    return {
      "adversarial": adversarial.hinge_generator(fake_logits).mean(),
      "feature": feature.mean(),
    }

  def _perplexity(
    self, quantized: quantizer.Quantized, frame_mask: Array
  ) -> Array:
    size = self.quantization.codebook_size
    return quantizer.perplexity(quantized.codes, frame_mask, size)

  def _codebook_usage(
    self, batch: Batch, h: Array, quantized: quantizer.Quantized
  ) -> dict[str, Array]:
    frame_mask = self._frame_mask(batch, h)
    usage = self._perplexity(quantized, frame_mask)
    rms = jnp.sqrt(masks.masked_mean(h**2, frame_mask))
    return {"perplexity": usage.mean(), "latent_rms": rms}


def _mean_over_judges(logits: tuple[Array, ...]) -> Array:
  return jnp.stack([x.mean() for x in logits]).mean()
