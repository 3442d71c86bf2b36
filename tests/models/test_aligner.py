# SPDX-License-Identifier: Apache-2.0
"""The aligner's prior, padding and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from ns_jax.models import aligner
from ns_jax.text import symbols

B, T, N, M = 2, 12, 5, 8
MODEL = aligner.Aligner(dim=6, space_dim=4, temperature=0.1)


def _mel(seed=0):
  return jax.random.normal(jax.random.key(seed), (B, T, M))


def test_prior_is_the_beta_binomial():
  told = jnp.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
  got = aligner.diagonal_log_prior(jnp.array([12, 7]), told, T)
  for row, (frames, phonemes) in enumerate([(12, 5), (7, 3)]):
    t = np.arange(frames)[:, None]
    want = scipy.stats.betabinom.logpmf(
      np.arange(phonemes)[None, :], phonemes - 1, t + 1, frames - t
    )
    np.testing.assert_allclose(
      got[row, :frames, :phonemes], want, rtol=1e-4, atol=1e-4
    )


def test_offered_pauses_leave_the_prior_of_the_others_alone():
  frames = jnp.array([12])
  plain = aligner.diagonal_log_prior(frames, jnp.ones((1, 3), bool), T)
  told = jnp.array([[True, False, True, False, True]])
  between = aligner.diagonal_log_prior(frames, told, T)
  np.testing.assert_allclose(between[..., ::2], plain, rtol=1e-6)
  scores = aligner.with_diagonal_prior(jnp.zeros((1, T, 5)), frames, told)
  assert (scores[..., 1::2] < -1e8).all()


def test_padding_is_not_heard():
  frame_mask = jnp.arange(T)[None] < jnp.array([[12], [7]])
  mel = _mel()
  params = MODEL.init(jax.random.key(0), mel, frame_mask)
  logits = MODEL.apply(params, mel, frame_mask)
  padded = jnp.where(frame_mask[..., None], mel, 99.0)
  other = MODEL.apply(params, padded, frame_mask)
  np.testing.assert_allclose(other[1, :7], logits[1, :7], rtol=1e-5)
  grads = jax.grad(
    lambda p: (MODEL.apply(p, mel, frame_mask) * frame_mask[..., None]).sum()
  )(params)
  for leaf in jax.tree.leaves(grads):
    assert np.isfinite(leaf).all() and leaf.any()


def test_distances_are_squared_and_negative():
  args = _mel(1), jnp.ones((B, T), bool)
  params = MODEL.init(jax.random.key(2), *args)
  logits, state = MODEL.apply(
    params, *args, capture_intermediates=True, mutable="intermediates"
  )
  seen = state["intermediates"]
  (keys,), (queries,) = (
    seen[name]["__call__"] for name in ("keys_1", "queries_2")
  )
  gaps = np.asarray(queries)[:, :, None] - np.asarray(keys)[:, None]
  np.testing.assert_allclose(
    logits, -0.1 * (gaps**2).sum(-1), rtol=1e-4, atol=1e-5
  )


def test_phonemes_of_a_text_compete_with_each_other_only():
  logits = jax.random.normal(jax.random.key(3), (1, T, symbols.VOCABULARY_SIZE))
  phonemes = jnp.array([[1, 9, 1, 20, 0]])  # the third is an offered pause
  told = jnp.array([[True, True, False, True, False]])
  got = aligner.of_phonemes(logits, phonemes, told)
  np.testing.assert_allclose(
    jnp.exp(got[..., jnp.array([0, 1, 3])]).sum(-1), 1.0, rtol=1e-5
  )
  np.testing.assert_allclose(got[..., 2], got[..., 0], rtol=1e-6)
  assert (got[..., 4] < -1e8).all()
