# SPDX-License-Identifier: Apache-2.0
"""What NaturalSpeech's training does: phases, and losses of both players."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import masks
from ns_jax.array_types import Array, Batch, Params
from ns_jax.audio import AudioSpec
from ns_jax.losses import prosody as prosody_losses
from ns_jax.models import codebooks, vae
from ns_jax.stages import ns1_terms
from ns_jax.stages.ns1_example import Example
from ns_jax.stages.ns1_schedule import Part, Schedule
from ns_jax.stages.ns1_terms import Expected, Heard, Ways
from ns_jax.stages.wave_losses import WaveLosses

# What a step's key is folded with, for each thing that is drawn.
_HEARD, _EXPECTED, _SLICES, _REAL_SLICES = range(4)

Losses = tuple[Array, tuple[dict[str, Array], Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class NaturalSpeechTraining:
  """The stage's functions; all state is in their arguments."""

  spec: AudioSpec
  ways: Ways
  losses: WaveLosses
  schedule: Schedule
  has_pitch: bool  # the decoder is told one, and must be taught it
  slice_frames: int  # of an utterance that are decoded in training
  memory_size: int
  num_steps: int

  @property
  def phases(self) -> tuple[int, ...]:
    """First step of each phase."""
    return self.schedule.phases(self._judged, self.num_steps)

  def part(self, phase: int) -> Part:
    """What a phase consists of."""
    return self.schedule.part(self.phases[phase], self._judged)

  def init(
    self, key: Array, batch: Batch, frozen: Mapping[str, Any]
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """Initialises both players; nothing is remembered yet."""
    del frozen
    gen_key, disc_key = jax.random.split(key)
    one = jax.tree.map(lambda x: x[:1], Example.of(batch))
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
    """Fills the memory, when it is attached, with what is heard in a batch.

    Its last map begins as the one that makes the most like the latents out of
    what the memory makes of them: what was learned before goes on.
    """
    del frozen
    if self.phases[phase] != self.schedule.memory:
      return {}, model_state
    gen, example = params["gen"], Example.of(batch)
    hear_key, kmeans_key = jax.random.split(key)
    heard = self.ways.hear(gen, example, hear_key)
    frames = masks.length_mask(heard.num_frames, heard.draw.shape[1])
    found = codebooks.kmeans(
      heard.draw,
      frames,
      kmeans_key,
      num_stages=1,
      codebook_size=self.memory_size,
    )
    memory = {
      **vae.first_maps(heard.draw.shape[-1]),
      "bank": found.embeddings[0],
    }
    mixtures = self.ways.recall(
      {**gen, "memory": memory},
      *(heard.draw, heard.num_frames),
      remembers=True,
    )
    latents = heard.draw * frames[..., None]
    memory["out"]["kernel"] = vae.linear_map(mixtures, latents)
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
    gen, example = params["gen"], Example.of(batch)
    if part.is_tuning:
      expected = self._expect(
        gen, example, key, aligned=part.is_aligned, train=train
      )
      fake = self._said(gen, expected, key, part)
      starts = self._draw_slices(key, _REAL_SLICES, example.num_frames)
    else:
      heard = self._hear(gen, example, key)
      starts = self._draw_slices(key, _SLICES, heard.num_frames)
      recalled = self._recall(gen, heard.draw, heard.num_frames, part)
      fake = self._voice_slices(gen, recalled, starts)
    loss, terms = self.losses.discriminator(
      params["disc"],
      self._wave_slices(example, starts),
      jax.lax.stop_gradient(fake),
    )
    return loss, (terms, model_state)

  def generator_loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """L_bwd + L_fwd + L_rec, or in the end L_e2e; and of durations."""
    del frozen
    gen, disc = params["gen"], params["disc"]
    part, example = self.part(phase), Example.of(batch)
    weights, aligned = self.losses.weights, part.is_aligned
    expected = self._expect(gen, example, key, aligned=aligned, train=train)
    durations, terms = self._duration_terms(example, expected, part)
    if part.is_tuning:
      fake = self._said(gen, expected, key, part)
      terms["end_to_end"] = self.losses.naturalness(disc, fake)
      loss = durations + weights["end_to_end"] * terms["end_to_end"]
      return loss, (terms, model_state)
    heard = self._hear(gen, example, key)
    starts = self._draw_slices(key, _SLICES, heard.num_frames)

    def voiced(latents: Array) -> tuple[Array, dict[str, Array]]:
      """L_rec, of latents [B, T, D] that have the original's timing."""
      recalled = self._recall(gen, latents, example.num_frames, part)
      loss, terms = self.losses.generator(
        disc,
        self._wave_slices(example, starts),
        self._voice_slices(gen, recalled, starts),
        step,
        is_judged=part.is_judged,
      )
      if self.has_pitch:
        terms["pitch"] = self._pitch_loss(gen, example, recalled)
        loss += weights["pitch"] * terms["pitch"]
      return loss, terms

    loss, heard_terms = voiced(heard.draw)
    loss += durations
    terms |= heard_terms
    ways = self._ways(part)
    if weights["said"]:
      timed = expected
      if not aligned:
        timed = self._expect(gen, example, key, aligned=True, train=train)
      most_likely = timed._replace(draw=timed.prior.mean)
      said, said_terms = voiced(ways.say(gen, most_likely))
      loss += weights["said"] * said
      terms |= {f"said_{name}": term for name, term in said_terms.items()}
    terms["backward"] = ways.backward(
      gen, heard, expected, aligned=aligned
    ).mean()
    loss += weights["backward"] * terms["backward"]
    if part.has_forward:
      terms["forward"] = ways.forward(
        gen, heard, expected, aligned=aligned
      ).mean()
      loss += weights["forward"] * terms["forward"]
    frames = masks.length_mask(heard.num_frames, heard.draw.shape[1])
    log_std = masks.masked_mean(heard.posterior.log_std, frames)
    return loss, ({**terms, "posterior_log_std": log_std}, model_state)

  @property
  def _judged(self) -> int:
    return self.losses.adversarial.start_step

  def _ways(self, part: Part) -> Ways:
    return dataclasses.replace(self.ways, has_flow=part.has_flow)

  def _hear(self, gen: Params, example: Example, key: Array) -> Heard:
    return self.ways.hear(gen, example, jax.random.fold_in(key, _HEARD))

  def _expect(
    self,
    gen: Params,
    example: Example,
    key: Array,
    *,
    aligned: bool,
    train: bool,
  ) -> Expected:
    key = jax.random.fold_in(key, _EXPECTED)
    return self.ways.expect(gen, example, key, aligned=aligned, train=train)

  def _recall(
    self, gen: Params, latents: Array, num_frames: Array, part: Part
  ) -> Array:
    return self.ways.recall(gen, latents, num_frames, remembers=part.remembers)

  def _said(
    self,
    gen: Params,
    expected: Expected,
    key: Array,
    part: Part,
  ) -> Array:
    """Slices of what is said."""
    latents = self._ways(part).say(gen, expected)
    recalled = self._recall(gen, latents, expected.num_frames, part)
    starts = self._draw_slices(key, _SLICES, expected.num_frames)
    return self._voice_slices(gen, recalled, starts)

  def _draw_slices(self, key: Array, salt: int, num_frames: Array) -> Array:
    return ns1_terms.draw_slices(
      jax.random.fold_in(key, salt), num_frames, self.slice_frames
    )

  def _wave_slices(self, example: Example, starts: Array) -> Array:
    hop = self.spec.hop_samples
    return ns1_terms.slices(example.wav, starts * hop, self.slice_frames * hop)

  def _voice_slices(self, gen: Params, recalled: Array, starts: Array) -> Array:
    cut = ns1_terms.slices(recalled, starts, self.slice_frames)
    return self.ways.decode(gen, cut)

  def _pitch_loss(
    self, gen: Params, example: Example, recalled: Array
  ) -> Array:
    """Mean distance, in nepers, from the pitch where the wave is voiced."""
    assert example.f0_hz is not None
    distance = prosody_losses.log_f0_l1(
      self.ways.log_f0(gen, recalled), example.f0_hz
    )
    return masks.masked_mean(distance, example.f0_hz > 0.0)

  def _duration_terms(
    self, example: Example, expected: Expected, part: Part
  ) -> tuple[Array, dict[str, Array]]:
    """Loss by labels, which the paper has in the warm-up alone; and to log."""
    weight = self.losses.weights["duration" if part.is_aligned else "anchor"]
    if not weight:
      return jnp.zeros(()), {}
    deviance = prosody_losses.duration_deviance(
      jnp.log1p(expected.durations), example.durations
    )
    loss = masks.masked_mean(deviance, example.phoneme_mask)
    return weight * loss, {"duration": loss}
