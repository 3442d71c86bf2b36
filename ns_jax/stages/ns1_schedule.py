# SPDX-License-Identifier: Apache-2.0
"""When each part of NaturalSpeech joins the training (2205.04421, Sec. 4.2)."""

import dataclasses
from typing import NamedTuple

from ns_jax.errors import UserError


class Part(NamedTuple):
  """What a phase consists of."""

  is_judged: bool
  has_flow: bool
  is_aligned: bool
  has_forward: bool
  remembers: bool
  is_tuning: bool


@dataclasses.dataclass(frozen=True)
class Schedule:
  """First step of each thing that is not there from the beginning.

  The paper's main phase begins with all but the first and the last; its flow is
  there from the beginning.
  """

  flow: int
  durations: int  # predicted instead of aligned ones
  forward: int  # L_fwd
  memory: int  # it begins with what a trained posterior hears: not at 0
  tuning: int  # L_e2e instead of L_rec, L_bwd and L_fwd

  def __post_init__(self) -> None:
    """Checks the values."""
    for name, step in dataclasses.asdict(self).items():
      least = 1 if name == "memory" else 0
      if step < least:
        raise UserError(
          f"config.schedule.{name}={step} must be {least} or more"
        )

  def phases(self, judged: int, num_steps: int) -> tuple[int, ...]:
    """First step of each phase; discriminators are heard from `judged` on."""
    starts = {0, judged, *dataclasses.astuple(self)}
    return tuple(sorted(s for s in starts if s == 0 or s < num_steps))

  def part(self, start: int, judged: int) -> Part:
    """What the phase that begins at step `start` consists of."""
    is_tuning = start >= self.tuning
    return Part(
      is_judged=is_tuning or start >= judged,
      has_flow=start >= self.flow,
      is_aligned=start < self.durations,
      has_forward=start >= self.forward,
      remembers=start >= self.memory,
      is_tuning=is_tuning,
    )
