# SPDX-License-Identifier: Apache-2.0
"""What devices send each other in a compiled program."""

import dataclasses
import math
import re

import numpy as np

from ns_jax.planning.hlo import Computation, Instruction, Module

KINDS = (
  "all-reduce",
  "all-gather",
  "reduce-scatter",
  "all-to-all",
  "collective-permute",
)
_MESH = re.compile(
  r"replica_groups=mesh\[([^\]]*)\](?:, *device_ids=\((\S*)\))? *\{([^}]*)\}"
)
_IOTA = re.compile(r"replica_groups=\[([\d,]+)\]<=(\S+?)(?:, |$)")
_TURNED = re.compile(r"\[([\d,]+)\](?:T\(([\d,]+)\))?")
_LIST = re.compile(r"replica_groups=\{\{([\d,]*)\}")
_PAIRS = re.compile(r"source_target_pairs=\{(.*?\})\}")
_PAIR = re.compile(r"\{(\d+),(?!\1\})(\d+)\}")  # of two devices, not of one
_AXIS = re.compile(r"'([^']+)'=(\d+)")
_USED = re.compile(r"'([^']+)'(?::\((\d+)\)(\d+))?")


@dataclasses.dataclass(frozen=True)
class Collective:
  """One exchange."""

  kind: str  # of KINDS
  bytes: float  # of the whole array, before or after it is split
  group: tuple[int, ...]  # devices of the first group, by place in the mesh
  times: float  # in a step

  @property
  def sent_bytes(self) -> float:
    """Bytes each device has to send, by the best algorithm, all runs."""
    n = len(self.group)
    share = (n - 1) / n
    factor = {"all-reduce": 2.0 * share, "collective-permute": 1.0}
    return self.times * self.bytes * factor.get(self.kind, share)


def find(
  module: Module,
  instruction: Instruction,
  computation: Computation,
  times: float,
) -> Collective | None:
  """The exchange that an operation is, or that a fusion is made of.

  Returns:
    It, its group empty if that cannot be read; None for anything else, and for
    what goes on with an exchange that has begun.
  """
  inner, where = instruction, computation
  if instruction.opcode == "fusion":
    where = module.computations[instruction.called("calls")[0]]
    inner = next((i for i in where.instructions.values() if _kind(i)), inner)
  kind = _kind(inner)
  if not kind:
    return None
  if inner is not instruction:
    inside = where.instructions.values()
    # An exchange in pieces stands once more in each fusion beside which it
    # goes on, which may be in a loop; it begins once.
    if "chain_id=" in inner.attributes and not any(
      '"AsyncCollectiveStart"' in i.attributes for i in inside
    ):
      return None
    if kind == "all-reduce" and any(
      i.opcode == "dynamic-slice" for i in inside
    ):
      kind = "reduce-scatter"  # what a TPU makes of it
  operands = sum(
    _bytes(where.instructions[name])
    for name in inner.operands
    if where.instructions[name].opcode != "partition-id"
  )
  group = _group(inner)
  whole = operands * (len(group) if kind == "all-gather" else 1)
  return Collective(kind, whole, group, times)


def _kind(instruction: Instruction) -> str:
  """Of KINDS; "" for anything else, and for the end of what has begun."""
  kind = instruction.opcode.removesuffix("-start")
  return kind if kind in KINDS else ""


def _bytes(instruction: Instruction) -> float:
  """Without what tiles add: that is not sent."""
  return sum(a.size * a.item_bytes for a in instruction.arrays)


def _group(instruction: Instruction) -> tuple[int, ...]:
  """Devices of the first group; none if they are written in another way."""
  text = instruction.attributes
  if found := _PAIRS.search(text):
    pair = _PAIR.search(found.group(1))
    return tuple(int(i) for i in pair.groups()) if pair else ()
  if found := _LIST.search(text):
    return _numbers(found.group(1))
  if found := _IOTA.search(text):
    shape = _numbers(found.group(1))
    return tuple(_devices(found.group(2)).reshape(shape)[0].tolist())
  if found := _MESH.search(text):
    return _mesh_group(*found.groups())
  return ()


def _devices(text: str) -> np.ndarray:
  """All of them in an order: a list, or a shape and how its axes turn."""
  found = _TURNED.fullmatch(text)
  if not found:
    return np.array(_numbers(text))
  sizes, axes = (_numbers(part or "") for part in found.groups())
  devices = np.arange(math.prod(sizes)).reshape(sizes)
  return devices.transpose(axes or range(len(sizes)))


def _mesh_group(mesh: str, order: str | None, used: str) -> tuple[int, ...]:
  """Of groups given as axes of a mesh, or as parts of its axes."""
  names = [(name, int(size)) for name, size in _AXIS.findall(mesh)]
  sizes, keep = [], []
  for name, size in names:
    done = 1
    for before, own in sorted(
      (int(before or 1), int(own or size))
      for found, before, own in _USED.findall(used)
      if found == name
    ):
      sizes += [before // done, own]
      keep += [False, True]
      done = before * own
    sizes.append(size // done)
    keep.append(False)
  devices = _devices(order or f"[{math.prod(sizes)}]").reshape(sizes)
  picked = devices[tuple(slice(None) if k else 0 for k in keep)]
  return tuple(picked.ravel().tolist())


def _numbers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split(",") if part)
