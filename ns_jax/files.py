# SPDX-License-Identifier: Apache-2.0
"""Files that are whole or not there."""

import contextlib
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import BinaryIO

_MOST_CHARACTERS = 200  # of a name, where what is added must fit too


@contextlib.contextmanager
def appearing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a file that appears, or replaces an older one, when it is whole.

  Whoever else writes to the same path at the same time has a file of its own.

  Raises:
    OSError: it cannot be written there; nothing is left of it.
  """
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
