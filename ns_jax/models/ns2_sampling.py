# SPDX-License-Identifier: Apache-2.0
"""From phonemes and a prompt to latents, in one function that jit can take."""

import dataclasses
import functools
import math
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
  prompt_f0_hz: Array  # [B] float32, mean pitch; 0 where not known


MAX_STEPS = 10_000  # nothing is gained beyond a few hundred
MAX_GUIDANCE = 20.0  # what is beyond is noise


@flax.struct.dataclass
class Prosody:
  """When each phoneme is said and at which pitch."""

  durations: Array  # [B, N] int32, frames
  f0_hz: Array  # [B, T] float32, 0 where unvoiced
  f0_phase: Array  # [B, T] float32, radians


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
        f"sample: solver={self.solver!r} is unknown; "
        f"use one of {', '.join(samplers.SOLVERS)}"
      )
    if not 1 <= self.steps <= MAX_STEPS:
      raise UserError(f"sample: steps={self.steps} must be 1 to {MAX_STEPS}")
    if not 0.0 < self.temperature < math.inf:
      raise UserError(
        f"sample: temperature={self.temperature} must be above 0 and finite"
      )
    if not 0.0 <= self.guidance <= MAX_GUIDANCE:
      raise UserError(
        f"sample: guidance={self.guidance} must be 0 to {MAX_GUIDANCE:.0f}"
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


def predict_f0(
  model: NaturalSpeech2,
  params: Params,
  request: Request,
  durations: Array,
  *,
  num_frames: int,
) -> Array:
  """Pitch of each frame, [B, num_frames] float32, Hz, 0 where unvoiced."""
  hidden, prompt, _ = _listen(model, params, request)
  frames, mask = _expand(hidden, durations, num_frames)
  pitch: Any = model.apply(
    {"params": params},
    *(frames, mask, prompt),
    train=False,
    method="predict_pitch",
  )
  return prosody.f0_of(pitch, mask)


def generate(
  model: NaturalSpeech2,
  params: Params,
  request: Request,
  planned: Prosody,
  key: Array,
  start: Array | None = None,
  *,
  options: SampleOptions,
) -> Array:
  """Speaks (NaturalSpeech 2, Sec. 3.2 to 3.4).

  Args:
    model: the module.
    params: its parameters.
    request: a batch of texts and prompts.
    planned: their timing and pitch; its T is fixed, longer speech loses its
      end.
    key: typed key or keys [B], of the diffusion's noise.
    start: [B, T, D] where the diffusion starts; None: noise.
    options: of the solver.

  Returns:
    [B, T, D] float32, normalised latents, 0 after the end.
  """
  denoise_fn, mask = _denoiser(
    model, params, request, planned, options.guidance
  )
  shape = (*mask.shape, request.prompt.shape[-1])
  latents = sample_latents(
    denoise_fn, model.schedule, key, shape, options, start
  )
  return latents * mask[..., None]


def carry_to_noise(
  model: NaturalSpeech2,
  params: Params,
  request: Request,
  planned: Prosody,
  latents: Array,
  *,
  steps: int,
) -> Array:
  """Where the diffusion would have to start to say this (Sec. 5).

  The ODE backwards in time; what `generate` with the solver "jump" makes of the
  result with another prompt is the same speech in another voice.

  Args:
    model: the module.
    params: its parameters.
    request: what is said, with a prompt of the voice that says it.
    planned: its timing and pitch.
    latents: [B, T, D] float32, normalised.
    steps: of the solver.

  Returns:
    [B, T, D] float32.
  """
  denoise_fn, _ = _denoiser(
    model, params, request, planned, guidance_weight=0.0
  )
  solver, schedule = samplers.SOLVERS["jump"], model.schedule
  times = solver.make_times(schedule, steps, schedule.start, samplers.T_END)
  return samplers.integrate(
    denoise_fn,
    schedule,
    schedule.alpha(times[-1]) * latents,
    jax.random.key(0),  # the ODE draws nothing
    times=times[::-1],
    stepper=solver.stepper,
  )


def _denoiser(
  model: NaturalSpeech2,
  params: Params,
  request: Request,
  planned: Prosody,
  guidance_weight: float,
) -> tuple[samplers.DenoiseFn, Array]:
  """The denoiser of a request, and the mask [B, T] of its frames."""
  call = functools.partial(model.apply, {"params": params})
  hidden, prompt, _ = _listen(model, params, request)
  num_frames = planned.f0_hz.shape[1]
  frames, mask = _expand(hidden, planned.durations, num_frames)
  cond: Any = call(frames, planned.f0_hz, planned.f0_phase, method="condition")
  denoise_fn = prompted_denoiser(
    model, params, cond, prompt, mask, guidance_weight
  )
  return denoise_fn, mask


def prompted_denoiser(
  model: NaturalSpeech2,
  params: Params,
  cond: Array,
  prompt: prompts.Prompt,
  mask: Array,
  guidance_weight: float = 0.0,
) -> samplers.DenoiseFn:
  """The denoiser of what is to be said, as solvers want it.

  Args:
    model: the module.
    params: its parameters.
    cond: [B, T, E], from `NaturalSpeech2.condition`.
    prompt: from `NaturalSpeech2.encode_prompt`.
    mask: [B, T] bool.
    guidance_weight: of classifier-free guidance, 0: off.

  Returns:
    (x [B, T, D], t [B]) -> x0_hat.
  """
  call = functools.partial(model.apply, {"params": params}, train=False)

  def denoise_with(voice: Any) -> samplers.DenoiseFn:
    def denoise(x: Array, t: Array) -> Any:
      return call(x, t, cond, voice, mask, method="denoise")

    return denoise

  batch = mask.shape[0]
  nobody = call(
    jnp.zeros((batch, 1, model.denoiser.latent_dim)),
    jnp.zeros((batch,), jnp.int32),
    jnp.zeros((batch,)),
    method="encode_prompt",
  )
  return guidance.classifier_free(
    denoise_with(prompt), denoise_with(nobody), guidance_weight
  )


def _expand(
  hidden: Array, durations: Array, num_frames: int
) -> tuple[Array, Array]:
  """Frames [B, T, E] of hidden phonemes [B, N, E], and which are real."""
  mask = masks.length_mask(durations.sum(axis=1), num_frames)
  return prosody.expand(hidden, durations, num_frames), mask


def _listen(
  model: NaturalSpeech2, params: Params, request: Request
) -> tuple[Array, prompts.Prompt, Array]:
  """Hidden phonemes [B, N, E], the encoded prompt, and the phonemes' mask."""
  mask = masks.length_mask(request.num_phonemes, request.phonemes.shape[1])
  call = functools.partial(model.apply, {"params": params}, train=False)
  hidden: Any = call(request.phonemes, mask, method="encode_phonemes")
  prompt: Any = call(
    *(request.prompt, request.prompt_frames, request.prompt_f0_hz),
    method="encode_prompt",
  )
  return hidden, prompt, mask


def sample_latents(
  denoise_fn: samplers.DenoiseFn,
  schedule: Schedule,
  key: Array,
  shape: tuple[int, ...],
  options: SampleOptions,
  start: Array | None = None,
) -> Array:
  """Runs the solver from `start` or noise; latents of `shape`, [B, T, D]."""
  noise_key, solver_key = samplers.split(key, 2)
  solver = samplers.SOLVERS[options.solver]
  if start is None:
    start = samplers.initial_noise(noise_key, shape, options.temperature)
  return samplers.sample(
    denoise_fn,
    schedule,
    start,
    solver_key,
    times=solver.make_times(
      schedule, options.steps, schedule.start, samplers.T_END
    ),
    stepper=solver.stepper,
  )
