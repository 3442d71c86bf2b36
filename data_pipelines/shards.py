# SPDX-License-Identifier: Apache-2.0
"""One shard: a file of records that appears whole or not at all.

While a dataset is built its folder `plan` holds, for each shard, the list of
its items and, once its file is there, what was noted while making it. Killed
anywhere, a build finds there what is left to do; two workers on one shard
write the same records and the second replaces the first.
"""

import contextlib
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
_COUNT = "count"
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
  """What is known of a finished shard.

  num_items, num_records, num_bytes, and the `longest` of each field that has
  axes, in elements of its first; with `word_starts`, also of phonemes and words
  together, which is room for a pause before each word.
  """
  return json.loads(_done_path(directory, shard).read_text())


def count_made(directory: pathlib.Path) -> int:
  """Records in shards that are being made right now."""
  counted = 0
  for path in (directory / PLAN).glob(f"*/{_COUNT}"):
    # It may be gone, or just be written, when it is read.
    with contextlib.suppress(OSError, ValueError):
      counted += int(path.read_text())
  return counted


def under_way(plan: pathlib.Path) -> str:
  """Says which shards are being made, and how far they are."""
  made = [
    f"{path.parent.name.split('.' + os.uname().nodename)[0]} after record "
    f"{path.read_text()}"
    for path in sorted(plan.glob(f"*/{_COUNT}"))
  ]
  return f" (making {', '.join(made)})" if made else ""


def clear_leftovers(directory: pathlib.Path) -> None:
  """Removes what this machine's killed workers left, once none is at work."""
  for path in (directory / PLAN).glob(f"*.{os.uname().nodename}.*"):
    shutil.rmtree(path, ignore_errors=True)


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
    facts = _write(work, corpus.features, corpus.records(items, noted))
    with (work / "notes").open("w") as file:
      for note in noted:
        file.write(json.dumps(note) + "\n")
    (work / "done").write_text(json.dumps({"num_items": len(items), **facts}))
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
  work: pathlib.Path, names: Iterable[str], records: Iterable[dict[str, Any]]
) -> dict[str, Any]:
  """Writes the file `records`; returns what is to be known of them."""
  features = tfds_features(names)
  writer = array_record_module.ArrayRecordWriter(
    str(work / "records"), _WRITER_OPTIONS
  )
  num_records = num_bytes = 0
  longest: dict[str, int] = {}
  # Kept open: to make it anew takes longer than to write a short record.
  with (work / _COUNT).open("wb", buffering=0) as count:
    for record in records:
      content = features.serialize_example(record)
      writer.write(content)
      num_records += 1
      num_bytes += len(content)
      for name, length in _lengths(record).items():
        longest[name] = max(longest.get(name, 0), length)
      count.seek(0)
      count.write(str(num_records).encode())
  writer.close()
  return dict(num_records=num_records, num_bytes=num_bytes, longest=longest)


def _lengths(record: dict[str, Any]) -> dict[str, int]:
  lengths = {
    name: len(value)
    for name, value in record.items()
    if schema.BY_NAME[name].dims
  }
  if "word_starts" in record:
    words = int(record["word_starts"].sum())
    lengths["phonemes_and_words"] = len(record["phonemes"]) + words
  return lengths


def _done_path(directory: pathlib.Path, shard: Shard) -> pathlib.Path:
  return directory / PLAN / f"{shard.name}.done"
