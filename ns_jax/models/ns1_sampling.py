# SPDX-License-Identifier: Apache-2.0
"""From phonemes to a wave, in two functions that jit can take (Sec. 4.2)."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import masks
from ns_jax.array_types import Array, Params
from ns_jax.errors import UserError
from ns_jax.models import durator, vae
from ns_jax.models.mixed_phonemes import Mixed
from ns_jax.models.ns1 import NaturalSpeech


@dataclasses.dataclass(frozen=True)
class SampleOptions:
  """How it speaks; one config section."""

  temperature: float  # of the prior's deviation; 0: what is most likely
  max_phonemes: int  # that are said at once

  def __post_init__(self) -> None:
    """Checks the values."""
    if self.max_phonemes < 2:
      raise UserError(
        f"sample: max_phonemes={self.max_phonemes} must be 2 or more"
      )
    if not 0.0 <= self.temperature < math.inf:
      raise UserError(
        f"sample: temperature={self.temperature} must be 0 or more and finite"
      )


def read(
  model: NaturalSpeech, params: Params, mixed: Mixed
) -> tuple[Array, Array]:
  """Hidden phonemes [B, N, D] and their durations [B, N] float32, frames."""
  mask = mixed.phonemes > 0
  hidden = _call(model, params, mixed, mask, train=False, method="encode")
  durations = _call(
    model, params, hidden, mask, train=False, method="predict_durations"
  )
  return hidden, durations


def speak(
  model: NaturalSpeech,
  params: Params,
  remembers: Array,
  hidden: Array,
  durations: Array,
  mask: Array,
  keys: Array,
  *,
  num_frames: int,
  options: SampleOptions,
) -> tuple[Array, Array]:
  """A wave of phonemes with durations.

  Args:
    model: the module.
    params: its own; those of the posterior may be missing.
    remembers: [] float32, 0: latents do not go through the memory.
    hidden: [B, N, D], from `read`.
    durations: [B, N] float32, frames, 0 in the padding.
    mask: [B, N] bool, real phonemes; they may last 0 frames.
    keys: [B] typed keys, of what is drawn.
    num_frames: M, at least of the longest.
    options: of the draw.

  Returns:
    [B, M · hop] float32, 0 after an utterance's end; and how much each frame
    heeds each phoneme, [B, M, N, Q].
  """
  prior, upsampled = _call(
    model, params, hidden, durations, mask, num_frames, method="prior"
  )
  drawn = jax.vmap(lambda one, key: one.draw(key, options.temperature))(
    prior, keys
  )
  frames = masks.length_mask(durator.frame_counts(durations), num_frames)
  latents = _call(model, params, drawn, frames, method="to_posterior")
  wav = _call(
    model, params, latents, frames, remembers=remembers, method="voice"
  )
  return wav, upsampled.weights


def revoice(
  model: NaturalSpeech, params: Params, remembers: Array, wav: Array, hop: int
) -> Array:
  """Waves [B, T · hop] from the posterior of waves of that size."""
  heard = vae.spectra(wav, hop)
  frames = jnp.ones(heard.shape[:2], bool)
  latents = _call(model, params, heard, frames, method="hear").mean
  return _call(
    model, params, latents, frames, remembers=remembers, method="voice"
  )


def _call(
  model: NaturalSpeech, params: Params, *args: Any, **options: Any
) -> Any:
  return model.apply({"params": params}, *args, **options)
