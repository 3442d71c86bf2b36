# SPDX-License-Identifier: Apache-2.0
"""A small untrained NaturalSpeech 2 that says noise, and a bundle of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from configs import ns2 as ns2_config
from ns_jax.inference import export, restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.stages import ns2 as ns2_stage
from tests import codecs

CARD = "# A voice that knows nothing\n"


def small_config(codec_config):
  """Sizes that compile at once, over a given codec."""
  config = ns2_config.get_config("tiny")
  config.codec = codec_config
  config.model.prediction = "velocity"  # noise in, sound out
  for name in ("phoneme_encoder", "prompt_encoder"):
    config.model[name].num_layers = 1
  config.sample.update(steps=2, temperature=1.0)
  return config


@functools.cache
def weights(on_shipped=False):
  """Random weights, exact in half precision; on a random codec or ours."""
  loaded = restore.restore(restore.BUNDLES / "codec")
  codec = SpeechCodec.of(loaded).first(8) if on_shipped else codecs.codec()
  config = small_config(loaded.config if on_shipped else codecs.small_config())
  dim = codec.vectors.shape[2]
  ids, pitch = jnp.ones((1, 4), jnp.int32), jnp.ones((1, 4))
  latents = jnp.ones((1, 4, dim))
  model = ns2_stage.make_model(config)
  params = jax.jit(model.init)(
    jax.random.key(0), ids, ids, pitch, pitch, latents, latents
  )["params"]
  half = codecs.shaken(params, np.random.default_rng(0), 0.05)
  frozen = codec.frozen(np.zeros(dim), np.ones(dim))
  return restore.Weights(
    config=config,
    step=5,
    params={"gen": half},
    frozen={"codec": jax.tree.map(np.asarray, frozen)},
  )


@functools.cache
def synthesizer():
  """The model, ready to speak."""
  return Synthesizer(weights())


def bundle(folder, on_shipped=False):
  """Writes a bundle; returns its folder."""
  export.export(weights(on_shipped), folder, CARD)
  return folder


def voice(seconds=1.0, seed=0):
  """[S] float32 that could be a voice: harmonics of 140 Hz and some noise."""
  t = np.arange(int(16_000 * seconds)) / 16_000
  tone = sum(np.sin(2 * np.pi * 140.0 * k * t) / k for k in range(1, 9))
  noise = np.random.default_rng(seed).normal(size=t.size)
  return (0.1 * tone + 0.01 * noise).astype(np.float32)
