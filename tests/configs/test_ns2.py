# SPDX-License-Identifier: Apache-2.0
"""Presets of the NaturalSpeech 2 config and the sizes they give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import ns2 as ns2_config
from ns_jax import stages
from ns_jax.errors import UserError
from ns_jax.stages import codec as codec_stage
from ns_jax.stages import ns2 as ns2_stage

# Millions of parameters: what the paper's Table 8 says, and what its
# structure gives where it can be counted.
PAPER = {
  "phoneme_encoder": 72.0,
  "prompt_encoder": 69.0,
  "duration_predictor": 34.0,
  "pitch_predictor": 50.0,
  "denoiser": 183.0,
}
COUNTED = {
  "duration_predictor": (34.16, 0.01),
  "pitch_predictor": (49.88, 0.01),
  "phoneme_encoder": (69.25, 0.1),
  "prompt_encoder": (69.25, 0.2),
  "denoiser": (183.0, 0.04 * 183.0),
}


def _millions(tree):
  return sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) / 1e6


def _sizes(preset):
  config = ns2_config.get_config(preset)
  model = ns2_stage.make_model(config)
  latents = jnp.zeros((1, 8, config.codec.model.codec.latent_dim))
  ids, pitch = jnp.ones((1, 4), jnp.int32), jnp.zeros((1, 8))
  params = jax.eval_shape(
    model.init, jax.random.key(0), ids, ids, pitch, pitch, latents, latents
  )["params"]
  return {name: _millions(part) for name, part in params.items()}


def test_paper_preset_has_the_papers_sizes():
  sizes = _sizes("paper")
  for name, millions in PAPER.items():
    assert sizes[name] == pytest.approx(millions, rel=0.05), name
  for name, (millions, slack) in COUNTED.items():
    assert sizes[name] == pytest.approx(millions, abs=slack), name


def test_paper_preset_with_its_codec_has_the_papers_total():
  config = ns2_config.get_config("paper").codec
  codec = codec_stage.make_codec(config)
  shapes = jax.eval_shape(codec.init, jax.random.key(0), jnp.zeros((1, 400)))
  quantizer = config.model.quantizer
  codebooks = (
    quantizer.num_stages
    * quantizer.codebook_size
    * config.model.codec.latent_dim
    / 1e6
  )
  total = sum(_sizes("paper").values()) + _millions(shapes) + codebooks
  assert total == pytest.approx(435.0, rel=0.03)


def test_small_preset_fits_one_gpu():
  assert 30.0 < sum(_sizes("small").values()) < 80.0


@pytest.mark.parametrize("preset", ns2_config.PRESETS)
def test_every_preset_builds_a_stage(preset):
  config = ns2_config.get_config(preset)
  stage = stages.build(config)
  assert stage.name == "ns2"
  assert config.preset == preset
  assert config.prompt.rest_frames <= config.data.max_frames


@pytest.mark.parametrize("preset", ns2_config.PRESETS)
def test_every_field_can_be_set_on_the_command_line(preset):
  """A field of None needs a type that says how its flag is read."""
  config = ns2_config.get_config(preset)
  types = {
    path: _section(config, path).get_type(path[-1]) for path in _fields(config)
  }
  assert types[("codec", "model", "quantizer", "code_dim")] is int
  assert not [path for path, of in types.items() if of is type(None)]


def _fields(section):
  """Paths of all fields of a config."""
  for name, value in section.items():
    if isinstance(value, ConfigDict):
      yield from ((name, *path) for path in _fields(value))
    else:
      yield (name,)


def _section(config, path):
  return functools.reduce(
    lambda section, name: section[name], path[:-1], config
  )


def test_unknown_preset_lists_the_known_ones():
  with pytest.raises(UserError, match="huge.*tiny.*paper"):
    ns2_config.get_config("huge")
