# SPDX-License-Identifier: Apache-2.0
"""What one process does on behalf of all."""

from collections.abc import Callable
from typing import TypeVar

import jax
from jax.experimental import multihost_utils

_Result = TypeVar("_Result")


def first_then_others(make: Callable[[], _Result], what: str) -> _Result:
  """Runs `make` on process 0, then on the others, which find its result."""
  results = []
  for turn in ("first", "others"):
    if (jax.process_index() == 0) == (turn == "first"):
      results.append(make())
    wait_for_all(f"{what} {turn}")
  return results[0]


def wait_for_all(what: str) -> None:
  """Returns when every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(what)
