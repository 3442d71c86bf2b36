# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of a function, counted before it is compiled.

Only matrix products and convolutions count, as is usual for the utilisation of
chips. Of the branches of a condition the largest counts.
"""

import math
from typing import Any

import jax
from jax.extend import core

from ns_jax.planning import convolutions


class UnknownLengthError(Exception):
  """A loop runs until something happens."""


def flops(traced: core.ClosedJaxpr) -> float:
  """Of all products of a traced function, on all devices together.

  Args:
    traced: as `jax.jit(f).trace(...).jaxpr`.

  Returns:
    Multiplications and additions; what a program computes again in its
    backward pass counts again.

  Raises:
    UnknownLengthError: a product stands in a loop without a fixed length.
  """
  return _flops(traced.jaxpr)


def _flops(jaxpr: Any) -> float:
  return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float:
  name, params = equation.primitive.name, equation.params
  if name == "dot_general":
    return _dot(equation)
  if name == "conv_general_dilated":
    return _convolution(equation)
  if name == "scan":
    return params["length"] * _flops(params["jaxpr"].jaxpr)
  if name == "cond":
    return max(_flops(branch.jaxpr) for branch in params["branches"])
  inner = sum(_flops(jaxpr) for jaxpr in _inside(params))
  if name == "while" and inner:
    raise UnknownLengthError(str(equation.source_info.name_stack))
  return inner


def _inside(params: dict[str, Any]) -> list[Any]:
  """Functions that an equation calls; a custom derivative's is not called."""
  found = []
  for value in params.values():
    if isinstance(value, core.ClosedJaxpr):
      found.append(value.jaxpr)
    elif isinstance(value, core.Jaxpr):
      found.append(value)
  return found


def _dot(equation: Any) -> float:
  lhs = equation.invars[0].aval
  (contracted, _), _ = equation.params["dimension_numbers"]
  out = equation.outvars[0].aval
  return 2.0 * out.size * math.prod(lhs.shape[axis] for axis in contracted)


def _convolution(equation: Any) -> float:
  params = equation.params
  lhs, rhs = (v.aval.shape for v in equation.invars)
  out = equation.outvars[0].aval.shape
  numbers: jax.lax.ConvDimensionNumbers = params["dimension_numbers"]
  axes = [
    convolutions.Axis(
      size=lhs[of_lhs],
      out_size=out[of_out],
      taps=rhs[of_rhs],
      stride=params["window_strides"][i],
      pad=params["padding"][i][0],
      in_dilation=params["lhs_dilation"][i],
      tap_dilation=params["rhs_dilation"][i],
    )
    for i, (of_lhs, of_rhs, of_out) in enumerate(
      zip(
        numbers.lhs_spec[2:],
        numbers.rhs_spec[2:],
        numbers.out_spec[2:],
        strict=True,
      )
    )
  ]
  return convolutions.flops(
    out[numbers.out_spec[0]],
    out[numbers.out_spec[1]],
    rhs[numbers.rhs_spec[1]],
    axes,
  )
