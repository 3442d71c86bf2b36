# SPDX-License-Identifier: Apache-2.0
"""One shard: a file of records that appears whole or not at all.

While a dataset is built its folder `plan` holds, for each shard, the list of
its items and, once its file is there, what was noted while making it. Killed
anywhere, a build finds there what is left to do; two workers on one shard
write the same bytes and the second replaces the first.
"""

import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python import (
  array_record_module,  # pyright: ignore[reportAttributeAccessIssue]
)

from data_pipelines import schema
from data_pipelines.corpora.corpus import Corpus, Item, Note

FILENAME_TEMPLATE = "{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
PLAN = "plan"
# Random access by record; a fast code, because waves hardly shrink.
_WRITER_OPTIONS = "group_size:1,zstd:1"
_NAME = re.compile(r"(\w+)\.array_record-(\d+)-of-(\d+)")


class Shard(NamedTuple):
  """Name of a shard, as TFDS writes it."""

  split: str
  index: int
  count: int  # of the split's shards

  @classmethod
  def parse(cls, name: str) -> "Shard":
    """Reads a file's name."""
    match = _NAME.fullmatch(name)
    if not match:
      raise ValueError(f"{name} is no shard")
    return cls(match[1], int(match[2]), int(match[3]))

  @property
  def name(self) -> str:
    """Name of its file."""
    count = f"{self.index:05d}-of-{self.count:05d}"
    return f"{self.split}.array_record-{count}"


def write_items(
  directory: pathlib.Path, shard: Shard, items: Iterable[Item]
) -> None:
  """Lists a shard's items; `directory` is the plan's."""
  with (directory / f"{shard.name}.items").open("w") as file:
    for item in items:
      file.write(json.dumps(item) + "\n")


def planned(directory: pathlib.Path) -> list[Shard]:
  """All shards of a build, by split and number."""
  names = (path.stem for path in (directory / PLAN).glob("*.items"))
  # A stem ends before the last dot: "train.array_record-00000-of-00001".
  return sorted(Shard.parse(name) for name in names)


def is_done(directory: pathlib.Path, shard: Shard) -> bool:
  """Whether a shard's file is whole."""
  return _done_path(directory, shard).is_file()


def done(directory: pathlib.Path, shard: Shard) -> dict[str, Any]:
  """What is known of a finished shard: num_items, num_records, num_bytes."""
  return json.loads(_done_path(directory, shard).read_text())


def notes(directory: pathlib.Path, shard: Shard) -> Iterator[Note]:
  """What was noted while making a shard."""
  path = directory / PLAN / f"{shard.name}.notes"
  with path.open() as file:
    yield from map(json.loads, file)


def make(corpus: Corpus, directory: str, shard: Shard) -> None:
  """Makes one shard unless it is done.

  Args:
    corpus: knows how.
    directory: of the records, seen under this name by all workers.
    shard: which.
  """
  records_dir = pathlib.Path(directory)
  if is_done(records_dir, shard):
    return
  plan = records_dir / PLAN
  with (plan / f"{shard.name}.items").open() as file:
    items = [json.loads(line) for line in file]
  work = plan / f"{shard.name}.{os.uname().nodename}.{os.getpid()}"
  work.mkdir(exist_ok=True)
  try:
    noted: list[Note] = []
    sizes = _write(
      work / "records", corpus.features, corpus.records(items, noted)
    )
    with (work / "notes").open("w") as file:
      for note in noted:
        file.write(json.dumps(note) + "\n")
    facts = dict(
      num_items=len(items), num_records=len(sizes), num_bytes=sum(sizes)
    )
    (work / "done").write_text(json.dumps(facts))
    (work / "records").replace(records_dir / shard.name)
    (work / "notes").replace(plan / f"{shard.name}.notes")
    (work / "done").replace(_done_path(records_dir, shard))
  finally:
    shutil.rmtree(work, ignore_errors=True)


def tfds_features(names: Iterable[str]) -> tfds.features.FeaturesDict:
  """The named fields of the schema as TFDS describes them."""

  def feature(spec: schema.FeatureSpec):
    if spec.dtype == "str":
      return tfds.features.Text()
    return tfds.features.Tensor(
      shape=(None,) * len(spec.dims.split()),
      dtype=np.dtype(spec.dtype),
      encoding=tfds.features.Encoding.BYTES,
    )

  return tfds.features.FeaturesDict(
    {name: feature(schema.BY_NAME[name]) for name in names}
  )


def _write(
  path: pathlib.Path, names: Iterable[str], records: Iterable[dict[str, Any]]
) -> list[int]:
  """Writes records; returns the size of each in bytes."""
  features = tfds_features(names)
  writer = array_record_module.ArrayRecordWriter(str(path), _WRITER_OPTIONS)
  sizes = []
  for record in records:
    content = features.serialize_example(record)
    writer.write(content)
    sizes.append(len(content))
  writer.close()
  return sizes


def _done_path(directory: pathlib.Path, shard: Shard) -> pathlib.Path:
  return directory / PLAN / f"{shard.name}.done"
