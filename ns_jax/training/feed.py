# SPDX-License-Identifier: Apache-2.0
"""Batches on their way to the devices, ahead of the steps that take them."""

import collections
import concurrent.futures
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ns_jax import sharding

HostBatch = dict[str, np.ndarray]

_AHEAD = 2  # batches on the devices that wait for their step


@contextlib.contextmanager
def on_devices(
  batches: Iterator[HostBatch], mesh: Any
) -> Iterator[Callable[[], dict[str, Any]]]:
  """Yields a function that returns the next batch as global arrays.

  A thread reads batches and copies them to the devices while these compute.

  Args:
    batches: this process's rows of each, without end.
    mesh: from `sharding.make_mesh`.
  """
  pool = concurrent.futures.ThreadPoolExecutor(1, "feed")
  load = lambda: sharding.to_global(next(batches), mesh)
  ahead = collections.deque(pool.submit(load) for _ in range(_AHEAD))

  def take() -> dict[str, Any]:
    batch = ahead.popleft().result()
    ahead.append(pool.submit(load))
    return batch

  try:
    yield take
  finally:
    pool.shutdown(cancel_futures=True)
