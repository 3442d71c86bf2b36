# SPDX-License-Identifier: Apache-2.0
"""Distillation: a trained NaturalSpeech 2 learns to speak in a few evaluations.

Between a few given times the teacher walks along its ODE in small steps; the
student, which starts as the teacher, learns the one x0_hat that takes it there
in a single step. It learns from noise and conditions alone: the latents of the
recordings serve only as prompts.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from ns_jax import masks
from ns_jax.array_types import Array, Batch, Params
from ns_jax.diffusion import samplers
from ns_jax.errors import UserError
from ns_jax.losses import latent as latent_losses
from ns_jax.models import ns2_sampling
from ns_jax.stages import ns2, ns2_example
from ns_jax.stages.ns2 import Frozen, Losses
from ns_jax.stages.ns2_example import Example
from ns_jax.stages.ns2_measures import Term
from ns_jax.training.metrics import Mean
from ns_jax.training.stage import Stage


@dataclasses.dataclass(frozen=True)
class DistillationOptions:
  """Which path the student learns."""

  steps: int  # of the student, before its last jump
  teacher_steps: int  # for each of them and for the jump
  temperature: float  # the start has variance 1 / temperature
  guidance: float  # of the teacher; the student needs none to follow it

  def __post_init__(self) -> None:
    """Checks the numbers of steps."""
    for field in ("steps", "teacher_steps"):
      if getattr(self, field) < 1:
        raise UserError(
          f"config.distillation.{field}={getattr(self, field)} must be above 0"
        )


def build(config: ConfigDict) -> Stage:
  """Builds the stage from `configs/ns2_distilled.py`."""
  trainer = _Distillation(
    distillation=DistillationOptions(**config.distillation),
    **ns2.fields(config),
  )
  return ns2.make_stage(config, trainer)


@dataclasses.dataclass(frozen=True)
class _Distillation(ns2.Training):
  """Training of the student; it sounds its previews as the teacher does."""

  distillation: DistillationOptions

  def init(
    self, key: Array, batch: Batch, frozen: Frozen
  ) -> tuple[dict[str, Params], dict[str, Any]]:
    """The student is the teacher at first."""
    del key, batch
    return {"gen": jax.tree.map(jnp.copy, frozen["teacher"])}, {}

  def loss(
    self, params, model_state, frozen, batch, key, *, step, phase, train
  ) -> Losses:
    """Mean over the student's evaluations."""
    del step, phase, train
    terms = self._distil(params["gen"], frozen, batch, key)
    means = {name: masks.masked_mean(*term) for name, term in terms.items()}
    total = jnp.mean(jnp.stack(list(means.values())))
    return total, (means | {"distillation": total}, model_state)

  def evaluate(
    self, params, model_state, frozen, batch, key
  ) -> dict[str, Mean]:
    """The same, for each evaluation apart."""
    del model_state
    terms = self._distil(params["gen"], frozen, batch, key)
    return {name: Mean.of(*term) for name, term in terms.items()}

  def _distil(
    self, student: Params, frozen: Frozen, batch: Batch, key: Array
  ) -> dict[str, Term]:
    """Squared errors of the student's x0_hat at each of its times."""
    options, schedule = self.distillation, self.model.schedule
    cut_key, drop_key, noise_key = jax.random.split(key, 3)
    example = self.cut(frozen, batch, cut_key)
    example = ns2_example.drop_prompts(example, drop_key, self.prompt.drop_rate)
    teach = self._denoiser(frozen["teacher"], example, options.guidance)
    # The student's own conditions are the teacher's: only its denoiser learns.
    repeat = self._denoiser(
      {**frozen["teacher"], "denoiser": student["denoiser"]}, example, 0.0
    )
    times = samplers.SOLVERS["jump"].make_times(
      schedule, options.steps, schedule.start, samplers.T_END
    )
    x = samplers.initial_noise(
      noise_key, example.latents.shape, options.temperature
    )
    terms = {}
    for i in range(options.steps + 1):
      is_jump = i == options.steps
      t = times[i]
      x_next, x0 = self._walk(teach, x, t, None if is_jump else times[i + 1])
      x0 = jax.lax.stop_gradient(x0)
      x0_hat = repeat(x, jnp.broadcast_to(t, x.shape[:1]))
      error = latent_losses.squared_error(x0_hat, x0)
      terms[f"evaluation_{i + 1}"] = error, example.rest.mask
      x = jax.lax.stop_gradient(x_next)
    return terms

  def _walk(
    self, teach: samplers.DenoiseFn, x: Array, t: Array, t_next: Array | None
  ) -> tuple[Array, Array]:
    """Where the teacher comes from `t`, and the x0_hat that leads there.

    Without `t_next` it goes to the end, which is the data.
    """
    schedule, solver = self.model.schedule, samplers.SOLVERS["dpmpp_2m"]
    end = jnp.asarray(samplers.T_END) if t_next is None else t_next
    walk = functools.partial(
      samplers.sample if t_next is None else samplers.integrate,
      teach,
      schedule,
      x,
      jax.random.key(0),  # the ODE draws nothing
      times=samplers.uniform_log_snr_times(
        schedule, self.distillation.teacher_steps, t, end
      ),
      stepper=solver.stepper,
    )
    x_next = walk()
    if t_next is None:
      return x_next, x_next
    return x_next, samplers.x0_between(schedule, x, x_next, t, t_next)

  def _denoiser(
    self, params: Params, example: Example, weight: float
  ) -> samplers.DenoiseFn:
    """The denoiser of a batch of examples, guided by `weight`."""
    heard: Any = self.model.apply(
      {"params": params}, example, False, method=ns2_example.condition
    )
    cond, prompt, *_ = heard
    return ns2_sampling.prompted_denoiser(
      self.model, params, cond, prompt, example.rest.mask, weight
    )
