# SPDX-License-Identifier: Apache-2.0
"""Made-up batches and weights fit the stages they are made for."""

import importlib
import pathlib

import jax
import numpy as np
import pytest

from ns_jax import stages
from ns_jax.apps import starting, synthetic
from ns_jax.inference.codec import SpeechCodec
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib


def make_config(stage, preset):
  config = importlib.import_module(f"configs.{stage}").get_config(preset)
  starting.adopt(config, pathlib.Path("none"))
  return config


# The others take real steps of them in tests/integration/test_spread.py.
@pytest.mark.parametrize("name", ["ns1", "ns2_distilled"])
def test_a_step_takes_them(name):
  config = make_config(name, "tiny")
  stage = stages.build(config)
  rows = synthetic.batch(config, stage, 2)
  assert {len(value) for value in rows.values()} == {2}
  shapes = jax.eval_shape(lambda: synthetic.frozen(config))
  make_state = lambda batch, frozen: state_lib.create_state(
    stage, jax.random.key(0), batch, frozen
  )
  state = jax.eval_shape(make_state, rows, shapes)
  for phase in range(len(stage.phases)):
    train_step = step_lib.make_train_step(stage, phase)
    after, logs = jax.eval_shape(train_step, state, rows)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert logs["gen/loss"].shape == ()


@pytest.mark.parametrize("name", ["aligner", "ns1", "ns2", "phoneme_lm"])
def test_batches_are_full(name):
  config = make_config(name, "")
  rows = synthetic.batch(config, stages.build(config), 3)
  if "num_frames" in rows:
    assert (rows["num_frames"] == config.data.max_frames).all()
  fewest = 0.75 if name == "aligner" else 1.0  # less the pauses on offer
  assert (rows["num_phonemes"] >= fewest * config.data.max_phonemes).all()
  if "durations" in rows and name != "aligner":
    np.testing.assert_array_equal(rows["durations"].sum(-1), rows["num_frames"])


def test_the_codec_is_that_of_the_config():
  config = make_config("ns2", "")
  made = jax.eval_shape(lambda: synthetic.frozen(config))["codec"]
  shipped = SpeechCodec.load().first(config.frozen.num_codebooks)
  size = config.codec.model.codec.latent_dim
  real = shipped.frozen(np.zeros(size), np.ones(size))
  assert jax.tree.map(np.shape, made) == jax.tree.map(np.shape, real)
