# SPDX-License-Identifier: Apache-2.0
"""Residual vector quantiser whose codebooks follow moving averages.

SoundStream, Algorithm 1, with the update rules of VQ-VAE (arXiv 1711.00937).
Pure functions over a `Codebook`; nothing here is learned by gradient. Arrays
may be sharded over the batch: every sum is a global one.
"""

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array, check_shapes

PARTITION_RULES = ((r"codebook/(embeddings|counts|sums)$", PartitionSpec()),)

_LAPLACE = 1e-5  # smooths counts so that an unused code stays finite


@flax.struct.dataclass
class Codebook:
  """Q stages of K code vectors and their moving averages."""

  embeddings: Array  # [Q, K, D] float32
  counts: Array  # [Q, K] float32, moving average of hits per batch
  sums: Array  # [Q, K, D] float32, moving average of summed residuals


@flax.struct.dataclass
class Quantized:
  """What `quantize` finds."""

  latents: Array  # [B, T, D] float32; gradient to the input is the identity
  codes: Array  # [B, T, Q] int32; stages beyond num_stages carry no latents
  errors: Array  # [B, T, Q] float32, squared residual per dimension of a stage


def quantize(
  codebook: Codebook, h: Array, num_stages: Array | None = None
) -> Quantized:
  """Quantises latents stage by stage.

  The gradient of `latents` to `h` is the identity; that of stage j's error is
  2 (r_j - q_j) / D whatever the number of stages.

  Args:
    codebook: Q stages.
    h: [B, T, D] float32, the encoder's output.
    num_stages: [B] int32, stages to use (quantiser dropout); None: all.

  Returns:
    Latents, codes and errors; errors of unused stages are 0.
  """
  check_shapes(h, "B T D", codebook.embeddings, "Q K D")
  num_stages = _all_stages(codebook, h) if num_stages is None else num_stages

  def stage(total: Array, inputs: tuple[Array, Array]):
    index, embeddings = inputs
    residual = h - total
    codes = nearest(jax.lax.stop_gradient(residual), embeddings)
    vectors = jax.lax.stop_gradient(embeddings)[codes]
    used = (index < num_stages)[:, None, None]
    errors = jnp.mean((residual - vectors) ** 2 * used, axis=-1)
    return total + vectors * used, (codes, errors)

  indices = jnp.arange(codebook.embeddings.shape[0])
  # Without a loop the compiler sees that both players of a step do the same.
  total, (codes, errors) = jax.lax.scan(
    stage, jnp.zeros_like(h), (indices, codebook.embeddings), unroll=True
  )
  return Quantized(
    latents=h + jax.lax.stop_gradient(total - h),
    codes=jnp.moveaxis(codes, 0, -1),
    errors=jnp.moveaxis(errors, 0, -1),
  )


def decode_codes(
  embeddings: Array, codes: Array, num_stages: Array | None = None
) -> Array:
  """Sums code vectors.

  Args:
    embeddings: [Q, K, D] float32, of a `Codebook`.
    codes: [B, T, Q] integers below K.
    num_stages: [B] int32, stages to sum; None: all.

  Returns:
    [B, T, D] float32, what `quantize` gave for these codes.
  """

  def stage(total: Array, inputs: tuple[Array, Array, Array]):
    index, vectors, stage_codes = inputs
    picked = vectors[stage_codes]
    if num_stages is not None:
      picked = picked * (index < num_stages)[:, None, None]
    return total + picked, None

  size = embeddings.shape[0]
  zeros = jnp.zeros((*codes.shape[:-1], embeddings.shape[-1]), jnp.float32)
  stages = (jnp.arange(size), embeddings, jnp.moveaxis(codes, -1, 0))
  return jax.lax.scan(stage, zeros, stages)[0]


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

  Returns:
    The next codebook.
  """
  h = jax.lax.stop_gradient(h)
  dim = h.shape[-1]

  def stage(residual: Array, inputs: tuple[Array, Codebook, Array, Array]):
    index, old, stage_codes, stage_key = inputs
    used = (index < num_stages)[:, None]
    weights = (frame_mask & used).reshape(-1)
    frames = residual.reshape(-1, dim)
    hits, sums = _statistics(
      frames, stage_codes.reshape(-1), weights, old.counts.shape[0]
    )
    new = _follow(old, hits, sums, decay)
    new = _revive(new, frames, weights, stage_key, dead_threshold)
    residual = residual - old.embeddings[stage_codes] * used[..., None]
    return residual, new

  size = codebook.embeddings.shape[0]
  stages = (
    jnp.arange(size),
    codebook,
    jnp.moveaxis(codes, -1, 0),
    jax.random.split(key, size),
  )
  return jax.lax.scan(stage, h, stages)[1]


def kmeans_codebook(
  h: Array,
  frame_mask: Array,
  key: Array,
  *,
  num_stages: int,
  codebook_size: int,
  iterations: int = 50,
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

  Returns:
    A codebook whose moving averages match its embeddings.
  """
  frames = h.reshape(-1, h.shape[-1])
  weights = frame_mask.reshape(-1)

  def stage(residual: Array, stage_key: Array):
    start = _random_frames(residual, weights, codebook_size, stage_key)

    def lloyd(_: int, centres: Array) -> Array:
      codes = nearest(residual, centres)
      hits, sums = _statistics(residual, codes, weights, codebook_size)
      means = sums / jnp.maximum(hits, 1.0)[:, None]
      return jnp.where((hits > 0)[:, None], means, centres)

    centres = jax.lax.fori_loop(0, iterations, lloyd, start)
    codes = nearest(residual, centres)
    hits, _ = _statistics(residual, codes, weights, codebook_size)
    counts = jnp.maximum(hits, 1.0)
    fitted = Codebook(centres, counts, centres * counts[:, None])
    return residual - centres[codes], fitted

  return jax.lax.scan(stage, frames, jax.random.split(key, num_stages))[1]


def perplexity(codes: Array, frame_mask: Array, codebook_size: int) -> Array:
  """How many codes of each stage a batch uses, as exp of their entropy.

  Args:
    codes: [B, T, Q] int32.
    frame_mask: [B, T] bool, True for real frames.
    codebook_size: K.

  Returns:
    [Q] float32, between 1 and K.
  """
  stages = jnp.arange(codes.shape[-1])
  hits = jnp.zeros((stages.size, codebook_size))
  hits = hits.at[stages[None, None, :], codes].add(
    frame_mask[..., None].astype(hits.dtype)
  )
  shares = hits / jnp.maximum(hits.sum(-1, keepdims=True), 1.0)
  return jnp.exp(-jnp.sum(jax.scipy.special.xlogy(shares, shares), axis=-1))


def nearest(x: Array, embeddings: Array) -> Array:
  """Index of the closest code vector: x [..., D], embeddings [K, D] -> [...].

  In full precision: TF32 or bfloat16 products would flip close decisions.
  """
  products = jnp.matmul(x, embeddings.T, precision=jax.lax.Precision.HIGHEST)
  norms = jnp.sum(embeddings**2, axis=-1)
  norms = norms.reshape((1,) * (x.ndim - 1) + (-1,))
  distances = norms - 2.0 * products
  # Two plain reductions: together they take half the time of argmin on CPU.
  least = distances.min(axis=-1, keepdims=True)
  size = embeddings.shape[0]
  indices = jnp.arange(size).reshape((1,) * (x.ndim - 1) + (-1,))
  candidates = jnp.where(distances <= least, indices, size)
  # A distance that is not a number is no candidate; nor is it an index.
  return jnp.minimum(candidates.min(axis=-1), size - 1).astype(jnp.int32)


def _all_stages(codebook: Codebook, h: Array) -> Array:
  return jnp.full(h.shape[:1], codebook.embeddings.shape[0], jnp.int32)


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
