# SPDX-License-Identifier: Apache-2.0
"""Random access to stored records, without TensorFlow."""

import pathlib
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import schema
from data_pipelines.corpora.corpus import Record
from ns_jax.errors import UserError


class Records:
  """A split as a sequence of records; safe to read from several threads."""

  def __init__(
    self,
    records_dir: str | pathlib.Path,
    split: str,
    features: Collection[str] = (),
  ):
    """Opens a split.

    Args:
      records_dir: from `builder.prepare` or `codes.add_codes`.
      split: "train", "valid" or "test".
      features: fields that must be there.

    Raises:
      UserError: no such records, split or field.
    """
    records_dir = pathlib.Path(records_dir)
    if not (records_dir / "dataset_info.json").is_file():
      raise UserError(
        f"{records_dir}: holds no finished records; "
        "build them with data_pipelines.builder.prepare"
      )
    builder: Any = tfds.builder_from_directory(records_dir)
    if split not in builder.info.splits:
      raise UserError(
        f"{records_dir}: no split '{split}'; "
        f"it has {sorted(builder.info.splits)}"
      )
    self.features = tuple(builder.info.features)
    schema.require(features, self.features, str(records_dir))
    self._source = builder.as_data_source(split=split)

  def __len__(self) -> int:
    """Number of records."""
    return len(self._source)

  def __iter__(self) -> Iterator[Record]:
    """All records in order."""
    return (self[index] for index in range(len(self)))

  def __getitem__(self, index: int) -> Record:
    """One record; strings as str, the rest as numpy arrays."""
    record = self._source[index]
    return {
      name: value.decode() if isinstance(value, bytes) else np.asarray(value)
      for name, value in record.items()
    }
