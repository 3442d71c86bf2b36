# SPDX-License-Identifier: Apache-2.0
"""Paths of this machine and of gs:// buckets, which have the same methods.

Folders of a bucket are there as long as something is in them. What is put
there appears, or replaces what was there, when it is whole.
"""

import contextlib
import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import fsspec
from etils import epath
from fsspec import config

from ns_jax.errors import UserError

Path = pathlib.Path | epath.Path
EXAMPLES = pathlib.Path(__file__).parent / "examples"

_SCHEME = "gs://"
# epath would have TensorFlow read buckets, and that takes long to import.
os.environ.setdefault("EPATH_USE_TF", "0")


def is_remote(path: str | Path) -> bool:
  """Whether a path is of a bucket."""
  return os.fspath(path).startswith(_SCHEME)


def as_path(name: str | Path) -> Path:
  """A path by its name, which is taken literally.

  Raises:
    UserError: it is of a bucket that cannot be reached.
  """
  if not is_remote(name):
    return pathlib.Path(name)
  _reach(os.fspath(name).removeprefix(_SCHEME).partition("/")[0])
  return epath.Path(name)


def resolve(name: str | Path) -> Path:
  """A path as a user gave it, made absolute.

  Raises:
    UserError: it is of a bucket that cannot be reached.
  """
  path = as_path(name)
  if is_remote(path):
    return path
  return pathlib.Path(path).expanduser().absolute()


def or_example(name: str | pathlib.Path) -> pathlib.Path:
  """The file of a name; examples/NAME, where that is none, comes along."""
  path = pathlib.Path(name)
  if path.parts[:1] == (EXAMPLES.name,) and not path.exists():
    example = EXAMPLES.joinpath(*path.parts[1:])
    return example if example.is_file() else path
  return path


def names(folder: Path) -> list[str]:
  """What is in a folder; nothing if it is not there."""
  return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def size(path: Path) -> int:
  """Bytes of a file."""
  facts: Any = path.stat()
  return facts.length if is_remote(path) else facts.st_size


def objects(folder: Path) -> dict[str, dict[str, Any]]:
  """All below a folder of a bucket: relative name to `size`, `crc32c`."""
  prefix = os.fspath(folder).removeprefix(_SCHEME) + "/"
  found = file_system().find(os.fspath(folder), detail=True)
  return {name.removeprefix(prefix): facts for name, facts in found.items()}


def move(source: Path, target: Path) -> None:
  """Moves a folder; one of a bucket, file by file."""
  if is_remote(source):
    file_system().mv(os.fspath(source), os.fspath(target), recursive=True)
  else:
    source.rename(target)


@contextlib.contextmanager
def local(path: Path) -> Iterator[pathlib.Path]:
  """Yields a file of this machine: the given one, or a copy for a while."""
  if not is_remote(path):
    yield pathlib.Path(path)
    return
  with tempfile.TemporaryDirectory() as folder:
    copy = pathlib.Path(folder) / path.name
    file_system().get_file(os.fspath(path), str(copy))
    yield copy


@functools.cache
def file_system() -> Any:
  """What speaks to buckets.

  Raises:
    UserError: it is not installed.
  """
  try:
    import gcsfs  # noqa: F401  # pyright: ignore[reportMissingImports]
  except ImportError as error:
    raise UserError(
      "gs:// needs the package gcsfs; install it with pip install 'ns_jax[gcs]'"
    ) from error
  # Others write there too, TensorStore in this process among them.
  config.conf.setdefault("gcs", {})["use_listings_cache"] = False
  return fsspec.filesystem("gcs")


@functools.cache
def _reach(bucket: str) -> None:
  """Asks for a bucket once, so that mistakes are known before work begins.

  Raises:
    UserError: it is not there, or not for us.
  """
  advice = "check its name, and your login (gcloud auth application-default)"
  try:
    file_system().call("GET", "b/{}/o", bucket, maxResults=1, json_out=True)
  except FileNotFoundError as error:
    raise UserError(f"{_SCHEME}{bucket}: no such bucket; {advice}") from error
  except UserError:
    raise
  except Exception as error:  # of four libraries
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    raise UserError(
      f"{_SCHEME}{bucket}: cannot be reached ({reason}); {advice}"
    ) from error
