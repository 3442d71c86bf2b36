# SPDX-License-Identifier: Apache-2.0
"""The fastest layout that fits: guessed for all, compiled for the best."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import TypeVar

from ns_jax.planning.estimating import Candidate, Estimate

HEADROOM = 0.9  # share of a chip's memory that a plan may take
# Guesses of memory are rough: what is up to so much too large is still tried.
_SLACK = 1.25

Result = TypeVar("Result")


@dataclasses.dataclass(frozen=True)
class Measure:
  """What compiling a candidate has shown."""

  bytes: float  # of a chip's HBM
  seconds: float  # of a step


def best(
  estimates: Iterable[Estimate],
  compile_fn: Callable[[Candidate], tuple[Measure, Result] | None],
  *,
  hbm_bytes: float,
  most: int,
) -> tuple[Candidate, Measure, Result] | None:
  """Compiles the most promising candidates.

  Args:
    estimates: guesses for all.
    compile_fn: what a candidate really takes and whatever else was found out;
      None if it does not fit.
    hbm_bytes: of a chip.
    most: candidates that fit to be compiled; those that do not cost as much
      again at most.

  Returns:
    The fastest of those that fit with headroom; None if none does.
  """
  room = HEADROOM * hbm_bytes
  promising = sorted(
    (e for e in estimates if e.bytes <= _SLACK * room),
    key=lambda e: (e.seconds, e.bytes),
  )
  found: tuple[Candidate, Measure, Result] | None = None
  fitting = 0
  for guess in promising[: 2 * most]:
    compiled = compile_fn(guess.candidate)
    if compiled is None or compiled[0].bytes > room:
      continue
    fitting += 1
    measure, result = compiled
    if found is None or measure.seconds < found[1].seconds:
      found = guess.candidate, measure, result
    if fitting == most:
      break
  return found
