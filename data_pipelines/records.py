# SPDX-License-Identifier: Apache-2.0
"""Random access to stored records, without TensorFlow."""

import errno
import json
import pathlib
from collections.abc import Collection, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import schema
from data_pipelines.corpora.corpus import Record
from ns_jax import files
from ns_jax.errors import UserError

LAYERS = "layers"  # folder of fields that were added later
RECORDS_FILE = "records.json"  # written last: with it, records are finished


def read_facts(directory: str | pathlib.Path) -> dict[str, Any]:
  """What is known of finished records.

  identity, description, splits (name to number of records), bytes, and the
  `longest` of each field that has axes, in elements of its first.

  Raises:
    UserError: there are none.
  """
  path = pathlib.Path(directory) / RECORDS_FILE
  if not path.is_file():
    raise UserError(
      f"{directory}: holds no finished records; make them with 'ns-jax prepare'"
    )
  return json.loads(files.retried(f"{path}: cannot be read", path.read_text))


_Path = TypeVar("_Path", bound=pathlib.PurePath)


def base_of(records_dir: _Path) -> _Path:
  """The records a layer belongs to; plain records belong to themselves."""
  is_layer = records_dir.parent.name == LAYERS
  return records_dir.parent.parent if is_layer else records_dir


class Records:
  """A split as a sequence of records; safe to read from several threads."""

  def __init__(
    self,
    records_dir: str | pathlib.Path,
    split: str,
    features: Collection[str] = (),
  ):
    """Opens a split with its layers.

    Args:
      records_dir: records, or the folder of one of their layers, which is then
        joined, too.
      split: "train", "valid" or "test".
      features: fields that must be there.

    Raises:
      UserError: no such records, split or field.
    """
    records_dir = pathlib.Path(records_dir).absolute()
    sizes = read_facts(records_dir)["splits"]
    if split not in sizes:
      raise UserError(
        f"{records_dir}: no split '{split}'; it has {sorted(sizes)}"
      )
    self._where = records_dir
    self._parts = [_Part(path, split) for path in _stack(records_dir)]
    names = (name for part in self._parts for name in part.features)
    self.features = tuple(dict.fromkeys(names))
    schema.require(features, self.features, str(records_dir))

  def __len__(self) -> int:
    """Number of records."""
    return len(self._parts[0])

  def __iter__(self) -> Iterator[Record]:
    """All records in order."""
    return (self[index] for index in range(len(self)))

  def __getitem__(self, index: int) -> Record:
    """One record; strings as str, the rest as numpy arrays.

    Raises:
      UserError: a layer was made for other records, or one cannot be read.
    """
    record: Record = {}
    for part in (part[index] for part in self._parts):
      if part["id"] != record.get("id", part["id"]):
        raise UserError(
          f"{self._where}: a layer does not fit its records; "
          f"delete {LAYERS} there and make it again"
        )
      record |= part
    return {
      name: value.decode() if isinstance(value, bytes) else np.asarray(value)
      for name, value in record.items()
    }


class _Part:
  """A split of one dataset; what cannot be read is tried again."""

  def __init__(self, directory: pathlib.Path, split: str):
    """Opens it."""
    self._what = f"{directory}: the records cannot be read"
    read = lambda: tfds.builder_from_directory(directory)
    self._builder: Any = files.retried(self._what, read)
    self._split = split
    self._source = files.retried(self._what, self._open)
    self.features = tuple(self._builder.info.features)

  def __len__(self) -> int:
    return len(self._source)

  def __getitem__(self, index: int) -> dict[str, Any]:
    source, tried = self._source, []

    def read() -> dict[str, Any]:
      nonlocal source
      if tried:  # a reader that failed stays so
        source = self._source = self._open()
      tried.append(index)
      return source[index]

    return files.retried(self._what, read)

  def _open(self) -> Any:
    source = self._builder.as_data_source(split=self._split)
    source.data_source = _Checked(source.data_source)
    return source


class _Checked:
  """ArrayRecord files; their reader says little where it cannot read."""

  def __init__(self, stored: Any):
    self._stored = stored

  def __len__(self) -> int:
    return len(self._stored)

  def __getitem__(self, index: int) -> bytes:
    try:
      content = self._stored[index]
    except (RuntimeError, ValueError) as error:
      raise _nothing_came() from error
    if not content:
      raise _nothing_came()
    return content


def _nothing_came() -> OSError:
  return OSError(errno.EIO, "a file is damaged or cannot be reached")


def _stack(records_dir: pathlib.Path) -> list[pathlib.Path]:
  """The base, the layers that are always joined, and the one asked for."""
  base = base_of(records_dir)
  always = [
    path
    for path in sorted((base / LAYERS).glob("*"))
    if path.name in schema.BY_NAME and (path / RECORDS_FILE).is_file()
  ]
  return list(dict.fromkeys([base, *always, records_dir]))
