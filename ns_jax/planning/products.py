# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of matrix products in a compiled program."""

import re

from ns_jax.planning import convolutions
from ns_jax.planning.hlo import Computation, Instruction, Module

_WINDOW = re.compile(r"window=\{([^}]*)\}")
_LABELS = re.compile(r"dim_labels=(\w+)_(\w+)->(\w+)")
_PRECISION = r"operand_precision=\{(\w+)"

# Products of two float32 are made of so many of bfloat16's on a TPU
# (jax.lax.Precision: DEFAULT, HIGH, HIGHEST).
_PASSES = {"": 1, "default": 1, "high": 3, "highest": 6}


def products(
  module: Module, instruction: Instruction, computation: Computation
) -> list[tuple[float, int]]:
  """(flops, passes) of the product an operation is, or of all that it fuses.

  Passes are how often the matrix unit goes over the operands.
  """
  if instruction.opcode == "fusion":
    inside = module.computations[instruction.called("calls")[0]]
    return [
      product
      for fused in inside.instructions.values()
      for product in products(module, fused, inside)
    ]
  if instruction.opcode not in ("dot", "convolution"):
    return []
  count = _dot if instruction.opcode == "dot" else _convolution
  passes = 1
  if computation.operand(instruction, 0).array.dtype == "f32":
    passes = _PASSES[instruction.attribute(_PRECISION)]
  return [(count(instruction, computation), passes)]


def _dot(instruction: Instruction, computation: Computation) -> float:
  lhs = computation.operand(instruction, 0).array
  axes = instruction.attribute(r"lhs_contracting_dims=\{([\d,]*)\}")
  count = 2.0 * instruction.array.size
  for axis in axes.split(","):
    count *= lhs.dims[int(axis)] if axis else 1
  return count


def _convolution(instruction: Instruction, computation: Computation) -> float:
  lhs = computation.operand(instruction, 0).array
  rhs = computation.operand(instruction, 1).array
  out = instruction.array
  labels = _LABELS.search(instruction.attributes)
  assert labels, f"{instruction.name} has no dim_labels"
  of_lhs, of_rhs, of_out = labels.groups()
  window = _WINDOW.search(instruction.attributes)
  options = dict(
    option.split("=") for option in (window.group(1).split() if window else [])
  )

  def option(name: str, i: int, default: str) -> str:
    return options[name].split("x")[i] if name in options else default

  axes = [
    convolutions.Axis(
      size=lhs.dims[of_lhs.index(str(i))],
      out_size=out.dims[of_out.index(str(i))],
      taps=rhs.dims[of_rhs.index(str(i))],
      stride=int(option("stride", i, "1")),
      pad=int(option("pad", i, "0_0").split("_")[0]),
      in_dilation=int(option("lhs_dilate", i, "1")),
      tap_dilation=int(option("rhs_dilate", i, "1")),
    )
    for i in range(len(of_out) - 2)
  ]
  return convolutions.flops(
    out.dims[of_out.index("b")],
    out.dims[of_out.index("f")],
    rhs.dims[of_rhs.index("i")],
    axes,
  )
