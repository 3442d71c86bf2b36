# SPDX-License-Identifier: Apache-2.0
"""What NaturalSpeech 2's training measures besides its losses."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from ns_jax.array_types import Array, Params
from ns_jax.losses import prosody as prosody_losses
from ns_jax.models import prompt as prompts
from ns_jax.models.ns2 import NaturalSpeech2
from ns_jax.models.prompt import Prompt
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


def pitch_curves(
  model: NaturalSpeech2,
  params: Params,
  example: Example,
  frames: Array,
  prompt: Prompt,
) -> dict[str, Array]:
  """Pitch [B, R] of the rest, Hz, 0 unvoiced: recorded and predicted.

  Args:
    model: of NaturalSpeech 2.
    params: its parameters.
    example: what was cut.
    frames: [B, T, C] hidden phonemes, as long as they are said.
    prompt: as the model hears it.
  """
  predicted: Any = model.apply(
    {"params": params},
    *(frames, example.frame_mask, prompt),
    train=False,
    method="predict_pitch",
  )
  is_voiced = predicted.voiced_logit > 0.0
  curves = {
    "recording": example.f0_hz,
    "predicted": jnp.where(is_voiced, jnp.exp(predicted.log_f0), 0.0),
  }
  return {
    f"pitch/{name}": prompts.take(f0_hz, example.rest.index) * example.rest.mask
    for name, f0_hz in curves.items()
  }
