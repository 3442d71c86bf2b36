# SPDX-License-Identifier: Apache-2.0
"""The text of an optimised XLA program, read into computations."""

import dataclasses
import math
import re
from collections.abc import Mapping

_BITS = re.compile(r"[a-z]+?(\d+)")
_ARRAY = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_NAME = re.compile(r"%([\w.\-]+)")
_COMMENT = re.compile(r"/\*.*?\*/")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_LINE = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_TILE = re.compile(r"T\(([\d,]+)\)")
_SPACE = re.compile(r"S\((\d+)\)")
_OPCODE = re.compile(r"([\w\-]+)\(")


@dataclasses.dataclass(frozen=True)
class Array:
  """Type of one array of the program, and where it lies."""

  dtype: str  # XLA's name: f32, bf16, pred
  dims: tuple[int, ...]
  minor_to_major: tuple[int, ...] = ()
  tile: tuple[int, ...] = ()
  space: int = 0  # 0: HBM; TPU: 1 is the fast memory beside the core

  @property
  def size(self) -> int:
    """Number of elements."""
    return math.prod(self.dims)

  @property
  def bytes(self) -> float:
    """Bytes as it is stored, what tiles add included."""
    order = self.minor_to_major or tuple(reversed(range(len(self.dims))))
    stored = [self.dims[axis] for axis in reversed(order)]
    for i, part in enumerate(reversed(self.tile)):
      if i < len(stored):
        stored[-1 - i] = -(-stored[-1 - i] // part) * part
    return math.prod(stored) * self.item_bytes

  @property
  def item_bytes(self) -> float:
    """Bytes of an element; tokens and the like have none."""
    if self.dtype == "pred":
      return 1.0
    bits = _BITS.match(self.dtype)
    return int(bits.group(1)) / 8 if bits else 0.0


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One operation."""

  name: str
  opcode: str
  arrays: tuple[Array, ...]  # of the result; several of a tuple
  operands: tuple[str, ...]  # names, in the same computation
  literal: str  # what stands between the parentheses
  attributes: str  # what follows them

  @property
  def array(self) -> Array:
    """The result, where it is one array."""
    return self.arrays[0]

  def called(self, attribute: str) -> tuple[str, ...]:
    """Names of the computations under an attribute, as calls= or body=."""
    found = re.search(
      rf"\b{attribute}=(?:%([\w.\-]+)|\{{([^}}]*)\}})", self.attributes
    )
    if not found:
      return ()
    return (found.group(1),) if found.group(1) else names(found.group(2))

  def attribute(self, pattern: str) -> str:
    """First group of a pattern found in the attributes; "" if it is not."""
    found = re.search(pattern, self.attributes)
    return found.group(1) if found else ""


@dataclasses.dataclass(frozen=True)
class Computation:
  """Operations in order; the last of them need not be the root."""

  name: str
  instructions: Mapping[str, Instruction]
  root: Instruction

  def operand(self, instruction: Instruction, index: int) -> Instruction:
    """The operation that makes an operand."""
    return self.instructions[instruction.operands[index]]

  def users(self, name: str) -> list[Instruction]:
    """Operations that read a result."""
    return [i for i in self.instructions.values() if name in i.operands]

  def parameters(self) -> dict[int, Instruction]:
    """Parameters by number."""
    return {
      int(i.literal): i
      for i in self.instructions.values()
      if i.opcode == "parameter"
    }


@dataclasses.dataclass(frozen=True)
class Module:
  """A program."""

  computations: Mapping[str, Computation]
  entry: Computation


def names(text: str) -> tuple[str, ...]:
  """Names with a percent sign before them, in order."""
  return tuple(_NAME.findall(text))


def parse_arrays(text: str) -> tuple[Array, ...]:
  """Arrays of a type, those of nested tuples in one row."""
  arrays = []
  for dtype, dims, layout in _ARRAY.findall(text):
    order, _, rest = layout.partition(":")
    tile, space = _TILE.search(rest), _SPACE.search(rest)
    arrays.append(
      Array(
        dtype,
        _integers(dims.replace("<=", "")),
        _integers(order),
        _integers(tile.group(1)) if tile else (),
        int(space.group(1)) if space else 0,
      )
    )
  return tuple(arrays)


def parse(text: str) -> Module:
  """Reads what `compiled.as_text()` gives.

  Args:
    text: of one module.

  Returns:
    Its computations.

  Raises:
    ValueError: the text has no entry, so it is of no program.
  """
  computations, entry, head = {}, None, None
  instructions, root = {}, None
  for line in text.splitlines():
    line = _COMMENT.sub("", line)
    if head is None:
      found = _HEAD.match(line)
      if found:
        head, instructions, root = found, {}, None
    elif line.startswith("}"):
      assert root is not None, f"computation {head.group(2)} has no root"
      computation = Computation(head.group(2), instructions, root)
      computations[computation.name] = computation
      if head.group(1):
        entry = computation
      head = None
    else:
      found = _LINE.match(line)
      if found:
        instruction = _instruction(found.group(2), found.group(3))
        instructions[instruction.name] = instruction
        if found.group(1):
          root = instruction
  if entry is None:
    raise ValueError("no entry computation: this is no text of a program")
  return Module(computations, entry)


def _instruction(name: str, text: str) -> Instruction:
  """Reads what follows the equals sign."""
  if text.startswith("("):
    end = _closing(text, 0) + 1
  else:
    end = text.index(" ")
  kind = text[:end]
  found = _OPCODE.search(text, end)
  assert found, f"no operation in {text[:80]!r}"
  close = _closing(text, found.end() - 1)
  literal = text[found.end() : close]
  return Instruction(
    name,
    found.group(1),
    parse_arrays(kind),
    names(literal),
    literal,
    text[close + 1 :],
  )


def _closing(text: str, start: int) -> int:
  """Index of the parenthesis that closes the one at `start`."""
  depth = 0
  for i in range(start, len(text)):
    depth += (text[i] == "(") - (text[i] == ")")
    if depth == 0:
      return i
  raise ValueError(f"unbalanced parentheses in {text[start : start + 80]!r}")


def _integers(text: str) -> tuple[int, ...]:
  return tuple(int(part) for part in text.split(",") if part.strip())
