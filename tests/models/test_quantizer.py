# SPDX-License-Identifier: Apache-2.0
"""Residual quantiser against loops and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from ns_jax import sharding
from ns_jax.models import codebooks, quantizer

B, T, D, Q, K = 3, 8, 4, 3, 16
ALL = dict(decay=0.99, dead_threshold=0.0)

quantize = jax.jit(quantizer.quantize)
update = jax.jit(codebooks.update, static_argnames=("decay", "dead_threshold"))
kmeans_codebook = jax.jit(
  codebooks.kmeans,
  static_argnames=("num_stages", "codebook_size", "iterations"),
)


def _codebook(seed=1):
  embeddings = jax.random.normal(jax.random.key(seed), (Q, K, D))
  embeddings = embeddings / 2.0 ** jnp.arange(Q)[:, None, None]
  return quantizer.Codebook(embeddings, jnp.ones((Q, K)), embeddings)


def _latents(*shape):
  return jax.random.normal(jax.random.key(0), shape or (B, T, D))


def _everything(batch=B, frames=T):
  return dict(
    num_stages=jnp.full(batch, Q), frame_mask=jnp.ones((batch, frames), bool)
  )


def test_quantize_equals_a_loop_and_decode_inverts_it():
  codebook, h = _codebook(), _latents()
  quantized = quantize(codebook, h)
  codes = np.zeros((B, T, Q), int)
  latents = np.zeros((B, T, D))
  for b in range(B):
    for t in range(T):
      residual = np.asarray(h[b, t], np.float64)
      for j in range(Q):
        stage = np.asarray(codebook.embeddings[j])
        codes[b, t, j] = ((residual - stage) ** 2).sum(-1).argmin()
        residual = residual - stage[codes[b, t, j]]
        latents[b, t] += stage[codes[b, t, j]]
        np.testing.assert_allclose(
          quantized.errors[b, t, j], (residual**2).mean(), atol=1e-5
        )
  np.testing.assert_array_equal(quantized.codes, codes)
  np.testing.assert_allclose(quantized.latents, latents, atol=1e-6)
  np.testing.assert_allclose(
    quantizer.decode_codes(codebook.embeddings, quantized.codes),
    quantized.latents,
    atol=1e-6,
  )


def test_straight_through_is_the_identity_and_commitment_is_closed_form():
  with jax.enable_x64(True):
    h = jnp.asarray(np.random.default_rng(0).normal(size=(1, 5, D)))
    codebook = jax.tree.map(lambda x: x.astype(jnp.float64), _codebook())
    jacobian = jax.jacobian(lambda x: quantize(codebook, x).latents)
    identity = np.eye(h.size).reshape(*h.shape, *h.shape)
    np.testing.assert_array_equal(jacobian(h), identity)

    codes = quantize(codebook, h).codes
    residual = h
    for j in range(Q):
      residual = residual - codebook.embeddings[j][codes[..., j]]
      gradient = jax.grad(
        lambda x, j=j: quantize(codebook, x).errors[..., j].sum()
      )(h)
      np.testing.assert_allclose(gradient, 2 * residual / D, atol=1e-12)


def test_dropped_stages_carry_nothing():
  codebook, h = _codebook(), _latents()
  num_stages = jnp.array([1, 2, 3])
  quantized = quantize(codebook, h, num_stages)
  full = quantize(codebook, h)
  two = sum(codebook.embeddings[j][full.codes[1, :, j]] for j in range(2))
  np.testing.assert_allclose(quantized.latents[1], two, atol=1e-6)
  np.testing.assert_allclose(
    quantizer.decode_codes(codebook.embeddings, full.codes, num_stages),
    quantized.latents,
    atol=1e-6,
  )
  assert float(jnp.abs(quantized.errors[0, :, 1:]).max()) == 0.0
  assert float(jnp.abs(quantized.errors[1, :, 2]).max()) == 0.0
  assert float(quantized.errors[2].min()) > 0.0


def test_narrow_stages_equal_a_loop_and_their_vectors_decode():
  codebook, h = _codebook(), _latents(B, T, 6)
  maps = quantizer.Projections(
    down=jax.random.normal(jax.random.key(4), (Q, 6, D)),
    up=jax.random.normal(jax.random.key(5), (Q, D, 6)),
  )
  quantized = quantize(codebook, h, projections=maps)
  residual = np.asarray(h)
  for j in range(Q):
    narrow = _unit(residual @ np.asarray(maps.down[j]))
    codes = (narrow @ _unit(np.asarray(codebook.embeddings[j])).T).argmax(-1)
    np.testing.assert_array_equal(quantized.codes[..., j], codes)
    vectors = np.asarray(codebook.embeddings[j])[codes]
    residual = residual - vectors @ np.asarray(maps.up[j])
  np.testing.assert_allclose(quantized.latents, h - residual, atol=1e-4)
  vectors = quantizer.code_vectors(codebook.embeddings, maps)
  np.testing.assert_allclose(
    quantizer.decode_codes(vectors, quantized.codes),
    quantized.latents,
    atol=1e-4,
  )


def _unit(x):
  return x / np.linalg.norm(x, axis=-1, keepdims=True)


def test_slices_see_all_of_the_latents_and_pass_gradients_on():
  maps = quantizer.slice_projections(Q * D, Q, D)
  h = _latents(B, T, Q * D)
  whole = sum(h @ maps.down[j] @ maps.up[j] for j in range(Q))
  np.testing.assert_allclose(whole, h, atol=1e-6)
  gradient = jax.grad(
    lambda x: quantize(_codebook(), x, projections=maps).latents.sum()
  )(h)
  np.testing.assert_allclose(gradient, np.ones(h.shape), atol=1e-5)


def test_narrow_codebooks_are_fitted_and_followed_in_their_space():
  maps = quantizer.slice_projections(Q * D, Q, D)
  h = _latents(B, 40, Q * D)
  everything = _everything(B, 40)
  fitted = kmeans_codebook(
    h,
    everything["frame_mask"],
    jax.random.key(2),
    num_stages=Q,
    codebook_size=K,
    projections=maps,
  )
  assert fitted.embeddings.shape == (Q, K, D)
  quantized = quantize(fitted, h, projections=maps)
  # Lloyd's iterations have converged: centres are the means of their frames.
  for j in range(Q):
    narrow = np.asarray(h[..., j * D : (j + 1) * D])
    for code in range(K):
      own = narrow[np.asarray(quantized.codes[..., j]) == code]
      np.testing.assert_allclose(
        fitted.embeddings[j, code], own.mean(0), atol=1e-5
      )
  followed = update(
    fitted,
    h,
    quantized.codes,
    jax.random.key(3),
    **everything,
    **ALL,
    projections=maps,
  )
  for j in range(Q):
    codes = np.asarray(quantized.codes[..., j])
    hits = np.bincount(codes.reshape(-1), minlength=K)
    np.testing.assert_allclose(
      followed.counts[j],
      0.99 * np.asarray(fitted.counts[j]) + 0.01 * hits,
      rtol=1e-4,
    )
    chosen = h[..., j * D : (j + 1) * D][codes == 0].sum(0)
    np.testing.assert_allclose(
      followed.sums[j, 0],
      0.99 * np.asarray(fitted.sums[j, 0]) + 0.01 * chosen,
      atol=1e-4,
    )


def test_dropped_stages_and_padding_leave_the_averages_alone():
  codebook, h = _codebook(), _latents()
  codes = quantize(codebook, h).codes
  options = dict(
    num_stages=jnp.array([0, 2, 3]),
    frame_mask=jnp.ones((B, T), bool).at[1, 5:].set(False),
  )
  key = jax.random.key(3)
  new = update(codebook, h, codes, key, **options, **ALL)
  hits = 100.0 * (new.counts - 0.99 * codebook.counts)
  np.testing.assert_allclose(hits.sum(-1), [13, 13, 8], atol=1e-2)
  for j, rows in ((0, [(1, 5), (2, T)]), (2, [(2, T)])):
    expected = np.zeros(K)
    for row, length in rows:
      np.add.at(expected, np.asarray(codes[row, :length, j]), 1)
    np.testing.assert_allclose(hits[j], expected, atol=1e-3)


def test_counts_follow_the_closed_form():
  embeddings = jnp.array([[[0.0], [10.0], [20.0]]])
  counts = jnp.full((1, 3), 5.0)
  codebook = quantizer.Codebook(embeddings, counts, embeddings * 5.0)
  h = jnp.concatenate([jnp.full(2, 1.0), jnp.full(7, 22.0)])[None, :, None]
  codes = jnp.array([0] * 2 + [2] * 7)[None, :, None]
  new = update(
    codebook,
    h,
    codes,
    jax.random.key(0),
    num_stages=jnp.array([1]),
    frame_mask=jnp.ones((1, 9), bool),
    **ALL,
  )
  np.testing.assert_allclose(new.counts[0], [4.97, 4.95, 5.02], atol=1e-5)
  expected = [0.02 / 4.97, 10.0, (0.99 * 100 + 0.01 * 154) / 5.02]
  np.testing.assert_allclose(new.embeddings[0, :, 0], expected, rtol=1e-4)


def test_without_memory_codes_become_cluster_means():
  codebook, h = _codebook(), _latents(1, 64, D)
  codes = quantize(codebook, h).codes
  new = update(
    codebook,
    h,
    codes,
    jax.random.key(0),
    **_everything(1, 64),
    decay=0.0,
    dead_threshold=0.0,
  )
  for code in np.unique(codes[..., 0]):
    members = np.asarray(h)[np.asarray(codes[..., 0]) == code]
    np.testing.assert_allclose(
      new.embeddings[0, code], members.mean(0), atol=2e-3
    )


def test_a_revived_code_survives_the_next_update():
  codebook, h = _codebook(), _latents(1, 512, D)
  # Far away, so that no frame ever chooses it.
  codebook = codebook.replace(
    embeddings=codebook.embeddings.at[0, 0].set(1e3),
    counts=jnp.full((Q, K), 20.0).at[0, 0].set(0.5),
    sums=codebook.embeddings.at[0, 0].set(1e3) * 20.0,
  )
  options = dict(**_everything(1, 512), decay=0.99, dead_threshold=2.0)
  codes = quantize(codebook, h).codes
  first = update(codebook, h, codes, jax.random.key(1), **options)
  revived = first.embeddings[0, 0]
  assert float(jnp.abs(h[0] - revived[None, :]).sum(-1).min()) < 1e-6
  assert float(first.counts[0, 0]) > 2.0
  elsewhere = codes.at[..., 0].set(jnp.maximum(codes[..., 0], 1))
  second = update(first, h, elsewhere, jax.random.key(2), **options)
  np.testing.assert_allclose(second.embeddings[0, 0], revived, atol=1e-3)
  assert float(second.counts[0, 0]) > 2.0


def test_kmeans_stages_remove_their_share_of_energy():
  h = jax.random.normal(jax.random.key(0), (1, 2048, 8))
  codebook = kmeans_codebook(
    h,
    jnp.ones((1, 2048), bool),
    jax.random.key(1),
    num_stages=6,
    codebook_size=64,
  )
  errors = quantize(codebook, h).errors.mean((0, 1))
  energies = np.concatenate([[float((h**2).mean())], errors])
  ratios = energies[1:] / energies[:-1]
  assert ((ratios > 0.35) & (ratios < 0.45)).all(), ratios
  assert energies[-1] < 0.006


def test_kmeans_with_fewer_frames_than_codes_ignores_padding():
  h = _latents(1, 6, D).at[0, 4:].set(jnp.nan)
  mask = jnp.ones((1, 6), bool).at[0, 4:].set(False)
  codebook = kmeans_codebook(
    jnp.where(mask[..., None], h, 1e3),
    mask,
    jax.random.key(1),
    num_stages=2,
    codebook_size=16,
  )
  real = h[:, :4]
  quantized = quantize(codebook, real)
  np.testing.assert_allclose(quantized.latents, real, atol=1e-5)
  np.testing.assert_allclose(
    codebook.sums,
    codebook.embeddings * codebook.counts[..., None],
    atol=1e-6,
  )


def test_eight_devices_equal_one():
  h = _latents(8, 16, D)
  mask = jnp.ones((8, 16), bool).at[3, 9:].set(False)

  def fit_and_update(h, mask):
    key = jax.random.key(5)
    codebook = codebooks.kmeans(
      h, mask, key, num_stages=Q, codebook_size=8, iterations=5
    )
    return codebooks.update(
      codebook,
      h,
      quantizer.quantize(codebook, h).codes,
      jax.random.fold_in(key, 1),
      num_stages=jnp.full(8, Q),
      frame_mask=mask,
      decay=0.9,
      dead_threshold=5.0,
    )

  mesh = sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1})
  split = NamedSharding(mesh, PartitionSpec(sharding.BATCH_AXES))
  one = jax.jit(fit_and_update)(h, mask)
  many = jax.jit(fit_and_update)(*jax.device_put((h, mask), split))
  assert len(many.counts.sharding.device_set) == 8
  for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(many), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_perplexity_counts_real_frames():
  codes = jnp.array([[[0], [1], [2], [3]], [[0], [0], [0], [7]]])
  mask = jnp.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool)
  assert float(quantizer.perplexity(codes, mask, 8)[0]) == pytest.approx(4.0)
  mask = jnp.array([[1, 0, 0, 0], [1, 1, 1, 0]], bool)
  assert float(quantizer.perplexity(codes, mask, 8)[0]) == pytest.approx(1.0)
