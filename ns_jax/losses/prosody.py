# SPDX-License-Identifier: Apache-2.0
"""Losses of the duration and pitch predictors (NaturalSpeech 2, Sec. 3.3)."""

import jax.numpy as jnp
import optax

from ns_jax.array_types import Array, check_shapes


def duration_deviance(log_durations: Array, durations: Array) -> Array:
  """Gamma deviance of 1 + d frames, [B, N] -> [B, N] float32.

  Least where exp(predicted) is the *mean* of 1 + d: speech comes out as long as
  it should. The median, which an absolute error finds, is far below the mean of
  durations, most of which are short. Near its minimum of 0 it is half the
  squared error of the logarithm.
  """
  check_shapes(log_durations, "B N", durations, "B N")
  target = jnp.log1p(durations.astype(jnp.float32))
  log_ratio = target - log_durations.astype(jnp.float32)
  return jnp.expm1(log_ratio) - log_ratio


def log_f0_l1(log_f0: Array, f0_hz: Array) -> Array:
  """|predicted - log f0|, [B, T] -> [B, T] float32, 0 where unvoiced."""
  check_shapes(log_f0, "B T", f0_hz, "B T")
  voiced = f0_hz > 0.0
  target = jnp.log(jnp.where(voiced, f0_hz, 1.0))
  return jnp.where(voiced, jnp.abs(log_f0.astype(jnp.float32) - target), 0.0)


def voiced_cross_entropy(logit: Array, f0_hz: Array) -> Array:
  """Binary cross-entropy of being voiced, [B, T] -> [B, T] float32, nats."""
  check_shapes(logit, "B T", f0_hz, "B T")
  return optax.sigmoid_binary_cross_entropy(
    logit.astype(jnp.float32), (f0_hz > 0.0).astype(jnp.float32)
  )
