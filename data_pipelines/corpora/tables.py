# SPDX-License-Identifier: Apache-2.0
"""What is told of a corpus beside its records, as tab-separated tables."""

import contextlib
import csv
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

from data_pipelines.corpora.corpus import Note

REJECTS = ("id", "file", "reason")  # columns of what `listing.reject` notes


def write(
  directory: pathlib.Path,
  columns: Mapping[str, tuple[str, tuple[str, ...]]],
  notes: Iterable[Note],
) -> None:
  """Writes each kind of note to a table of its own.

  Args:
    directory: of the records.
    columns: kind of a note -> (name of its file, names of its columns).
    notes: each with its `kind`.
  """
  # Names of files need not be UTF-8.
  how: Any = dict(mode="w", newline="", errors="backslashreplace")
  with contextlib.ExitStack() as stack:
    tables = {
      kind: csv.DictWriter(
        stack.enter_context((directory / file).open(**how)),
        names,
        extrasaction="ignore",
        dialect="excel-tab",
      )
      for kind, (file, names) in columns.items()
    }
    for table in tables.values():
      table.writeheader()
    for note in notes:
      tables[note["kind"]].writerow(note)
