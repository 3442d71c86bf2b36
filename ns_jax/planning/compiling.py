# SPDX-License-Identifier: Apache-2.0
"""The real train step, compiled for a slice of TPUs that is not there."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ns_jax import sharding, stages
from ns_jax.nn import remat as remat_lib
from ns_jax.planning import hlo, jaxprs, topology, work
from ns_jax.planning.work import Work
from ns_jax.training import program
from ns_jax.training import state as state_lib
from ns_jax.training.stage import Stage

Shapes = Mapping[str, jax.ShapeDtypeStruct]
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
# Libtpu says it in one of two ways.
_TOO_LARGE = re.compile(
  r"Used (?=[\d.]+[KMG]? of)([\d.]+)([KMG]?)|\(([\d.]+)([KMG]?)\) exceeds"
)


class DoesNotFitError(Exception):
  """The step needs more memory than a chip has; the message says how much."""

  @classmethod
  def of(cls, complaint: str) -> "DoesNotFitError":
    """From what the compiler said."""
    found = _TOO_LARGE.search(complaint)
    if not found:
      return cls("needs more memory than a chip")
    number, unit = (part for part in found.groups() if part is not None)
    used_bytes = float(number) * 2.0 ** _UNITS[unit]
    return cls(f"needs {used_bytes / 1e9:.1f} GB or more of a chip")


@dataclasses.dataclass(frozen=True)
class Run:
  """What is to be planned: a config, and the shapes it is given."""

  config: Any
  row: Shapes  # of a training batch of one row, [1, ...]
  frozen: Any  # shapes of the weights of earlier stages

  @property
  def stage(self) -> Stage:
    """The stage of the config."""
    return stages.build(self.config)

  def batch(self, num_rows: int) -> Shapes:
    """Shapes of a global batch."""
    return {
      name: jax.ShapeDtypeStruct((num_rows, *leaf.shape[1:]), leaf.dtype)
      for name, leaf in self.row.items()
    }

  def state(self, num_rows: int) -> Any:
    """Shapes of the state."""
    return jax.eval_shape(
      lambda batch, frozen: state_lib.create_state(
        self.stage, jax.random.key(self.config.seed), batch, frozen
      ),
      self.batch(num_rows),
      self.frozen,
    )

  def with_options(self, micro_batches: int, remat: str | None) -> "Run":
    """The same with other options; remat None leaves the config's."""
    config = self.config.copy_and_resolve_references()
    with config.unlocked():
      config.train.micro_batches = micro_batches
      if remat is not None:
        for section, _ in remat_lib.users(config.model, "model"):
          section.remat = remat
    return dataclasses.replace(self, config=config)


@dataclasses.dataclass(frozen=True)
class Memory:
  """Bytes of one chip's HBM that a step takes."""

  arguments: float  # the state before, and the batch
  outputs: float  # the state after, and what is logged
  aliased: float  # of the outputs, those that take the arguments' place
  temporaries: float
  code: float

  @property
  def total(self) -> float:
    """All of it at once."""
    return (
      self.arguments
      + self.outputs
      - self.aliased
      + self.temporaries
      + self.code
    )


@dataclasses.dataclass(frozen=True)
class Program:
  """A compiled step."""

  memory: Memory
  work: Work


def has_remat(section: Any) -> bool:
  """Whether a section of a config, or one in it, names a policy."""
  return any(remat_lib.users(section, ""))


def trace(run: Run, mesh: Mesh, num_rows: int, phase: int) -> Any:
  """The step of a phase, with the layouts of a run, before it is compiled."""
  stage, state = run.stage, run.state(num_rows)
  micro_batches = run.config.train.micro_batches
  trained = program.Program(stage, mesh, state, micro_batches)
  with jax.set_mesh(mesh):
    return trained.train_steps[phase].trace(state, run.batch(num_rows))


def compile_step(traced: Any, mesh: Mesh) -> Program:
  """Compiles what `trace` gives.

  Raises:
    DoesNotFitError: a chip has too little memory.
  """
  with jax.set_mesh(mesh):
    try:
      compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as error:
      if "RESOURCE_EXHAUSTED" not in str(error):
        raise
      raise DoesNotFitError.of(str(error)) from error
  found = compiled.memory_analysis()
  return Program(
    Memory(
      found.argument_size_in_bytes,
      found.output_size_in_bytes,
      found.alias_size_in_bytes,
      found.temp_size_in_bytes,
      found.generated_code_size_in_bytes,
    ),
    work.count(hlo.parse(compiled.as_text())),
  )


def flops(traced: Any) -> float | None:
  """Of all chips together; None where a loop's length is not known."""
  try:
    return jaxprs.flops(traced.jaxpr)
  except jaxprs.UnknownLengthError:
    return None


def coordinates(mesh: Mesh) -> list[tuple[int, ...]]:
  """Where in the slice each device of a mesh is, in the mesh's order."""
  return [tuple(device.coords) for device in mesh.devices.flat]


def shard_bytes(tree: Any, layouts: Any) -> float:
  """Bytes of one device's part of arrays."""
  return sum(
    float(np.prod(layout.shard_shape(leaf.shape))) * _item_bytes(leaf)
    for leaf, layout in zip(
      jax.tree.leaves(tree), jax.tree.leaves(layouts), strict=True
    )
  )


def make_mesh(within: topology.Slice, sizes: tuple[int, ...]) -> Mesh:
  """The mesh of a run on a slice."""
  axis_sizes = dict(zip(sharding.MESH_AXES, sizes, strict=True))
  return sharding.make_mesh(axis_sizes, topology.devices(within))


def _item_bytes(leaf: Any) -> float:
  is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
  return 8.0 if is_key else leaf.dtype.itemsize
