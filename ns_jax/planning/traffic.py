# SPDX-License-Identifier: Apache-2.0
"""Bytes that operations of a compiled program move to and from HBM.

Counted at the boundary of fusions: what lies within one never leaves the core.
What the compiler has placed in the memory beside the core is not counted, the
copy that brings it there is.
"""

from collections.abc import Sequence

from ns_jax.planning.hlo import Array, Computation, Instruction, Module

# These move nothing themselves, or what they call is counted instead.
FREE = frozenset(
  """
  add-dependency after-all async-done async-update bitcast call conditional
  constant copy-done domain get-dimension-size get-tuple-element iota
  opt-barrier parameter partition-id replica-id tuple while
  all-gather-done all-reduce-done all-to-all-done collective-permute-done
  recv-done send-done slice-done
  """.split()
)
# Custom calls that only reserve or mark memory.
_MARKERS = ("AllocateBuffer", "Sharding", "SPMDFullToShardShape")
_VIEWS = ("bitcast", "reshape", "convert", "copy")


def hbm_bytes(
  module: Module, instruction: Instruction, computation: Computation
) -> float:
  """Bytes read from and written to HBM by one operation, once."""
  if instruction.opcode in FREE or instruction.opcode == "async-start":
    return 0.0
  if instruction.opcode == "custom-call" and any(
    f'"{name}"' in instruction.attributes for name in _MARKERS
  ):
    return 0.0
  read = sum(
    _read(module, instruction, computation, i)
    for i in range(len(instruction.operands))
  )
  return read + _written(module, instruction, computation)


def _read(
  module: Module,
  instruction: Instruction,
  computation: Computation,
  index: int,
) -> float:
  """Bytes that are read of one operand."""
  operand = computation.operand(instruction, index)
  stored = sum(array.bytes for array in operand.arrays if array.space == 0)
  if not stored:
    return 0.0
  if instruction.opcode == "fusion":
    inside = module.computations[instruction.called("calls")[0]]
    parameter = inside.parameters()[index]
    return min(stored, _needed(module, inside, parameter.name))
  return min(stored, _needed_by(module, instruction, computation, index))


def _needed(module: Module, computation: Computation, name: str) -> float:
  """Bytes of a value that the operations of a fusion look at."""
  total = 0.0
  for user in computation.users(name):
    for index, operand in enumerate(user.operands):
      if operand == name:
        total += _needed_by(module, user, computation, index)
  return total


def _needed_by(
  module: Module, user: Instruction, computation: Computation, index: int
) -> float:
  """Bytes of operand `index` that one operation looks at."""
  if user.opcode in ("dynamic-slice", "slice", "gather", "slice-start"):
    return _results(user)[0].bytes if index == 0 else 0.0
  if user.opcode == "dynamic-update-slice":
    # Written in place: the rest of the array stays where it is.
    if index == 1:
      return computation.operand(user, 1).array.bytes
    return 0.0
  if user.opcode == "scatter" and index == 0:
    return computation.operand(user, 2).array.bytes
  if user.opcode == "fusion":
    inside = module.computations[user.called("calls")[0]]
    return _needed(module, inside, inside.parameters()[index].name)
  if user.opcode in ("bitcast", "reshape") and user is not computation.root:
    return _needed(module, computation, user.name)
  return sum(a.bytes for a in computation.operand(user, index).arrays)


def _written(
  module: Module, instruction: Instruction, computation: Computation
) -> float:
  """Bytes of the results that lie in HBM."""
  if instruction.opcode == "fusion":
    inside = module.computations[instruction.called("calls")[0]]
    return _written_by_root(inside, instruction)
  if instruction.opcode == "dynamic-update-slice":
    if instruction.array.space:
      return 0.0
    return computation.operand(instruction, 1).array.bytes
  if instruction.opcode == "scatter":
    return computation.operand(instruction, 2).array.bytes
  return sum(a.bytes for a in _results(instruction) if a.space == 0)


def _results(instruction: Instruction) -> Sequence[Array]:
  """What it makes, of all that an operation that has begun hands on."""
  arrays, opcode = instruction.arrays, instruction.opcode
  if opcode == "copy-start":  # (result, operand, context)
    return arrays[:1]
  if opcode.endswith("-start") and opcode != "all-reduce-start":
    count = len(instruction.operands)  # (operands, results, context)
    return arrays[count : 2 * count]
  return arrays


def _written_by_root(inside: Computation, fusion: Instruction) -> float:
  """As `_written`, of a fusion: updates in place write the update alone."""
  roots = [inside.root.name]
  if inside.root.opcode == "tuple":
    roots = list(inside.root.operands)
  if len(roots) != len(fusion.arrays):
    return sum(a.bytes for a in fusion.arrays if a.space == 0)
  total = 0.0
  for name, array in zip(roots, fusion.arrays, strict=True):
    if array.space:
      continue
    root = inside.instructions[name]
    while root.opcode in _VIEWS:
      root = inside.operand(root, 0)
    if root.opcode == "dynamic-update-slice":
      total += inside.operand(root, 1).array.bytes
    else:
      total += array.bytes
  return total
