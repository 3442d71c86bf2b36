# SPDX-License-Identifier: Apache-2.0
"""What NaturalSpeech 2's training measures besides its losses."""

import math
from collections.abc import Mapping

import jax.numpy as jnp

from ns_jax.array_types import Array
from ns_jax.losses import prosody as prosody_losses
from ns_jax.stages.ns2_example import Example, Predictions

_NUM_BUCKETS = 4  # equal parts of diffusion time that are logged apart
_CENTS_PER_NEPER = 1200.0 / math.log(2.0)

Term = tuple[Array, Array]  # values and the mask of those that count


def by_time(terms: Mapping[str, Term], times: Array) -> dict[str, Term]:
  """The terms of the diffusion, once for each part of the time [B]."""
  bucket = jnp.minimum(times * _NUM_BUCKETS, _NUM_BUCKETS - 1).astype(jnp.int32)
  parts = {}
  for name in ("diffusion", "score", "code_ce"):
    values, mask = terms[name]
    for i in range(_NUM_BUCKETS):
      bounds = f"{i / _NUM_BUCKETS:.2f}-{(i + 1) / _NUM_BUCKETS:.2f}"
      parts[f"{name}_t{bounds}"] = values, mask & (bucket == i)[:, None]
  return parts


def prosody_errors(
  example: Example, predictions: Predictions
) -> dict[str, Term]:
  """Errors of the predictors in units a person can judge."""
  frames = jnp.expm1(predictions.log_durations)
  duration_error = jnp.abs(frames - example.durations)
  cents = _CENTS_PER_NEPER * prosody_losses.log_f0_l1(
    predictions.pitch.log_f0, example.f0_hz
  )
  is_voiced = example.f0_hz > 0.0
  right = (predictions.pitch.voiced_logit > 0.0) == is_voiced
  return {
    "duration_error_frames": (duration_error, example.duration_mask),
    "f0_error_cents": (cents, example.pitch_mask & is_voiced),
    "voiced_accuracy": (right, example.pitch_mask),
  }
