# SPDX-License-Identifier: Apache-2.0
"""Codec training: SoundStream's GAN at NaturalSpeech 2's sizes (Sec. 3.1)."""

import math

import jax.numpy as jnp
from ml_collections import ConfigDict

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.models import codec as codec_lib
from ns_jax.models import discriminators as discriminators_lib
from ns_jax.models import quantizer, spectral_codec
from ns_jax.stages import codec_training, wave_losses
from ns_jax.training import optim
from ns_jax.training.stage import Stage

FEATURES = ("wav",)
_CODEC_RULES = {
  "waveform": codec_lib.PARTITION_RULES,
  "spectral": spectral_codec.PARTITION_RULES,
}


def make_codec(config: ConfigDict) -> codec_lib.AnyCodec:
  """Builds the encoder and decoder of a codec config.

  Args:
    config: with sections audio and model.codec; its field `architecture` is
      "waveform" (SoundStream) or "spectral", the others are that
      constructor's.

  Returns:
    The module; its parameters are the "gen" player's.

  Raises:
    UserError: an unknown architecture, or strides that do not multiply to the
      hop.
  """
  options = dict(config.model.codec)
  architecture, hop = options.pop("architecture"), config.audio.hop_samples
  dtype = jnp.dtype(config.dtype)
  if architecture == "spectral":
    return spectral_codec.SpectralCodec(hop, dtype=dtype, **options)
  if architecture != "waveform":
    raise UserError(
      f"config.model.codec.architecture={architecture!r} is unknown; "
      "use waveform or spectral"
    )
  strides = tuple(options.pop("strides"))
  if math.prod(strides) != hop:
    raise UserError(
      f"config.model.codec.strides={strides} multiply to {math.prod(strides)}, "
      f"not to config.audio.hop_samples={hop}; change one of them"
    )
  dilations = tuple(options.pop("dilations"))
  return codec_lib.Codec(
    strides=strides, dilations=dilations, dtype=dtype, **options
  )


def build(config: ConfigDict) -> Stage:
  """Builds the codec's training stage from `configs/codec.py`."""
  trainer = codec_training.CodecTraining(
    spec=AudioSpec(**config.audio),
    codec=make_codec(config),
    quantization=codec_training.QuantizerOptions(**config.model.quantizer),
    losses=wave_losses.WaveLosses(
      spec=AudioSpec(**config.audio),
      discriminators=discriminators_lib.make_discriminators(
        dtype=jnp.dtype(config.dtype), **config.model.discriminators
      ),
      spectral=wave_losses.SpectralOptions(**config.model.spectral),
      adversarial=wave_losses.AdversarialOptions(**config.model.adversarial),
      weights=dict(config.loss),
      balanced=config.balance_losses,
    ),
  )
  return Stage(
    name="codec",
    features=FEATURES,
    init_fn=trainer.init,
    players=(
      optim.make_player("disc", trainer.discriminator_loss, config.optim),
      optim.make_player("gen", trainer.generator_loss, config.optim),
    ),
    eval_fn=trainer.evaluate,
    sample_fn=trainer.sample,
    ema_decay={"gen": config.ema_decay},
    phases=trainer.phases,
    partition_rules=(
      *_CODEC_RULES[config.model.codec.architecture],
      *discriminators_lib.PARTITION_RULES,
      *quantizer.PARTITION_RULES,
    ),
  )
