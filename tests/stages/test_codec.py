# SPDX-License-Identifier: Apache-2.0
"""The codec's training stage: players, padding, learning, sharding, sizes."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import codec as codec_config
from ns_jax import sharding, stages
from ns_jax.errors import UserError
from ns_jax.stages import codec as codec_stage
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib


def _config():
  config = codec_config.get_config("tiny")
  config.model.discriminators.stft_channels = 2
  config.loss.update(spectral_linear=0.1, spectral_log=0.01, wave=1.0)
  return config


def _batch(size=8, frames=8):
  """Harmonic tones; the last clip is half as long as the others."""
  seconds = np.arange(frames * 200) / 16_000
  pitch_hz = np.linspace(100.0, 240.0, size)[:, None]
  wav = sum(
    0.2 / k * np.sin(2 * np.pi * k * pitch_hz * seconds) for k in range(1, 5)
  )
  num_samples = np.full(size, frames * 200, np.int32)
  num_samples[-1] //= 2
  wav[-1, num_samples[-1] :] = 0.0
  return {"wav": wav.astype(np.float32), "num_samples": num_samples}


@pytest.fixture(scope="module")
def stage():
  return stages.build(_config())


@pytest.fixture(scope="module")
def state(stage):
  return jax.jit(
    lambda key, batch: state_lib.create_state(stage, key, batch, {})
  )(jax.random.key(0), _batch())


def _loss_args(state, **params):
  params = {**state.params, **params}
  return params, state.model_state, {}, _batch(), jax.random.key(1)


def test_discriminator_loss_teaches_the_discriminator_only(stage, state):
  disc = stage.players[0]
  assert [player.name for player in stage.players] == ["disc", "gen"]

  def loss(disc_params, gen_params):
    args = _loss_args(state, disc=disc_params, gen=gen_params)
    loss, (_, model_state) = disc.loss_fn(
      *args, step=jnp.int32(9), phase=1, train=True
    )
    return loss, model_state

  grads, model_state = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(
    state.params["disc"], state.params["gen"]
  )
  assert any(jnp.abs(g).max() > 0 for g in jax.tree.leaves(grads[0]))
  assert all(jnp.abs(g).max() == 0 for g in jax.tree.leaves(grads[1]))
  for old, new in zip(
    jax.tree.leaves(state.model_state),
    jax.tree.leaves(model_state),
    strict=True,
  ):
    np.testing.assert_array_equal(old, new)


def test_generator_loss_is_the_weighted_sum(stage, state):
  weights, loss_fn = _config().loss, stage.players[1].loss_fn
  for step, ramp in ((0, 0.0), (4, 0.5), (99, 1.0)):
    loss, (logs, model_state) = jax.jit(
      loss_fn, static_argnames=("phase", "train")
    )(
      *_loss_args(state),
      step=jnp.int32(step),
      phase=stage.phase(step),
      train=step > 0,
    )
    assert float(logs["adversarial_ramp"]) == ramp
    # The discriminators start at step 2.
    assert ("adversarial" in logs) == (step >= 2)
    expected = sum(
      float(weights[name] * logs[name])
      * (ramp if name in ("adversarial", "feature") else 1.0)
      for name in weights
      if name in logs
    )
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    moved = np.any(
      np.asarray(model_state["codebook"].counts)
      != np.asarray(state.model_state["codebook"].counts)
    )
    assert moved == (step > 0)


@pytest.mark.nightly
def test_other_forms_learn_every_parameter():
  """Narrow stages, snake, bands alone and balanced losses, all at once."""
  config = _config()
  config.balance_losses = True
  config.model.quantizer.code_dim = 4
  config.model.codec.activation = "snake"
  config.model.discriminators.update(
    num_wave_scales=0, stft_channels=0, band_channels=2, band_windows=(256,)
  )
  stage = stages.build(config)
  state = jax.jit(
    lambda batch: state_lib.create_state(stage, jax.random.key(0), batch, {})
  )(_batch())
  state = state.replace(step=jnp.int32(9))
  step = jax.jit(step_lib.make_train_step(stage, phase=1))
  later = step(step(state, _batch())[0], _batch())[0]
  before, after = (
    jax.tree_util.tree_leaves_with_path((s.params, s.model_state))
    for s in (state, later)
  )
  for (path, old), (_, new) in zip(before, after, strict=True):
    assert np.isfinite(new).all(), path
    assert np.abs(new - old).max() > 0, path


def test_padding_changes_no_measure(stage, state):
  short = _batch(4, 6)
  padded = {**short, "wav": np.pad(short["wav"], ((0, 0), (0, 400)))}
  evaluate = jax.jit(
    lambda batch: stage.eval_fn(
      state.params, state.model_state, {}, batch, jax.random.key(0)
    )
  )
  one, other = evaluate(short), evaluate(padded)
  for name in ("log_mel_db", "si_sdr_db", "commitment", "perplexity"):
    np.testing.assert_allclose(
      one[name].compute(), other[name].compute(), rtol=1e-4, err_msg=name
    )


def test_samples_are_waves_and_maps(stage, state):
  samples = stage.sample_fn(
    state.params, state.model_state, {}, _batch(2), jax.random.key(0)
  )
  assert {name: value.shape for name, value in samples.items()} == {
    "audio/original": (2, 1600),
    "audio/reconstruction": (2, 1600),
    "figure/original": (2, 80, 8),
    "figure/reconstruction": (2, 80, 8),
    "codebook/usage": state.model_state["codebook"].counts.shape,
  }


def test_each_codebook_is_measured(stage, state):
  """One codebook has a single code left, the others are as they were."""
  counts = np.asarray(state.model_state["codebook"].counts).copy()
  counts[0] = 0.0
  counts[0, 3] = 50.0
  codebook = state.model_state["codebook"].replace(counts=counts)
  means = jax.jit(stage.eval_fn)(
    state.params, {"codebook": codebook}, {}, _batch(), jax.random.key(0)
  )
  found = {name: float(mean.compute()) for name, mean in means.items()}
  numbers = [f"{i + 1:02}" for i in range(len(counts))]
  assert found["codebook/used_01"] == pytest.approx(1 / counts.shape[1])
  perplexities = [found[f"codebook/perplexity_{i}"] for i in numbers]
  assert np.mean(perplexities) == pytest.approx(found["perplexity"], rel=1e-5)
  assert len(set(perplexities)) > 1


@pytest.mark.slow
def test_overfits_one_utterance():
  config = _config()
  config.model.codec.update(channels=8, latent_dim=16, dilations=(1, 3))
  config.model.adversarial.update(start_step=200, ramp_steps=100)
  config.model.quantizer.dropout = 0.0
  config.optim.update(peak_lr=2e-3, warmup_steps=20, decay_steps=500)
  stage, batch = stages.build(config), _batch(2, 16)
  state = jax.jit(
    lambda key, batch: state_lib.create_state(stage, key, batch, {})
  )(jax.random.key(0), batch)
  step = jax.jit(step_lib.make_train_step(stage), donate_argnums=0)
  evaluate = jax.jit(step_lib.make_eval_step(stage))
  key = jax.random.key(1)
  before = {k: v.compute() for k, v in evaluate(state, batch, key).items()}
  for _ in range(500):
    state, _ = step(state, batch)
  after = {k: v.compute() for k, v in evaluate(state, batch, key).items()}
  assert after["si_sdr_db"] > before["si_sdr_db"] + 10.0
  assert after["spectral_linear"] < 0.5 * before["spectral_linear"]


def _count(tree):
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _codec_parameters(config):
  """Encoder, decoder and codebooks, as the papers count them."""
  codec = codec_stage.make_codec(config)
  params = jax.eval_shape(
    lambda: codec.init(jax.random.key(0), jnp.zeros((1, 200)))
  )
  quantizer = config.model.quantizer
  return _count(params) + (
    quantizer.num_stages
    * quantizer.codebook_size
    * config.model.codec.latent_dim
  )


def test_paper_has_the_papers_size_and_bitrate():
  config = codec_config.get_config("paper")
  assert _codec_parameters(config) == pytest.approx(27e6, rel=0.05)
  quantizer = config.model.quantizer
  frame_rate_hz = config.audio.sample_rate_hz / config.audio.hop_samples
  bits = quantizer.num_stages * math.log2(quantizer.codebook_size)
  assert bits * frame_rate_hz == 12_800


def test_small_has_its_size():
  config = codec_config.get_config("small")
  assert _codec_parameters(config) == pytest.approx(8e6 + 2.1e6, rel=0.05)


@pytest.mark.parametrize("preset", codec_config.PRESETS)
def test_presets_build_and_rules_match(preset):
  config = _config() if preset == "tiny" else codec_config.get_config(preset)
  stage = stages.build(config)
  wav = jax.ShapeDtypeStruct((2, 3200), jnp.float32)
  num_samples = jax.ShapeDtypeStruct((2,), jnp.int32)
  state = jax.eval_shape(
    lambda batch: state_lib.create_state(stage, jax.random.key(0), batch, {}),
    {"wav": wav, "num_samples": num_samples},
  )
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  for rule in stage.partition_rules:
    placed = jax.tree.leaves(sharding.tree_shardings(state, mesh, (rule,)))
    matched = [
      (leaf.shape, where)
      for leaf, where in zip(jax.tree.leaves(state), placed, strict=True)
      if where.spec == rule[1]
    ]
    assert matched, rule
    for shape, where in matched:
      where.shard_shape(shape)  # raises where an axis does not divide


def test_mistakes_get_one_clear_line():
  with pytest.raises(UserError, match="'', 'tiny', 'small', 'paper'"):
    codec_config.get_config("huge")
  config = _config()
  config.model.codec.strides = (2, 4, 5, 8)
  with pytest.raises(UserError, match="multiply to 320"):
    stages.build(config)
  config.stage = "vocoder"
  with pytest.raises(UserError, match="codec, ns1, ns2"):
    stages.build(config)
