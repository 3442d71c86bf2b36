# SPDX-License-Identifier: Apache-2.0
"""Fields added to finished records, stored beside them and joined on reading.

A layer is a dataset of its own with the same records in the same order: their
ids and the new fields. It lies in `layers/<name>` of the records' folder. One
named after a field is always joined (`durations`); of others there may be
several (`codes-<codec>`), and the path of one, given as a records' path, means
the records with that layer.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from data_pipelines import builder, schema
from data_pipelines.corpora.corpus import Item, Note, Record
from data_pipelines.records import LAYERS, Records, base_of, read_facts

# (split, records of a shard, notes to add to) -> new fields of each, in order
Fill = Callable[[str, list[Record], list[Note]], Sequence[dict[str, Any]]]


def add_layer(
  records_dir: pathlib.Path,
  name: str,
  *,
  fields: tuple[str, ...],
  identity: dict[str, Any],
  fill: Fill,
  label: str,
  finish: Callable[[pathlib.Path, Iterable[Note]], None] | None = None,
) -> pathlib.Path:
  """Makes a layer unless it stands; in this process, where the devices are.

  Args:
    records_dir: finished records, with or without layers.
    name: of the layer.
    fields: what is added.
    identity: JSON: what the new fields depend on but the records.
    fill: makes them for one shard at a time.
    label: of the progress bar.
    finish: called with the layer's folder and all notes before it is final.

  Returns:
    The layer's folder, which stands for the records with it.

  Raises:
    UserError: records are missing, or the folder cannot be written.
  """
  layer = _Layer(
    records_dir=records_dir,
    fields=fields,
    given=identity,
    fill=fill,
    finisher=finish,
  )
  return builder.build_with(
    layer, base_of(records_dir) / LAYERS / name, _one_by_one, label=label
  )


def by_length(
  lengths: Sequence[int], batch_size: int
) -> Iterator[Sequence[int]]:
  """Yields batches of indices of similar length, so that padding is little."""
  order = sorted(range(len(lengths)), key=lambda i: lengths[i])
  for first in range(0, len(order), batch_size):
    yield order[first : first + batch_size]


@dataclasses.dataclass(frozen=True)
class _Layer:
  """A corpus whose items are stored records."""

  records_dir: pathlib.Path
  fields: tuple[str, ...]
  given: dict[str, Any]
  fill: Fill
  finisher: Callable[[pathlib.Path, Iterable[Note]], None] | None
  items_per_shard = (16, 256)

  @property
  def description(self) -> str:
    names = ", ".join(self.fields)
    return f"{names} of the records two folders up."

  @property
  def features(self) -> tuple[str, ...]:
    return ("id", *self.fields)

  def identity(self) -> dict[str, Any]:
    base = read_facts(base_of(self.records_dir))["identity"]
    return {"fields": list(self.fields), "of": base, **self.given}

  def plan(self, notes: list[Note]) -> Iterator[tuple[str, Item]]:
    del notes
    splits = read_facts(base_of(self.records_dir))["splits"]
    for split, count in splits.items():
      yield from ((split, {"split": split, "index": i}) for i in range(count))

  def records(self, items: list[Item], notes: list[Note]) -> Iterator[Record]:
    split = items[0]["split"]
    stored = Records(self.records_dir, split)
    old = [stored[item["index"]] for item in items]
    for record, new in zip(old, self.fill(split, old, notes), strict=True):
      assert new.keys() == set(self.fields) <= schema.BY_NAME.keys()
      yield {"id": record["id"], **new}

  def finish(self, directory: pathlib.Path, notes: Iterable[Note]) -> None:
    if self.finisher:
      self.finisher(directory, notes)


def _one_by_one(left: Sequence[Any], make: Callable[[Any], None]) -> None:
  for shard in left:
    make(shard)
