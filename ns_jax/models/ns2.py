# SPDX-License-Identifier: Apache-2.0
"""NaturalSpeech 2: phonemes and a speech prompt to codec latents.

Latents are normalised per channel throughout; the codec, the losses and the
cutting of prompts are elsewhere.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax.sharding import PartitionSpec as P
from ml_collections import ConfigDict

from ns_jax import masks
from ns_jax.array_types import Array, check_shapes
from ns_jax.diffusion import prediction
from ns_jax.diffusion.schedule import SCHEDULES, Schedule
from ns_jax.errors import UserError
from ns_jax.models import denoiser, phoneme_encoder, prosody
from ns_jax.models import prompt as prompts

# Layers are stacked on axis 0 by nn.scan, hence the leading None.
PARTITION_RULES = (
  (r"layers/attention/(query|key|value)/kernel$", P(None, "fsdp", "tensor")),
  (r"layers/attention/out/kernel$", P(None, "tensor", None, "fsdp")),
  (r"layers/ffn_in/kernel$", P(None, None, "fsdp", "tensor")),
  (r"layers/ffn_out/kernel$", P(None, "tensor", "fsdp")),
  (
    r"blocks/layer_\d/attention/(query|key|value)/kernel$",
    P(None, "fsdp", "tensor"),
  ),
  (r"blocks/layer_\d/attention/out/kernel$", P(None, "tensor", None, "fsdp")),
  (r"blocks/layer_\d/(conv|cond)/kernel$", P(None, None, "fsdp", "tensor")),
  (
    r"blocks/layer_\d/(film/gain|film/shift)/kernel$",
    P(None, "fsdp", "tensor"),
  ),
  (r"blocks/layer_\d/(time|out)/kernel$", P(None, "fsdp", "tensor")),
)


class NaturalSpeech2(nn.Module):
  """The whole model; each method is one step from text to latents."""

  phoneme_encoder: phoneme_encoder.PhonemeEncoder
  prompt_encoder: prompts.PromptEncoder
  duration_predictor: prosody.Predictor
  pitch_predictor: prosody.Predictor
  pitch_embedding: prosody.PitchEmbedding
  denoiser: denoiser.Denoiser
  schedule: Schedule
  prediction: str
  relative_pitch: bool  # to the prompt's; False: as in the paper

  def __call__(
    self,
    phonemes: Array,
    durations: Array,
    f0_hz: Array,
    f0_phase: Array,
    prompt_latents: Array,
    x_t: Array,
  ) -> Array:
    """Touches every parameter once, to initialise them; see the methods."""
    batch, num_frames, _ = x_t.shape
    whole = jnp.full((batch,), num_frames)
    hidden = self.encode_phonemes(phonemes, phonemes > 0, train=False)
    prompt = self.encode_prompt(
      prompt_latents,
      jnp.full_like(whole, prompt_latents.shape[1]),
      jnp.zeros((batch,)),
      train=False,
    )
    self.predict_durations(hidden, phonemes > 0, prompt, train=False)
    frames = prosody.expand(hidden, durations, num_frames)
    mask = masks.length_mask(whole, num_frames)
    self.predict_pitch(frames, mask, prompt, train=False)
    cond = self.condition(frames, f0_hz, f0_phase)
    t = jnp.full((batch,), 0.5)
    return self.denoise(x_t, t, cond, prompt, mask, train=False)

  def encode_phonemes(
    self, phonemes: Array, mask: Array, *, train: bool
  ) -> Array:
    """Maps ids [B, N] int32 with mask [B, N] to hidden vectors [B, N, E]."""
    check_shapes(phonemes, "B N", mask, "B N")
    return self.phoneme_encoder(phonemes, mask, train=train)

  def encode_prompt(
    self, latents: Array, num_frames: Array, f0_hz: Array, *, train: bool
  ) -> prompts.Prompt:
    """Encodes latents [B, P, D], [B] frames of them real, 0 for no prompt.

    `f0_hz`, [B] float32, is its mean pitch, 0 where not known.
    """
    check_shapes(latents, "B P D", num_frames, "B", f0_hz, "B")
    return self.prompt_encoder(latents, num_frames, f0_hz, train=train)

  def predict_durations(
    self, hidden: Array, mask: Array, prompt: prompts.Prompt, *, train: bool
  ) -> Array:
    """Maps hidden phonemes [B, N, E] to log(1 + frames), [B, N] float32."""
    return self.duration_predictor(hidden, mask, prompt, train=train)[..., 0]

  def predict_pitch(
    self, frames: Array, mask: Array, prompt: prompts.Prompt, *, train: bool
  ) -> prosody.Pitch:
    """Maps expanded phonemes [B, T, E] to the pitch of each frame."""
    out = self.pitch_predictor(frames, mask, prompt, train=train)
    pitch = prosody.Pitch(out[..., 0], out[..., 1])
    if not self.relative_pitch:
      return pitch
    return prosody.of_voice(pitch, prompt.f0_hz)

  def condition(self, frames: Array, f0_hz: Array, f0_phase: Array) -> Array:
    """Adds the pitch, [B, T] Hz and radians, to expanded phonemes [B, T, E]."""
    check_shapes(frames, "B T E", f0_hz, "B T", f0_phase, "B T")
    return frames + self.pitch_embedding(f0_hz, f0_phase)

  def denoise(
    self,
    x_t: Array,
    t: Array,
    cond: Array,
    prompt: prompts.Prompt,
    mask: Array,
    *,
    train: bool,
  ) -> Array:
    """Predicts clean latents.

    Args:
      x_t: [B, T, D] float32, noisy normalised latents.
      t: [B] float32, time in [0, 1].
      cond: [B, T, E], from `condition`.
      prompt: from `encode_prompt`.
      mask: [B, T] bool.
      train: whether to drop out.

    Returns:
      [B, T, D] float32, x0_hat.
    """
    check_shapes(x_t, "B T D", t, "B", cond, "B T E", mask, "B T")
    output = self.denoiser(x_t, t, cond, prompt, mask, train=train)
    to_data = prediction.PREDICTIONS[self.prediction]
    return to_data(output, x_t, t, self.schedule)


def make_model(
  model: ConfigDict, *, num_symbols: int, latent_dim: int, dtype: Any
) -> NaturalSpeech2:
  """Builds the model.

  Args:
    model: config section; its subsections are constructors' arguments.
    num_symbols: size of the phoneme inventory.
    latent_dim: D of the codec.
    dtype: of activations.

  Returns:
    The module, without parameters.

  Raises:
    UserError: the named prediction or schedule is unknown.
  """
  if model.denoiser.hears not in denoiser.HEARS:
    raise UserError(
      f"config.model.denoiser.hears={model.denoiser.hears!r} is unknown; "
      f"use one of {', '.join(denoiser.HEARS)}"
    )
  if model.prediction not in prediction.PREDICTIONS:
    raise UserError(
      f"config.model.prediction={model.prediction!r} is unknown; "
      f"use one of {', '.join(prediction.PREDICTIONS)}"
    )
  return NaturalSpeech2(
    phoneme_encoder=phoneme_encoder.PhonemeEncoder(
      num_symbols=num_symbols,
      dim=model.dim,
      dtype=dtype,
      **model.phoneme_encoder,
    ),
    prompt_encoder=prompts.PromptEncoder(
      dim=model.dim, dtype=dtype, **model.prompt_encoder
    ),
    duration_predictor=prosody.Predictor(
      bias=prosody.DURATION_BIAS, dtype=dtype, **model.duration_predictor
    ),
    pitch_predictor=prosody.Predictor(
      bias=prosody.PITCH_BIAS, dtype=dtype, **model.pitch_predictor
    ),
    pitch_embedding=prosody.PitchEmbedding(
      dim=model.dim, dtype=dtype, **model.pitch_embedding
    ),
    denoiser=denoiser.Denoiser(
      latent_dim=latent_dim, dtype=dtype, **model.denoiser
    ),
    schedule=_make_schedule(model.schedule),
    prediction=model.prediction,
    relative_pitch=model.relative_pitch,
  )


def _make_schedule(section: Mapping[str, Any]) -> Schedule:
  """The schedule a section names, with those of its options that it has."""
  if section["name"] not in SCHEDULES:
    raise UserError(
      f"config.model.schedule.name={section['name']!r} is unknown; "
      f"use one of {', '.join(SCHEDULES)}"
    )
  schedule = SCHEDULES[section["name"]]
  names = [field.name for field in dataclasses.fields(schedule)]
  return schedule(**{name: section[name] for name in names})
