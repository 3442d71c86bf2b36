# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech as a whole: its size (T-C9), its parts, its layout."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec
from ml_collections import ConfigDict

from ns_jax import sharding
from ns_jax.errors import UserError
from ns_jax.models import ns1
from ns_jax.models.mixed_phonemes import Mixed

SYMBOLS = 181  # and one for what is masked


def paper():
  """The paper's sizes, at its rate."""
  return ConfigDict(
    dict(
      audio=dict(sample_rate_hz=22_050, hop_samples=256),
      dtype="float32",
      model=dict(
        dim=192,
        encoder=dict(
          num_sup_phonemes=30_088,
          num_layers=6,
          num_heads=2,
          filter_size=768,
          kernel_size=3,
          dropout_rate=0.1,
          relative_window=4,
          embedding_std=0.1,
        ),
        durator=dict(
          predictor=dict(num_layers=3, kernel_size=3, dropout_rate=0.5),
          upsampler=dict(num_weights=4, num_coefficients=2, kernel_size=3),
        ),
        flow=dict(num_couplings=4, num_layers=4, kernel_size=5),
        posterior=dict(num_layers=16, kernel_size=5),
        memory=dict(size=1000, num_heads=2),
        decoder=dict(
          architecture="hifigan",
          strides=(8, 8, 2, 2),
          upsample_kernels=(16, 16, 4, 4),
          dim=512,
          unit_kernels=(3, 7, 11),
          unit_dilations=(1, 3, 5),
        ),
      ),
    )
  )


def shapes(config, bins=513):
  """Shapes of the parameters, and of the wave of five frames."""
  model = ns1.make_model(config, SYMBOLS)
  mixed = Mixed(*jnp.zeros((3, 1, 4), jnp.int32))
  (wav, _), variables = jax.eval_shape(
    model.init_with_output,
    jax.random.key(0),
    mixed,
    jnp.ones((1, 4)),
    jnp.zeros((1, 5, bins)),
  )
  return variables["params"], wav


def test_the_size_of_the_paper():
  """28.67 M at inference: no posterior encoder, no table of sup-phonemes."""
  params, wav = shapes(paper())
  assert wav.shape == (1, 5 * 256)
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  sups = count(params["encoder"].pop("sup_embedding"))
  assert sups == pytest.approx(5.78e6, rel=1e-3)
  assert count(params.pop("posterior")) == 7_238_016
  assert count(params) == pytest.approx(28.67e6, rel=1e-3)


def test_the_decoder_of_the_codec_fits_too():
  config = paper()
  config.audio.hop_samples = 200
  config.model.decoder = dict(
    architecture="source_filter",
    dim=16,
    num_layers=2,
    kernel_size=7,
    expansion=2,
    activation="gelu",
  )
  _, wav = shapes(config)
  assert wav.shape == (1, 1000)


def test_decoders_that_do_not_fit_are_the_users_error():
  config = paper()
  config.audio.hop_samples = 200
  with pytest.raises(UserError, match="multiply to 256"):
    ns1.make_model(config, SYMBOLS)
  config.model.decoder.architecture = "griffin"
  with pytest.raises(UserError, match="'griffin'"):
    ns1.make_model(config, SYMBOLS)


def test_partition_rules_match_and_divide():
  params = {"gen": shapes(paper())[0]}
  mesh = sharding.make_mesh(dict(data=2, fsdp=2, tensor=2))
  shardings = sharding.tree_shardings(params, mesh, ns1.PARTITION_RULES)
  for leaf, where in zip(
    jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
  ):
    where.shard_shape(leaf.shape)  # raises where an axis does not divide
  for rule in ns1.PARTITION_RULES:
    matched = jax.tree.leaves(sharding.tree_shardings(params, mesh, [rule]))
    assert any(s.spec != PartitionSpec() for s in matched), rule
