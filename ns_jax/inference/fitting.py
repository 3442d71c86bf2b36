# SPDX-License-Identifier: Apache-2.0
"""Which weights the model of a config has: names and shapes, no memory."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import traverse_util
from ml_collections import ConfigDict

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.models import ns1
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.stages import aligner as aligner_stage
from ns_jax.stages import codec as codec_stage
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.text import symbols

Shape = tuple[int, ...]

HEARING = "posterior"  # the part of ns1 that hears; speaking does without


def shapes(config: ConfigDict, file: paths.Path) -> dict[str, Shape]:
  """Weights of a bundle, by their paths: "params/gen/...".

  Args:
    config: of a codec, an aligner, ns1 or ns2.
    file: where it was read.

  Raises:
    UserError: it is of another stage, or no model can be built of it.
  """
  if config.get("stage") not in STAGES:
    raise UserError(f"{file}: stage is none of {', '.join(_SHAPES)}")
  try:
    tree = _SHAPES[config.stage](config)
  except Exception as error:  # whatever a strange config makes Flax raise
    raise UserError(
      f"{file}: describes no model that can be built "
      f"({files.first_line(error)})"
    ) from error
  flat: dict[str, Any] = traverse_util.flatten_dict(tree, sep="/")
  return flat


def check(
  found: Mapping[str, Shape], expected: Mapping[str, Shape], where: paths.Path
) -> None:
  """Checks that weights are those of the config.

  Raises:
    UserError: they are not; names the first that differs.
  """
  for name in sorted(found.keys() | expected.keys()):
    ours, theirs = expected.get(name), found.get(name)
    if ours != theirs:
      raise UserError(
        f"{where}: the weights do not fit the config: "
        f"{json.dumps(name)[:200]} is {theirs or 'missing'}, "
        f"wanted is {'nothing' if ours is None else ours}"
      )


def _initialised(init: Callable[..., Any], *inputs: Any) -> dict[str, Any]:
  """Shapes of what a module's `init` would make of such inputs."""
  made = jax.eval_shape(init, jax.random.key(0), *inputs)["params"]
  return jax.tree.map(jnp.shape, dict(made))


def _coder(config: ConfigDict) -> dict[str, Any]:
  """The parameters of a codec."""
  options, width = config.model.quantizer, config.model.codec
  wav = jax.ShapeDtypeStruct((1, config.audio.hop_samples), jnp.float32)
  params = _initialised(codec_stage.make_codec(config).init, wav)
  if options.code_dim:
    down = (options.num_stages, width.latent_dim, options.code_dim)
    params["quantizer"] = {"down": down, "up": (down[0], down[2], down[1])}
  return params


def _codec(config: ConfigDict) -> dict[str, Any]:
  options, width = config.model.quantizer, config.model.codec
  dim = options.code_dim or width.latent_dim
  books = (options.num_stages, options.codebook_size, dim)
  return {
    "params": {"gen": _coder(config)},
    "model_state": {"codebook": {"embeddings": books}},
  }


def _aligner(config: ConfigDict) -> dict[str, Any]:
  log_mel = jnp.zeros((1, 4, config.audio.num_mels))
  module = aligner_stage.make_aligner(config)
  mask = jnp.ones((1, 4), bool)
  return {"params": {"gen": _initialised(module.init, log_mel, mask)}}


def _ns1(config: ConfigDict) -> dict[str, Any]:
  model = ns1.make_model(config, symbols.VOCABULARY_SIZE)
  ids = jnp.ones((1, 4), jnp.int32)
  params = _initialised(
    model.init, Mixed(ids, ids, ids), jnp.ones((1, 4)), jnp.ones((1, 4, 8))
  )
  del params[HEARING]
  return {"params": {"gen": params}, "model_state": {"remembers": ()}}


def _ns2(config: ConfigDict) -> dict[str, Any]:
  ids, pitch = jnp.ones((1, 4), jnp.int32), jnp.ones((1, 4))
  width = config.codec.model.codec.latent_dim
  latents = jnp.ones((1, 4, width))
  params = _initialised(
    ns2_stage.make_model(config).init, ids, ids, pitch, pitch, latents, latents
  )
  codec: dict[str, Any] = {"latent_mean": (width,), "latent_std": (width,)}
  if not config.frozen.codec:
    options = config.codec.model.quantizer
    books = (config.frozen.num_codebooks, options.codebook_size)
    codec |= _coder(config.codec)
    codec["embeddings"] = (*books, width)
    codec["codes"] = (*books, options.code_dim or width)
  return {"params": {"gen": params}, "frozen": {"codec": codec}}


_SHAPES: Mapping[str, Callable[[ConfigDict], dict[str, Any]]] = {
  "codec": _codec,
  "aligner": _aligner,
  "ns1": _ns1,
  "ns2": _ns2,
  "ns2_distilled": _ns2,
}
STAGES = tuple(_SHAPES)  # of bundles
