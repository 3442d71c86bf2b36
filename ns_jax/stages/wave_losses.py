# SPDX-License-Identifier: Apache-2.0
"""What a reconstructed wave is worth: all its losses, put together."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, Params
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.losses import adversarial, balance, spectral, wave
from ns_jax.models import discriminators as discriminators_lib

Terms = dict[str, Array]


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
  kind: str = "hinge"  # or "least_squares"

  def __post_init__(self) -> None:
    """Checks the values."""
    if self.num_clips is not None and self.num_clips < 1:
      raise UserError(
        f"config.model.adversarial.num_clips={self.num_clips} must be 1 or "
        "more, or None"
      )
    if self.kind not in adversarial.KINDS:
      raise UserError(
        f"config.model.adversarial.kind={self.kind!r} is unknown; "
        f"use {' or '.join(adversarial.KINDS)}"
      )

  def __call__(self, step: Array) -> Array:
    """Factor in [0, 1] of the adversarial and feature losses."""
    progress = (step - self.start_step) / max(1, self.ramp_steps)
    return jnp.clip(progress, 0.0, 1.0).astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class WaveLosses:
  """The terms of both players and their weights."""

  spec: AudioSpec
  discriminators: discriminators_lib.Discriminators
  spectral: SpectralOptions
  adversarial: AdversarialOptions
  weights: Mapping[str, float]  # of every term; 0: it is not computed
  balanced: bool  # weights are shares of the gradient, see losses.balance

  def discriminator(
    self, disc: Params, real: Array, fake: Array
  ) -> tuple[Array, Terms]:
    """Loss on originals and reconstructions [B, S], and what to log."""
    judged = slice(self.adversarial.num_clips)
    both = self._judge(disc, jnp.concatenate([real[judged], fake[judged]]))
    logits = [jnp.split(logit, 2) for logit, _ in both]
    real_logits, fake_logits = zip(*logits, strict=True)
    kind = adversarial.KINDS[self.adversarial.kind]
    loss = kind.discriminator(real_logits, fake_logits).mean()
    return loss, {
      "real_logit": _mean_over_judges(real_logits),
      "fake_logit": _mean_over_judges(fake_logits),
    }

  def generator(
    self,
    disc: Params,
    real: Array,
    fake: Array,
    step: Array,
    *,
    is_judged: bool,
  ) -> tuple[Array, Terms]:
    """Loss of a reconstruction [B, S], and its terms.

    Args:
      disc: parameters of the discriminators.
      real: the original.
      fake: its reconstruction.
      step: [] int32.
      is_judged: whether the discriminators are heard already.
    """
    groups = self._groups(disc, real, is_judged)
    weights = {
      name: weight * self.scale(name, step)
      for name, weight in self.weights.items()
    }
    if self.balanced:
      terms = {
        name: lambda fake, group=group, name=name: group(fake)[name]
        for group in groups
        for name in jax.eval_shape(group, fake)
      }
      return balance.balanced(terms, weights, fake)
    values: Terms = {}
    for group in groups:
      values |= group(fake)
    loss = jnp.zeros(())
    for name, term in values.items():
      loss += weights[name] * term
    return loss, values

  def naturalness(self, disc: Params, fake: Array) -> Array:
    """Loss [] of a wave [B, S] that has no original, as it is judged."""
    judged = fake[: self.adversarial.num_clips]
    logits, _ = zip(*self._judge(disc, judged), strict=True)
    return self._generator_loss(logits)

  def scale(self, name: str, step: Array) -> Array | float:
    """What the weight of a term is multiplied by at a step."""
    ramped = name in ("adversarial", "feature")
    return self.adversarial(step) if ramped else 1.0

  def mel_distances(self, real: Array, fake: Array) -> tuple[Array, Array]:
    """The paper's two distances of waves [B, S], each [B]."""
    return spectral.mel_distances(
      real,
      fake,
      sample_rate_hz=self.spec.sample_rate_hz,
      scales=tuple(self.spectral.scales),
      sum_over_time=self.spectral.sum_over_time,
      log_floor=self.spectral.log_floor,
    )

  def _groups(
    self, disc: Params, real: Array, is_judged: bool
  ) -> list[Callable[[Array], Terms]]:
    """Functions of the reconstruction; those that share work are one."""

    def of_paper(fake: Array) -> Terms:
      linear, logarithmic = self.mel_distances(real, fake)
      return {
        "spectral_linear": linear.mean(),
        "spectral_log": logarithmic.mean(),
      }

    def of_log_mel(fake: Array) -> Terms:
      distance = spectral.log_mel_distance(
        real,
        fake,
        sample_rate_hz=self.spec.sample_rate_hz,
        scales=spectral.LOG_MEL_SCALES,
      )
      return {"log_mel": distance.mean()}

    def of_compressed(fake: Array) -> Terms:
      magnitude, compressed = spectral.compressed_distances(
        real, fake, windows=tuple(self.spectral.compressed_windows)
      )
      return {"magnitude": magnitude.mean(), "compressed": compressed.mean()}

    def of_wave(fake: Array) -> Terms:
      return {"wave": wave.absolute_error(real, fake).mean()}

    def of_judges(fake: Array) -> Terms:
      judged = slice(self.adversarial.num_clips)
      return self._adversarial_terms(disc, real[judged], fake[judged])

    groups = {
      of_paper: ("spectral_linear", "spectral_log"),
      of_log_mel: ("log_mel",),
      of_compressed: ("magnitude", "compressed"),
      of_wave: ("wave",),
    }
    if is_judged:
      groups[of_judges] = ("adversarial", "feature")
    return [
      group
      for group, names in groups.items()
      if any(self.weights[name] for name in names)
    ]

  def _adversarial_terms(self, disc: Params, real: Array, fake: Array) -> Terms:
    real_judgements = jax.lax.stop_gradient(self._judge(disc, real))
    fake_judgements = self._judge(disc, fake)
    _, real_features = zip(*real_judgements, strict=True)
    fake_logits, fake_features = zip(*fake_judgements, strict=True)
    feature = adversarial.feature_matching(real_features, fake_features)
    return {
      "adversarial": self._generator_loss(fake_logits),
      "feature": feature.mean(),
    }

  def _generator_loss(self, fake_logits: Sequence[Array]) -> Array:
    kind = adversarial.KINDS[self.adversarial.kind]
    return kind.generator(fake_logits).mean()

  def _judge(
    self, disc: Params, wav: Array
  ) -> tuple[discriminators_lib.Judgement, ...]:
    judgements: Any = self.discriminators.apply({"params": disc}, wav)
    return judgements


def _mean_over_judges(logits: tuple[Array, ...]) -> Array:
  return jnp.stack([x.mean() for x in logits]).mean()
