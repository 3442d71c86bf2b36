# SPDX-License-Identifier: Apache-2.0
"""SHA256SUMS: what the files of a folder must be, as `sha256sum -c` reads it.

They tell of damage, not of malice: who changes a file can change its line.
"""

import hashlib
import re
from collections.abc import Sequence

from ns_jax import files, paths
from ns_jax.errors import UserError

SUMS_FILE = "SHA256SUMS"
_LARGEST_BYTES = 1 << 20
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_BLOCK_BYTES = 1 << 20


def digest(path: paths.Path) -> str:
  """SHA-256 of a file, in hexadecimal; a block at a time is in memory."""
  sha = hashlib.sha256()
  with path.open("rb") as file:
    while block := file.read(_BLOCK_BYTES):
      sha.update(block)
  return sha.hexdigest()


def write(folder: paths.Path, names: Sequence[str]) -> None:
  """Writes the sums of some files of a folder.

  Raises:
    OSError, UserError: see `files.write`.
  """
  lines = [f"{digest(folder / name)}  {name}\n" for name in sorted(names)]
  files.write(folder / SUMS_FILE, "".join(lines).encode())


def check(folder: paths.Path, names: Sequence[str]) -> None:
  """Checks files against the sums beside them, where there are any.

  Args:
    folder: of the files.
    names: of the files; no other file is opened, whatever the sums name.

  Raises:
    UserError: a file is another one, or has no sum.
  """
  path = folder / SUMS_FILE
  if not path.is_file():
    return
  if paths.size(path) > _LARGEST_BYTES:
    raise UserError(f"{path}: is too large to be a list of sums")
  try:
    lines = files.read_text(path).splitlines()
  except UnicodeDecodeError as error:
    raise UserError(f"{path}: is no text") from error
  matches = [_LINE.fullmatch(line) for line in lines]
  sums = {match[2]: match[1] for match in matches if match}
  for name in names:
    if name not in sums:
      raise UserError(f"{path}: has no sum of {name}; get the folder again")
    if digest(folder / name) != sums[name]:
      raise UserError(
        f"{folder / name}: is not the file that {SUMS_FILE} was made of; "
        "get it again"
      )
