# SPDX-License-Identifier: Apache-2.0
"""TPU chips and slices: what they can do, and how they are named.

Figures of chips are those of their maker, as of November 2026:
https://docs.cloud.google.com/tpu/docs/v4, /v5e, /v5p, /v6e ("bidirectional
inter-chip interconnect bandwidth" counts both directions of all ports).
"""

import dataclasses
import importlib.util
import math
import os
import re
from collections.abc import Collection
from typing import Any

import jax
from jax.experimental import topologies

from ns_jax.errors import UserError

_GIB = 1 << 30
# Nothing is run: libtpu looks for no TPU, does not complain that there is none,
# and keeps none from others.
_NO_TPU = {
  "TPU_SKIP_MDS_QUERY": "1",
  "TPU_ACCELERATOR_TYPE": "v5litepod-16",
  "TPU_WORKER_HOSTNAMES": "localhost",
  "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}
_UNIT = 2 * 128 * 128  # FLOPs a cycle of a matrix unit of 128 x 128


@dataclasses.dataclass(frozen=True)
class Chip:
  """Peaks of one chip."""

  flops_per_sec: float  # bfloat16 matrix products
  flops_per_cycle: float  # of all its matrix units, which gives the clock
  hbm_bytes: float
  hbm_bytes_per_sec: float
  link_bytes_per_sec: float  # of one port, one way
  wraps_at: int  # the ends of sides of so many chips are joined, see `Slice`
  whole: dict[str, Any] = dataclasses.field(default_factory=dict)


# A v4 and a v5p chip has two cores; both work as one device, which on v4 has
# to be asked for.
CHIPS = {
  "v4": Chip(
    275e12,
    8 * _UNIT,
    32 * _GIB,
    1200e9,
    50e9,
    4,
    {"chip_config_name": "megacore"},
  ),
  "v5e": Chip(197e12, 4 * _UNIT, 16 * _GIB, 819e9, 50e9, 16),
  "v5p": Chip(459e12, 8 * _UNIT, 95 * _GIB, 2765e9, 100e9, 4),
  "v6e": Chip(918e12, 16 * _UNIT, 32 * _GIB, 1638e9, 100e9, 16),
}

# Slices by the name they are rented under, which on v4 and v5p counts cores.
SLICES = {
  "v4-8": "v4:2x2x1",
  "v4-16": "v4:2x2x2",
  "v4-32": "v4:2x2x4",
  "v4-64": "v4:2x4x4",
  "v4-128": "v4:4x4x4",
  "v5e-4": "v5e:2x2",
  "v5e-8": "v5e:2x4",
  "v5e-16": "v5e:4x4",
  "v5e-32": "v5e:4x8",
  "v5e-64": "v5e:8x8",
  "v5e-128": "v5e:8x16",
  "v5e-256": "v5e:16x16",
  "v5p-8": "v5p:2x2x1",
  "v5p-16": "v5p:2x2x2",
  "v5p-32": "v5p:2x2x4",
  "v6e-4": "v6e:2x2",
  "v6e-8": "v6e:2x4",
  "v6e-16": "v6e:4x4",
  "v6e-32": "v6e:4x8",
  "v6e-64": "v6e:8x8",
  "v6e-128": "v6e:8x16",
  "v6e-256": "v6e:16x16",
}
_SHAPE = re.compile(r"(v\w+):(\d+(?:x\d+)+)")


@dataclasses.dataclass(frozen=True)
class Slice:
  """Chips that are joined."""

  name: str  # as libtpu knows it: v5e:4x4
  chip: Chip
  sides: tuple[int, ...]

  @property
  def num_chips(self) -> int:
    """How many they are."""
    return math.prod(self.sides)

  def ingress(self, coordinates: Collection[tuple[int, ...]]) -> float:
    """Bytes a second into the chip that is joined worst within a group.

    Args:
      coordinates: of the group's chips.

    Returns:
      No algorithm that gives each chip all the others' data is faster.
    """
    links = 0
    for axis, size in enumerate(self.sides):
      count = len({place[axis] for place in coordinates})
      joined = count == size and self._is_joined(axis)
      links += 2 if joined else count > 1
    return max(links, 1) * self.chip.link_bytes_per_sec

  def _is_joined(self, axis: int) -> bool:
    """In three dimensions of whole cubes alone, in two each side by itself."""
    sides = self.sides if len(self.sides) == 3 else self.sides[axis : axis + 1]
    return all(side % self.chip.wraps_at == 0 for side in sides)


def find(name: str) -> Slice:
  """A slice by either of its names.

  Args:
    name: v5e-16 or v5e:4x4.

  Returns:
    The slice.

  Raises:
    UserError: there is no such slice.
  """
  found = _SHAPE.fullmatch(SLICES.get(name, name))
  if found is None or found.group(1) not in CHIPS:
    known = ", ".join(f"{short} ({full})" for short, full in SLICES.items())
    raise UserError(f"--topology {name} is unknown; known are {known}")
  kind, sides = found.groups()
  return Slice(
    found.group(),
    CHIPS[kind],
    tuple(int(side) for side in sides.split("x")),
  )


def devices(of: Slice) -> list[Any]:
  """The slice's devices, to compile for; nothing can be run on them.

  Raises:
    UserError: libtpu is not installed, or knows no such slice.
  """
  if importlib.util.find_spec("libtpu") is None:
    raise UserError(
      "planning needs libtpu, the compiler for TPUs (no TPU is needed); "
      "pip install 'ns_jax[plan]'"
    )
  for name, value in _NO_TPU.items():
    os.environ.setdefault(name, value)
  try:
    described = topologies.get_topology_desc(
      platform="tpu", topology_name=of.name, **of.chip.whole
    )
  except jax.errors.JaxRuntimeError as error:
    reason = str(error).splitlines()[0]
    raise UserError(f"--topology {of.name}: {reason}") from error
  return list(described.devices)
