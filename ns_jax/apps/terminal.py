# SPDX-License-Identifier: Apache-2.0
"""How our programs speak to whoever started them."""

import contextlib
import contextvars
import logging
import os
import sys
from collections.abc import Callable, Iterator

import absl.logging

from ns_jax import files
from ns_jax.errors import Preempted, UnreachableError, UserError

BROKEN, FAILED, STOPPED, PREEMPTED = 1, 2, 130, 143  # exit statuses
_IS_HUSHED = contextvars.ContextVar("hushed", default=False)


def quiet_libraries() -> None:
  """Leaves our own lines on the terminal: what libraries log, they raise."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
  # TensorFlow would announce it whatever the level; here it only reads records.
  os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
  absl.logging.set_verbosity(absl.logging.FATAL)
  logging.getLogger("asyncio").setLevel(logging.CRITICAL)
  handler = logging.StreamHandler()
  handler.setFormatter(logging.Formatter("ns_jax: %(message)s"))
  logger = logging.getLogger("ns_jax")
  logger.handlers = [handler]  # once, however often this is called
  logger.setLevel(logging.WARNING if _IS_HUSHED.get() else logging.INFO)
  logger.propagate = False


@contextlib.contextmanager
def hushed() -> Iterator[None]:
  """For a program that listens: no progress bars, of our lines only warnings.

  To be entered before anything that shows a bar is imported.
  """
  token, variable = _IS_HUSHED.set(True), "TQDM_DISABLE"
  before = os.environ.get(variable)
  os.environ[variable] = "1"  # read where tqdm is imported, here and in workers
  try:
    yield
  finally:
    _IS_HUSHED.reset(token)
    del os.environ[variable]
    if before is not None:
      os.environ[variable] = before


def guarded(run: Callable[[], int | None]) -> int | None:
  """Turns mistakes of the user into one line and an exit status.

  Args:
    run: does the work and returns its exit status; None is success.
  """
  try:
    return run()
  except UserError as error:
    print(f"ns_jax: error: {error}", file=sys.stderr)
    return BROKEN if isinstance(error, UnreachableError) else FAILED
  except Preempted as error:
    print(
      f"ns_jax: stopped by SIGTERM after step {error}; "
      "the same command goes on",
      file=sys.stderr,
    )
    return PREEMPTED
  except KeyboardInterrupt:
    print(
      "ns_jax: stopped; the same command goes on where it can", file=sys.stderr
    )
    return STOPPED
  except (OSError, RuntimeError, ValueError) as error:
    # Libraries that write records and checkpoints have no OSError of their own.
    if not files.is_disk_full(error):
      raise
    print(
      "ns_jax: error: the disk or your share of it is full; free some space "
      "and run the same command to go on",
      file=sys.stderr,
    )
    return FAILED
