# SPDX-License-Identifier: Apache-2.0
"""Distances between waveforms."""

import jax.numpy as jnp

from ns_jax.array_types import Array, check_shapes


def absolute_error(reference: Array, estimate: Array) -> Array:
  """|reference - estimate| of waves [B, S]; [B, S] float32."""
  check_shapes(reference, "B S", estimate, "B S")
  return jnp.abs(reference.astype(jnp.float32) - estimate.astype(jnp.float32))


def si_sdr_db(reference: Array, estimate: Array, mask: Array) -> Array:
  """Scale-invariant signal-to-distortion ratio (arXiv 1811.02508).

  Args:
    reference: [B, S] float, the original.
    estimate: [B, S] float, the reconstruction.
    mask: [B, S] bool, True for real samples.

  Returns:
    [B] float32, dB; higher is better.
  """
  reference = jnp.where(mask, reference.astype(jnp.float32), 0.0)
  estimate = jnp.where(mask, estimate.astype(jnp.float32), 0.0)
  energy = jnp.sum(reference**2, axis=-1, keepdims=True)
  scale = jnp.sum(reference * estimate, axis=-1, keepdims=True)
  target = reference * (scale / jnp.maximum(energy, 1e-9))
  distortion = jnp.sum((estimate - target) ** 2, axis=-1)
  signal = jnp.sum(target**2, axis=-1)
  return 10.0 * jnp.log10((signal + 1e-9) / (distortion + 1e-9))
