# SPDX-License-Identifier: Apache-2.0
"""A Kaldi data folder: `wav.scp`, `text`; if there, utt2spk and segments."""

import pathlib
from collections.abc import Iterator

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip


def is_layout(root: pathlib.Path) -> bool:
  """Whether a folder has the two files that must be there."""
  return (root / "wav.scp").is_file() and (root / "text").is_file()


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the utterances of `text`; wave files may lie anywhere.

  Commands in `wav.scp` are not run.
  """
  waves = _table(root / "wav.scp", notes)
  speakers = _table(root / "utt2spk", notes)
  segments = _table(root / "segments", notes)
  for place, line in listing.read_lines(root / "text", notes):
    name, text = _first_word(line)
    recording, start, end = name, "0", ""
    if segments:
      if len(segments.get(name, "").split()) != 3:
        listing.reject(notes, "has no segment", file=place, clip_id=name)
        continue
      recording, start, end = segments[name].split()
    wave = waves.get(recording)
    if wave is None:
      listing.reject(notes, "has no line in wav.scp", file=place, clip_id=name)
      continue
    if wave.endswith("|"):
      listing.reject(
        notes,
        "wav.scp names a command; write its output to a file first",
        file=place,
        clip_id=name,
      )
      continue
    try:
      start_sec, end_sec = float(start), float(end or -1)
    except ValueError:
      listing.reject(
        notes, "its segment's times are no numbers", file=place, clip_id=name
      )
      continue
    yield Clip(
      id=name,
      speaker=speakers.get(name, root.name),
      text=text,
      file=str(root / wave),
      start_sec=start_sec,
      end_sec=None if end_sec < 0 else end_sec,  # -1: to the end
    )


def _table(path: pathlib.Path, notes: list[Note]) -> dict[str, str]:
  """First word of each line -> the rest; empty if there is no such file."""
  if not path.is_file():
    return {}
  return dict(_first_word(line) for _, line in listing.read_lines(path, notes))


def _first_word(line: str) -> tuple[str, str]:
  name, _, rest = line.strip().replace("\t", " ").partition(" ")
  return name, rest.strip()
