# SPDX-License-Identifier: Apache-2.0
"""Clips of a corpus on disk, before anything is heard: names, texts, files.

Each layout (`manifest`, `librispeech`, ...) is a function from a folder to its
clips, in a fixed order. What is wrong with a single clip is noted and the rest
goes on; files are read line by line, and no line is too wide.
"""

import dataclasses
import os
import pathlib
import unicodedata
from collections.abc import Callable, Collection, Iterator

from data_pipelines.corpora.corpus import Note
from ns_jax import audio_files
from ns_jax.errors import UserError

_LONGEST_LINE_BYTES = 65_536


@dataclasses.dataclass(frozen=True, slots=True)
class Clip:
  """What a corpus says of one clip; JSON by way of `dataclasses.asdict`."""

  id: str
  speaker: str
  text: str
  file: str  # absolute path
  subset: str = ""  # the corpus's own part: "train-clean-100", "dev", ...
  language: str = ""  # where the corpus says it
  start_sec: float = 0.0
  end_sec: float | None = None  # None: to the end of the file


# (folder, notes) -> clips
List = Callable[[pathlib.Path, list[Note]], Iterator[Clip]]


def reject(
  notes: list[Note], reason: str, *, file: object = "", clip_id: str = ""
) -> None:
  """Notes that something of the corpus is left out, and why."""
  notes.append(
    {"kind": "reject", "id": clip_id, "file": str(file), "reason": reason}
  )


def read_lines(
  path: pathlib.Path, notes: list[Note]
) -> Iterator[tuple[str, str]]:
  """Yields (place, line) of the lines of a text file that hold something.

  As `all_lines`.
  """
  for place, line in all_lines(path, notes):
    if line.strip():
      yield place, line


def all_lines(
  path: pathlib.Path, notes: list[Note]
) -> Iterator[tuple[str, str]]:
  """Yields (place, line) of the lines of a text file, empty ones, too.

  `place` is "file:number". Lines that are too long or not UTF-8 are rejected.

  Raises:
    UserError: the file cannot be opened.
  """
  try:
    file = path.open("rb")
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  with file:
    number = 0
    while line := file.readline(_LONGEST_LINE_BYTES):
      number += 1
      place = f"{path}:{number}"
      if len(line) == _LONGEST_LINE_BYTES and not line.endswith(b"\n"):
        while (rest := file.readline(_LONGEST_LINE_BYTES)) and (
          not rest.endswith(b"\n")
        ):
          pass
        reject(
          notes, f"line is longer than {_LONGEST_LINE_BYTES} bytes", file=place
        )
        continue
      try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
      except UnicodeDecodeError:
        reject(notes, "line is not UTF-8", file=place)
        continue
      yield place, text.rstrip("\r\n")


def read_text(path: pathlib.Path, notes: list[Note]) -> str | None:
  """A short text file as one line; None, and rejected, where that fails."""
  try:
    content = path.read_bytes()
  except OSError as error:
    reject(notes, f"transcript cannot be read ({error.strerror})", file=path)
    return None
  if len(content) > _LONGEST_LINE_BYTES:
    reject(
      notes,
      f"transcript is longer than {_LONGEST_LINE_BYTES} bytes",
      file=path,
    )
    return None
  try:
    return " ".join(content.decode("utf-8-sig").split())
  except UnicodeDecodeError:
    reject(notes, "transcript is not UTF-8", file=path)
    return None


def inside(root: pathlib.Path, name: str) -> pathlib.Path | None:
  """The file a list names, or None if that leads out of the corpus.

  Links are not followed: where a folder links to is its owner's business.
  """
  path = os.path.normpath(os.path.join(root, name))
  return pathlib.Path(path) if path.startswith(f"{root}{os.sep}") else None


def walk_audio(root: pathlib.Path, notes: list[Note]) -> Iterator[pathlib.Path]:
  """Yields all audio files under a folder, in order; loops are cut."""

  def failed(error: OSError) -> None:
    reject(
      notes, f"folder cannot be read ({error.strerror})", file=error.filename
    )

  seen = {_identity(root)}
  for folder, folders, names in os.walk(root, onerror=failed, followlinks=True):
    for name in list(folders):
      identity = _identity(pathlib.Path(folder, name))
      if identity in seen:
        folders.remove(name)
        reject(
          notes,
          "folder links back to one that was seen",
          file=pathlib.Path(folder, name),
        )
      else:
        seen.add(identity)
    folders.sort()
    for name in sorted(names):
      if os.path.splitext(name)[1].lower() in audio_files.SUFFIXES:
        yield pathlib.Path(folder, name)


def find_audio(stem: pathlib.Path) -> pathlib.Path:
  """The audio file of that name, whatever its suffix; .wav if there is none."""
  for suffix in audio_files.SUFFIXES:
    path = stem.with_name(stem.name + suffix)
    if os.path.lexists(path):
      return path
  return stem.with_name(f"{stem.name}.wav")


def reject_untold(
  root: pathlib.Path, told: Collection[str], notes: list[Note]
) -> None:
  """Rejects the audio files of a folder that no list mentions."""
  for path in walk_audio(root, notes):
    if str(path) not in told:
      reject(notes, "has no transcript", file=path, clip_id=path.stem)


def id_of(root: pathlib.Path, path: pathlib.Path) -> str:
  """Names a clip after its file."""
  return "_".join(path.relative_to(root).with_suffix("").parts)


def has_control_characters(text: str) -> bool:
  """Whether a text holds what nobody types: NUL, escape, ..."""
  return any(unicodedata.category(char) == "Cc" for char in text)


def _identity(path: pathlib.Path) -> tuple[int, int]:
  facts = path.stat()
  return facts.st_dev, facts.st_ino
