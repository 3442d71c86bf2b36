# SPDX-License-Identifier: Apache-2.0
"""The masked language model's loss, by hand, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats

from configs import ns1 as ns1_config
from configs import phoneme_lm as phoneme_lm_config
from ns_jax import stages
from ns_jax.apps import checks
from ns_jax.errors import UserError
from ns_jax.models import mixed_phonemes
from ns_jax.stages import phoneme_lm
from ns_jax.text import symbols

BATCH, SPANS, PHONEMES = 8, 6, 12
KINDS = 5  # sup-phonemes of the little language below, of two phonemes each
FIRST = len(symbols.PAUSES) + 1


def make_config(sups=True):
  config = phoneme_lm_config.get_config("tiny")
  config.model.encoder.dropout_rate = 0.0
  if not sups:
    config.model.encoder.num_sup_phonemes = 0
  return config


def make_batch(seed, sups=True):
  """Sup-phonemes that always follow each other; the last row is shorter."""
  rng = np.random.default_rng(seed)
  kinds = (rng.integers(0, KINDS, (BATCH, 1)) + np.arange(SPANS)) % KINDS
  counts = np.full(BATCH, SPANS, np.int32)
  counts[-1] = 2
  real = np.arange(PHONEMES) < 2 * counts[:, None]
  pairs = np.stack([FIRST + 2 * kinds, FIRST + 2 * kinds + 1], -1)
  zero_after = lambda x: np.where(real, x, 0).astype(np.int32)
  batch = {
    "phonemes": zero_after(pairs.reshape(BATCH, PHONEMES)),
    "num_phonemes": 2 * counts,
    "span": zero_after(np.repeat(np.arange(SPANS), 2)[None]),
    "num_spans": counts,
  }
  if sups:
    batch["sup_phonemes"] = zero_after(np.repeat(130 + kinds, 2, axis=1))
  else:
    batch["span"] = zero_after(np.arange(PHONEMES)[None])
    batch["num_spans"] = batch["num_phonemes"]
  return batch


def cross_entropies(logits, targets):
  logits = np.asarray(logits, np.float64)
  log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  return -np.take_along_axis(log_probs, targets[..., None], -1)[..., 0]


def loss_of(stage, params, batch, key):
  return stage.players[0].loss_fn(
    params, {}, {}, batch, key, step=0, phase=0, train=False
  )


@pytest.mark.parametrize("sups", [True, False])
def test_loss_is_the_cross_entropy_of_what_is_masked(sups):
  config = make_config(sups)
  config.objective.mask_rate = 0.4
  config.loss.update(phoneme_ce=2.0, sup_phoneme_ce=3.0)
  stage, batch = stages.build(config), make_batch(0, sups)
  params, _ = stage.init_fn(jax.random.key(0), batch, {})
  key = lambda: jax.random.key(1)
  total, (logs, _) = jax.jit(lambda p: loss_of(stage, p, batch, key()))(params)

  encoder = config.model.encoder
  mixed = mixed_phonemes.Mixed(
    batch["phonemes"],
    batch.get("sup_phonemes", np.zeros_like(batch["phonemes"])),
    batch["span"],
  )
  masked = mixed_phonemes.mask_spans(
    mixed,
    batch["num_spans"],
    PHONEMES,
    jax.random.split(key())[0],
    rate=0.4,
    num_symbols=symbols.VOCABULARY_SIZE,
    num_sup_phonemes=encoder.num_sup_phonemes,
  )
  model = phoneme_lm.make_model(config)
  read = lambda p, *args: model.apply({"params": p}, *args, train=False)
  all_spans = np.tile(np.arange(PHONEMES), (BATCH, 1))
  of_phonemes, of_sups = jax.jit(read)(
    params["gen"], masked.mixed, batch["phonemes"] > 0, all_spans
  )
  ces = cross_entropies(of_phonemes, batch["phonemes"])
  asked = [
    (row, n)
    for row in range(BATCH)
    for n in range(batch["num_phonemes"][row])
    if masked.is_asked[row, n]
  ]
  expected = np.mean([ces[place] for place in asked])
  assert 0 < len(asked) < batch["num_phonemes"].sum()
  assert logs["phoneme_ce"] == pytest.approx(expected, rel=1e-5)
  expected_total = 2.0 * expected
  if sups:
    found = []
    for row in range(BATCH):
      for k in range(batch["num_spans"][row]):
        if masked.is_asked_span[row, k]:
          target = batch["sup_phonemes"][row, 2 * k]
          found.append(cross_entropies(of_sups[row, k], np.array(target)))
    assert len(asked) == 2 * len(found)
    assert logs["sup_phoneme_ce"] == pytest.approx(np.mean(found), rel=1e-5)
    expected_total += 3.0 * np.mean(found)
  else:
    assert of_sups is None and "sup_phoneme_ce" not in logs
  assert total == pytest.approx(expected_total, rel=1e-5)


def test_what_is_not_asked_for_is_not_judged():
  """Only logits of what is asked for have a gradient."""
  logits = jax.random.normal(jax.random.key(0), (2, 5, 7))
  targets = jnp.arange(10).reshape(2, 5) % 7
  asked = jnp.zeros((2, 5), bool).at[0, 1].set(True).at[1, 4].set(True)

  def total(logits):
    values, mask = phoneme_lm._told(logits, targets, asked, "x")["x_ce"]
    return jnp.sum(jnp.where(mask, values, 0.0))

  gradient = jnp.abs(jax.grad(total)(logits)).sum(-1)
  np.testing.assert_array_equal(gradient > 0, asked)


@pytest.mark.parametrize("max_spans", [12, 48, 64, 256])
def test_all_that_is_asked_for_is_told(max_spans):
  trainer = stages.build(make_config()).players[0].loss_fn.__self__
  most = trainer._most(max_spans)
  assert scipy.stats.binom.sf(most, max_spans, trainer.mask_rate) < 1e-5
  asked = jax.random.uniform(jax.random.key(0), (500, max_spans)) < 0.15
  spans, is_asked = jax.device_get(phoneme_lm._first(asked, most))
  for row in range(500):
    expected = np.flatnonzero(np.asarray(asked)[row])
    np.testing.assert_array_equal(spans[row][is_asked[row]], expected)


@pytest.mark.parametrize("sups", [True, False])
def test_a_language_of_a_few_words_is_learned(sups):
  stage = stages.build(make_config(sups))
  params, _ = stage.init_fn(jax.random.key(0), make_batch(0, sups), {})
  tx = optax.adam(5e-3)

  @jax.jit
  def step(params, opt_state, batch, key):
    grads = jax.grad(lambda p: loss_of(stage, p, batch, key)[0])(params)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  opt_state = tx.init(params)
  for i in range(150):
    key = jax.random.fold_in(jax.random.key(2), i)
    params, opt_state = step(params, opt_state, make_batch(i, sups), key)
  evaluate = jax.jit(
    lambda batch, key: stage.eval_fn(params, {}, {}, batch, key)
  )
  many = [
    evaluate(make_batch(900 + i, sups), jax.random.key(i)) for i in range(8)
  ]
  mean = lambda name: np.mean([float(found[name].compute()) for found in many])
  # Chance: one of ten phonemes; one of five sup-phonemes.
  assert mean("phoneme_ce") < 0.25 * np.log(2 * KINDS)
  assert mean("phoneme_accuracy") > 0.9
  if sups:
    assert mean("sup_phoneme_ce") < 0.25 * np.log(KINDS)
    assert mean("sup_phoneme_accuracy") > 0.9


@pytest.mark.parametrize("preset", ["", "tiny", "small", "paper"])
def test_presets_can_be_built(preset):
  config = phoneme_lm_config.get_config(preset)
  if preset != "tiny":
    checks.check(config)
  stages.build(config)
  # What it is for: NaturalSpeech of the same preset takes its encoder over.
  assert config.model.dim == ns1_config.get_config(preset).model.dim


def test_mistakes_get_one_clear_line():
  with pytest.raises(UserError, match="'', 'tiny', 'small', 'paper'"):
    phoneme_lm_config.get_config("huge")
  config = make_config()
  config.model.encoder.num_sup_phonemes = 100
  with pytest.raises(UserError, match="num_sup_phonemes=100: give at least"):
    stages.build(config)
