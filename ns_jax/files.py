# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there, on storage that fails now and then."""

import contextlib
import errno
import io
import logging
import os
import pathlib
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import BinaryIO, TypeVar

from ns_jax import paths
from ns_jax.errors import UnreachableError, UserError

_logger = logging.getLogger(__name__)

PAUSES_SEC = (1.0, 5.0, 25.0)  # before a transient failure is tried again
_MOST_CHARACTERS = 200  # of a name, where what is added must fit too
_UNFINISHED = re.compile(r"\.[0-9a-f]{8}\.part$")  # as `appearing` names it
# What disks, network file systems and networks get over.
_TRANSIENT = (
  *(errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE),
  *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOTCONN),
  *(errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET),
  errno.ENETUNREACH,
)
# How libraries without an OSError of their own put it.
_TRANSIENT_WORDS = (
  *map(os.strerror, _TRANSIENT),
  *("UNAVAILABLE", "DEADLINE_EXCEEDED"),
)
# What those that speak to buckets raise; they need not be installed.
_TRANSIENT_KINDS = {
  *("ClientError", "RequestException"),  # aiohttp, requests
  *("ChecksumError", "RefreshError", "TransportError"),  # gcsfs, google.auth
}
_TRANSIENT_STATUSES = {408, 429, 500, 502, 503, 504}

_Result = TypeVar("_Result")


def is_transient(error: BaseException) -> bool:
  """Whether what failed may work a moment later."""
  if isinstance(error, UserError):
    return False
  if isinstance(error, ConnectionError | TimeoutError):
    return True
  if isinstance(error, OSError) and error.errno is not None:
    return error.errno in _TRANSIENT
  if {kind.__name__ for kind in type(error).__mro__} & _TRANSIENT_KINDS:
    return True
  if getattr(error, "code", None) in _TRANSIENT_STATUSES:
    return True
  return any(words in _words(error) for words in _TRANSIENT_WORDS)


def is_disk_full(error: BaseException) -> bool:
  """Whether space is what was missing, whichever library says so."""
  words = _words(error)
  return any(os.strerror(n) in words for n in (errno.ENOSPC, errno.EDQUOT))


def _words(error: BaseException | None) -> str:
  """Of an exception and what caused it."""
  return f"{error}\n{_words(error.__cause__)}" if error else ""


def retried(
  what: str,
  work: Callable[[], _Result],
  is_worth: Callable[[Exception], bool] = is_transient,
  pauses_sec: Sequence[float] | None = None,
) -> _Result:
  """Does some work, again where storage fails for a moment.

  Args:
    what: has failed, and where, as in "/a/b: cannot be read".
    work: may be done twice.
    is_worth: of an exception, whether to try again; others are raised.
    pauses_sec: before each further try; None: PAUSES_SEC.

  Raises:
    UnreachableError: it failed again after the last pause.
  """
  pauses = list(PAUSES_SEC if pauses_sec is None else pauses_sec)
  for pause_sec in (*pauses, None):
    try:
      return work()
    except Exception as error:
      if not is_worth(error):
        raise
      reason = first_line(error)
      if pause_sec is None:
        raise UnreachableError(
          f"{what} ({reason}), also when tried {len(pauses) + 1} times; once "
          "the storage works, run the same command to go on"
        ) from error
    _logger.warning("%s (%s); again in %g s", what, reason, pause_sec)
    time.sleep(pause_sec)
  raise AssertionError("unreachable: the last try returns or raises")


def first_line(error: BaseException) -> str:
  """Of an exception's message, which libraries make long."""
  return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def appearing(path: paths.Path) -> Iterator[BinaryIO]:
  """Opens a file that appears, or replaces an older one, when it is whole.

  Whoever else writes to the same path at the same time has a file of its own.

  Raises:
    OSError: it cannot be written there; nothing is left of it.
  """
  if paths.is_remote(path):
    content = io.BytesIO()
    yield content
    path.write_bytes(content.getvalue())
    return
  path = pathlib.Path(path)
  stem = path.name[:_MOST_CHARACTERS]
  unfinished = path.with_name(f"{stem}.{secrets.token_hex(4)}.part")
  try:
    with unfinished.open("xb") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    unfinished.replace(path)
  finally:
    unfinished.unlink(missing_ok=True)


def foreign(folder: paths.Path, own: Collection[str]) -> set[str]:
  """What is in a folder that is not `own`, nor left of it by a kill."""
  found = {_UNFINISHED.sub("", name) for name in paths.names(folder)}
  return found - set(own)


def tidy(folder: paths.Path) -> None:
  """Takes away what killed writes have left in a folder.

  Raises:
    OSError: it cannot.
  """
  for name in paths.names(folder):
    if _UNFINISHED.search(name):
      (folder / name).unlink(missing_ok=True)


def write(path: paths.Path, content: bytes) -> None:
  """Makes or replaces a file, whole or not at all.

  Raises:
    OSError: it cannot be written there.
    UserError: nor a while later, where it looked like it might.
  """

  def put() -> None:
    with appearing(path) as file:
      file.write(content)

  retried(f"{path}: cannot be written", put)


def read_text(path: paths.Path) -> str:
  """What a file says.

  Raises:
    OSError: it cannot be read.
    UserError: nor a while later, where it looked like it might.
  """
  return retried(
    f"{path}: cannot be read", lambda: path.read_text(encoding="utf-8")
  )


class Growing:
  """A file that grows part by part; a part is whole, or cut off at the end.

  In a bucket nothing grows: there the file is kept in memory, and put whole.
  """

  def __init__(self, path: paths.Path, content: bytes = b""):
    """Begins it, in a folder that is made if missing.

    Args:
      path: of the file; an older one is replaced.
      content: what it begins with.

    Raises:
      OSError, UserError: see `write`.
    """
    self._path, self.size = path, len(content)
    self._content = content if paths.is_remote(path) else b""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, content)

  def append(self, part: bytes) -> None:
    """Adds a part, on the disk when this returns.

    Raises:
      OSError, UserError: see `write`.
    """
    if paths.is_remote(self._path):
      self._content += part
      write(self._path, self._content)
    else:
      retried(f"{self._path}: cannot be written", lambda: self._append(part))
    self.size += len(part)

  def _append(self, part: bytes) -> None:
    # The folder may have been tidied away while a run goes on.
    self._path.parent.mkdir(parents=True, exist_ok=True)
    with pathlib.Path(self._path).open("ab") as file:
      if file.tell() > self.size:  # an earlier try came that far
        file.truncate(self.size)
      file.write(part)
      file.flush()
      os.fsync(file.fileno())
