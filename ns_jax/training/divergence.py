# SPDX-License-Identifier: Apache-2.0
"""Steps whose losses are not finite, and the batches that are left out.

A single broken batch should not end a run of weeks: training goes back to the
last checkpoint, and on without that batch. Where others are no better, it is
not the batch, and training stops.
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.training import workdir
from ns_jax.training.feed import HostBatch

SKIPPED_FILE = "skipped_batches.json"
MOST_SKIPPED = 3  # between two checkpoints

_logger = logging.getLogger(__name__)


class NotFiniteError(Exception):
  """A step went wrong. `step` is how many were done before it."""

  def __init__(self, step: int, name: str):
    """Args: step, and the metric that is not finite."""
    super().__init__(f"{name} is not finite at step {step + 1}")
    self.step = step


class Watch:
  """What the steps since the last look have logged.

  It stays on the devices until somebody looks, so that no step waits.
  """

  def __init__(self):
    """Nothing has been logged yet."""
    self._logged: list[tuple[int, Mapping[str, Any], Any]] = []

  def add(self, step: int, logs: Mapping[str, Any]) -> None:
    """Remembers what the step after `step` others has logged."""
    self._logged.append((step, logs, _is_finite(dict(logs))))

  def look(self) -> dict[str, float]:
    """Values of the newest step; none where none was added.

    Raises:
      NotFiniteError: a step since the last look had one that is not finite.
    """
    logged, self._logged = self._logged, []
    are_finite = jax.device_get([is_finite for *_, is_finite in logged])
    for (step, logs, _), is_finite in zip(logged, are_finite, strict=True):
      if not is_finite:
        values = _values(logs)
        bad = [name for name, v in values.items() if not math.isfinite(v)]
        raise NotFiniteError(step, min(bad))
    return _values(logged[-1][1]) if logged else {}


@jax.jit
def _is_finite(logs: dict[str, Any]) -> Any:
  return jnp.isfinite(jnp.stack(list(logs.values()))).all()


def _values(logs: Mapping[str, Any]) -> dict[str, float]:
  return {name: float(v) for name, v in jax.device_get(dict(logs)).items()}


class Skipped:
  """Numbers of the batches that a run leaves out, kept in its workdir."""

  def __init__(self, path: paths.Path):
    """Args: path of the workdir."""
    self._file = path / SKIPPED_FILE
    self._numbers: set[int] = set()
    if self._file.exists():
      self._numbers = set(json.loads(files.read_text(self._file)))

  def number(self, step: int) -> int:
    """Number of the batch that the step after `step` others takes."""
    number = step
    for skipped in sorted(self._numbers):
      number += skipped <= number
    return number

  def kept(
    self, batches: Iterator[HostBatch], first: int
  ) -> Iterator[HostBatch]:
    """Of batches that are numbered from `first` on, those that are not left."""
    for number, batch in enumerate(batches, first):
      if number not in self._numbers:
        yield batch

  def add(self, error: NotFiniteError, saved_step: int) -> None:
    """Leaves out the batch of a step, from now on.

    Args:
      error: says which step.
      saved_step: of the checkpoint that training goes back to.

    Raises:
      UserError: enough have been left out since that checkpoint.
    """
    # Not `number(saved_step)`, which steps over what is left out already.
    first = self.number(saved_step - 1) + 1
    if sum(number >= first for number in self._numbers) >= MOST_SKIPPED:
      raise UserError(
        f"training diverged: {error}, also without {MOST_SKIPPED} batches; the "
        "last good checkpoint is kept; lower config.optim.peak_lr or clip_norm "
        "and start again in a new workdir"
      ) from error
    number = self.number(error.step)
    self._numbers.add(number)
    _logger.warning(
      "%s; going back to step %d, and on without batch %d",
      error,
      saved_step,
      number,
    )
    if jax.process_index() == 0:
      workdir.write_json(self._file, sorted(self._numbers))
