# SPDX-License-Identifier: Apache-2.0
"""Mixed phonemes: sizes, spans, and what masking hides (T-C11)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import mixed_phonemes as mp

SYMBOLS, SUPS = 20, 50
OPTIONS = dict(
  dim=8,
  num_layers=1,
  num_heads=2,
  filter_size=12,
  kernel_size=3,
  dropout_rate=0.0,
  relative_window=2,
  embedding_std=1.0,
)


def utterances(count=3, spans=6, seed=0):
  """Random ones, of spans of one to three phonemes; and their span counts."""
  rng = np.random.default_rng(seed)
  size = 3 * spans
  phonemes, sups, span = np.zeros((3, count, size), np.int32)
  counts = rng.integers(2, spans + 1, count).astype(np.int32)
  for i, num in enumerate(counts):
    lengths = rng.integers(1, 4, num)
    total = lengths.sum()
    phonemes[i, :total] = rng.integers(1, SYMBOLS, total)
    sups[i, :total] = np.repeat(rng.integers(0, SUPS, num), lengths)
    span[i, :total] = np.repeat(np.arange(num), lengths)
    span[i, total:] = spans - 1
  return mp.Mixed(*map(jnp.asarray, (phonemes, sups, span))), jnp.asarray(
    counts
  )


def masked(mixed, counts, seed, spans):
  mask = functools.partial(
    mp.mask_spans, rate=0.15, num_symbols=SYMBOLS, num_sup_phonemes=SUPS
  )
  return jax.jit(mask, static_argnums=2)(
    mixed, counts, spans, jax.random.key(seed)
  )


@pytest.fixture(scope="module")
def many():
  """Ten thousand utterances, as they are and masked."""
  mixed, counts = utterances(10_000, 12)
  return mixed, counts, masked(mixed, counts, 0, 12)


def test_a_masked_sup_phoneme_masks_all_its_phonemes(many):
  mixed, _, found = many
  asked, spans = np.asarray(found.is_asked), np.asarray(mixed.span)
  real = np.asarray(mixed.phonemes) > 0
  by_span = np.take_along_axis(np.asarray(found.is_asked_span), spans, axis=1)
  np.testing.assert_array_equal(asked, by_span & real)
  hidden = np.asarray(found.mixed.phonemes) == SYMBOLS
  np.testing.assert_array_equal(
    hidden, np.asarray(found.mixed.sup_phonemes) == SUPS
  )
  for row in range(50):
    for k in range(12):
      own = hidden[row][(spans[row] == k) & real[row]]
      assert own.size == 0 or own.all() or not own.any()


def test_fifteen_of_a_hundred_are_asked_for(many):
  mixed, counts, found = many
  share = found.is_asked_span.sum() / counts.sum()
  assert share == pytest.approx(0.15, abs=0.01)
  asked = np.asarray(found.is_asked)
  hidden = (np.asarray(found.mixed.phonemes) == SYMBOLS)[asked].mean()
  assert hidden == pytest.approx(0.8, abs=0.02)
  kept = (found.mixed.sup_phonemes == mixed.sup_phonemes)[asked].mean()
  assert kept == pytest.approx(0.1 + 0.1 / SUPS, abs=0.02)
  same = (found.mixed.phonemes == mixed.phonemes)[asked].mean()
  assert same == pytest.approx(0.1 + 0.1 / (SYMBOLS - 1), abs=0.02)
  others = asked & (found.mixed.phonemes != mixed.phonemes)
  others = np.asarray(found.mixed.phonemes)[others]
  assert set(others) == set(range(1, SYMBOLS + 1))  # the last one: hidden
  np.testing.assert_array_equal(
    found.mixed.phonemes[~asked], mixed.phonemes[~asked]
  )
  np.testing.assert_array_equal(
    found.mixed.sup_phonemes[~asked], mixed.sup_phonemes[~asked]
  )


def test_spans_are_averaged():
  hidden = jnp.arange(10.0).reshape(1, 5, 2)
  span = jnp.array([[0, 0, 1, 2, 2]])
  mask = jnp.array([[True, True, True, True, False]])
  means = mp.mean_of_spans(hidden, span, mask, jnp.array([[0, 1, 2, 3]]))
  np.testing.assert_allclose(means[0], [[1, 2], [4, 5], [6, 7], [0, 0]])


@pytest.mark.parametrize("sups", [SUPS, 0])
def test_logits_are_of_phonemes_and_spans(sups):
  encoder = mp.MixedEncoder(SYMBOLS, sups, **OPTIONS)
  model = mp.MaskedLm(encoder)
  mixed, _ = utterances()
  spans = jnp.tile(jnp.arange(6), (3, 1))
  args = mixed, mixed.phonemes > 0, spans
  (phonemes, spans), params = model.init_with_output(
    jax.random.key(0), *args, train=False
  )
  assert phonemes.shape == (3, 18, SYMBOLS)
  assert spans is None if sups == 0 else spans.shape == (3, 6, SUPS)
  assert ("sup_embedding" in params["params"]["encoder"]) == bool(sups)


def test_a_sup_phoneme_is_heard_at_all_its_phonemes():
  encoder = mp.MixedEncoder(SYMBOLS, SUPS, **OPTIONS)
  mixed, _ = utterances()
  mask = mixed.phonemes > 0
  params = encoder.init(jax.random.key(0), mixed, mask, train=False)
  table = params["params"]["sup_embedding"]["embedding"]
  grow = lambda table: encoder.apply(
    {"params": {**params["params"], "sup_embedding": {"embedding": table}}},
    mixed,
    mask,
    train=False,
  )
  gradient = jax.grad(lambda table: (grow(table) ** 2).sum())(table)
  used = np.unique(np.asarray(mixed.sup_phonemes)[np.asarray(mask)])
  assert (np.abs(gradient[used]).sum(-1) > 0).all()


def test_the_size_of_the_paper():
  encoder = mp.MixedEncoder(
    182,
    30_088,
    dim=192,
    num_layers=6,
    num_heads=2,
    filter_size=768,
    kernel_size=3,
    dropout_rate=0.1,
    relative_window=4,
    embedding_std=1.0,
  )
  mixed = mp.Mixed(*jnp.zeros((3, 1, 4), jnp.int32))
  shapes = jax.eval_shape(
    functools.partial(encoder.init, train=False),
    jax.random.key(0),
    mixed,
    jnp.ones((1, 4), bool),
  )["params"]
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  sups = count(shapes.pop("sup_embedding"))
  assert sups == pytest.approx(5_780_000, rel=1e-3)
  assert count(shapes) == pytest.approx(6_253_000, rel=1e-3)
