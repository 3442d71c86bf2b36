# SPDX-License-Identifier: Apache-2.0
"""The aligner's prior, padding and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from ns_jax.models import aligner

B, T, N, M = 2, 12, 5, 8
MODEL = aligner.Aligner(num_symbols=9, dim=6, space_dim=4, temperature=0.1)


def test_prior_is_the_beta_binomial():
  got = aligner.diagonal_log_prior(
    jnp.array([12, 7]), jnp.array([5, 3]), (T, N)
  )
  for row, (frames, phonemes) in enumerate([(12, 5), (7, 3)]):
    t = np.arange(frames)[:, None]
    want = scipy.stats.betabinom.logpmf(
      np.arange(phonemes)[None, :], phonemes - 1, t + 1, frames - t
    )
    np.testing.assert_allclose(
      got[row, :frames, :phonemes], want, rtol=1e-4, atol=1e-4
    )


def apply(params, phonemes, phoneme_mask, mel, frame_mask):
  return MODEL.apply(params, phonemes, phoneme_mask, mel, frame_mask)


def test_padding_is_not_heard():
  rng = np.random.default_rng(0)
  phonemes = jnp.asarray(rng.integers(1, 9, (B, N)))
  mel = jnp.asarray(rng.normal(size=(B, T, M)), jnp.float32)
  phoneme_mask = jnp.arange(N)[None] < jnp.array([[5], [3]])
  frame_mask = jnp.arange(T)[None] < jnp.array([[12], [7]])
  args = (phonemes, phoneme_mask, mel, frame_mask)
  params = MODEL.init(jax.random.key(0), *args)
  logits = apply(params, *args)
  assert (logits[1, :, 3:] < -1e8).all()
  other = apply(
    params,
    jnp.where(phoneme_mask, phonemes, 8),
    phoneme_mask,
    jnp.where(frame_mask[..., None], mel, 99.0),
    frame_mask,
  )
  np.testing.assert_allclose(other[1, :7, :3], logits[1, :7, :3], rtol=1e-5)
  grads = jax.grad(
    lambda p: jnp.where(phoneme_mask[:, None], apply(p, *args), 0.0).sum()
  )(params)
  for leaf in jax.tree.leaves(grads):
    assert np.isfinite(leaf).all() and leaf.any()


def test_distances_are_squared_and_negative():
  phonemes = jnp.array([[1, 2, 3, 4, 5]])
  mel = jax.random.normal(jax.random.key(1), (1, T, M))
  args = (phonemes, jnp.ones((1, N), bool), mel, jnp.ones((1, T), bool))
  params = MODEL.init(jax.random.key(2), *args)
  logits, state = MODEL.apply(
    params, *args, capture_intermediates=True, mutable="intermediates"
  )
  seen = state["intermediates"]
  (keys,), (queries,) = (
    seen[name]["__call__"] for name in ("keys_1", "queries_2")
  )
  gaps = np.asarray(queries)[0][:, None] - np.asarray(keys)[0][None]
  np.testing.assert_allclose(
    logits[0], -0.1 * (gaps**2).sum(-1), rtol=1e-4, atol=1e-5
  )
