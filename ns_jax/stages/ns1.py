# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech training: a variational GAN in three phases (2205.04421)."""

import jax.numpy as jnp
from ml_collections import ConfigDict

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.models import discriminators as discriminators_lib
from ns_jax.models import ns1, ns1_sampling
from ns_jax.stages import wave_losses
from ns_jax.stages.ns1_held_out import HeldOut
from ns_jax.stages.ns1_schedule import Schedule
from ns_jax.stages.ns1_terms import DivergenceOptions, Ways
from ns_jax.stages.ns1_training import NaturalSpeechTraining
from ns_jax.text import symbols
from ns_jax.training import optim
from ns_jax.training.stage import Stage

FEATURES = ("phonemes", "durations", "wav")


def make_ways(config: ConfigDict) -> Ways:
  """The model of `configs/ns1.py`, and the ways through it."""
  return Ways(
    model=ns1.make_model(config, symbols.VOCABULARY_SIZE),
    divergence=DivergenceOptions(**config.divergence),
    hop_samples=config.audio.hop_samples,
  )


def build(config: ConfigDict) -> Stage:
  """Builds the stage from `configs/ns1.py`."""
  spec, ways = AudioSpec(**config.audio), make_ways(config)
  if not 1 <= config.slice_frames <= config.data.max_frames:
    raise UserError(
      f"config.slice_frames={config.slice_frames} must be between 1 and "
      f"config.data.max_frames={config.data.max_frames}"
    )
  ns1_sampling.SampleOptions(**config.sample)  # used once it has been trained
  trainer = NaturalSpeechTraining(
    spec=spec,
    ways=ways,
    losses=wave_losses.WaveLosses(
      spec=spec,
      discriminators=discriminators_lib.make_discriminators(
        dtype=jnp.dtype(config.dtype), **config.model.discriminators
      ),
      spectral=wave_losses.SpectralOptions(**config.model.spectral),
      adversarial=wave_losses.AdversarialOptions(**config.model.adversarial),
      weights=dict(config.loss),
      balanced=False,
    ),
    schedule=Schedule(**config.schedule),
    has_pitch=ns1.has_pitch(config),
    slice_frames=config.slice_frames,
    memory_size=config.model.memory.size,
    num_steps=config.train.num_steps,
  )
  held_out = HeldOut(spec, ways)
  has_sups = config.model.encoder.num_sup_phonemes > 0
  return Stage(
    name="ns1",
    features=(
      *FEATURES,
      *(("f0",) * ns1.has_pitch(config)),
      *(("sup_phonemes",) * has_sups),
    ),
    init_fn=trainer.init,
    begin_fn=trainer.begin,
    players=(
      optim.make_player("disc", trainer.discriminator_loss, config.optim),
      optim.make_player("gen", trainer.generator_loss, config.optim),
    ),
    eval_fn=held_out.evaluate,
    sample_fn=held_out.sample,
    ema_decay={"gen": config.ema_decay},
    phases=trainer.phases,
    has_one_voice=True,
    partition_rules=(
      *ns1.PARTITION_RULES,
      *discriminators_lib.PARTITION_RULES,
    ),
  )
