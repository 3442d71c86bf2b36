# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: how they meet, agree and take turns."""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from ns_jax.errors import UnreachableError, UserError

_Result = TypeVar("_Result")

# What must be of one version everywhere, or programs and files differ.
_PACKAGES = ("ns_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint")
_HEARTBEAT_SEC = 40  # without one, a process counts as dead, and all stop
_GRACE_SEC = 3


def join(
  coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
  """Meets the other processes: of a TPU pod, a Slurm or MPI job, plain hosts.

  Args:
    coordinator: host:port of process 0, on plain hosts.
    num_processes: in all, on plain hosts; 1: this one is alone, whatever the
      machine says; None: find out.
    process_id: which of them this is, from 0.

  Raises:
    UserError: what was given is not enough.
    UnreachableError: the others do not come.
  """
  options: dict[str, Any] = {}
  if num_processes is not None:
    if num_processes > 1 and (coordinator is None or process_id is None):
      raise UserError(
        f"--num_processes={num_processes} needs --coordinator=HOST:PORT of "
        "process 0, and --process_id, which is another one on each host"
      )
    options = dict(
      coordinator_address=coordinator,
      num_processes=num_processes,
      process_id=process_id,
    )
  elif coordinator is not None or process_id is not None:
    raise UserError("--coordinator and --process_id need --num_processes")
  if num_processes == 1 or not (options or _in_cluster()):
    return
  try:
    jax.distributed.initialize(
      **options, heartbeat_timeout_seconds=_HEARTBEAT_SEC
    )
  except (OSError, RuntimeError, ValueError) as error:
    reason = " ".join(str(error).split())[:300]
    # A number that cannot be is a mistake; the others may yet come.
    kind = UserError if isinstance(error, ValueError) else UnreachableError
    raise kind(
      f"the processes of this run cannot meet ({reason}); check that all are "
      "running and reach process 0, or use this one alone: --num_processes=1"
    ) from error


def _in_cluster() -> bool:
  """Whether somebody started this process as one of several."""
  found = os.environ.get
  # JAX has found the chips of a Cloud TPU, maybe of a pod. (TensorFlow names
  # itself there on any machine.)
  if found("TPU_ML_PLATFORM") == "JAX" and not found("COLAB_RELEASE_TAG"):
    return True
  if "," in found("TPU_WORKER_HOSTNAMES", ""):
    return True
  if found("SLURM_STEP_NODELIST") and int(found("SLURM_NTASKS", "1")) > 1:
    return True
  return int(found("OMPI_COMM_WORLD_SIZE", "1")) > 1


def agree(facts: Mapping[str, Any], advice: str) -> None:
  """Makes sure that all processes found the same.

  Args:
    facts: name to what was found, in JSON's terms.
    advice: what to do where they differ.

  Raises:
    UserError: the first process that differs from process 0, and in what; on
      every process, so that none waits for the others.
  """
  everybody = _gathered(dict(facts))
  first = everybody[0]
  for index, other in enumerate(everybody):
    for name in sorted(first.keys() | other.keys()):
      if first.get(name) != other.get(name):
        raise UserError(
          f"the hosts of this run differ: {name} is {first.get(name)!r} on "
          f"process 0 and {other.get(name)!r} on process {index}; {advice}"
        )


def agree_on_versions() -> None:
  """Makes sure that all processes run the same software.

  Raises:
    UserError: they do not.
  """
  found = {name: metadata.version(name) for name in _PACKAGES}
  agree(found, "install the same versions on all hosts")


def leave(status: int) -> None:
  """Ends a process that failed or was stopped; waits for no other to finish.

  They hear of it by its heartbeat. Process 0 gives those a moment that failed
  for the same reason, because they stop where they are when it goes.
  """
  if jax.distributed.is_initialized():
    sys.stdout.flush()
    sys.stderr.flush()
    if jax.process_index() == 0:
      time.sleep(_GRACE_SEC)
    os._exit(status)


def first_then_others(make: Callable[[], _Result]) -> _Result:
  """Runs `make` on process 0, then on the others, which find its result.

  Raises:
    UserError: of whichever process it was; on all of them.
  """
  results = []
  for turn in ("first", "others"):
    problem = None
    if (jax.process_index() == 0) == (turn == "first"):
      try:
        results.append(make())
      except UserError as error:
        problem = str(error), isinstance(error, UnreachableError)
    for found in _gathered(problem):
      if found:
        message, is_passing = found
        raise (UnreachableError if is_passing else UserError)(message)
  return results[0]


def on_first(make: Callable[[], Any]) -> None:
  """Runs `make` on process 0 alone, while the others wait.

  Raises:
    UserError: as on process 0; on all of them.
  """
  first_then_others(lambda: None if jax.process_index() else make())


def _gathered(value: Any) -> list[Any]:
  """What each process gives, in JSON's terms; waits for all of them."""
  if jax.process_count() == 1:
    return [value]
  own = np.frombuffer(json.dumps(value).encode(), np.uint8)
  sizes = multihost_utils.process_allgather(np.array([len(own)])).ravel()
  padded = np.zeros(sizes.max(), np.uint8)
  padded[: len(own)] = own
  texts = multihost_utils.process_allgather(padded)
  return [
    json.loads(text[:size].tobytes())
    for text, size in zip(texts, sizes, strict=True)
  ]
