# SPDX-License-Identifier: Apache-2.0
"""Multilingual LibriSpeech: {train,dev,test}/transcripts.txt and audio/."""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip


def is_layout(root: pathlib.Path) -> bool:
  """Whether a folder has the transcripts of a split."""
  return next(root.glob("*/transcripts.txt"), None) is not None


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the clips; `speaker_book_number` names both file and folders."""
  for table in sorted(root.glob("*/transcripts.txt")):
    for place, line in listing.read_lines(table, notes):
      name, _, text = line.partition("\t")
      parts = name.split("_")
      folder = listing.inside(table.parent / "audio", "/".join(parts[:2]))
      if len(parts) != 3 or folder is None or "/" in name:
        listing.reject(notes, "names no clip of the corpus", file=place)
        continue
      yield Clip(
        id=name,
        speaker=parts[0],
        text=text.strip(),
        file=str(listing.find_audio(folder / name)),
        subset=table.parent.name,
        language=root.name.partition("mls_")[2],  # as in mls_german
      )
