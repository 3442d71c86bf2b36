# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech 2 learns a toy language and two voices from prompts alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import ns2 as ns2_config
from ns_jax import stages
from ns_jax.models import ns2_sampling
from ns_jax.stages import ns2 as ns2_stage
from ns_jax.training import state as state_lib
from ns_jax.training import step as step_lib

pytestmark = pytest.mark.slow
B, N, T, P = 16, 10, 48, 16
NUM_PHONES, NUM_SPEAKERS, DIM, SPREAD = 4, 2, 4, 0.3
NUM_STEPS = 1200


def _config():
  config = ns2_config.get_config("tiny")
  config.data.update(max_frames=T, max_phonemes=N)
  config.codec.model.codec.latent_dim = DIM
  config.prompt.update(min_sec=0.1, max_sec=0.2, rest_frames=T)
  config.model.denoiser.update(dim=32)
  config.optim.update(peak_lr=3e-3, warmup_steps=50, decay_steps=NUM_STEPS)
  config.ema_decay = 0.99
  return config


@functools.cache
def _codebooks():
  """Stage 0: the mean of each phone by each speaker; stage 1: the spread."""
  rng = np.random.default_rng(0)
  phones = rng.normal(size=(NUM_PHONES, 1, DIM))
  speakers = np.zeros((1, NUM_SPEAKERS, DIM))
  speakers[0, :, 0] = (-1.0, 1.0)
  means = (phones + speakers).reshape(-1, DIM)
  spread = SPREAD * rng.normal(size=(64, DIM))
  spread -= spread.mean(0)
  means = np.pad(means, ((0, len(spread) - len(means)), (0, 0)))
  return np.stack([means, spread]).astype(np.float32)


def _utterances(rng, speakers):
  phonemes = rng.integers(1, NUM_PHONES + 1, (B, N))
  durations = rng.integers(2, 5, (B, N))
  codes = rng.integers(0, 64, (B, T, 2))
  for row, speaker in enumerate(speakers):
    spoken = np.repeat(phonemes[row] - 1, durations[row])
    codes[row, : len(spoken), 0] = spoken * NUM_SPEAKERS + speaker
  return {
    "phonemes": phonemes.astype(np.int32),
    "num_phonemes": np.full(B, N, np.int32),
    "durations": durations.astype(np.int32),
    "f0": np.zeros((B, T), np.float32),
    "f0_phase": np.zeros((B, T), np.float32),
    "codes": codes.astype(np.int32),
    "num_frames": durations.sum(1).astype(np.int32),
    "first_frame": np.zeros(B, np.int32),
  }


def _frozen():
  rng = np.random.default_rng(1)
  books = _codebooks()
  used = books[0][: NUM_PHONES * NUM_SPEAKERS]
  z = (
    used[rng.integers(0, len(used), 9999)] + books[1][rng.integers(0, 64, 9999)]
  )
  return {
    "codec": {
      "embeddings": books,
      "latent_mean": z.mean(0),
      "latent_std": z.std(0),
    }
  }


def _speak(generate, params, batch, voices, key):
  """Latents [B, T, D] in the codec's scale, in the voice of other speech."""
  z = _codebooks()[0][voices["codes"][:, :P, 0]]
  z = z + _codebooks()[1][voices["codes"][:, :P, 1]]
  request = ns2_sampling.Request(
    phonemes=jnp.asarray(batch["phonemes"]),
    num_phonemes=jnp.asarray(batch["num_phonemes"]),
    is_pause=jnp.zeros((B, N), bool),
    prompt=ns2_stage.normalise(_frozen(), jnp.asarray(z)),
    prompt_frames=jnp.full((B,), P),
    prompt_f0_hz=jnp.zeros(B),
  )
  planned = ns2_sampling.Prosody(
    *(jnp.asarray(batch[name]) for name in ("durations", "f0", "f0_phase"))
  )
  latents = generate(params, request, planned, key)
  return np.asarray(ns2_stage.denormalise(_frozen(), latents))


@pytest.mark.nightly
def test_phones_and_voices_come_out_where_they_should():
  config = _config()
  stage, rng = stages.build(config), np.random.default_rng(2)
  draw = lambda: _utterances(rng, rng.integers(0, NUM_SPEAKERS, B))
  create = lambda key, batch: state_lib.create_state(
    stage, key, batch, _frozen()
  )
  state = jax.jit(create)(jax.random.key(0), draw())
  # So many steps repay what slower passes take.
  train_step = (
    jax.jit(step_lib.make_train_step(stage), donate_argnums=0)
    .lower(state, draw())
    .compile({"xla_backend_optimization_level": 1})
  )
  for _ in range(NUM_STEPS):
    state, _ = train_step(state, draw())

  model, params = ns2_stage.make_model(config), state.ema_params["gen"]
  options = ns2_sampling.SampleOptions("euler", 100, 1.0, 0.0)
  generate = jax.jit(
    functools.partial(ns2_sampling.generate, model, options=options)
  )
  for speaker in range(NUM_SPEAKERS):
    said, heard = [], []
    for seed in range(4):
      batch, voices = draw(), _utterances(rng, [speaker] * B)
      z = _speak(generate, params, batch, voices, jax.random.key(seed))
      for row in range(B):
        said.append(np.repeat(batch["phonemes"][row], batch["durations"][row]))
        heard.append(z[row, : len(said[-1])])
    phones, frames = np.concatenate(said), np.concatenate(heard)
    for phone in range(1, NUM_PHONES + 1):
      want = _codebooks()[0][(phone - 1) * NUM_SPEAKERS + speaker]
      got = frames[phones == phone].mean(0)
      np.testing.assert_allclose(got, want, atol=0.1)
