# SPDX-License-Identifier: Apache-2.0
"""The training stage of NaturalSpeech 2."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ns2 as ns2_config
from ns_jax import stages
from ns_jax.errors import UserError
from ns_jax.models import quantizer
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib

B, N, T = 8, 10, 48


@functools.cache
def _config():
  config = ns2_config.get_config("tiny")
  config.data.update(max_frames=T, max_phonemes=N)
  config.prompt.update(min_sec=0.1, max_sec=0.3, rest_frames=40)
  config.model.phoneme_encoder.num_layers = 1
  config.model.prompt_encoder.num_layers = 1
  config.optim.update(peak_lr=3e-3, decay_steps=100, weight_decay=0.0)
  return config


@functools.cache
def _stage():
  return stages.build(_config())


@functools.cache
def _frozen():
  model = _config().codec.model
  shape = (
    model.quantizer.num_stages,
    model.quantizer.codebook_size,
    model.codec.latent_dim,
  )
  rng = np.random.default_rng(0)
  decay = 0.5 ** np.arange(shape[0])[:, None, None]
  return {
    "codec": {
      "embeddings": (rng.normal(size=shape) * decay).astype(np.float32),
      "latent_mean": np.full(shape[2], 0.3, np.float32),
      "latent_std": np.full(shape[2], 1.2, np.float32),
    }
  }


def _batch(seed=0):
  """Utterances whose first code is their phoneme."""
  rng = np.random.default_rng(seed)
  num_phonemes = rng.integers(5, N + 1, B)
  real = np.arange(N)[None, :] < num_phonemes[:, None]
  phonemes = np.where(real, rng.integers(1, 30, (B, N)), 0)
  durations = np.where(real, rng.integers(2, 5, (B, N)), 0)
  codes = rng.integers(0, 32, (B, T, 4))
  f0_hz = rng.uniform(90.0, 200.0, (B, T)) * (rng.random((B, T)) < 0.7)
  for row in range(B):
    spoken = np.repeat(phonemes[row], durations[row])
    codes[row, : len(spoken), 0] = spoken
  return {
    "phonemes": phonemes.astype(np.int32),
    "num_phonemes": num_phonemes.astype(np.int32),
    "durations": durations.astype(np.int32),
    "f0": f0_hz.astype(np.float32),
    "f0_phase": rng.uniform(-np.pi, np.pi, (B, T)).astype(np.float32),
    "codes": codes.astype(np.int32),
    "num_frames": durations.sum(1).astype(np.int32),
    "first_frame": np.zeros(B, np.int32),
  }


@functools.cache
def _state():
  create = lambda key, batch: state_lib.create_state(
    _stage(), key, batch, _frozen()
  )
  return jax.jit(create)(jax.random.key(0), _batch())


@functools.cache
def _evaluate():
  return jax.jit(step_lib.make_eval_step(_stage()))


def _means(state, batch, seed=1):
  means = _evaluate()(state, batch, jax.random.key(seed))
  return {name: float(mean.compute()) for name, mean in means.items()}


def test_training_teaches_every_parameter_and_lowers_the_losses():
  train_step = jax.jit(step_lib.make_train_step(_stage()))
  state, before = _state(), _means(_state(), _batch())
  for i in range(60):
    state, logs = train_step(state, _batch(i))
    assert all(np.isfinite(value) for value in logs.values())
  after = _means(state, _batch())
  assert int(state.step) == 60
  for name in ("diffusion", "duration", "duration_error_frames"):
    assert after[name] < 0.9 * before[name], name
  terms = {f"gen/{name}" for name in _config().loss}
  assert terms <= set(logs)
  total = sum(
    weight * logs[f"gen/{name}"] for name, weight in _config().loss.items()
  )
  assert float(logs["gen/loss"]) == pytest.approx(float(total), rel=1e-4)
  untaught = [
    jax.tree_util.keystr(path, simple=True, separator="/")
    for (path, new), old in zip(
      jax.tree_util.tree_leaves_with_path(state.params["gen"]),
      jax.tree.leaves(_state().params["gen"]),
      strict=True,
    )
    if np.array_equal(new, old)
  ]
  assert untaught == []


def test_padding_of_the_batch_does_not_matter():
  batch = _batch()
  frames = np.arange(T)[None, :] < batch["num_frames"][:, None]
  real = np.arange(N)[None, :] < batch["num_phonemes"][:, None]
  noisy = {
    **batch,
    "phonemes": np.where(real, batch["phonemes"], 7),
    "f0": np.where(frames, batch["f0"], 333.0).astype(np.float32),
    "f0_phase": np.where(frames, batch["f0_phase"], 1.0).astype(np.float32),
    "codes": np.where(frames[..., None], batch["codes"], 5),
  }
  clean, dirty = _means(_state(), batch), _means(_state(), noisy)
  assert clean == pytest.approx(dirty, rel=1e-4)


def test_evaluation_is_fixed_by_its_key():
  assert _means(_state(), _batch()) == _means(_state(), _batch())
  other = _means(_state(), _batch(), seed=2)
  assert _means(_state(), _batch()) != other


def test_parts_of_the_time_make_up_the_whole():
  means = _evaluate()(_state(), _batch(), jax.random.key(1))
  logged = step_lib.make_train_step(_stage())
  _, logs = jax.eval_shape(logged, _state(), _batch())
  for name in ("diffusion", "score", "code_ce"):
    parts = [key for key in means if key.startswith(f"{name}_t")]
    assert len(parts) == 4
    assert {f"gen/{part}" for part in parts} <= set(logs)
    merged = functools.reduce(
      lambda a, b: a.merge(b), (means[part] for part in parts)
    )
    assert float(merged.compute()) == pytest.approx(
      float(means[name].compute()), rel=1e-5
    )
  early, late = (means[f"score_t{part}"] for part in ("0.00-0.25", "0.75-1.00"))
  assert float(early.compute()) > 100 * float(late.compute())


def test_latents_are_normalised_and_back():
  codes = _batch()["codes"]
  z = quantizer.decode_codes(
    jnp.asarray(_frozen()["codec"]["embeddings"]), codes
  )
  x = ns2_stage.normalise(_frozen(), z)
  np.testing.assert_allclose(x, (z - 0.3) / 1.2, rtol=1e-5)
  np.testing.assert_allclose(
    ns2_stage.denormalise(_frozen(), x), z, rtol=1e-4, atol=1e-5
  )


def test_preview_has_sound_and_pictures():
  codec = stages.codec.make_codec(_config().codec)
  decoder = jax.jit(codec.init)(jax.random.key(0), jnp.zeros((1, 400)))
  frozen = {
    "codec": {**_frozen()["codec"], "decoder": decoder["params"]["decoder"]}
  }
  samples = jax.jit(_stage().sample_fn)(
    _state().params, {}, frozen, _batch(), jax.random.key(0)
  )
  assert samples["audio/generated"].shape == (
    ns2_stage.PREVIEW_CLIPS,
    40 * 200,
  )
  assert samples["figure/generated"].shape[1] == 80
  assert bool(jnp.isfinite(samples["audio/generated"]).all())
  # What is left of each recording when its prompt is cut out.
  batch = _batch()
  for i in range(ns2_stage.PREVIEW_CLIPS):
    left = np.asarray(samples["pitch/recording"][i])
    whole = batch["f0"][i]
    assert set(left) <= {*whole, 0.0} and (left > 0).sum() < (whole > 0).sum()
  assert samples["pitch/predicted"].shape == left[None].repeat(2, 0).shape


def test_unknown_score_weight_is_the_users_error():
  config = _config().copy_and_resolve_references()
  config.objective.score_weight = "snr"
  with pytest.raises(UserError, match="snr_capped"):
    stages.build(config)
