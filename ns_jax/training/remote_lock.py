# SPDX-License-Identifier: Apache-2.0
"""The lock of a run whose folder is in a bucket.

An object that whoever holds the lock writes anew every few seconds. Each
writing has a number, its generation, and is done only if the generation is
still that of the last one. A lock whose generation stays the same for a minute
is of a run that was killed, and may be taken: no clocks are compared.
"""

import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator

from ns_jax import files, paths
from ns_jax.errors import UserError

BEAT_SEC, STALE_SEC = 15.0, 60.0
_STOPPED = 2  # exit status

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def held(path: paths.Path) -> Iterator[None]:
  """Holds the lock.

  Args:
    path: of its object; says who holds it, as `workdir.holder` tells.

  Raises:
    UserError: another process holds it.
  """
  token = secrets.token_hex(8).encode()
  generations = [_take(path, token)]
  ended = threading.Event()

  def beat() -> None:
    while not ended.wait(BEAT_SEC):
      try:
        generations.append(_renew(path, token, generations[-1]))
      except UserError as error:
        _logger.error("%s; this one stops", error)
        os._exit(_STOPPED)  # what it would save is in the other's way
      except Exception as error:  # of the libraries that speak to buckets
        _logger.warning("%s: %s", path, files.first_line(error))

  thread = threading.Thread(target=beat, name="lock", daemon=True)
  thread.start()
  try:
    yield
  finally:
    ended.set()
    thread.join()
    with contextlib.suppress(Exception):  # then it becomes stale
      _write("DELETE", path, generations[-1])


def _take(path: paths.Path, token: bytes) -> int:
  """Takes the lock when it is free, or nobody's any more."""
  first, since = _generation(path), time.monotonic()
  if first:
    _logger.info(
      "%s: seeing whether the run that holds it is alive, for %g s at most",
      path.parent,
      STALE_SEC,
    )
  generation = first
  while generation and time.monotonic() < since + STALE_SEC:
    time.sleep(min(1.0, STALE_SEC / 4))
    generation = _generation(path)
    if generation not in (0, first):
      raise _in_use(path)
  return _renew(path, token, generation)


def _renew(path: paths.Path, token: bytes, generation: int) -> int:
  """Writes the object anew; returns its new generation.

  Raises:
    UserError: somebody else has written it since.
  """
  try:
    return _write("POST", path, generation, token)
  except FileExistsError:  # or it was us, and no answer came
    if path.exists() and path.read_bytes() == token:
      return _generation(path)
    raise _in_use(path) from None


def _write(
  method: str, path: paths.Path, generation: int, content: bytes | None = None
) -> int:
  """Writes or deletes, if the generation is this; 0 is none.

  Raises:
    FileExistsError: it is another one.
  """
  system = paths.file_system()
  bucket, name, _ = system.split_path(os.fspath(path))
  condition = {"ifGenerationMatch": str(generation)}
  if content is None:
    system.call(method, "b/{}/o/{}", bucket, name, **condition)
    return 0
  written = system.call(
    method,
    system.base.replace("/storage/", "/upload/storage/") + "b/{}/o",
    bucket,
    uploadType="media",
    name=name,
    data=content,
    json_out=True,
    **condition,
  )
  return int(written["generation"])


def _generation(path: paths.Path) -> int:
  """Of the object; 0 if there is none."""
  system = paths.file_system()
  bucket, name, _ = system.split_path(os.fspath(path))
  try:
    facts = system.call("GET", "b/{}/o/{}", bucket, name, json_out=True)
  except FileNotFoundError:
    return 0
  return int(facts["generation"])


def _in_use(path: paths.Path) -> UserError:
  return UserError(
    f"{path.parent}: another run is using it; wait for it, "
    "or give --workdir another folder"
  )
