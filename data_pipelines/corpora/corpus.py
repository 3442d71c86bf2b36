# SPDX-License-Identifier: Apache-2.0
"""What a corpus is to the builder: a list of items that become records."""

import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

Record = dict[str, Any]  # field of schema.FEATURES -> value
Item = dict[str, Any]  # JSON: all a worker needs to make some records
Note = dict[str, Any]  # JSON: what a corpus wants to remember of a shard


class Corpus(Protocol):
  """A source of records; pickled, because workers make them.

  What it yields may depend on nothing but its identity and what lies on disk,
  so that a build that was killed goes on as if nothing had happened.
  """

  @property
  def description(self) -> str:
    """A sentence for the dataset's metadata."""
    ...

  @property
  def features(self) -> tuple[str, ...]:
    """Fields that every record has."""
    ...

  @property
  def items_per_shard(self) -> tuple[int, int]:
    """Fewest and most items that are worth a file of their own."""
    ...

  def identity(self) -> dict[str, Any]:
    """JSON: everything a record depends on but the source's content."""
    ...

  def plan(self, notes: list[Note]) -> Iterator[tuple[str, Item]]:
    """Yields (split, item) in a fixed order.

    Raises:
      UserError: the source cannot be read at all.
    """
    ...

  def records(self, items: list[Item], notes: list[Note]) -> Iterator[Record]:
    """Makes the records of a shard, none or several of each item."""
    ...

  def finish(self, directory: pathlib.Path, notes: Iterable[Note]) -> None:
    """Writes what the corpus knows beside its records.

    Args:
      directory: of the records, all written.
      notes: those of `plan`, then of each shard in order.
    """
    ...
