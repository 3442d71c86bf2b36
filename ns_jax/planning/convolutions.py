# SPDX-License-Identifier: Apache-2.0
"""Floating-point operations of convolutions, padding and holes left out."""

import math
from collections.abc import Iterable
from typing import NamedTuple


class Axis(NamedTuple):
  """One spatial axis."""

  size: int  # of the input
  out_size: int
  taps: int = 1
  stride: int = 1
  pad: int = 0  # before the input; negative: cut
  in_dilation: int = 1  # holes between inputs
  tap_dilation: int = 1


def pairs(axis: Axis) -> int:
  """How often a tap meets a real input, over all outputs."""
  if axis.size == 0:
    return 0
  end = (axis.size - 1) * axis.in_dilation  # last input, among its holes
  count = 0
  for tap in range(axis.taps):
    # Outputs o with 0 <= o * stride + shift <= end, not at a hole.
    shift = tap * axis.tap_dilation - axis.pad
    first = max(0, -(shift // axis.stride))
    last = min(axis.out_size - 1, (end - shift) // axis.stride)
    if last < first:
      continue
    if axis.in_dilation == 1:
      count += last - first + 1
      continue
    # Every period-th output that meets one of them meets the next.
    period = axis.in_dilation // math.gcd(axis.stride, axis.in_dilation)
    for o in range(first, min(first + period, last + 1)):
      if (o * axis.stride + shift) % axis.in_dilation == 0:
        count += (last - o) // period + 1
        break
  return count


def flops(
  batch: int, features: int, features_per_output: int, axes: Iterable[Axis]
) -> float:
  """Multiplications and additions of a convolution.

  Args:
    batch: of the output.
    features: of the output.
    features_per_output: channels of the input that one output sees.
    axes: the spatial ones.

  Returns:
    Twice the number of products of two real numbers.
  """
  count = 2.0 * batch * features * features_per_output
  for axis in axes:
    count *= pairs(axis)
  return count
