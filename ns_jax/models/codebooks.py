# SPDX-License-Identifier: Apache-2.0
"""Codebooks that follow moving averages; nothing here is learned by gradient.

The rules are those of VQ-VAE (arXiv 1711.00937) and SoundStream, Sec. III-C.
Arrays may be sharded over the batch: every sum is a global one.
"""

from typing import Any

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array
from ns_jax.models.quantizer import Codebook, Projections, closest

_LAPLACE = 1e-5  # smooths counts so that an unused code stays finite


def update(
  codebook: Codebook,
  h: Array,
  codes: Array,
  key: Array,
  *,
  num_stages: Array,
  frame_mask: Array,
  decay: float,
  dead_threshold: float,
  projections: Projections | None = None,
) -> Codebook:
  """Moves the codebooks towards a batch and revives codes nobody uses.

  A code whose moving count falls below the threshold becomes a random residual
  of the batch, with count and sum to match, so that the next update keeps it.

  Args:
    codebook: before the batch.
    h: [B, T, D] float32, the encoder's output.
    codes: [B, T, Q] int32, from `quantize` with the same codebook.
    key: [] typed key.
    num_stages: [B] int32, stages in use per example.
    frame_mask: [B, T] bool, True for real frames.
    decay: of the moving averages, gamma in the paper.
    dead_threshold: hits per batch below which a code is replaced; must lie
      below the mean, frames / K.
    projections: as for `quantize`.

  Returns:
    The next codebook.
  """
  h, projections = jax.lax.stop_gradient((h, projections))
  dim = codebook.embeddings.shape[-1]

  def stage(residual: Array, inputs: tuple[Any, ...]):
    index, old, stage_codes, stage_key, maps = inputs
    used = (index < num_stages)[:, None]
    weights = (frame_mask & used).reshape(-1)
    x = residual if maps is None else residual @ maps.down
    frames = x.reshape(-1, dim)
    hits, sums = _statistics(
      frames, stage_codes.reshape(-1), weights, old.counts.shape[0]
    )
    new = _follow(old, hits, sums, decay)
    new = _revive(new, frames, weights, stage_key, dead_threshold)
    vectors = old.embeddings[stage_codes]
    vectors = vectors if maps is None else vectors @ maps.up
    return residual - vectors * used[..., None], new

  size = codebook.embeddings.shape[0]
  stages = (
    jnp.arange(size),
    codebook,
    jnp.moveaxis(codes, -1, 0),
    jax.random.split(key, size),
    projections,
  )
  return jax.lax.scan(stage, h, stages)[1]


def kmeans(
  h: Array,
  frame_mask: Array,
  key: Array,
  *,
  num_stages: int,
  codebook_size: int,
  iterations: int = 50,
  projections: Projections | None = None,
) -> Codebook:
  """Fits codebooks to a batch, stage after stage, by Lloyd's iterations.

  Works with fewer frames than codes: spare codes start as copies.

  Args:
    h: [B, T, D] float32, the encoder's output.
    frame_mask: [B, T] bool, True for real frames.
    key: [] typed key.
    num_stages: Q.
    codebook_size: K.
    iterations: Lloyd iterations per stage.
    projections: as for `quantize`.

  Returns:
    A codebook whose moving averages match its embeddings.
  """
  latents = h.reshape(-1, h.shape[-1])
  weights = frame_mask.reshape(-1)

  def stage(latents: Array, inputs: tuple[Array, Projections | None]):
    stage_key, maps = inputs
    residual = latents if maps is None else latents @ maps.down
    start = _random_frames(residual, weights, codebook_size, stage_key)

    def lloyd(_: int, centres: Array) -> Array:
      codes = closest(residual, centres, maps)
      hits, sums = _statistics(residual, codes, weights, codebook_size)
      means = sums / jnp.maximum(hits, 1.0)[:, None]
      return jnp.where((hits > 0)[:, None], means, centres)

    centres = jax.lax.fori_loop(0, iterations, lloyd, start)
    codes = closest(residual, centres, maps)
    hits, _ = _statistics(residual, codes, weights, codebook_size)
    counts = jnp.maximum(hits, 1.0)
    fitted = Codebook(centres, counts, centres * counts[:, None])
    vectors = centres[codes] if maps is None else centres[codes] @ maps.up
    return latents - vectors, fitted

  keys = jax.random.split(key, num_stages)
  return jax.lax.scan(stage, latents, (keys, projections))[1]


def _random_frames(
  frames: Array, weights: Array, count: int, key: Array
) -> Array:
  """`count` real frames [count, D] of [N, D]; repeated if there are fewer."""
  order = jnp.argsort(jax.random.uniform(key, weights.shape) + ~weights)
  num_real = jnp.maximum(weights.sum(), 1)
  return frames[order[jnp.arange(count) % num_real]]


def _statistics(
  frames: Array, codes: Array, weights: Array, size: int
) -> tuple[Array, Array]:
  """Hits [K] and summed frames [K, D] of each code over frames [N, D]."""

  def by_product(frames: Array, codes: Array) -> Array:
    assigned = jax.nn.one_hot(codes, size)
    return jnp.matmul(assigned.T, frames, precision=jax.lax.Precision.HIGHEST)

  def one_by_one(frames: Array, codes: Array) -> Array:
    return jax.ops.segment_sum(frames, codes, size)

  # Frame by frame is twenty times faster on CPU; on GPU its order is random.
  counted = jnp.concatenate([frames, jnp.ones_like(frames[:, :1])], axis=-1)
  counted = counted * weights[:, None]
  sums = jax.lax.platform_dependent(
    counted, codes, cpu=one_by_one, default=by_product
  )
  return sums[:, -1], sums[:, :-1]


def _follow(old: Codebook, hits: Array, sums: Array, decay: float) -> Codebook:
  """Moving averages of one stage and the means they stand for."""
  counts = decay * old.counts + (1.0 - decay) * hits
  sums = decay * old.sums + (1.0 - decay) * sums
  total = counts.sum()
  smooth = (counts + _LAPLACE) / (total + counts.size * _LAPLACE) * total
  return Codebook(sums / jnp.maximum(smooth, 1e-12)[:, None], counts, sums)


def _revive(
  stage: Codebook,
  frames: Array,
  weights: Array,
  key: Array,
  dead_threshold: float,
) -> Codebook:
  """Replaces one stage's unused codes by random real frames."""
  fresh = _random_frames(frames, weights, stage.counts.size, key)
  count = jnp.maximum(dead_threshold, stage.counts.mean())
  dead = (stage.counts < dead_threshold) & weights.any()
  return Codebook(
    embeddings=jnp.where(dead[:, None], fresh, stage.embeddings),
    counts=jnp.where(dead, count, stage.counts),
    sums=jnp.where(dead[:, None], fresh * count, stage.sums),
  )
