# SPDX-License-Identifier: Apache-2.0
"""Residual vector quantiser (SoundStream, Algorithm 1).

Pure functions over a `Codebook`, which `codebooks.py` makes and moves.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from ns_jax.array_types import Array, check_shapes

PARTITION_RULES = ((r"codebook/(embeddings|counts|sums)$", PartitionSpec()),)


@flax.struct.dataclass
class Codebook:
  """Q stages of K code vectors and their moving averages."""

  embeddings: Array  # [Q, K, D] float32
  counts: Array  # [Q, K] float32, moving average of hits per batch
  sums: Array  # [Q, K, D] float32, moving average of summed residuals


@flax.struct.dataclass
class Projections:
  """Maps of each stage to a narrow space and back (DAC, arXiv 2306.06546)."""

  down: Array  # [Q, D, d] float32
  up: Array  # [Q, d, D] float32


@flax.struct.dataclass
class Quantized:
  """What `quantize` finds."""

  latents: Array  # [B, T, D] float32; gradient to the input is the identity
  codes: Array  # [B, T, Q] int32; stages beyond num_stages carry no latents
  errors: Array  # [B, T, Q] float32, squared residual per dimension of a stage


def quantize(
  codebook: Codebook,
  h: Array,
  num_stages: Array | None = None,
  projections: Projections | None = None,
) -> Quantized:
  """Quantises latents stage by stage.

  The gradient of `latents` to `h` is the identity; that of stage j's error is
  2 (r_j - q_j) / D whatever the number of stages. With projections, stage j
  sees the residual's projection, compares directions alone (DAC's L2-normalised
  codes), and gradients pass through both of its maps, as if its vector were
  what it stands for.

  Args:
    codebook: Q stages; of the projections' width where there are some.
    h: [B, T, D] float32, the encoder's output.
    num_stages: [B] int32, stages to use (quantiser dropout); None: all.
    projections: maps of each stage to a narrow space and back.

  Returns:
    Latents, codes and errors; errors of unused stages are 0.
  """
  check_shapes(h, "B T _", codebook.embeddings, "Q K _")
  num_stages = _all_stages(codebook, h) if num_stages is None else num_stages

  def stage(total: Array, inputs: tuple[Array, Array, Projections | None]):
    index, embeddings, maps = inputs
    residual = h - total
    x = residual if maps is None else residual @ maps.down
    codes = closest(jax.lax.stop_gradient(x), embeddings, maps)
    vectors = jax.lax.stop_gradient(embeddings)[codes]
    used = (index < num_stages)[:, None, None]
    errors = jnp.mean((x - vectors) ** 2 * used, axis=-1)
    if maps is not None:
      vectors = (x + jax.lax.stop_gradient(vectors - x)) @ maps.up
    return total + vectors * used, (codes, errors)

  stages = (
    jnp.arange(codebook.embeddings.shape[0]),
    codebook.embeddings,
    projections,
  )
  # Without a loop the compiler sees that both players of a step do the same.
  total, (codes, errors) = jax.lax.scan(
    stage, jnp.zeros_like(h), stages, unroll=True
  )
  if projections is None:
    total = h + jax.lax.stop_gradient(total - h)
  return Quantized(
    latents=total,
    codes=jnp.moveaxis(codes, 0, -1),
    errors=jnp.moveaxis(errors, 0, -1),
  )


def code_vectors(embeddings: Array, projections: Projections | None) -> Array:
  """What each code adds to the latents: [Q, K, D] of [Q, K, d]."""
  if projections is None:
    return embeddings
  return jnp.einsum("qkd,qde->qke", embeddings, projections.up)


def projections_of(params: Mapping[str, Any]) -> Projections | None:
  """The projections among a codec's parameters, if it has some."""
  if "quantizer" not in params:
    return None
  return Projections(**params["quantizer"])


def slice_projections(dim: int, num_stages: int, code_dim: int) -> Projections:
  """Maps of stage j to slice j of the latents and back, over and over.

  So at the start all stages together see all of the latents once, as a product
  quantiser does; training moves on from there.

  Args:
    dim: D, of the latents.
    num_stages: Q.
    code_dim: d.
  """
  starts = jnp.arange(num_stages)[:, None] * code_dim
  picked = (starts + jnp.arange(code_dim)[None, :]) % dim  # [Q, d]
  up = jax.nn.one_hot(picked, dim)
  return Projections(down=up.swapaxes(1, 2), up=up)


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


def closest(x: Array, embeddings: Array, maps: Projections | None) -> Array:
  """Codes [...] of x [..., d] in a stage: by distance; with maps, by angle."""
  if maps is None:
    return nearest(x, embeddings)
  return nearest(_unit(x), _unit(embeddings))


def _unit(x: Array) -> Array:
  """Vectors [..., d] scaled to length 1; those of length 0 stay."""
  squares = jnp.sum(x**2, axis=-1, keepdims=True)
  return x * jax.lax.rsqrt(jnp.maximum(squares, 1e-12))


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
