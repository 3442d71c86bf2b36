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
  own: Candidate | None = None,
) -> tuple[Candidate, Measure, Result] | None:
  """Compiles the most promising candidates, and one that is to be beaten.

  Args:
    estimates: guesses for all.
    compile_fn: what a candidate really takes and whatever else was found out;
      None if it does not fit.
    hbm_bytes: of a chip.
    most: candidates that fit to be compiled; those that do not cost as much
      again at most.
    own: compiled first, whatever its guess.

  Returns:
    The fastest of those that fit with headroom; None if none does.
  """
  room = HEADROOM * hbm_bytes
  promising = sorted(
    (e for e in estimates if e.bytes <= _SLACK * room),
    key=lambda e: (e.seconds, e.bytes),
  )
  tried = [e.candidate for e in promising if e.candidate != own][: 2 * most]
  found: tuple[Candidate, Measure, Result] | None = None
  fitting = 0
  for candidate in (*([own] if own else []), *tried):
    if fitting == most:
      break
    compiled = compile_fn(candidate)
    if compiled is None or compiled[0].bytes > room:
      continue
    fitting += candidate != own
    measure, result = compiled
    if found is None or measure.seconds < found[1].seconds:
      found = candidate, measure, result
  return found
