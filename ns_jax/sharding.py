# SPDX-License-Identifier: Apache-2.0
"""Mesh, partition rules and the way from host batches to global arrays.

Models never see any of this: parameters are laid out from outside by a table
of (path regex, PartitionSpec) kept beside each model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from ns_jax.errors import UserError

MESH_AXES: tuple[str, ...] = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")
FSDP_MIN_BYTES = 1 << 20  # smaller parameters are replicated

Rules = Sequence[tuple[str, PartitionSpec]]


def make_mesh(
  axis_sizes: Mapping[str, int], devices: Sequence[Any] | None = None
) -> Mesh:
  """Builds the (data, fsdp, tensor) mesh.

  Args:
    axis_sizes: size of each axis; one of them may be -1, "what is left".
    devices: to be used; None: all devices of all processes.

  Returns:
    A mesh of type Auto: the compiler propagates layouts.

  Raises:
    UserError: the sizes do not multiply to the number of devices.
  """
  num_devices = jax.device_count() if devices is None else len(devices)
  return jax.make_mesh(
    mesh_sizes(axis_sizes, num_devices),
    MESH_AXES,
    axis_types=(AxisType.Auto,) * len(MESH_AXES),
    devices=devices,
  )


def mesh_sizes(
  axis_sizes: Mapping[str, int], num_devices: int
) -> tuple[int, ...]:
  """Sizes of MESH_AXES, as for `make_mesh`, with what is left filled in."""
  sizes = [int(axis_sizes[axis]) for axis in MESH_AXES]
  known = int(np.prod([size for size in sizes if size != -1]))
  if sizes.count(-1) > 1 or known < 1 or num_devices % known:
    raise UserError(
      f"mesh {dict(axis_sizes)} does not fit {num_devices} device(s); "
      "at most one axis may be -1 and the others must divide that number"
    )
  sizes = [num_devices // known if size == -1 else size for size in sizes]
  if int(np.prod(sizes)) != num_devices:
    raise UserError(
      f"mesh {dict(axis_sizes)} uses {int(np.prod(sizes))} of {num_devices} "
      "device(s); set one axis to -1"
    )
  return tuple(sizes)


def replicated(mesh: Mesh) -> NamedSharding:
  """Every device holds the whole array."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """Axis 0 is split over the data and fsdp axes."""
  return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def tree_shardings(tree: Any, mesh: Mesh, rules: Rules) -> Any:
  """Gives every array of a state its sharding.

  The first rule whose regex is found in the array's path wins, so one rule
  covers parameters, their moments in the optimiser and their moving average.
  Without a rule the largest axis that divides is split over `fsdp`, for arrays
  above FSDP_MIN_BYTES.

  Args:
    tree: pytree of arrays or jax.ShapeDtypeStruct.
    mesh: from `make_mesh`.
    rules: (path regex, PartitionSpec) pairs; paths look like
      `params/gen/denoiser/in_proj/kernel`.

  Returns:
    Pytree of NamedSharding.
  """

  def sharding(path: Any, leaf: Any) -> NamedSharding:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    for pattern, spec in rules:
      if re.search(pattern, name):
        return NamedSharding(mesh, _where_it_divides(spec, leaf.shape, mesh))
    return NamedSharding(mesh, _fsdp_spec(leaf, mesh.shape["fsdp"]))

  return jax.tree_util.tree_map_with_path(sharding, tree)


def _where_it_divides(
  spec: PartitionSpec, shape: Sequence[int], mesh: Mesh
) -> PartitionSpec:
  """Leaves out mesh axes that do not divide the array's axis."""
  sizes = [mesh.shape[axis] if axis else 1 for axis in spec]
  return PartitionSpec(
    *(
      axis if size % parts == 0 else None
      for axis, size, parts in zip(spec, shape, sizes, strict=False)
    )
  )


def _fsdp_spec(leaf: Any, fsdp_size: int) -> PartitionSpec:
  shape = leaf.shape
  is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  if fsdp_size == 1 or is_key or not shape:
    return PartitionSpec()
  if int(np.prod(shape)) * leaf.dtype.itemsize < FSDP_MIN_BYTES:
    return PartitionSpec()
  for axis in sorted(range(len(shape)), key=lambda i: -shape[i]):
    if shape[axis] % fsdp_size == 0:
      return PartitionSpec(*[None] * axis, "fsdp")
  return PartitionSpec()


def constrain_batch(x: jax.Array) -> jax.Array:
  """Pins axis 0 of an activation to the batch axes; a no-op without a mesh."""
  return _constrain(x, PartitionSpec(BATCH_AXES))


def constrain_parts(x: jax.Array) -> jax.Array:
  """The same for axis 1 of a batch's parts, [parts, B / parts, ...]."""
  return _constrain(x, PartitionSpec(None, BATCH_AXES))


def _constrain(x: jax.Array, spec: PartitionSpec) -> jax.Array:
  if jax.sharding.get_abstract_mesh().empty:
    return x
  return jax.lax.with_sharding_constraint(x, spec)


def to_global(batch: Mapping[str, np.ndarray], mesh: Mesh) -> dict[str, Any]:
  """Joins each process's rows into global arrays split over the batch axes.

  Args:
    batch: this process's part, each [B / processes, ...].
    mesh: from `make_mesh`.

  Returns:
    Global arrays, each [B, ...].
  """
  sharding = batch_sharding(mesh)
  return {
    name: jax.make_array_from_process_local_data(sharding, value)
    for name, value in batch.items()
  }
