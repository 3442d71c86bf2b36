# SPDX-License-Identifier: Apache-2.0
"""From phonemes and a prompt to latents, in one function that jit can take."""

import dataclasses
import functools
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

from ns_jax import masks
from ns_jax.array_types import Array, Params
from ns_jax.diffusion import guidance, samplers
from ns_jax.diffusion.schedule import Schedule
from ns_jax.errors import UserError
from ns_jax.models import prompt as prompts
from ns_jax.models import prosody
from ns_jax.models.ns2 import NaturalSpeech2


@flax.struct.dataclass
class Request:
  """What to say and in which voice; shapes are fixed, lengths are data."""

  phonemes: Array  # [B, N] int32
  num_phonemes: Array  # [B] int32
  is_pause: Array  # [B, N] bool, symbols that may last no frame
  prompt: Array  # [B, P, D] float32, normalised latents
  prompt_frames: Array  # [B] int32, 0: no voice in particular
  durations: Array | None = None  # [B, N] int32 frames; None: predict them
  f0_hz: Array | None = None  # [B, T] float32, 0 = unvoiced; None: predict it


@flax.struct.dataclass
class Speech:
  """What was said, T = the `num_frames` that was asked for."""

  latents: Array  # [B, T, D] float32, normalised
  mask: Array  # [B, T] bool, frames of speech
  durations: Array  # [B, N] int32, frames
  f0_hz: Array  # [B, T] float32, 0 where unvoiced


@dataclasses.dataclass(frozen=True)
class SampleOptions:
  """Solver of the diffusion; one config section."""

  solver: str  # a name in diffusion.samplers.SOLVERS
  steps: int
  temperature: float  # tau: the start has variance 1 / tau
  guidance: float  # weight of classifier-free guidance, 0: off

  def __post_init__(self) -> None:
    """Checks the values."""
    if self.solver not in samplers.SOLVERS:
      raise UserError(
        f"config.sample.solver={self.solver!r} is unknown; "
        f"use one of {', '.join(samplers.SOLVERS)}"
      )
    if self.steps < 1 or self.temperature <= 0.0:
      raise UserError(
        f"config.sample.steps={self.steps} and temperature={self.temperature}: "
        "both must be above 0"
      )


def predict_durations(
  model: NaturalSpeech2, params: Params, request: Request
) -> Array:
  """Frames of each phoneme, [B, N] int32; phones last at least one."""
  hidden, prompt, mask = _listen(model, params, request)
  log_durations: Any = model.apply(
    {"params": params},
    hidden,
    mask,
    prompt,
    train=False,
    method="predict_durations",
  )
  return prosody.round_durations(log_durations, mask, request.is_pause)


def generate(
  model: NaturalSpeech2,
  params: Params,
  request: Request,
  key: Array,
  *,
  num_frames: int,
  frame_rate_hz: float,
  options: SampleOptions,
) -> Speech:
  """Speaks (NaturalSpeech 2, Sec. 3.2 to 3.4).

  Args:
    model: the module.
    params: its parameters.
    request: a batch of texts and prompts.
    key: typed key, of the diffusion's noise.
    num_frames: T, fixed; longer speech loses its end.
    frame_rate_hz: of the latents.
    options: of the solver.

  Returns:
    Latents with the durations and pitch they were made for.
  """

  def call(method: str, *args: Any) -> Any:
    return model.apply({"params": params}, *args, method=method, train=False)

  hidden, prompt, _ = _listen(model, params, request)
  durations = request.durations
  if durations is None:
    durations = predict_durations(model, params, request)
  frames = prosody.expand(hidden, durations, num_frames)
  mask = masks.length_mask(durations.sum(axis=1), num_frames)
  f0_hz = request.f0_hz
  if f0_hz is None:
    f0_hz = prosody.f0_of(call("predict_pitch", frames, mask, prompt), mask)
  f0_phase = prosody.advance_phase(f0_hz, frame_rate_hz)
  cond = model.apply(
    {"params": params}, frames, f0_hz, f0_phase, method="condition"
  )

  def denoise_with(voice: Any) -> samplers.DenoiseFn:
    return lambda x, t: call("denoise", x, t, cond, voice, mask)

  nobody = call(
    "encode_prompt",
    request.prompt[:, :1],
    jnp.zeros_like(request.prompt_frames),
  )
  denoise_fn = guidance.classifier_free(
    denoise_with(prompt), denoise_with(nobody), options.guidance
  )
  shape = (*mask.shape, request.prompt.shape[-1])
  latents = sample_latents(denoise_fn, model.schedule, key, shape, options)
  return Speech(latents * mask[..., None], mask, durations, f0_hz)


def _listen(
  model: NaturalSpeech2, params: Params, request: Request
) -> tuple[Array, prompts.Prompt, Array]:
  """Hidden phonemes [B, N, E], the encoded prompt, and the phonemes' mask."""
  mask = masks.length_mask(request.num_phonemes, request.phonemes.shape[1])
  call = functools.partial(model.apply, {"params": params}, train=False)
  hidden: Any = call(request.phonemes, mask, method="encode_phonemes")
  prompt: Any = call(
    request.prompt, request.prompt_frames, method="encode_prompt"
  )
  return hidden, prompt, mask


def sample_latents(
  denoise_fn: samplers.DenoiseFn,
  schedule: Schedule,
  key: Array,
  shape: tuple[int, ...],
  options: SampleOptions,
) -> Array:
  """Runs the solver from noise; returns latents of `shape`, [B, T, D]."""
  noise_key, solver_key = jax.random.split(key)
  solver = samplers.SOLVERS[options.solver]
  return samplers.sample(
    denoise_fn,
    schedule,
    samplers.initial_noise(noise_key, shape, options.temperature),
    solver_key,
    times=solver.make_times(
      schedule, options.steps, schedule.start, samplers.T_END
    ),
    stepper=solver.stepper,
  )
