# SPDX-License-Identifier: Apache-2.0
"""Small untrained codecs, and a bundle of one."""

import jax
import jax.numpy as jnp
import numpy as np

from configs import codec as codec_config
from ns_jax.inference import export, restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.models import quantizer
from ns_jax.stages import codec as codec_stage

CARD = "# A codec that knows nothing\n"


def small_config(architecture="spectral"):
  """Sizes that compile at once; four codebooks of 20 codes.

  Args:
    architecture: "waveform", "spectral", or "factorised": the latter with
      stages that work in narrow spaces.
  """
  config = codec_config.get_config("tiny")
  if architecture == "factorised":
    config.model.quantizer.code_dim = 3
  if architecture != "waveform":
    config.model.codec = codec_config.get_config("").model.codec
    config.model.codec.update(
      latent_dim=6, dim=8, encoder_layers=1, decoder_layers=1
    )
  else:
    config.model.codec.channels = 2
  config.model.quantizer.update(num_stages=4, codebook_size=20)
  return config


def weights(architecture="spectral", seed=0):
  """Random weights of such a codec, exact in half precision."""
  config = small_config(architecture)
  init = jax.jit(codec_stage.make_codec(config).init)
  params = init(jax.random.key(seed), jnp.zeros((1, 200)))["params"]
  dim = config.model.codec.latent_dim
  code_dim = config.model.quantizer.code_dim
  if code_dim:
    slices = quantizer.slice_projections(dim, 4, code_dim)
    params = {**params, "quantizer": {"down": slices.down, "up": slices.up}}
  shape = (4, 20, code_dim or dim)
  arrays = {
    "params": {"gen": params},
    "embeddings": jax.random.normal(jax.random.key(seed + 1), shape),
  }
  rng = np.random.default_rng(seed)
  half = shaken(arrays, rng, 0.1)
  return restore.Weights(
    config=config,
    step=7,
    params=half["params"],
    model_state={"codebook": {"embeddings": half["embeddings"]}},
  )


def shaken(arrays, rng, spread):
  """Arrays with some noise, exact in half precision.

  Zero-initialised layers would hide what lies behind them.
  """
  return jax.tree.map(
    lambda leaf: (
      np.asarray(leaf + spread * rng.normal(size=leaf.shape))
      .astype(np.float16)
      .astype(np.float32)
    ),
    arrays,
  )


def codec(architecture="spectral", seed=0):
  """The codec itself."""
  return SpeechCodec.of(weights(architecture, seed))


def bundle(folder, seed=0):
  """Writes a bundle; returns its folder."""
  export.export(weights(seed=seed), folder, CARD)
  return folder
