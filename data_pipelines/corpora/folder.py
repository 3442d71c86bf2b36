# SPDX-License-Identifier: Apache-2.0
"""Any folder with a `.txt` or `.lab` beside each audio file.

Clips in subfolders are their speakers' (as for the Montreal Forced Aligner);
those in the folder itself have one speaker, named after it.
"""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip

_TEXT_SUFFIXES = (".txt", ".lab")
_ABOUT = ("readme", "license", "licence", "copying", "changelog")


def is_layout(root: pathlib.Path) -> bool:
  """Whether some audio file has a text beside it."""
  return any(_transcript(path) for path in listing.walk_audio(root, []))


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the audio files with their texts."""
  heard, folders = set(), set()
  for path in listing.walk_audio(root, notes):
    folders.add(path.parent)
    transcript = _transcript(path)
    clip_id = listing.id_of(root, path)
    if transcript is None:
      listing.reject(notes, "has no transcript", file=path, clip_id=clip_id)
      continue
    heard.add(transcript)
    text = listing.read_text(transcript, notes)
    if text is not None:
      yield Clip(
        id=clip_id,
        speaker=(root.name, *path.relative_to(root).parts[:-1])[:2][-1],
        text=text,
        file=str(path),
      )
  for suffix in _TEXT_SUFFIXES:
    for transcript in sorted(root.rglob(f"*{suffix}")):
      is_beside = transcript.parent in folders and transcript not in heard
      if is_beside and transcript.stem.lower() not in _ABOUT:
        listing.reject(notes, "has no audio file", file=transcript)


def _transcript(path: pathlib.Path) -> pathlib.Path | None:
  for suffix in _TEXT_SUFFIXES:
    transcript = path.with_suffix(suffix)
    if transcript.is_file():
      return transcript
  return None
