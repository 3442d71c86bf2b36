# SPDX-License-Identifier: Apache-2.0
"""A run's folder: its config, its lock, its finished reports."""

import contextlib
import fcntl
import json
import math
import pathlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.training import remote_lock

CONFIG_FILE = "config.json"
REPORT_FILE = "report.json"
LOCK_FILE = ".lock"
# Fields a run may be continued with although they changed: they do not touch
# what has been learned so far.
_FREE_SECTIONS = ("mesh", "eval", "sample", "frozen")
_FREE_FIELDS = (
  "data.dir",
  "data.reader",
  "remat",
  "train.num_steps",
  "train.log_every",
  "train.eval_every",
  "train.save_every",
  "train.keep",
  "train.micro_batches",
)


def default(config: ml_collections.ConfigDict) -> str:
  """The folder of a run that was given none."""
  return f"runs/{config.stage}-{config.preset or 'demo'}"


def open_workdir(
  workdir: str | paths.Path, config: ml_collections.ConfigDict
) -> paths.Path:
  """Makes the folder, or checks that it belongs to the same config.

  Args:
    workdir: folder of the run.
    config: the run's config; written to `config.json` on the first call.

  Returns:
    The absolute path.

  Raises:
    UserError: the folder cannot be written, or holds a run of another config.
  """
  path = paths.resolve(workdir)
  try:
    path.mkdir(parents=True, exist_ok=True)
    _refuse_foreign(path)
    if not (path / CONFIG_FILE).exists():
      write_json(path / CONFIG_FILE, config.to_dict())
  except OSError as error:
    raise UserError(
      f"{path}: cannot be used as workdir ({_reason(error)}); "
      "give --workdir a folder you can write to"
    ) from error
  saved, given = _comparable(read_config(path)), _comparable(config)
  differing = sorted(
    name
    for name in saved.keys() | given.keys()
    if saved.get(name) != given.get(name)
  )
  if differing:
    first = differing[0]
    raise UserError(
      f"{path}: holds a run of another config (config.{first} is "
      f"{saved.get(first)!r} there and {given.get(first)!r} here; "
      f"{len(differing)} field(s) differ); give --workdir another folder"
    )
  return path


def read_config(workdir: str | paths.Path) -> ml_collections.ConfigDict:
  """Reads the config of a run.

  Raises:
    UserError: the folder holds no run, or its config is damaged.
  """
  path = paths.as_path(workdir) / CONFIG_FILE
  if not path.is_file():
    raise UserError(f"{workdir}: holds no run ({CONFIG_FILE} is missing)")
  try:
    return ml_collections.ConfigDict(json.loads(files.read_text(path)))
  except (json.JSONDecodeError, UnicodeDecodeError) as error:
    raise UserError(f"{path}: is damaged: {error}") from error


def flattened(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """A config as `section.field` names to values, as JSON has them."""
  flat: dict[str, Any] = {}

  def walk(value: Any, name: str) -> None:
    if isinstance(value, Mapping):
      for key, child in value.items():
        walk(child, f"{name}.{key}" if name else key)
    else:
      flat[name] = value

  walk(json.loads(config.to_json()), "")
  return flat


@contextlib.contextmanager
def lock(workdir: paths.Path) -> Iterator[None]:
  """Holds the run's lock, so that two runs never share a folder.

  The system releases it when the process ends, however it ends; that of a
  bucket, a minute later where it was killed.

  Raises:
    UserError: another process holds it, or the folder is somebody else's.
  """
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    _refuse_foreign(workdir)
    path = workdir / LOCK_FILE
    held = remote_lock.held if paths.is_remote(path) else _held
    taken = contextlib.ExitStack()
    taken.enter_context(held(path))
  except OSError as error:
    raise UserError(
      f"{workdir}: cannot be used as workdir ({_reason(error)}); "
      "give --workdir a folder you can write to"
    ) from error
  with taken:
    yield


@contextlib.contextmanager
def _held(path: paths.Path) -> Iterator[None]:
  """Holds the lock that is a file of this machine."""
  with pathlib.Path(path).open("a") as file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise UserError(
        f"{path.parent}: another run is using it; wait for it, "
        "or give --workdir another folder"
      ) from error
    file.truncate(0)
    file.write(secrets.token_hex(8))
    file.flush()
    yield


def holder(workdir: paths.Path) -> str | None:
  """What whoever took the lock last has called itself; None if nobody did."""
  path = workdir / LOCK_FILE
  return files.read_text(path) if path.exists() else None


def write_json(path: paths.Path, value: Any) -> None:
  """Writes JSON so that a killed process leaves the old file or the new.

  Numbers that are not finite become null: JSON has no word for them.

  Raises:
    OSError, UserError: see `files.write`.
  """
  text = json.dumps(_finite_or_none(value), indent=1, allow_nan=False)
  files.write(path, text.encode())


def _refuse_foreign(path: paths.Path) -> None:
  """Refuses a folder that holds something, but no run."""
  names = set(paths.names(path)) - {LOCK_FILE}
  # A run killed right here leaves an unfinished config behind.
  foreign = [name for name in names if not name.startswith(CONFIG_FILE)]
  if CONFIG_FILE not in names and foreign:
    raise UserError(
      f"{path}: is not empty and holds no run; give --workdir a new folder"
    )


def _reason(error: OSError) -> str:
  return error.strerror or files.first_line(error)


def _finite_or_none(value: Any) -> Any:
  if isinstance(value, Mapping):
    return {name: _finite_or_none(child) for name, child in value.items()}
  if isinstance(value, list | tuple):
    return [_finite_or_none(child) for child in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def _comparable(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """The fields of a config without the free ones."""
  return {
    name: value
    for name, value in flattened(config).items()
    if name.split(".")[0] not in _FREE_SECTIONS
    and not any(
      name == field or name.endswith("." + field) for field in _FREE_FIELDS
    )
  }
