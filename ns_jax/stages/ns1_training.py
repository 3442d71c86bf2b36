# SPDX-License-Identifier: Apache-2.0
"""What NaturalSpeech's stage does: phases, losses, held-out measures."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from ns_jax import masks, sharding
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.dsp import mel
from ns_jax.losses import prosody as prosody_losses
from ns_jax.models import codebooks, vae
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.stages import ns1_terms
from ns_jax.stages.ns1_terms import Example, Expected, Heard, Ways
from ns_jax.stages.wave_losses import WaveLosses
from ns_jax.training.metrics import Mean

_DB_PER_NEPER = 20.0 / math.log(10.0)

Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Schedule:
  """First step of each thing that is not there from the beginning (Sec. 4.2).

  The paper's main phase begins with all but the first and the last; its flow is
  there from the beginning.
  """

  flow: int
  durations: int  # predicted instead of aligned ones, and no labels for them
  forward: int  # L_fwd
  memory: int
  tuning: int  # L_e2e instead of everything else


class Part(NamedTuple):
  """What a phase consists of."""

  is_judged: bool
  has_flow: bool
  is_aligned: bool
  has_forward: bool
  remembers: bool
  is_tuning: bool


@dataclasses.dataclass(frozen=True)
class NaturalSpeechTraining:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  ways: Ways
  losses: WaveLosses
  schedule: Schedule
  slice_frames: int  # of an utterance that are decoded in training
  memory_size: int
  num_steps: int

  @property
  def phases(self) -> tuple[int, ...]:
    """First step of each phase."""
    starts = {0, self.losses.adversarial.start_step}
    starts |= set(dataclasses.astuple(self.schedule))
    return tuple(sorted(s for s in starts if s == 0 or s < self.num_steps))

  def part(self, phase: int) -> Part:
    """What a phase consists of."""
    start, schedule = self.phases[phase], self.schedule
    is_tuning = start >= schedule.tuning
    return Part(
      is_judged=is_tuning or start >= self.losses.adversarial.start_step,
      has_flow=start >= schedule.flow,
      is_aligned=start < schedule.durations,
      has_forward=start >= schedule.forward,
      remembers=start >= schedule.memory,
      is_tuning=is_tuning,
    )

  def init(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Initialises both players; nothing is remembered yet."""
    del frozen
    gen_key, disc_key = jax.random.split(key)
    one = jax.tree.map(lambda x: x[:1], self._example(batch))
    spectra = vae.spectra(one.wav, self.spec.hop_samples)
    gen = self.ways.model.init(gen_key, one.mixed, one.durations, spectra)
    wav = one.wav[:, : self.spec.num_samples(self.slice_frames)]
    disc = self.losses.discriminators.init(disc_key, wav)
    return (
      {"gen": gen["params"], "disc": disc["params"]},
      {"remembers": jnp.zeros(())},
    )

  def begin(
    self, params, model_state, frozen, batch, key, *, phase
  ) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Fills the memory, when it is attached, with what is heard in a batch."""
    del frozen
    if self.phases[phase] != self.schedule.memory:
      return {}, model_state
    example = self._example(batch)
    hear_key, kmeans_key = jax.random.split(key)
    heard = self.ways.hear(params["gen"], example, hear_key)
    found = codebooks.kmeans(
      heard.draw,
      masks.length_mask(heard.num_frames, heard.draw.shape[1]),
      kmeans_key,
      num_stages=1,
      codebook_size=self.memory_size,
    )
    memory = {"bank": found.embeddings[0]}
    state = {**model_state, "remembers": jnp.ones(())}
    return {"gen": {"memory": memory}}, state

  def discriminator_loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Loss on slices of originals and of what is generated."""
    del frozen, step
    part = self.part(phase)
    if not part.is_judged:
      return jnp.zeros(()), ({}, model_state)
    example = self._example(batch)
    if part.is_tuning:
      real, fake = self._said(params["gen"], example, key, part, train)
    else:
      heard = self._hear(params["gen"], example, key)
      real, fake = self._revoiced(params["gen"], example, heard, key, part)
    loss, terms = self.losses.discriminator(
      params["disc"], real, jax.lax.stop_gradient(fake)
    )
    return loss, (terms, model_state)

  def generator_loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """L_bwd + L_fwd + L_rec, or in the end L_e2e."""
    del frozen
    gen, disc = params["gen"], params["disc"]
    part, example = self.part(phase), self._example(batch)
    weights = self.losses.weights
    if part.is_tuning:
      _, fake = self._said(gen, example, key, part, train)
      terms = {"end_to_end": self.losses.naturalness(disc, fake)}
      loss = weights["end_to_end"] * terms["end_to_end"]
      return loss, (terms, model_state)
    heard = self._hear(gen, example, key)
    expected = self._expect(gen, example, key, part.is_aligned, train)
    real, fake = self._revoiced(gen, example, heard, key, part)
    ways = self._ways(part)
    loss, terms = self.losses.generator(
      disc, real, fake, step, is_judged=part.is_judged
    )
    has_pitch = example.f0_hz is not None
    if has_pitch:
      terms["pitch"] = self._pitch_loss(gen, example, heard.draw)
      loss += weights["pitch"] * terms["pitch"]
    if weights["said"]:
      timed = (
        expected
        if part.is_aligned
        else self._expect(gen, example, key, True, train)
      )
      latents = ways.say(gen, timed._replace(draw=timed.prior.mean))
      fake = self._slice_voiced(gen, latents, timed.num_frames, key, part)
      terms["said"], _ = self.losses.generator(
        disc, real, fake, step, is_judged=part.is_judged
      )
      loss += weights["said"] * terms["said"]
      if has_pitch:
        terms["said_pitch"] = self._pitch_loss(gen, example, latents)
        loss += weights["said"] * weights["pitch"] * terms["said_pitch"]
    aligned = part.is_aligned
    terms["backward"] = ways.backward(
      gen, heard, expected, aligned=aligned
    ).mean()
    loss += weights["backward"] * terms["backward"]
    if part.has_forward:
      terms["forward"] = ways.forward(
        gen, heard, expected, aligned=aligned
      ).mean()
      loss += weights["forward"] * terms["forward"]
    if aligned:
      terms["duration"] = self._duration_loss(example, expected)
      loss += weights["duration"] * terms["duration"]
    frames = masks.length_mask(heard.num_frames, heard.draw.shape[1])
    log_std = masks.masked_mean(heard.posterior.log_std, frames)
    return loss, ({**terms, "posterior_log_std": log_std}, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """How far what is voiced again, and what is said, is from the original.

    What is said has the original's timing, so that frames can be compared.
    """
    del frozen
    gen, example = params["gen"], self._example(batch)
    heard = self._hear(gen, example, key)
    expected = self._expect(gen, example, key, True, False)
    divergence = self.ways.backward(gen, heard, expected, aligned=True)
    size = heard.draw.shape[1]
    frames = masks.length_mask(example.num_frames, size)
    revoiced = self._voice_all(gen, model_state, heard.posterior.mean, frames)
    most_likely = expected._replace(draw=expected.prior.mean)
    said = self._voice_all(
      gen, model_state, self.ways.say(gen, most_likely), frames
    )
    original = mel.log_mel(example.wav, self.spec)
    apart = {
      name: jnp.abs(mel.log_mel(wav, self.spec) - original).mean(-1)
      for name, wav in {"revoiced": revoiced, "said": said}.items()
    }
    error = jnp.abs(expected.durations - example.durations)
    return {
      "backward": Mean.of(divergence),
      **{
        f"{name}_mel_db": Mean.of(distance * _DB_PER_NEPER, frames)
        for name, distance in apart.items()
      },
      "duration_error_frames": Mean.of(error, example.phoneme_mask),
    }

  def sample(self, params, model_state, frozen, batch, key) -> dict[str, Array]:
    """Originals, voiced again, and said with a timing of their own."""
    del frozen
    gen, example = params["gen"], self._example(batch)
    heard = self._hear(gen, example, key)
    expected = self._expect(gen, example, key, False, False)
    size = heard.draw.shape[1]
    waves = {
      "original": example.wav,
      "revoiced": self._voice_all(
        gen,
        model_state,
        heard.posterior.mean,
        masks.length_mask(heard.num_frames, size),
      ),
      "said": self._voice_all(
        gen,
        model_state,
        self.ways.say(gen, expected),
        masks.length_mask(expected.num_frames, size),
      ),
    }
    samples = {}
    for name, wav in waves.items():
      samples[f"audio/{name}"] = wav
      samples[f"figure/{name}"] = mel.log_mel(wav, self.spec).swapaxes(1, 2)
    weights = expected.upsampled.weights.mean(-1).swapaxes(1, 2)
    samples["figure/phonemes_of_frames"] = weights
    return samples

  def _example(self, batch: Batch) -> Example:
    phonemes = sharding.constrain_batch(batch["phonemes"])
    none = jnp.zeros_like(phonemes)
    return Example(
      mixed=Mixed(
        phonemes,
        batch.get("sup_phonemes", none),
        batch.get("span", none),
      ),
      phoneme_mask=masks.length_mask(batch["num_phonemes"], phonemes.shape[1]),
      durations=batch["durations"].astype(jnp.float32),
      wav=sharding.constrain_batch(batch["wav"]),
      num_frames=batch["num_frames"],
      f0_hz=batch.get("f0"),
    )

  def _ways(self, part: Part) -> Ways:
    return dataclasses.replace(self.ways, has_flow=part.has_flow)

  def _hear(self, gen: Params, example: Example, key: Array) -> Heard:
    return self.ways.hear(gen, example, jax.random.fold_in(key, 0))

  def _expect(
    self, gen: Params, example: Example, key: Array, aligned: bool, train: bool
  ) -> Expected:
    return self.ways.expect(
      gen, example, jax.random.fold_in(key, 1), aligned=aligned, train=train
    )

  def _revoiced(
    self, gen: Params, example: Example, heard: Heard, key: Array, part: Part
  ) -> tuple[Array, Array]:
    """Slices of the original and, of the same places, voiced again."""
    starts = self._draw_slices(key, 2, heard.num_frames)
    fake = self._slice_voiced(gen, heard.draw, heard.num_frames, key, part)
    return self._wave_slices(example, starts), fake

  def _slice_voiced(
    self,
    gen: Params,
    latents: Array,
    num_frames: Array,
    key: Array,
    part: Part,
  ) -> Array:
    """Slices of what latents [B, T, D] sound like; the same for one key."""
    frames = masks.length_mask(num_frames, latents.shape[1])
    cut = ns1_terms.slices(
      latents * frames[..., None],
      self._draw_slices(key, 2, num_frames),
      self.slice_frames,
    )
    return self.ways.voice(gen, cut, remembers=part.remembers)

  def _said(
    self, gen: Params, example: Example, key: Array, part: Part, train: bool
  ) -> tuple[Array, Array]:
    """Slices of the original and, of other places, of what is said."""
    expected = self._expect(gen, example, key, part.is_aligned, train)
    latents = self._ways(part).say(gen, expected)
    fake = self._slice_voiced(gen, latents, expected.num_frames, key, part)
    elsewhere = self._draw_slices(key, 3, example.num_frames)
    return self._wave_slices(example, elsewhere), fake

  def _draw_slices(self, key: Array, salt: int, num_frames: Array) -> Array:
    return ns1_terms.draw_slices(
      jax.random.fold_in(key, salt), num_frames, self.slice_frames
    )

  def _wave_slices(self, example: Example, starts: Array) -> Array:
    hop = self.spec.hop_samples
    return ns1_terms.slices(example.wav, starts * hop, self.slice_frames * hop)

  def _voice_all(
    self,
    gen: Params,
    model_state: Mapping[str, Any],
    latents: Array,
    frames: Array,
  ) -> Array:
    """Waves [B, T · hop] of whole utterances; 0 after their end."""
    latents = self.ways.recalled(gen, model_state["remembers"], latents)
    wav = self.ways.voice(gen, latents * frames[..., None], remembers=False)
    return wav * jnp.repeat(frames, self.spec.hop_samples, axis=1)

  def _pitch_loss(self, gen: Params, example: Example, latents: Array) -> Array:
    """Mean distance, in nepers, from the pitch where the wave is voiced."""
    assert example.f0_hz is not None
    distance = prosody_losses.log_f0_l1(
      self.ways.log_f0(gen, latents), example.f0_hz
    )
    return masks.masked_mean(distance, example.f0_hz > 0.0)

  def _duration_loss(self, example: Example, expected: Expected) -> Array:
    deviance = prosody_losses.duration_deviance(
      jnp.log1p(expected.durations), example.durations
    )
    return masks.masked_mean(deviance, example.phoneme_mask)
