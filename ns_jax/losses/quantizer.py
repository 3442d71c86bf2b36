# SPDX-License-Identifier: Apache-2.0
"""Commitment of the encoder to its codes."""

import jax.numpy as jnp

from ns_jax.array_types import Array


def commitment(stage_errors: Array) -> Array:
  """Sum over stages of ‖r_j - sg(q_j)‖² / D (VQ-VAE, eq. 3).

  Args:
    stage_errors: [B, T, Q] float32, squared residual per dimension.

  Returns:
    [B, T] float32.
  """
  return jnp.sum(stage_errors.astype(jnp.float32), axis=-1)
