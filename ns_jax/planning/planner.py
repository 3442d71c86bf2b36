# SPDX-License-Identifier: Apache-2.0
"""Plans a run: as its config has it, or in the fastest way that fits."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

from ns_jax import sharding
from ns_jax.errors import UserError
from ns_jax.nn import remat
from ns_jax.planning import compiling, estimating, search
from ns_jax.planning import plan as plans
from ns_jax.planning.compiling import DoesNotFitError, Run
from ns_jax.planning.estimating import Candidate
from ns_jax.planning.plan import Step
from ns_jax.planning.topology import Slice

Say = Callable[[str], Any]


def as_configured(run: Run, within: Slice, num_rows: int) -> Candidate:
  """The layout that a config asks for.

  Args:
    run: with the config.
    within: the slice.
    num_rows: of the global batch.

  Returns:
    It, with what is left of the chips where the config says -1.

  Raises:
    UserError: it does not fit the slice, or not the batch.
  """
  micro_batches = run.config.train.micro_batches
  mesh = sharding.mesh_sizes(run.config.mesh, within.num_chips)
  parts = mesh[0] * mesh[1] * micro_batches
  if parts < 1 or num_rows % parts:
    raise UserError(
      f"{num_rows} rows do not divide over data x fsdp x micro_batches = "
      f"{parts}; give --config.mesh.tensor or --rows, or leave out --no-search"
    )
  return Candidate(mesh, micro_batches, None)


def compile_candidate(
  run: Run,
  within: Slice,
  candidate: Candidate,
  *,
  num_rows: int,
  phase: int,
  say: Say,
) -> Step:
  """Compiles one layout of one phase.

  Args:
    run: what to plan.
    within: the slice.
    candidate: the layout.
    num_rows: of the global batch.
    phase: of the stage.
    say: takes lines of progress.

  Raises:
    DoesNotFitError: the chips have too little memory.
  """
  start = time.perf_counter()
  say(f"compiling phase {phase}: {candidate}, {num_rows} rows")
  mesh = compiling.make_mesh(within, candidate.mesh)
  chosen = run.with_options(candidate.micro_batches, candidate.remat)
  traced = compiling.trace(chosen, mesh, num_rows, phase)
  plain = traced
  if compiling.has_remat(run.config.model) or candidate.micro_batches > 1:
    plain = compiling.trace(run.with_options(1, "none"), mesh, num_rows, phase)
  program = compiling.compile_step(traced, mesh)
  step = plans.make_step(
    chosen,
    within,
    candidate,
    compiling.coordinates(mesh),
    num_rows=num_rows,
    phase=phase,
    traced_flops=compiling.flops(traced),
    model_flops=compiling.flops(plain),
    program=program,
  )
  say(
    f"  {step.memory.total / 1e9:.2f} GB, "
    f"{1e3 * step.bound.overlapped_sec:.1f} to "
    f"{1e3 * step.bound.serial_sec:.1f} ms, {step.bound.binding} binds "
    f"(compiled in {time.perf_counter() - start:.0f} s)"
  )
  return step


def fastest(
  run: Run,
  within: Slice,
  *,
  num_rows: int,
  most: int,
  say: Say,
) -> list[Step]:
  """All phases in the layout that is fastest in the longest of them.

  Args:
    run: what to plan.
    within: the slice.
    num_rows: of the global batch.
    most: layouts to compile beside the config's own; all are estimated.
    say: takes lines of progress.

  Raises:
    UserError: no layout divides the batch, or none fits the memory with
      headroom.
    DoesNotFitError: a shorter phase needs more memory than the longest.
  """
  lengths = plans.phase_steps(run)
  longest = lengths.index(max(lengths))
  options = list(estimating.candidates(run, within, num_rows))
  if not options:
    raise UserError(
      f"{num_rows} rows do not divide over the {within.num_chips} chips of "
      f"{within.name}; give --rows a multiple or a divisor of them"
    )
  estimator = estimating.Estimator(run, within, num_rows, longest)
  say(f"{len(options)} layouts to estimate")
  guesses = [estimator.estimate(option) for option in options]

  def compile_fn(candidate: Candidate) -> tuple[search.Measure, Step] | None:
    try:
      step = compile_candidate(
        run, within, candidate, num_rows=num_rows, phase=longest, say=say
      )
    except DoesNotFitError as error:
      say(f"  {error}, {within.chip.hbm_bytes / 1e9:.1f} GB are there")
      return None
    seconds = math.inf  # where something does not count
    if step.is_known:
      seconds = 0.5 * (step.bound.overlapped_sec + step.bound.serial_sec)
    return search.Measure(step.memory.total, seconds), step

  found = search.best(
    guesses,
    compile_fn,
    hbm_bytes=within.chip.hbm_bytes,
    most=most,
    own=_own(run, within, num_rows),
  )
  if found is None:
    raise UserError(
      f"{run.config.stage} with {num_rows} rows does not fit the "
      f"{within.num_chips} chips of {within.name} with "
      f"{1.0 - search.HEADROOM:.0%} of their memory to spare; use a larger "
      "slice or a smaller batch"
    )
  candidate, _, step = found
  return [
    step
    if phase == longest
    else compile_candidate(
      run, within, candidate, num_rows=num_rows, phase=phase, say=say
    )
    for phase in range(len(lengths))
  ]


def _own(run: Run, within: Slice, num_rows: int) -> Candidate | None:
  """The config's own layout, if the rows divide over it."""
  try:
    configured = as_configured(run, within, num_rows)
  except UserError:
    return None
  users = remat.users(run.config.model, "")
  policies = {section.remat for section, _ in users}
  policy = policies.pop() if len(policies) == 1 else None
  return dataclasses.replace(configured, remat=policy)
