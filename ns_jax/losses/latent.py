# SPDX-License-Identifier: Apache-2.0
"""Losses on predicted latents (NaturalSpeech 2, Eq. 6)."""

import jax
import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes


def squared_error(x0_hat: Array, x0: Array) -> Array:
  """Mean over channels of the squared error, [B, T, D] -> [B, T] float32."""
  check_shapes(x0_hat, "B T D", x0, "B T D")
  error = x0_hat.astype(jnp.float32) - x0.astype(jnp.float32)
  return jnp.mean(error**2, axis=-1)


def code_cross_entropy(
  z_hat: Array, codes: Array, codebooks: Array, temperature: Array | float = 1.0
) -> Array:
  """CE-RVQ: how plainly a predicted latent shows the true codes.

  At each stage the residual of `z_hat` after the true codes of the stages
  before is compared with every codeword; minus the squared distances are the
  logits of the true one. Stored codes are needed: quantising a latent again
  does not always give the codes it was made of.

  Args:
    z_hat: [B, T, D] float32, predicted latents in the codec's own scale.
    codes: [B, T, Q] int32.
    codebooks: [Q, V, D] float32.
    temperature: divides the logits; raise it where latents are so large that
      the softmax saturates.

  Returns:
    [B, T] float32, nats, mean over the Q stages.
  """
  check_shapes(z_hat, "B T D", codes, "B T Q", codebooks, "Q K D")

  # One stage at a time, and again in the backward pass: [B, T, Q, V] is large.
  @jax.checkpoint
  def stage(residual, inputs):
    stage_codes, codebook = inputs
    inner = jnp.einsum(
      "btd,vd->btv", residual, codebook, precision=jax.lax.Precision.HIGHEST
    )
    # The residual's own norm is the same for all codewords.
    norms = jnp.sum(codebook**2, axis=-1)
    logits = (2.0 * inner - norms[None, None, :]) / temperature
    log_norm = jax.nn.logsumexp(logits, axis=-1)
    true = jnp.take_along_axis(logits, stage_codes[..., None], axis=-1)
    return residual - codebook[stage_codes], log_norm - true[..., 0]

  inputs = (jnp.moveaxis(codes, -1, 0), codebooks)
  _, losses = jax.lax.scan(stage, z_hat, inputs)
  return losses.mean(axis=0)
