# SPDX-License-Identifier: Apache-2.0
"""The aligner finds boundaries nobody told it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import aligner as aligner_config
from ns_jax import stages
from ns_jax.apps import checks
from ns_jax.errors import UserError
from ns_jax.text import symbols

BATCH, FRAMES, PHONEMES, HOP = 8, 64, 6, 200
FIRST_PHONE = len(symbols.PAUSES) + 1


def make_batch(seed):
  """Utterances of "phonemes" that are tones; the last is shorter."""
  rng = np.random.default_rng(seed)
  phonemes = np.zeros((BATCH, PHONEMES), np.int32)
  durations = np.zeros((BATCH, PHONEMES), np.int32)
  wav = np.zeros((BATCH, FRAMES * HOP), np.float32)
  num_phonemes = np.full(BATCH, PHONEMES, np.int32)
  num_phonemes[-1] = 4
  for row, count in enumerate(num_phonemes):
    kinds = rng.permutation(8)[:count]
    phonemes[row, :count] = FIRST_PHONE + kinds
    durations[row, :count] = rng.integers(3, 11, count)
    hz = np.repeat(250.0 * 1.4**kinds, durations[row, :count] * HOP)
    wav[row, : len(hz)] = 0.3 * np.sin(np.cumsum(2 * np.pi * hz / 16_000))
  return {
    "phonemes": phonemes,
    "num_phonemes": num_phonemes,
    "is_offer": np.zeros((BATCH, PHONEMES), bool),
    "durations": durations,
    "num_frames": durations.sum(1),
    "wav": wav,
    "num_samples": durations.sum(1) * HOP,
  }


def test_boundaries_are_learned_without_labels():
  config = aligner_config.get_config("tiny")
  config.model.update(dim=16, space_dim=16)
  stage = stages.build(config)
  params, model_state = stage.init_fn(jax.random.key(0), make_batch(0), {})
  tx = optax.adam(1e-2)
  key = jax.random.key(1)

  @jax.jit
  def step(params, opt_state, batch, i):
    # The truth is for the evaluation only.
    batch = batch | {"durations": jnp.zeros_like(batch["durations"])}
    loss = lambda params: stage.players[0].loss_fn(
      params, model_state, {}, batch, key, step=i, phase=0, train=True
    )
    grads, _ = jax.grad(loss, has_aux=True)(params)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  evaluate = jax.jit(
    lambda params: stage.eval_fn(params, model_state, {}, make_batch(99), key)
  )
  before = evaluate(params)["boundary_error_ms"].compute()
  opt_state = tx.init(params)
  for i in range(120):
    params, opt_state = step(params, opt_state, make_batch(i), i)
  found = evaluate(params)
  assert before > 18.0
  assert found["boundary_error_ms"].compute() < 12.5  # one frame
  assert found["boundaries_found"].compute() > 0.95
  seen = jax.jit(stage.sample_fn)(
    params, model_state, {}, batch := make_batch(99), key
  )
  ends = batch["durations"].cumsum(1)[..., None]
  frames = np.arange(FRAMES)
  truth = (ends - batch["durations"][..., None] <= frames) & (frames < ends)
  for name in ("likely", "best path"):
    shares = np.asarray(seen[f"alignment/{name}"])
    np.testing.assert_allclose(shares.sum(1), truth.any(1), atol=1e-5)
    assert (shares * truth).sum() > 0.9 * truth.sum(), name


def test_presets_can_be_built():
  checks.check(aligner_config.get_config())
  for preset in ("corpus", "tiny"):
    stages.build(aligner_config.get_config(preset))


def test_mistakes_get_one_clear_line():
  with pytest.raises(UserError, match="'', 'corpus', 'tiny'"):
    aligner_config.get_config("huge")
