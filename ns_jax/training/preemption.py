# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: what schedulers send before they take a machine away."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

import jax
from jax.experimental import multihost_utils


@contextlib.contextmanager
def notice() -> Iterator[Callable[[int], bool]]:
  """Yields a function of the steps done: whether to save and stop there.

  Where there are several processes, each must call it after every step: one of
  them may be told, and all stop after the same step.
  """
  if jax.process_count() > 1:
    yield multihost_utils.reached_preemption_sync_point
    return
  if threading.current_thread() is not threading.main_thread():
    yield lambda done: False  # there signals are somebody else's
    return
  told = threading.Event()
  before = signal.signal(signal.SIGTERM, lambda *_: told.set())
  try:
    yield lambda done: told.is_set()
  finally:
    signal.signal(signal.SIGTERM, before)
