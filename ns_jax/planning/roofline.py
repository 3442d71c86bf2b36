# SPDX-License-Identifier: Apache-2.0
"""How long a step takes at least, from what it does and what chips can do."""

import dataclasses
from collections.abc import Sequence

from ns_jax.planning.collectives import Collective
from ns_jax.planning.topology import Slice
from ns_jax.planning.work import Work

Coordinates = Sequence[tuple[int, ...]]  # of each device, by place in the mesh


@dataclasses.dataclass(frozen=True)
class Bound:
  """Seconds each part of a chip is busy, were it never to wait."""

  compute_sec: float
  memory_sec: float
  interconnect_sec: float

  @property
  def overlapped_sec(self) -> float:
    """All at once."""
    return max(self.compute_sec, self.memory_sec, self.interconnect_sec)

  @property
  def serial_sec(self) -> float:
    """One after the other."""
    return self.compute_sec + self.memory_sec + self.interconnect_sec

  @property
  def binding(self) -> str:
    """Which one the others wait for."""
    parts = {
      "compute": self.compute_sec,
      "memory": self.memory_sec,
      "interconnect": self.interconnect_sec,
    }
    return max(parts, key=parts.__getitem__)


def bound(work: Work, within: Slice, coordinates: Coordinates) -> Bound:
  """The bound of a compiled step.

  Args:
    work: of one device.
    within: the slice it runs on.
    coordinates: of the slice's devices.
  """
  chip = within.chip
  return Bound(
    compute_sec=work.pass_flops / chip.flops_per_sec,
    memory_sec=work.hbm_bytes / chip.hbm_bytes_per_sec,
    interconnect_sec=sum(
      collective_sec(c, within, coordinates) for c in work.collectives
    ),
  )


def collective_sec(
  collective: Collective, within: Slice, coordinates: Coordinates
) -> float:
  """Seconds of all runs of one exchange, all of the group's links at work."""
  group = [coordinates[device] for device in collective.group]
  return collective.sent_bytes / within.ingress(group)
