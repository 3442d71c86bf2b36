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
