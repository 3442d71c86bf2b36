# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints are finished, and whether they are what was saved.

A seal is a file of digests in a checkpoint that Orbax has committed. Where that
is in a bucket, they are those that the bucket knows, so that nothing has to be
read; either kind can be verified here and there, for a run may be moved.
"""

import base64
import hashlib
import json
import pathlib
import re
from typing import Any

from ns_jax import files, paths

SEAL_FILE = "digests.json"
_COMMIT_FILE = "commit_success.txt"  # Orbax's
_OURS, _BUCKETS = "blake2b", "md5"
_MARK = re.compile(f"{_BUCKETS}:")


class CorruptCheckpointError(ValueError):
  """A checkpoint's files are not what was saved."""


def finished_steps(directory: paths.Path) -> list[int]:
  """Steps with a finished checkpoint, newest first."""
  names = [
    name
    for name in paths.names(directory)
    if name.isdigit() and _is_committed(directory / name)
  ]
  return sorted(map(int, names), reverse=True)


def _is_committed(step_dir: paths.Path) -> bool:
  """Orbax renames what it has finished; in a bucket it adds a file to it."""
  if paths.is_remote(step_dir):
    return (step_dir / _COMMIT_FILE).exists()
  return step_dir.is_dir()


def seal(step_dir: paths.Path) -> None:
  """Writes the digests of a finished checkpoint unless it has them."""
  seal = step_dir / SEAL_FILE
  if not seal.exists():
    algorithm = _BUCKETS if paths.is_remote(step_dir) else _OURS
    digests = _digests(step_dir, algorithm)
    files.write(seal, json.dumps(digests, indent=1).encode())


def verify(step_dir: paths.Path) -> bool:
  """Compares a checkpoint's files with its seal; returns if it has one.

  A run killed between Orbax's commit and the seal leaves a checkpoint without
  one; it is whole, because the commit is atomic.

  Raises:
    CorruptCheckpointError: they are not what was saved.
    UserError: they cannot be read just now.
  """
  seal = step_dir / SEAL_FILE
  if not seal.exists():
    return False
  try:
    expected = json.loads(files.read_text(seal))
    is_of_bucket = all(map(_MARK.match, expected.values()))
    found = _digests(step_dir, _BUCKETS if is_of_bucket else _OURS)
  except (AttributeError, OSError, TypeError, ValueError) as error:
    raise CorruptCheckpointError(files.first_line(error)) from error
  for name in sorted(expected.keys() | found.keys()):
    if expected.get(name) != found.get(name):
      raise CorruptCheckpointError(f"its file {name} is not what was saved")
  return True


def _digests(step_dir: paths.Path, algorithm: str) -> dict[str, str]:
  """Of all files of a checkpoint but those at its top, by relative name."""
  what = f"{step_dir}: cannot be read"
  known: dict[str, str | None] = files.retried(what, lambda: _known(step_dir))
  digests = {}
  for name in sorted(name for name in known if "/" in name):
    mark = f"{algorithm}:" if algorithm == _BUCKETS else ""
    md5 = known[name] if algorithm == _BUCKETS else None
    read = lambda name=name: _digest(step_dir / name, algorithm)
    digests[name] = mark + (md5 or files.retried(what, read))
  return digests


def _known(step_dir: paths.Path) -> dict[str, str | None]:
  """Names of files, and their MD5 where a bucket tells it."""
  if not paths.is_remote(step_dir):
    folder = pathlib.Path(step_dir)
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): None for path in found}
  return {
    name: base64.b64decode(md5).hex() if (md5 := facts.get("md5Hash")) else None
    for name, facts in paths.objects(step_dir).items()
  }


def _digest(path: paths.Path, algorithm: str) -> str:
  with path.open("rb") as file:
    file: Any  # epath says less of it than it is
    return hashlib.file_digest(file, algorithm).hexdigest()
