# SPDX-License-Identifier: Apache-2.0
"""A table of clips with a header: tsv, csv, or one JSON object a line.

Columns may have any of their usual names; only the file and its text must be
there.
"""

import csv
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from data_pipelines.corpora import listing
from data_pipelines.corpora.corpus import Note
from data_pipelines.corpora.listing import Clip
from ns_jax.errors import UserError

NAMES = tuple(
  f"{stem}.{suffix}"
  for stem in ("manifest", "metadata")
  for suffix in ("tsv", "csv", "jsonl")
)
_COLUMNS = {
  "file": (
    *("file", "path", "audio", "audio_filepath", "audio_file", "file_name"),
    *("filename", "wav"),
  ),
  "text": (
    *("text", "transcript", "transcription", "sentence"),
    *("normalized_text", "text_normalized"),
  ),
  "speaker": ("speaker", "speaker_id", "client_id", "spk"),
  "id": ("id", "utterance_id", "utt_id"),
  "subset": ("split", "subset"),
  "language": ("language", "lang", "locale"),
  "start": ("start", "offset"),
  "end": ("end",),
  "duration": ("duration",),
}


def find(root: pathlib.Path) -> pathlib.Path | None:
  """The folder's table, if it has one."""
  return next((root / name for name in NAMES if (root / name).is_file()), None)


def is_header(line: str) -> bool:
  """Whether a line with bars names columns, rather than a clip."""
  return line.partition("|")[0].strip().lower() in _COLUMNS["file"]


def clips(root: pathlib.Path, notes: list[Note]) -> Iterator[Clip]:
  """Lists the clips of a folder's table.

  Raises:
    UserError: the table lacks a column that must be there.
  """
  table = find(root)
  assert table is not None
  told = set()
  for place, row in _rows(table, notes):
    try:
      clip = _clip(root, row)
    except (ValueError, OSError) as error:
      name = row.get("file", "")
      reason = getattr(error, "strerror", None) or error
      listing.reject(notes, f"{reason} ({place})", file=name)
      if name and (path := listing.inside(root, name)):
        told.add(str(path))
      continue
    told.add(clip.file)
    yield clip
  listing.reject_untold(root, told, notes)


def _rows(
  table: pathlib.Path, notes: list[Note]
) -> Iterator[tuple[str, dict[str, str]]]:
  """Yields (place, our column name -> value)."""
  lines = listing.read_lines(table, notes)
  if table.suffix == ".jsonl":
    for place, line in lines:
      try:
        row = json.loads(line)
      except (ValueError, RecursionError):
        listing.reject(notes, "line is not JSON", file=place)
        continue
      if not isinstance(row, dict):
        listing.reject(notes, "line is no JSON object", file=place)
        continue
      yield place, _renamed(row)
    return
  _, header = next(lines, ("", ""))
  delimiter = "\t" if table.suffix == ".tsv" else "|" if "|" in header else ","
  names = _fields(header, delimiter)
  known = _renamed(dict.fromkeys(names, "."))
  for column in ("file", "text"):
    if column not in known:
      raise UserError(
        f"{table}: has no column for the {column}; name one "
        f"{' or '.join(_COLUMNS[column][:3])} in its first line"
      )
  for place, line in lines:
    try:
      values = _fields(line, delimiter)
    except csv.Error as error:
      listing.reject(notes, f"line is no csv ({error})", file=place)
      continue
    if len(values) != len(names):
      listing.reject(
        notes,
        f"line has {len(values)} columns, the header {len(names)}",
        file=place,
      )
      continue
    yield place, _renamed(dict(zip(names, values, strict=True)))


def _fields(line: str, delimiter: str) -> list[str]:
  if delimiter != ",":  # nothing is quoted between tabs or bars
    return line.split(delimiter)
  return next(csv.reader([line]))


def _renamed(row: Mapping[str, Any]) -> dict[str, str]:
  lowered = {str(name).strip().lower(): value for name, value in row.items()}
  found = {}
  for ours, names in _COLUMNS.items():
    values = (lowered.get(name) for name in names)
    value = next((v for v in values if v not in (None, "")), None)
    if value is not None:
      found[ours] = str(value).strip()
  return found


def _clip(root: pathlib.Path, row: Mapping[str, str]) -> Clip:
  """One row as a clip.

  Raises:
    ValueError: something is missing or makes no sense.
  """
  if "file" not in row:
    raise ValueError("names no audio file")
  if "text" not in row:
    raise ValueError("has no transcript")
  path = listing.inside(root, row["file"])
  if path is None:
    raise ValueError("its file lies outside the corpus folder")
  if not path.exists():  # Common Voice names files as they are in `clips`
    in_clips = root / "clips" / row["file"]
    path = in_clips if in_clips.exists() else path
  try:
    start = float(row.get("start", "0"))
    end = float(row["end"]) if "end" in row else None
    if end is None and "start" in row and "duration" in row:
      end = start + float(row["duration"])
  except ValueError as error:
    raise ValueError("its start, end or duration is no number") from error
  parent = path.parent if path.parent != root / "clips" else root
  name = listing.id_of(root, path)
  if "start" in row or "end" in row:
    name = f"{name}_{start:g}"
  return Clip(
    id=row.get("id") or name,
    speaker=row.get("speaker") or parent.name,
    text=row["text"],
    file=str(path),
    subset=row.get("subset", ""),
    language=row.get("language", ""),
    start_sec=start,
    end_sec=end,
  )
