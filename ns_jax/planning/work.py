# SPDX-License-Identifier: Apache-2.0
"""What one device does in a compiled program: the sum over its operations.

XLA's own cost analysis counts the body of a loop once, and our layers are
loops. Here every operation counts as often as it runs.
"""

import dataclasses
from collections.abc import Iterator

from ns_jax.planning import collectives, loops, products, traffic
from ns_jax.planning.collectives import Collective
from ns_jax.planning.hlo import Computation, Instruction, Module

_CYCLES = r'"estimated_cycles":"(\d+)"'
_KERNELS = ("tpu_custom_call", "matmul", "gemm", "conv")


@dataclasses.dataclass(frozen=True)
class Operation:
  """One operation, a fusion as a whole."""

  name: str
  times: float  # how often it runs in a step
  flops: float  # of matrix products, all runs together
  pass_flops: float  # the same, times the passes float32 takes
  hbm_bytes: float  # all runs together
  cycles: float  # the compiler's estimate, all runs together


@dataclasses.dataclass(frozen=True)
class Work:
  """Everything one device does in a step."""

  operations: tuple[Operation, ...]
  collectives: tuple[Collective, ...]
  unknown: tuple[str, ...]  # why figures are too small; empty: they are whole

  @property
  def flops(self) -> float:
    """Of matrix products."""
    return sum(o.flops for o in self.operations)

  @property
  def pass_flops(self) -> float:
    """Of matrix products, as bfloat16 ones."""
    return sum(o.pass_flops for o in self.operations)

  @property
  def hbm_bytes(self) -> float:
    """Read and written."""
    return sum(o.hbm_bytes for o in self.operations)

  @property
  def cycles(self) -> float:
    """The compiler's estimates, added up."""
    return sum(o.cycles for o in self.operations)


def count(module: Module) -> Work:
  """Adds up what the entry computation does, loops and calls included."""
  unknown: list[str] = []
  operations, found = [], []
  for instruction, computation, times in _walk(
    module, module.entry, 1.0, unknown
  ):
    collective = collectives.find(module, instruction, computation, times)
    if collective and len(collective.group) > 1:
      found.append(collective)
    elif collective and not collective.group:
      unknown.append(f"{instruction.name} does not count: which devices?")
    if _is_kernel(instruction):
      unknown.append(f"products in kernel {instruction.name} do not count")
    operation = _operation(module, instruction, computation, times)
    if operation:
      operations.append(operation)
  return Work(tuple(operations), tuple(found), tuple(unknown))


def _is_kernel(instruction: Instruction) -> bool:
  """Whether it is a program of its own, which cannot be looked into."""
  target = instruction.attribute(r'custom_call_target="([^"]*)"')
  return any(name in target for name in _KERNELS)


def _walk(
  module: Module, computation: Computation, times: float, unknown: list[str]
) -> Iterator[tuple[Instruction, Computation, float]]:
  """Yields operations outside fusions, where they stand, how often they run."""
  for instruction in computation.instructions.values():
    yield instruction, computation, times
    if instruction.opcode == "while":
      count = loops.trips(module, instruction, computation)
      if count is None:
        unknown.append(f"loop {instruction.name} of unknown length counts once")
        count = 1
      inner = [(n, count) for n in instruction.called("body")]
    elif instruction.opcode in ("call", "async-start"):
      attribute = "to_apply" if instruction.opcode == "call" else "calls"
      inner = [(n, 1) for n in instruction.called(attribute)]
    elif instruction.opcode == "conditional":
      inner = [(n, 1) for n in _branches(instruction)]
      unknown.append(f"all branches of {instruction.name} count")
    else:
      inner = []
    for name, count in inner:
      yield from _walk(
        module, module.computations[name], times * count, unknown
      )


def _branches(instruction: Instruction) -> list[str]:
  names = list(instruction.called("branch_computations"))
  for attribute in ("true_computation", "false_computation"):
    names += instruction.called(attribute)
  return names


def _operation(
  module: Module,
  instruction: Instruction,
  computation: Computation,
  times: float,
) -> Operation | None:
  """The figures of one operation; None if it does nothing."""
  hbm_bytes = traffic.hbm_bytes(module, instruction, computation)
  found = products.products(module, instruction, computation)
  cycles = float(instruction.attribute(_CYCLES) or 0)
  if not (hbm_bytes or found or cycles):
    return None
  return Operation(
    instruction.name,
    times,
    times * sum(flops for flops, _ in found),
    times * sum(flops * passes for flops, passes in found),
    times * hbm_bytes,
    times * cycles,
  )
