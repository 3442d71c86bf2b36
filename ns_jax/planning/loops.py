# SPDX-License-Identifier: Apache-2.0
"""How often the loops of a compiled program run."""

from ns_jax.planning.hlo import Computation, Instruction, Module

# What hands a value on as it is.
_SAME = ("copy", "copy-start", "copy-done", "bitcast", "reshape", "convert")
_KNOWN = r"known_trip_count\W+n\W+(\d+)"


def trips(
  module: Module, loop: Instruction, computation: Computation
) -> int | None:
  """Iterations of a while loop.

  Args:
    module: the program.
    loop: the operation.
    computation: where it stands.

  Returns:
    From what the compiler notes, or from a counter that starts at a constant,
    grows by one and is held against another; None for any other loop.
  """
  known = loop.attribute(_KNOWN)
  if known:
    return int(known)
  condition = module.computations[loop.called("condition")[0]]
  body = module.computations[loop.called("body")[0]]
  test = _test(module, condition)
  if test is None:
    return None
  index, bound, inclusive = test
  start = _initial(loop, computation, index)
  step = _step(module, body, index)
  if start is None or step is None or step < 1:
    return None
  return max(0, -(-(bound + inclusive - start) // step))


def _test(
  module: Module, condition: Computation
) -> tuple[int, int, int] | None:
  """(element of the state, bound, whether it is still in) of a comparison."""
  test, terms = _opened(module, condition, condition.root)
  if test.opcode != "compare":
    return None
  left, right = terms
  direction = test.attribute(r"direction=(\w+)")
  if direction in ("GT", "GE"):
    left, right = right, left
    direction = {"GT": "LT", "GE": "LE"}[direction]
  if direction not in ("LT", "LE") or right.opcode != "constant":
    return None
  index = _element(left)
  if index is None:
    return None
  return index, int(right.literal), int(direction == "LE")


def _opened(
  module: Module, computation: Computation, instruction: Instruction
) -> tuple[Instruction, list[Instruction]]:
  """An operation, of a fusion its last one, and where its operands are from."""
  if instruction.opcode != "fusion":
    return instruction, [
      _source(computation, name) for name in instruction.operands
    ]
  inside = module.computations[instruction.called("calls")[0]]
  terms = [_source(inside, name) for name in inside.root.operands]
  return inside.root, [
    _source(computation, instruction.operands[int(term.literal)])
    if term.opcode == "parameter"
    else term
    for term in terms
  ]


def _source(computation: Computation, name: str) -> Instruction:
  """Where a value comes from, copies left out."""
  instruction = computation.instructions[name]
  while instruction.opcode in _SAME:
    instruction = computation.operand(instruction, 0)
  return instruction


def _element(instruction: Instruction) -> int | None:
  """Which element of the loop's state is read."""
  if instruction.opcode != "get-tuple-element":
    return None
  return int(instruction.attribute(r"index=(\d+)"))


def _initial(
  loop: Instruction, computation: Computation, index: int
) -> int | None:
  """The counter before the first iteration."""
  state = _source(computation, loop.operands[0])
  if state.opcode != "tuple":
    return None
  start = _source(computation, state.operands[index])
  return int(start.literal) if start.opcode == "constant" else None


def _step(module: Module, body: Computation, index: int) -> int | None:
  """What an iteration adds to the counter."""
  if body.root.opcode != "tuple":
    return None
  new = _source(body, body.root.operands[index])
  sum_, terms = _opened(module, body, new)
  constants = [term for term in terms if term.opcode == "constant"]
  counters = [term for term in terms if _element(term) == index]
  if sum_.opcode != "add" or len(constants) != 1 or len(counters) != 1:
    return None
  return int(constants[0].literal)
