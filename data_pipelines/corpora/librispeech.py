# SPDX-License-Identifier: Apache-2.0
"""LibriSpeech and LibriTTS: subset/speaker/chapter/clips.

LibriSpeech has one `.trans.txt` a chapter; LibriTTS a `.normalized.txt` a clip.
"""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip

_LIBRISPEECH, _LIBRITTS = "*/*/*.trans.txt", "*/*/*.normalized.txt"


def is_layout(root: pathlib.Path) -> bool:
  """Whether a folder holds subsets of either corpus, or is one of them."""
  return any(
    next(root.glob(f"{above}{pattern}"), None)
    for pattern in (_LIBRISPEECH, _LIBRITTS)
    for above in ("", "*/")
  )


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the clips of all subsets; speakers are named by number."""
  subsets = [path for path in sorted(root.iterdir()) if path.is_dir()]
  if any(next(root.glob(p), None) for p in (_LIBRISPEECH, _LIBRITTS)):
    subsets = [root]
  for subset in subsets:
    for transcript in sorted(subset.glob(_LIBRISPEECH)):
      yield from _chapter(subset.name, transcript, notes)
    for transcript in sorted(subset.glob(_LIBRITTS)):
      name = transcript.name.removesuffix(".normalized.txt")
      text = listing.read_text(transcript, notes)
      if text is not None:
        yield _clip(subset.name, transcript.parent, name, text)


def _chapter(
  subset: str, transcript: pathlib.Path, notes: list[Note]
) -> Iterator[Clip]:
  for place, line in listing.read_lines(transcript, notes):
    name, _, text = line.partition(" ")
    if listing.inside(transcript.parent, name) is None:
      listing.reject(notes, "names no file of the chapter", file=place)
      continue
    yield _clip(subset, transcript.parent, name, text)


def _clip(subset: str, chapter: pathlib.Path, name: str, text: str) -> Clip:
  return Clip(
    id=name,
    speaker=chapter.parent.name,
    text=text,
    file=str(listing.find_audio(chapter / name)),
    subset=subset,
  )
