# SPDX-License-Identifier: Apache-2.0
"""The assembled model and speaking with it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from configs import ns2 as ns2_config
from ns_jax import sharding
from ns_jax.errors import UserError
from ns_jax.models import ns2, ns2_sampling

B, N, T, D, P = 2, 6, 24, 5, 7
OPTIONS = ns2_sampling.SampleOptions("euler", 3, 1.44, 0.0)


def _config():
  model = ns2_config.get_config("tiny").model
  model.prediction = (
    "velocity"  # so that latents without noise stay as they are
  )
  model.phoneme_encoder.num_layers = 1
  model.prompt_encoder.num_layers = 1
  return model


@functools.cache
def _model():
  return ns2.make_model(
    _config(), num_symbols=9, latent_dim=D, dtype=jnp.float32
  )


@functools.cache
def _params():
  """Parameters at the start, with a last layer that is not zero."""
  shapes = (
    jnp.ones((1, N), jnp.int32),
    jnp.ones((1, N), jnp.int32),
    jnp.ones((1, 8)),
    jnp.ones((1, 8)),
    jnp.ones((1, 8, D)),
    jnp.ones((1, 8, D)),
  )
  params = jax.jit(_model().init)(jax.random.key(0), *shapes)["params"]
  kernel = params["denoiser"]["out_proj"]["kernel"]
  params["denoiser"]["out_proj"]["kernel"] = jax.random.normal(
    jax.random.key(1), kernel.shape
  )
  return params


def _request(**changes):
  request = ns2_sampling.Request(
    phonemes=jnp.array([[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 0, 0]]),
    num_phonemes=jnp.array([6, 4]),
    is_pause=jnp.zeros((B, N), bool).at[:, 1].set(True),
    prompt=jax.random.normal(jax.random.key(2), (B, P, D)),
    prompt_frames=jnp.array([7, 5]),
    prompt_f0_hz=jnp.array([100.0, 0.0]),
  )
  return request.replace(**changes)


def _planned(**changes):
  planned = ns2_sampling.Prosody(
    durations=jnp.array([[2, 0, 3, 4, 1, 6], [5, 0, 4, 2, 0, 0]]),
    f0_hz=jnp.full((B, T), 120.0),
    f0_phase=jnp.tile(jnp.arange(T) * 1.5 % 6.28, (B, 1)),
  )
  return planned.replace(**changes)


MASK = np.arange(T)[None, :] < np.array([16, 11])[:, None]


@functools.cache
def _generator(options):
  return jax.jit(
    functools.partial(ns2_sampling.generate, _model(), options=options)
  )


def _generate(request, planned=None, options=OPTIONS, seed=0, start=None):
  planned = _planned() if planned is None else planned
  key = jax.random.key(seed)
  return _generator(options)(_params(), request, planned, key, start)


@functools.cache
def _f0_predictor():
  predict = functools.partial(ns2_sampling.predict_f0, _model(), num_frames=T)
  return jax.jit(predict)


def _predict_f0(request):
  return _f0_predictor()(_params(), request, _planned().durations)


def test_latents_end_with_their_durations():
  latents = _generate(_request())
  assert latents.shape == (B, T, D)
  assert float(jnp.abs(latents[~MASK]).max()) == 0.0
  assert float(jnp.abs(latents[MASK]).min()) > 0.0
  assert bool(jnp.isfinite(latents).all())


def test_timing_and_pitch_are_predicted():
  request = _request()
  predict = functools.partial(ns2_sampling.predict_durations, _model())
  durations = jax.jit(predict)(_params(), request)
  real = jnp.arange(N)[None, :] < request.num_phonemes[:, None]
  assert (durations[real & ~request.is_pause] >= 1).all()
  assert (durations[~real] == 0).all()
  f0_hz = _predict_f0(request)
  voiced = f0_hz[f0_hz > 0]
  assert ((voiced >= 49.9) & (voiced <= 1101.0)).all()
  assert (f0_hz[~MASK] == 0).all()


def test_pitch_is_relative_to_the_prompts():
  request = _request()

  def log_f0(**changes):
    f0_hz = _predict_f0(request.replace(**changes))
    return np.log(np.maximum(np.asarray(f0_hz)[MASK], 1.0))

  # A voice of which nothing is known is one at 150 Hz.
  unknown = log_f0(prompt_f0_hz=jnp.zeros(B))
  inside = (unknown > np.log(80.0)) & (unknown < np.log(500.0))  # never clipped
  assert inside.any()
  for f0_hz in (100.0, 150.0, 300.0):
    shift = log_f0(prompt_f0_hz=jnp.full(B, f0_hz)) - unknown
    np.testing.assert_allclose(shift[inside], np.log(f0_hz / 150.0), atol=1e-5)
  # So is nobody's: what is said of its pitch is not heard.
  null = jnp.zeros(B, jnp.int32)
  np.testing.assert_array_equal(
    log_f0(prompt_frames=null, prompt_f0_hz=jnp.full(B, 300.0)),
    log_f0(prompt_frames=null, prompt_f0_hz=jnp.zeros(B)),
  )


def test_speech_depends_on_seed_prompt_text_and_pitch():
  request, planned = _request(), _planned()
  latents = _generate(request)
  changed = dict(
    prompt=(_request(prompt=-request.prompt), planned),
    text=(_request(phonemes=(request.phonemes + 3) % 8), planned),
    f0=(request, _planned(f0_hz=2.0 * planned.f0_hz)),
  )
  for name, other in changed.items():
    difference = jnp.abs(_generate(*other) - latents).max()
    assert float(difference) > 1e-3, name
  assert not np.allclose(_generate(request, seed=1), latents)


def test_padding_of_the_request_does_not_matter():
  request = _request()
  noisy = _request(
    phonemes=request.phonemes.at[1, 4:].set(7),
    prompt=request.prompt.at[1, 5:].set(40.0),
  )
  np.testing.assert_allclose(_generate(request), _generate(noisy), atol=1e-4)


def test_guidance_moves_away_from_the_null_prompt():
  plain = _generate(_request())
  guided = ns2_sampling.SampleOptions("euler", 3, 1.44, 1.0)
  assert not np.allclose(_generate(_request(), options=guided), plain)
  nobody = _request(prompt_frames=jnp.zeros((B,), jnp.int32))
  np.testing.assert_allclose(
    _generate(nobody, options=guided), _generate(nobody), atol=1e-4
  )


def test_latents_carried_to_noise_come_back():
  """With the same voice; another voice makes other latents of the noise.

  They come back as the network hears them in what is left of them at the jump.
  """
  request, steps = _request(), 100
  latents = jax.random.normal(jax.random.key(5), (B, T, D)) * MASK[..., None]
  carry = functools.partial(ns2_sampling.carry_to_noise, _model(), steps=steps)
  start = jax.jit(carry)(_params(), request, _planned(), latents)
  options = ns2_sampling.SampleOptions("jump", steps, 1.0, 0.0)
  back = _generate(request, options=options, start=start)
  schedule = _model().schedule
  t = schedule.time_of_log_snr(jnp.asarray(0.5))

  @jax.jit
  def heard(latents):
    denoise, _ = ns2_sampling._denoiser(
      _model(), _params(), request, _planned(), guidance_weight=0.0
    )
    return denoise(schedule.alpha(t) * latents, jnp.full((B,), t))

  want = heard(latents)
  apart = float(jnp.abs(back - want)[MASK].max())
  other = _request(prompt=-request.prompt)
  retold = _generate(other, options=options, start=start)
  moved = float(jnp.abs(retold - want)[MASK].max())
  assert apart < 0.1 < moved, (apart, moved)


def test_unknown_names_are_the_users_error():
  with pytest.raises(UserError, match="rk4"):
    ns2_sampling.SampleOptions("rk4", 3, 1.0, 0.0)
  config = _config()
  config.prediction = "noise"
  with pytest.raises(UserError, match="noise"):
    ns2.make_model(config, num_symbols=9, latent_dim=D, dtype=jnp.float32)


def test_partition_rules_match_and_divide():
  params = {"gen": jax.eval_shape(_params)}
  mesh = sharding.make_mesh(dict(data=2, fsdp=2, tensor=2))
  shardings = sharding.tree_shardings(params, mesh, ns2.PARTITION_RULES)
  for leaf, where in zip(
    jax.tree.leaves(params), jax.tree.leaves(shardings), strict=True
  ):
    where.shard_shape(leaf.shape)  # raises where an axis does not divide
  for rule in ns2.PARTITION_RULES:
    matched = jax.tree.leaves(sharding.tree_shardings(params, mesh, [rule]))
    assert any(s.spec != PartitionSpec() for s in matched), rule
