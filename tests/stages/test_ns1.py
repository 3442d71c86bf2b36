# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech's stage: its phases, its memory, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ns1 as ns1_config
from ns_jax import sharding, stages
from ns_jax.errors import UserError
from ns_jax.models import codebooks
from ns_jax.stages.ns1_example import Example
from ns_jax.stages.ns1_schedule import Part, Schedule
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib
from ns_jax.training.metrics import merge_means
from tests import codecs


def make_stage(**overrides):
  config = ns1_config.get_config("tiny")
  config.update_from_flattened_dict(overrides)
  return stages.build(config)


def trainer(stage):
  return stage.init_fn.__self__


@pytest.fixture(scope="module")
def batch():
  """Two utterances whose sound tells their phonemes."""
  rng = np.random.default_rng(0)
  phonemes = rng.integers(5, 20, (2, 16)).astype(np.int32)
  durations = np.full((2, 16), 2, np.int32)
  phonemes[1, 12:] = durations[1, 12:] = 0
  t = np.arange(32 * 200) / 16_000
  hz = np.repeat(100.0 * phonemes, 400, axis=1)
  wav = 0.3 * np.sin(2 * np.pi * hz * t) * (hz > 0)
  return {
    "phonemes": phonemes,
    "num_phonemes": np.array([16, 12], np.int32),
    "durations": durations,
    "wav": wav.astype(np.float32),
    "num_frames": np.array([32, 24], np.int32),
    "f0": np.where(np.arange(32)[None] < [[32], [24]], 200.0, 0.0).astype(
      np.float32
    ),
  }


@pytest.fixture(scope="module")
def state(batch):
  return jax.jit(
    lambda batch: state_lib.create_state(
      make_stage(), jax.random.key(0), batch, {}
    )
  )(batch)


def test_the_schedule_says_what_a_phase_consists_of():
  stage = make_stage(
    **{
      "model.adversarial.start_step": 2,
      "schedule.flow": 4,
      "schedule.durations": 4,
      "schedule.forward": 3,
      "schedule.memory": 4,
      "schedule.tuning": 6,
    }
  )
  assert stage.phases == (0, 2, 3, 4, 6)
  parts = [trainer(stage).part(phase) for phase in range(5)]
  warm_up = Part(
    is_judged=False,
    has_flow=False,
    is_aligned=True,
    has_forward=False,
    remembers=False,
    is_tuning=False,
  )
  judged = warm_up._replace(is_judged=True)
  both_ways = judged._replace(has_forward=True)
  main = both_ways._replace(has_flow=True, is_aligned=False, remembers=True)
  assert parts == [
    warm_up,
    judged,
    both_ways,
    main,
    main._replace(is_tuning=True),
  ]


def test_what_begins_after_the_end_is_left_out():
  """So that a part of the method is left out by a number alone."""
  stage = make_stage(**{"schedule.memory": 10**9, "schedule.durations": 10**9})
  assert stage.phases == (0, 4, 6)
  last = trainer(stage).part(2)
  assert last.is_tuning and last.is_aligned and not last.remembers


def test_steps_before_the_first_are_the_users_error():
  with pytest.raises(UserError, match="memory=0 must be 1"):
    Schedule(flow=0, durations=1, forward=1, memory=0, tuning=2)
  with pytest.raises(UserError, match="flow=-1 must be 0"):
    Schedule(flow=-1, durations=1, forward=1, memory=1, tuning=2)


_BETWEEN = {"encoder", "durator", "flow", "posterior"}
_VOICED = {"posterior", "memory", "decoder"}


@pytest.mark.parametrize(
  ("phase", "reached"),
  [
    (
      1,
      {
        "log_mel": _VOICED,
        "pitch": _VOICED,
        "backward": _BETWEEN,
        "forward": _BETWEEN,
        "duration": {"encoder", "durator"},
      },
    ),
    (
      2,
      {
        "end_to_end": {"encoder", "durator", "flow", "memory", "decoder"},
        "duration": {"encoder", "durator"},
      },
    ),
  ],
  ids=["main", "tuning"],
)
def test_each_loss_of_a_phase_teaches_what_it_should(
  batch, state, phase, reached
):
  """T-C8, as the stage puts the ways together."""
  stage = make_stage(**{"loss.said": 0.0})
  rng = np.random.default_rng(0)
  shaken = codecs.shaken(state.params, rng, 0.1)

  @jax.jit
  @jax.jacrev
  def teach(gen):
    _, (terms, _) = stage.players[1].loss_fn(
      {**shaken, "gen": gen},
      *({"remembers": 1.0}, {}, batch, jax.random.key(9)),
      step=jnp.array(6),
      phase=phase,
      train=True,
    )
    assert "said_pitch" not in terms
    return {name: terms[name] for name in reached}

  found = {}
  for name, parts in teach(shaken["gen"]).items():
    leaves = {part: jax.tree.leaves(tree) for part, tree in parts.items()}
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(leaves))
    found[name] = {part for part in leaves if any(map(np.any, leaves[part]))}
    if name == "pitch":  # it is heard in what the memory makes of latents
      assert np.any(parts["memory"]["bank"])
      assert np.any(parts["posterior"]["in"]["kernel"])
      decoder = parts["decoder"]
      assert np.any(decoder["pitch_out"]["kernel"])
      assert not any(map(np.any, jax.tree.leaves(decoder["filters"])))
  assert found == reached


@pytest.mark.nightly
@pytest.mark.parametrize("phase", range(3))
def test_every_phase_steps(batch, state, phase):
  """Logs are finite; in tuning, L_e2e alone teaches what is said."""
  stage = make_stage()
  step = jax.jit(step_lib.make_train_step(stage, phase))
  after, logs = step(state, batch)
  assert all(np.isfinite(value) for value in logs.values())
  names = {name.removeprefix("gen/") for name in logs if name[:3] == "gen"}
  always = {"loss", "grad_norm", "learning_rate", "duration"}
  twice = lambda *terms: {*terms, *(f"said_{term}" for term in terms)}
  of_rec = twice("log_mel", "magnitude", "compressed", "pitch")
  of_rec |= {"backward", "posterior_log_std"}
  judged = twice("adversarial", "feature")
  assert (
    names
    == always
    | [
      of_rec,
      of_rec | judged | {"forward"},
      {"end_to_end"},
    ][phase]
  )
  changed = {
    name: any(
      np.any(a != b)
      for a, b in zip(
        jax.tree.leaves(before),
        jax.tree.leaves(after.params["gen"][name]),
        strict=True,
      )
    )
    for name, before in state.params["gen"].items()
  }
  # Weight decay alone moves what has no gradient; scales and biases stay.
  assert changed["encoder"] and changed["durator"] and changed["decoder"]
  posterior = state.params["gen"]["posterior"]["in"]["bias"]
  moved = after.params["gen"]["posterior"]["in"]["bias"]
  assert np.any(moved != posterior) == (phase < 2)


def test_the_memory_begins_with_what_is_heard(batch, state):
  stage = make_stage()
  begin = jax.jit(step_lib.make_begin_step(stage, 1))
  gen = state.params["gen"]
  decayed = jax.tree.map(lambda leaf: 0.5 * leaf, gen["memory"])
  gen = {**gen, "memory": decayed}
  state = state.replace(params={**state.params, "gen": gen})
  after = begin(state, batch)
  maps = after.params["gen"]["memory"]
  for name, size in {"query": 0.25, "key": 1.0, "value": 1.0}.items():
    np.testing.assert_array_equal(maps[name]["kernel"], size * np.eye(16))
  assert state.model_state["remembers"] == 0.0
  assert after.model_state["remembers"] == 1.0
  training = trainer(stage)
  key = jax.random.fold_in(state.key, state.step)
  hear_key, kmeans_key = jax.random.split(key)
  example = Example.of(batch)
  heard = training.ways.hear(state.params["gen"], example, hear_key)
  frames = np.arange(32)[None] < batch["num_frames"][:, None]
  expected = codebooks.kmeans(
    heard.draw, frames, kmeans_key, num_stages=1, codebook_size=8
  )
  for params in (after.params, after.ema_params):
    np.testing.assert_allclose(
      params["gen"]["memory"]["bank"], expected.embeddings[0], atol=1e-4
    )
  # What was heard before is still heard, as far as eight rows can tell it.
  ways, size = training.ways, heard.num_frames
  recalled = ways.recall(after.params["gen"], heard.draw, size, remembers=True)
  apart = np.asarray((recalled - heard.draw) * frames[..., None])
  kept = np.asarray(heard.draw * frames[..., None])
  assert np.square(apart).sum() < 0.9 * np.square(kept).sum()
  again = jax.jit(step_lib.make_begin_step(stage, 2))(after, batch)
  np.testing.assert_array_equal(
    again.params["gen"]["memory"]["bank"], after.params["gen"]["memory"]["bank"]
  )


def test_learns_to_say_what_it_hears(batch):
  stage = make_stage(
    **{
      "train.num_steps": 10**6,
      "model.adversarial.start_step": 10**5,
      "schedule.flow": 10**5,
      "schedule.durations": 10**5,
      "schedule.forward": 10**5,
      "schedule.memory": 10**5,
      "schedule.tuning": 10**5,
      "optim.decay_steps": 150,
      "optim.warmup_steps": 5,
      "optim.peak_lr": 5e-3,
      "ema_decay": 0.9,
    }
  )
  state = jax.jit(
    lambda batch: state_lib.create_state(stage, jax.random.key(0), batch, {})
  )(batch)
  step = jax.jit(step_lib.make_train_step(stage, 0), donate_argnums=0)
  measure = jax.jit(step_lib.make_eval_step(stage))

  def means():
    return merge_means([measure(state, batch, jax.random.key(1))])

  before = means()
  for _ in range(150):
    state, _ = step(state, batch)
  after = means()
  for name in ("revoiced_mel_db", "said_mel_db", "duration_error_frames"):
    assert after[name] < 0.7 * before[name], name
  samples = jax.jit(step_lib.make_sample_step(stage))(
    state, batch, jax.random.key(2)
  )
  assert samples["audio/said"].shape == batch["wav"].shape
  shares = samples["alignment/durator"].sum(axis=1)
  assert samples["alignment/durator"].shape == (2, 16, 32)
  # Of each frame 1 in all, and nothing after the end.
  said = np.any(samples["audio/said"].reshape(2, 32, 200), axis=2)
  np.testing.assert_allclose(shares, said, atol=1e-5)
  np.testing.assert_array_equal(samples["pitch/recording"], batch["f0"])
  told = samples["pitch/told to the decoder"]
  np.testing.assert_array_equal(told > 0, batch["f0"] > 0)
  assert not samples["audio/revoiced"][1, 24 * 200 :].any()


@pytest.mark.parametrize("preset", ns1_config.PRESETS)
def test_presets_build_and_rules_match(preset):
  stage = stages.build(ns1_config.get_config(preset))
  shapes = {
    "phonemes": jax.ShapeDtypeStruct((2, 16), jnp.int32),
    "durations": jax.ShapeDtypeStruct((2, 16), jnp.int32),
    "num_phonemes": jax.ShapeDtypeStruct((2,), jnp.int32),
    "num_frames": jax.ShapeDtypeStruct((2,), jnp.int32),
    "wav": jax.ShapeDtypeStruct((2, 64 * 200), jnp.float32),
    "f0": jax.ShapeDtypeStruct((2, 64), jnp.float32),
  }
  state = jax.eval_shape(
    lambda batch: state_lib.create_state(stage, jax.random.key(0), batch, {}),
    shapes,
  )
  mesh = sharding.make_mesh({"data": 2, "fsdp": 2, "tensor": 2})
  placed = sharding.tree_shardings(state, mesh, stage.partition_rules)
  for leaf, where in zip(
    jax.tree.leaves(state), jax.tree.leaves(placed), strict=True
  ):
    where.shard_shape(leaf.shape)  # raises where an axis does not divide
  if preset == "paper":
    gen = dict(state.params["gen"])
    del gen["posterior"]
    size = sum(leaf.size for leaf in jax.tree.leaves(gen))
    assert size == pytest.approx(28.7e6, rel=5e-3)


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    ({"model.encoder.num_heads": 3}, "encoder.num_heads=3 must divide"),
    ({"model.encoder.num_sup_phonemes": 50}, "num_sup_phonemes=50: give at"),
    ({"model.encoder.relative_window": -1}, "relative_window=-1 must be 0"),
    ({"model.memory.num_heads": 3}, "memory.num_heads=3 must divide"),
    ({"model.memory.size": 0}, "memory.size=0 must be 1"),
    ({"model.dim": 17, "model.encoder.num_heads": 1}, "memory.num_heads=8"),
    ({"model.flow.num_couplings": 3}, "num_couplings=3 must be even"),
    ({"model.durator.upsampler.num_weights": 0}, "num_weights=0 must be 1"),
    ({"model.discriminators.periods": ()}, "discriminators: none is left"),
    ({"model.discriminators.periods": (2, 0)}, "must be 1 or more"),
    (
      {
        "model.discriminators.wave_channels": (4, 8),
        "model.discriminators.num_wave_scales": 1,
      },
      "one more than wave_groups",
    ),
  ],
)
def test_sizes_that_do_not_fit_are_the_users_error(overrides, message):
  with pytest.raises(UserError, match=message):
    make_stage(**overrides)
