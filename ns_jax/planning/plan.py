# SPDX-License-Identifier: Apache-2.0
"""What a run on a slice comes to, from its compiled steps."""

import collections
import dataclasses
import math
from typing import Any

from ns_jax.audio import AudioSpec
from ns_jax.planning import roofline
from ns_jax.planning.compiling import Memory, Program, Run
from ns_jax.planning.estimating import Candidate
from ns_jax.planning.roofline import Bound
from ns_jax.planning.topology import Slice

# A compiler merges what a step computes twice and makes products of other
# operations, sums for one. Fewer than this share of those that were traced are
# not to be believed.
_LEAST = 0.5


@dataclasses.dataclass(frozen=True)
class Exchange:
  """All exchanges of one kind and group size, of one chip and step."""

  kind: str
  chips: int  # of the group
  count: float
  bytes: float  # sent by each chip
  seconds: float


@dataclasses.dataclass(frozen=True)
class Step:
  """The step of one phase; of one chip, where not said otherwise."""

  stage: str
  slice_name: str
  chips: int
  phase: int
  first_step: int
  num_steps: int  # of the phase
  layout: str
  rows: int  # of the global batch
  audio_sec: float | None  # of the global batch; None: the stage hears none
  memory: Memory
  hbm_bytes: float  # that the chip has
  flops: float
  pass_flops: float  # the same, as bfloat16 products
  traced_flops: float | None  # counted before compiling
  model_flops: float | None  # without what is computed again
  traffic_bytes: float
  exchanges: tuple[Exchange, ...]
  bound: Bound
  compiler_sec: float  # its estimates of all operations, without exchanges
  peak_flops_per_sec: float
  unknown: tuple[str, ...]

  @property
  def is_known(self) -> bool:
    """Whether the counts are whole and do not contradict each other."""
    if self.unknown or self.traced_flops is None:
      return False
    return self.flops >= _LEAST * self.traced_flops

  @property
  def expected_sec(self) -> float:
    """By the compiler's estimates, exchanges one after the other with them."""
    return self.compiler_sec + self.bound.interconnect_sec

  def utilisation(self, seconds: float) -> float | None:
    """Share of the peak that the model's products take, if a step does."""
    if self.model_flops is None:
      return None
    return self.model_flops / (seconds * self.peak_flops_per_sec)

  def audio_hours_per_hour(self, seconds: float) -> float | None:
    """Hours of audio trained on in an hour."""
    return None if self.audio_sec is None else self.audio_sec / seconds

  def days(self, seconds: float) -> float:
    """Of the phase."""
    return self.num_steps * seconds / 86_400.0

  def to_json(self) -> dict[str, Any]:
    """All of it, and what follows from it."""
    low, high = self.bound.overlapped_sec, self.bound.serial_sec
    return dataclasses.asdict(self) | {
      "memory_bytes": self.memory.total,
      "binding": self.bound.binding,
      "step_sec": [low, high],
      "utilisation": [self.utilisation(high), self.utilisation(low)],
      "audio_hours_per_hour": [
        self.audio_hours_per_hour(high),
        self.audio_hours_per_hour(low),
      ],
      "expected_sec": self.expected_sec,
      "expected_utilisation": self.utilisation(self.expected_sec),
      "days": [self.days(low), self.days(high)],
      "is_known": self.is_known,
    }


def phase_steps(run: Run) -> list[int]:
  """How many steps each phase of a run has."""
  starts = run.stage.phases
  ends = [*starts[1:], run.config.train.num_steps]
  return [max(0, end - start) for start, end in zip(starts, ends, strict=True)]


def make_step(
  run: Run,
  within: Slice,
  candidate: Candidate,
  coordinates: roofline.Coordinates,
  *,
  num_rows: int,
  phase: int,
  traced_flops: float | None,
  model_flops: float | None,
  program: Program,
) -> Step:
  """Holds a compiled step against what the chips can do.

  Args:
    run: what was compiled.
    within: for which slice.
    candidate: how it is laid out.
    coordinates: of the slice's devices, by place in its mesh.
    num_rows: of the global batch.
    phase: of the stage.
    traced_flops: of all chips, counted before compiling.
    model_flops: the same without what is computed again.
    program: the compiled step.
  """
  config, chips = run.config, within.num_chips
  done, chip = program.work, within.chip
  if model_flops is not None:
    # What a compiler merges, as a GAN's two forward passes, is no work.
    model_flops = min(model_flops / chips, done.flops)
  return Step(
    stage=config.stage,
    slice_name=within.name,
    chips=chips,
    phase=phase,
    first_step=run.stage.phases[phase],
    num_steps=phase_steps(run)[phase],
    layout=str(candidate),
    rows=num_rows,
    audio_sec=num_rows * _row_sec(config) or None,
    memory=program.memory,
    hbm_bytes=chip.hbm_bytes,
    flops=done.flops,
    pass_flops=done.pass_flops,
    traced_flops=None if traced_flops is None else traced_flops / chips,
    model_flops=model_flops,
    traffic_bytes=done.hbm_bytes,
    exchanges=_exchanges(program, within, coordinates),
    bound=roofline.bound(done, within, coordinates),
    compiler_sec=done.cycles * chip.flops_per_cycle / chip.flops_per_sec,
    peak_flops_per_sec=chip.flops_per_sec,
    unknown=done.unknown,
  )


def _row_sec(config: Any) -> float:
  """Seconds of audio in a full row; 0 where rows are text."""
  frames = config.data.get("max_frames") or config.data.get("crop_frames") or 0
  return frames / AudioSpec(**config.audio).frame_rate_hz


def _exchanges(
  program: Program, within: Slice, coordinates: roofline.Coordinates
) -> tuple[Exchange, ...]:
  """Exchanges by kind, the slowest first."""
  groups = collections.defaultdict(list)
  for exchange in program.work.collectives:
    groups[exchange.kind, len(exchange.group)].append(exchange)
  found = [
    Exchange(
      kind,
      chips,
      math.fsum(c.times for c in group),
      math.fsum(c.sent_bytes for c in group),
      math.fsum(roofline.collective_sec(c, within, coordinates) for c in group),
    )
    for (kind, chips), group in groups.items()
  ]
  return tuple(sorted(found, key=lambda e: -e.seconds))
