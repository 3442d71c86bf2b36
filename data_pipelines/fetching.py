# SPDX-License-Identifier: Apache-2.0
"""Records of a bucket, copied to this machine.

ArrayRecord reads files of this machine alone.
"""

import fcntl
import logging
import os
import pathlib
import shutil

import tqdm

from data_pipelines import records
from ns_jax import files, paths
from ns_jax.errors import UserError

_PART_BYTES = 8 << 20
_LOCK_FILE = ".lock"

_logger = logging.getLogger(__name__)


def fetch(source: paths.Path, folder: pathlib.Path) -> pathlib.Path:
  """Copies what is missing of finished records; goes on where it was stopped.

  Of several processes of a machine, one copies and the others wait.

  Args:
    source: records in a bucket, or the folder of one of their layers.
    folder: of this machine, for this and other records.

  Returns:
    Where the records, or the layer, are now.

  Raises:
    UserError: there are none, or no room for them.
  """
  base = records.base_of(source)
  target = folder / os.fspath(base).removeprefix("gs://")
  target.mkdir(parents=True, exist_ok=True)
  with (target / _LOCK_FILE).open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    _copy(base, target)
  return target / source.relative_to(base)


def _copy(base: paths.Path, target: pathlib.Path) -> None:
  """Copies what is not there, or of another size."""
  found = files.retried(f"{base}: cannot be read", lambda: paths.objects(base))
  if records.RECORDS_FILE not in found:
    raise UserError(
      f"{base}: holds no finished records; make them with 'ns-jax prepare' and "
      "copy their folder there"
    )
  sizes = {name: int(facts["size"]) for name, facts in found.items()}
  missing = {
    name: size
    for name, size in sizes.items()
    if not _has_size(target / name, size)
  }
  if not missing:
    return
  total, free = sum(missing.values()), shutil.disk_usage(target).free
  if total > free:
    raise UserError(
      f"{base}: {total / 1e9:.3g} GB to copy, and {free / 1e9:.3g} GB free in "
      f"{target}; give --config.data.dir a larger disk, or mount the bucket "
      "with gcsfuse and give --config.data.corpus the folder there"
    )
  _logger.info("copying %.3g GB from %s to %s", total / 1e9, base, target)
  # What says that records are finished comes last, of each layer too.
  last = lambda name: (name.endswith(records.RECORDS_FILE), name)
  with tqdm.tqdm(total=total, unit="B", unit_scale=True, desc="copy") as bar:
    for name in sorted(missing, key=last):
      files.retried(
        f"{base / name}: cannot be read",
        lambda name=name: _copy_file(base / name, target / name),
      )
      bar.update(missing[name])


def _copy_file(source: paths.Path, target: pathlib.Path) -> None:
  target.parent.mkdir(parents=True, exist_ok=True)
  with source.open("rb") as theirs, files.appearing(target) as ours:
    shutil.copyfileobj(theirs, ours, _PART_BYTES)


def _has_size(path: pathlib.Path, size: int) -> bool:
  return path.is_file() and path.stat().st_size == size
