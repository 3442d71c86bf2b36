# SPDX-License-Identifier: Apache-2.0
"""Attention against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special

from ns_jax.nn import attention

LAYER = attention.MultiHeadAttention(num_heads=2)


def _inputs(width=8, context_width=6):
  keys = jax.random.split(jax.random.key(0))
  queries = jax.random.normal(keys[0], (2, 5, width))
  context = jax.random.normal(keys[1], (2, 7, context_width))
  mask = jnp.arange(7)[None, :] < jnp.array([7, 4])[:, None]
  params = LAYER.init(jax.random.key(1), queries, context, mask)
  return params, queries, context, mask


def test_attention_is_the_softmax_of_scaled_products():
  params, queries, context, mask = _inputs()
  p = jax.tree.map(np.asarray, params["params"])
  q, k, v = (
    np.einsum("btd,dhk->bthk", x, p[name]["kernel"]) + p[name]["bias"]
    for name, x in (("query", queries), ("key", context), ("value", context))
  )
  logits = np.einsum("bthk,bshk->bhts", q, k) / np.sqrt(4)
  logits = np.where(mask[:, None, None, :], logits, -np.inf)
  heard = np.einsum("bhts,bshk->bthk", scipy.special.softmax(logits, -1), v)
  want = np.einsum("bthk,hkd->btd", heard, p["out"]["kernel"])
  want = want + p["out"]["bias"]
  got = LAYER.apply(params, queries, context, mask)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_masked_context_is_not_heard():
  params, queries, context, mask = _inputs()
  noisy = jnp.where(mask[..., None], context, 1e3)
  np.testing.assert_allclose(
    LAYER.apply(params, queries, context, mask),
    LAYER.apply(params, queries, noisy, mask),
    atol=1e-5,
  )


def test_bfloat16_computes_with_float32_parameters():
  layer = attention.MultiHeadAttention(num_heads=2, dtype=jnp.bfloat16)
  _, queries, context, mask = _inputs()
  y, params = layer.init_with_output(jax.random.key(1), queries, context, mask)
  assert y.dtype == jnp.bfloat16
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(params))


RELATIVE = attention.RelativeAttention(num_heads=2, window=2)


def _relative_inputs():
  x = jax.random.normal(jax.random.key(2), (2, 7, 8))
  mask = jnp.arange(7)[None, :] < jnp.array([7, 4])[:, None]
  return RELATIVE.init(jax.random.key(3), x, mask), x, mask


def test_near_distances_have_keys_and_values_of_their_own():
  """Against the sum written out, element by element."""
  params, x, mask = _relative_inputs()
  p = jax.tree.map(np.asarray, params["params"])
  q, k, v = (
    np.einsum("btd,dhk->bthk", x, p[name]["kernel"]) + p[name]["bias"]
    for name in ("query", "key", "value")
  )
  heard = np.zeros_like(q)
  for b, t, h in np.ndindex(2, 7, 2):
    seen = np.flatnonzero(mask[b])
    own_keys, own_values = k[b, seen, h].copy(), v[b, seen, h].copy()
    for row, s in enumerate(seen):
      if abs(s - t) <= 2:
        own_keys[row] += p["near_keys"][s - t + 2]
        own_values[row] += p["near_values"][s - t + 2]
    weights = scipy.special.softmax(own_keys @ q[b, t, h] / 2.0)
    heard[b, t, h] = weights @ own_values
  want = np.einsum("bthk,hkd->btd", heard, p["out"]["kernel"])
  got = RELATIVE.apply(params, x, mask)
  np.testing.assert_allclose(got, want + p["out"]["bias"], atol=1e-5)


def test_padding_is_not_attended_to():
  params, x, mask = _relative_inputs()
  noisy = jnp.where(mask[..., None], x, 1e3)
  got, want = (RELATIVE.apply(params, one, mask) for one in (noisy, x))
  np.testing.assert_allclose(got[1, :4], want[1, :4], atol=1e-5)
