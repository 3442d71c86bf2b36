# SPDX-License-Identifier: Apache-2.0
"""Array aliases and a static shape check; dimension letters: docs/shapes.md."""

from typing import Any

import jax

Array = jax.Array
Params = Any  # a pytree of arrays
Batch = dict[str, Array]


def check_shapes(*arrays_and_dims: Any) -> dict[str, int]:
  """Checks that named dimensions agree; raises while tracing, costs nothing.

  Args:
    *arrays_and_dims: pairs `array, "B T D"`. Each letter must have one size
      across all arrays; a number must match literally, `_` matches anything.

  Returns:
    Size of each named dimension.

  Raises:
    ValueError: on a wrong rank or two sizes for one letter.
  """
  sizes: dict[str, int] = {}
  pairs = zip(arrays_and_dims[::2], arrays_and_dims[1::2], strict=True)
  for array, dims in pairs:
    names = dims.split()
    if len(names) != array.ndim:
      raise ValueError(f"expected dimensions '{dims}', got shape {array.shape}")
    for name, size in zip(names, array.shape, strict=True):
      if name == "_":
        continue
      expected = int(name) if name.isdigit() else sizes.setdefault(name, size)
      if size != expected:
        raise ValueError(
          f"dimension {name} of '{dims}' is {size}, expected {expected}"
        )
  return sizes
