# SPDX-License-Identifier: Apache-2.0
"""LJSpeech's layout: `metadata.csv` of id|text|normalised text, and `wavs`."""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing, manifest
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip
from ns_jax import audio_files

_TABLE = "metadata.csv"


def is_layout(root: pathlib.Path) -> bool:
  """Whether a folder has a `metadata.csv` with bars and no header."""
  if not (root / _TABLE).is_file():
    return False
  first = next(listing.read_lines(root / _TABLE, []), ("", ""))[1]
  return first.count("|") in (1, 2) and not manifest.is_header(first)


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the clips; the speaker is named after the folder."""
  folder = root / "wavs" if (root / "wavs").is_dir() else root
  told = set()
  for place, line in listing.read_lines(root / _TABLE, notes):
    name, *texts = (part.strip() for part in line.split("|"))
    path = listing.inside(folder, name)
    if not name or path is None:
      listing.reject(notes, "names no file of the corpus", file=place)
      continue
    if path.suffix.lower() not in audio_files.SUFFIXES:
      path = listing.find_audio(path)
    told.add(str(path))
    # The last column is normalised, where there are two.
    text = next((text for text in reversed(texts) if text), "")
    yield Clip(
      id=listing.id_of(folder, path),
      speaker=root.name,
      text=text,
      file=str(path),
    )
  listing.reject_untold(root, told, notes)
