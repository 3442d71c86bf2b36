# SPDX-License-Identifier: Apache-2.0
"""VCTK 0.80 and 0.92: texts in `txt/<speaker>`, waves in `wav48*/<speaker>`."""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip

_MICROPHONE = "_mic1"  # of the two in 0.92


def is_layout(root: pathlib.Path) -> bool:
  """Whether a folder looks like an unpacked VCTK."""
  return (root / "txt").is_dir() and bool(_waves(root))


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists every clip that has a text; a speaker (p315) has none."""
  folder = _waves(root)[0]
  for transcript in sorted(root.glob("txt/*/*.txt")):
    speaker, name = transcript.parent.name, transcript.stem
    text = listing.read_text(transcript, notes)
    if text is None:
      continue
    path = listing.find_audio(folder / speaker / f"{name}{_MICROPHONE}")
    if not path.exists():
      path = listing.find_audio(folder / speaker / name)
    yield Clip(id=name, speaker=speaker, text=text, file=str(path))


def _waves(root: pathlib.Path) -> list[pathlib.Path]:
  return sorted(path for path in root.glob("wav48*") if path.is_dir())
