# SPDX-License-Identifier: Apache-2.0
"""A student in four evaluations against its teacher in many."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ns2_distilled
from ns_jax import stages
from ns_jax.models import ns2_sampling
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib
from tests.stages import test_ns2 as teaching

NUM_STEPS = 50


@functools.cache
def _config():
  config = ns2_distilled.get_config("tiny")
  ours = teaching._config()
  config.data.update(ours.data.to_dict())
  config.model.update(ours.model.to_dict())
  config.prompt.update(ours.prompt.to_dict())
  config.distillation.update(teacher_steps=3, temperature=1.0)
  config.optim.update(peak_lr=3e-3, warmup_steps=5, decay_steps=NUM_STEPS)
  config.ema_decay = 0.9
  return config


@functools.cache
def _frozen():
  """With a teacher whose score bends: random, but no longer zero."""
  teacher = jax.tree.map(np.asarray, teaching._state().params["gen"])
  kernel = teacher["denoiser"]["out_proj"]["kernel"]
  noise = np.random.default_rng(0).normal(size=kernel.shape) / 4
  teacher["denoiser"]["out_proj"]["kernel"] = noise.astype(np.float32)
  return {**teaching._frozen(), "teacher": teacher}


@functools.cache
def _trained():
  stage, frozen = stages.build(_config()), _frozen()
  create = lambda key, batch: state_lib.create_state(stage, key, batch, frozen)
  start = jax.jit(create)(jax.random.key(0), teaching._batch())
  train_step, state = jax.jit(step_lib.make_train_step(stage)), start
  losses = []
  for i in range(NUM_STEPS):
    state, logs = train_step(state, teaching._batch(i))
    losses.append(float(logs["gen/distillation"]))
  return start, state, losses


@pytest.mark.nightly
def test_the_student_is_the_teacher_at_first_and_learns():
  start, state, losses = _trained()
  jax.tree.map(
    np.testing.assert_array_equal, start.params["gen"], _frozen()["teacher"]
  )
  assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:3])
  for name, part in state.params["gen"].items():
    same = jax.tree.map(np.array_equal, part, _frozen()["teacher"][name])
    assert all(jax.tree.leaves(same)) == (name != "denoiser"), name


def test_in_four_evaluations_it_comes_nearer_to_what_the_teacher_says():
  _, state, _ = _trained()
  batch = teaching._batch(1000)
  dim = _frozen()["codec"]["latent_mean"].size
  request = ns2_sampling.Request(
    phonemes=jnp.asarray(batch["phonemes"]),
    num_phonemes=jnp.asarray(batch["num_phonemes"]),
    is_pause=jnp.zeros(batch["phonemes"].shape, bool),
    prompt=jax.random.normal(jax.random.key(7), (teaching.B, 20, dim)),
    prompt_frames=jnp.full((teaching.B,), 20),
    prompt_f0_hz=jnp.zeros(teaching.B),
  )
  planned = ns2_sampling.Prosody(
    *(jnp.asarray(batch[name]) for name in ("durations", "f0", "f0_phase"))
  )
  model = ns2_stage.make_model(_config())

  def say(params, solver, steps):
    options = ns2_sampling.SampleOptions(solver, steps, 1.0, 0.0)
    speak = functools.partial(ns2_sampling.generate, model, options=options)
    key = jax.random.key(3)
    return np.asarray(jax.jit(speak)(params, request, planned, key))

  truth = say(_frozen()["teacher"], "dpmpp_2m", 40)
  apart = {
    name: np.sqrt(np.mean((say(params, "jump", 3) - truth) ** 2))
    for name, params in {
      "teacher": _frozen()["teacher"],
      "student": state.ema_params["gen"],
    }.items()
  }
  assert apart["student"] < 0.7 * apart["teacher"]


@pytest.mark.parametrize("preset", ns2_distilled.ns2.PRESETS)
def test_presets_are_those_of_ns2(preset):
  config, theirs = (
    get(preset)
    for get in (ns2_distilled.get_config, ns2_distilled.ns2.get_config)
  )
  assert config.model.to_dict() == theirs.model.to_dict()
  assert config.optim.weight_decay == 0.0
  assert stages.build(config).name == "ns2_distilled"
