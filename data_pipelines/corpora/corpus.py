# SPDX-License-Identifier: Apache-2.0
"""What a corpus is to the builder: splits of records with some fields."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Record = dict[str, Any]  # field of schema.FEATURES -> value


@dataclasses.dataclass(frozen=True)
class Corpus:
  """A source of records.

  name, config and version name the directory it is stored in, so anything that
  changes a record must change one of them.
  """

  name: str
  config: str
  version: str
  description: str
  features: tuple[str, ...]  # fields every record has
  split_sizes: Mapping[str, int]
  records: Callable[[str], Iterator[Record]]  # by split, in a fixed order
  # Called with the directory when all splits are in it, before it is final.
  finish: Callable[[pathlib.Path], None] | None = None
