# SPDX-License-Identifier: Apache-2.0
"""A small untrained NaturalSpeech that says noise, and a bundle of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from configs import ns1 as ns1_config
from ns_jax.inference import export, restore
from ns_jax.inference.single_voice import SingleVoice
from ns_jax.models import ns1
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.text import symbols
from tests import codecs

CARD = "# A reader that knows no letters\n"


@functools.cache
def weights(remembers=1.0):
  """Random weights, exact in half precision."""
  config = ns1_config.get_config("tiny")
  config.sample.temperature = 0.3
  model = ns1.make_model(config, symbols.VOCABULARY_SIZE)
  ids = jnp.ones((1, 4), jnp.int32)
  params = jax.jit(model.init)(
    jax.random.key(0),
    Mixed(ids, ids, ids),
    jnp.ones((1, 4)),
    jnp.ones((1, 4, 513)),
  )["params"]
  return restore.Weights(
    config=config,
    step=5,
    params={"gen": codecs.shaken(params, np.random.default_rng(0), 0.05)},
    model_state={"remembers": np.float32(remembers)},
  )


@functools.cache
def speaker():
  """The model, ready to speak."""
  return SingleVoice(weights())


def bundle(folder):
  """Writes a bundle; returns its folder."""
  export.export(weights(), folder, CARD)
  return folder
