# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech 2 training: three diffusion terms, duration and pitch (B.7).

Latents are looked up from stored codes on the device and normalised with the
frozen codec's statistics.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.diffusion import objective
from ns_jax.dsp import mel
from ns_jax.errors import UserError
from ns_jax.losses import latent as latent_losses
from ns_jax.losses import prosody as prosody_losses
from ns_jax.models import ns2, ns2_sampling, quantizer
from ns_jax.models.codec import AnyCodec
from ns_jax.stages import codec as codec_stage
from ns_jax.stages import ns2_example, ns2_measures
from ns_jax.stages.ns2_example import Example, Predictions, PromptOptions
from ns_jax.stages.ns2_measures import Term
from ns_jax.text import symbols
from ns_jax.training import optim
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import Stage

FEATURES = ("phonemes", "durations", "f0", "f0_phase", "codes")
PREVIEW_CLIPS = 2  # what is generated at each evaluation in training

Frozen = Mapping[str, Any]
Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]


def make_model(config: ConfigDict) -> ns2.NaturalSpeech2:
  """Builds the model of a config.

  Args:
    config: with sections model and codec.

  Returns:
    The module; its parameters are the "gen" player's.
  """
  return ns2.make_model(
    config.model,
    num_symbols=symbols.VOCABULARY_SIZE,
    latent_dim=config.codec.model.codec.latent_dim,
    dtype=jnp.dtype(config.dtype),
  )


def build(config: ConfigDict) -> Stage:
  """Builds the stage from `configs/ns2.py`."""
  return make_stage(config, Training(**fields(config)))


def fields(config: ConfigDict) -> dict[str, Any]:
  """What `Training` is made of."""
  return dict(
    spec=AudioSpec(**config.audio),
    model=make_model(config),
    prompt=PromptOptions(**config.prompt),
    objective=ObjectiveOptions(**config.objective),
    weights=dict(config.loss),
    preview=ns2_sampling.SampleOptions(**config.preview),
    codec=codec_stage.make_codec(config.codec),
  )


def make_stage(config: ConfigDict, trainer: "Training") -> Stage:
  """The stage of a trainer of NaturalSpeech 2."""
  ns2_sampling.SampleOptions(**config.sample)  # used once it has been trained
  return Stage(
    name=config.stage,
    features=FEATURES,
    init_fn=trainer.init,
    players=(optim.make_player("gen", trainer.loss, config.optim),),
    eval_fn=trainer.evaluate,
    sample_fn=trainer.sample,
    ema_decay={"gen": config.ema_decay},
    partition_rules=ns2.PARTITION_RULES,
  )


def max_prompt_frames(config: ConfigDict) -> int:
  """Longest prompt the model of a config hears in training, in frames."""
  return PromptOptions(**config.prompt).max_frames(
    config.data.max_frames, AudioSpec(**config.audio)
  )


def normalise(frozen: Frozen, z: Array) -> Array:
  """Codec latents [B, T, D] to zero mean and unit variance per channel."""
  codec = frozen["codec"]
  return (z - codec["latent_mean"][None, None]) / codec["latent_std"][
    None, None
  ]


def denormalise(frozen: Frozen, x: Array) -> Array:
  """The inverse of `normalise`."""
  codec = frozen["codec"]
  return x * codec["latent_std"][None, None] + codec["latent_mean"][None, None]


@dataclasses.dataclass(frozen=True)
class ObjectiveOptions:
  """Form of the diffusion loss."""

  score_weight: str  # a name in diffusion.objective.SCORE_WEIGHTS
  score_cap: float
  t_min: float  # smallest time trained on
  code_temperature: float  # of CE-RVQ, in units of the latents' variance

  def __post_init__(self) -> None:
    """Checks the weight's name."""
    if self.score_weight not in objective.SCORE_WEIGHTS:
      raise UserError(
        f"config.objective.score_weight={self.score_weight!r} is unknown; "
        f"use one of {', '.join(objective.SCORE_WEIGHTS)}"
      )


@dataclasses.dataclass(frozen=True)
class Training:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  model: ns2.NaturalSpeech2
  prompt: PromptOptions
  objective: ObjectiveOptions
  weights: Mapping[str, float]
  preview: ns2_sampling.SampleOptions
  codec: AnyCodec

  def init(
    self, key: Array, batch: Batch, frozen: Frozen
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Initialises the parameters; only the inventory and D set their shapes."""
    del frozen
    latents = jnp.zeros((1, 8, self.model.denoiser.latent_dim))
    params = self.model.init(
      key,
      batch["phonemes"][:1],
      batch["durations"][:1],
      batch["f0"][:1, :8],
      batch["f0_phase"][:1, :8],
      latents,
      latents,
    )["params"]
    return {"gen": params}, {}

  def loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Weighted sum of all terms, each the mean of its real elements."""
    del step, phase
    time_key, cut_key, drop_key, key = jax.random.split(key, 4)
    example = self.cut(frozen, batch, cut_key)
    example = ns2_example.drop_prompts(example, drop_key, self.prompt.drop_rate)
    times = objective.sample_times(
      time_key, len(example.prompt_frames), self.objective.t_min
    )
    predictions = self._predict(params["gen"], example, times, key, train)
    terms = self._losses(frozen, example, times, predictions)
    means = {name: masks.masked_mean(*term) for name, term in terms.items()}
    total = sum(self.weights[name] * mean for name, mean in means.items())
    buckets = {
      name: masks.masked_mean(*term)
      for name, term in ns2_measures.by_time(terms, times).items()
    }
    return jnp.asarray(total), (means | buckets, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """The same terms at fixed times, and prosody errors in plain units."""
    del model_state
    cut_key, key = jax.random.split(key)
    example = self.cut(frozen, batch, cut_key)
    times = objective.grid_times(len(batch["codes"]), self.objective.t_min)
    predictions = self._predict(params["gen"], example, times, key, False)
    terms = self._losses(frozen, example, times, predictions)
    terms |= ns2_measures.by_time(terms, times) | ns2_measures.prosody_errors(
      example, predictions
    )
    return {name: Mean.of(*term) for name, term in terms.items()}

  def sample(self, params, model_state, frozen, batch, key) -> dict[str, Array]:
    """Held-out speech from its prompt, true durations and pitch."""
    del model_state
    batch = jax.tree.map(lambda x: x[:PREVIEW_CLIPS], batch)
    cut_key, key = jax.random.split(key)
    example = self.cut(frozen, batch, cut_key)
    heard: Any = self.model.apply(
      {"params": params["gen"]}, example, False, method=ns2_example.condition
    )
    cond, prompt, _, frames = heard
    denoise_fn = ns2_sampling.prompted_denoiser(
      self.model, params["gen"], cond, prompt, example.rest.mask
    )
    latents = ns2_sampling.sample_latents(
      denoise_fn,
      self.model.schedule,
      key,
      example.latents.shape,
      self.preview,
    )
    samples = ns2_measures.pitch_curves(
      self.model, params["gen"], example, frames, prompt
    )
    for name, x in (("recording", example.latents), ("generated", latents)):
      z = denormalise(frozen, x) * example.rest.mask[..., None]
      decoder = {"params": {"decoder": frozen["codec"]["decoder"]}}
      wav: Any = self.codec.apply(decoder, z, method="decode")
      samples[f"audio/{name}"] = wav
      samples[f"figure/{name}"] = mel.log_mel(wav, self.spec).swapaxes(1, 2)
    return samples

  def cut(self, frozen: Frozen, batch: Batch, key: Array) -> Example:
    """Looks latents up and splits every utterance into prompt and rest."""
    codes = sharding.constrain_batch(batch["codes"])
    z = quantizer.decode_codes(frozen["codec"]["embeddings"], codes)
    return ns2_example.cut(
      batch, normalise(frozen, z), key, options=self.prompt, spec=self.spec
    )

  def _predict(
    self,
    params: Params,
    example: Example,
    times: Array,
    key: Array,
    train: bool,
  ) -> Predictions:
    """Corrupts the rest of every utterance and runs the model once."""
    noise_key, dropout_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, example.latents.shape)
    x_t = objective.corrupt(example.latents, times, noise, self.model.schedule)
    predictions: Any = self.model.apply(
      {"params": params},
      example,
      x_t,
      times,
      train,
      rngs={"dropout": dropout_key},
      method=ns2_example.predict,
    )
    return predictions

  def _losses(
    self,
    frozen: Frozen,
    example: Example,
    times: Array,
    predictions: Predictions,
  ) -> dict[str, Term]:
    """Elements of all terms of the loss, with masks; named as in weights."""
    x0_hat, pitch = predictions.latents, predictions.pitch
    error = latent_losses.squared_error(x0_hat, example.latents)
    score_weight = objective.SCORE_WEIGHTS[self.objective.score_weight](
      times, self.model.schedule, self.objective.score_cap
    )
    variance = jnp.mean(frozen["codec"]["latent_std"] ** 2)
    code_ce = latent_losses.code_cross_entropy(
      denormalise(frozen, x0_hat),
      example.codes,
      frozen["codec"]["embeddings"],
      self.objective.code_temperature * variance,
    )
    # Per channel, like the errors, so that lambda weighs like with like.
    code_ce = code_ce / x0_hat.shape[-1]
    duration = prosody_losses.duration_deviance(
      predictions.log_durations, example.durations
    )
    log_f0 = prosody_losses.log_f0_l1(pitch.log_f0, example.f0_hz)
    voiced = prosody_losses.voiced_cross_entropy(
      pitch.voiced_logit, example.f0_hz
    )
    return {
      "diffusion": (error, example.rest.mask),
      "score": (score_weight[:, None] * error, example.rest.mask),
      "code_ce": (code_ce, example.rest.mask),
      "duration": (duration, example.duration_mask),
      "pitch": (log_f0, example.pitch_mask & (example.f0_hz > 0.0)),
      "voiced": (voiced, example.pitch_mask),
    }
