# SPDX-License-Identifier: Apache-2.0
"""MusicXML, plain or zipped, to notes and lyrics.

partitura (Apache-2.0) reads the music, with its repeats, ties and tempo, but no
lyrics: those are taken from the XML and found again by the notes' ids.
"""

import collections
import io
import pathlib
import re
import struct
import warnings
import zipfile
import zlib
from typing import Any, NamedTuple

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from ns_jax.errors import UserError
from ns_jax.singing import raw_score
from ns_jax.singing.raw_score import Lyric, RawNote

_QUARTERS = {  # of the notes that a metronome mark may count
  **{"whole": 4.0, "half": 2.0, "quarter": 1.0},
  **{"eighth": 0.5, "16th": 0.25, "32nd": 0.125},
}
# partitura takes a file at its word; these are what comes of a file that lies.
_BROKEN = (
  *(ArithmeticError, AssertionError, AttributeError, LookupError),
  *(RuntimeError, StopIteration, TypeError, ValueError),
)
_BROKEN_ZIP = (
  *(EOFError, KeyError, OSError, RuntimeError, ValueError),
  *(struct.error, zipfile.BadZipFile, zlib.error),
)


def read(path: pathlib.Path, content: bytes, verse: int) -> list[RawNote]:
  """Reads the first voice that has lyrics.

  Args:
    path: for messages.
    content: of the file.
    verse: which line of lyrics, the first being 1.

  Returns:
    Notes in order, chords and all, repeats written out.

  Raises:
    UserError: it cannot be read, or has no lyrics or no notes.
  """
  if content.startswith(b"PK"):
    content = _unzip(path, content)
  # It takes a second to import, which only singing needs.
  from partitura.score import InvalidTimePointException

  root = _parse(path, content)
  if root.tag != "score-partwise":
    raise UserError(
      f"{path}: is '{root.tag}', not 'score-partwise'; "
      "export it as partwise MusicXML"
    )
  lyrics, part_id, voice = _label(path, root, verse)
  _write_out_tempo(root)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # about what is not used here
      line = _unfold(root, part_id, int(voice))
  except (*_BROKEN, InvalidTimePointException) as error:
    raise UserError(
      f"{path}: is not sound MusicXML; "
      "open it in a notation program and export it again"
    ) from error
  # Of a repeat's two endings each is sung once, as what is before it.
  is_repeated = collections.Counter(name for name, _, _ in line)
  raw = []
  times_before = 1
  for name, times, note in line:
    times_before = times if is_repeated[name] > 1 else times_before
    lyric = _sung_verse(lyrics.get(name, {}), verse + times_before - 1)
    raw.append(
      note._replace(lyric=lyric.text, continues_word=lyric.continues_word)
    )
  return raw


def _unzip(path: pathlib.Path, content: bytes) -> bytes:
  """The score in a .mxl file."""
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      name = "META-INF/container.xml"
      if archive.getinfo(name).file_size > raw_score.MAX_BYTES:
        raise raw_score.too_large(path)
      rootfile = _parse(path, archive.read(name)).find(".//{*}rootfile")
      name = "" if rootfile is None else rootfile.get("full-path", "")
      if archive.getinfo(name).file_size > raw_score.MAX_BYTES:
        raise raw_score.too_large(path)
      return archive.read(name)
  except _BROKEN_ZIP as error:
    raise UserError(f"{path}: is a zip file without a score") from error


def _parse(path: pathlib.Path, content: bytes) -> Any:
  """The root of an XML document, from which no other file is read."""
  parser = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True
  )
  try:
    return etree.fromstring(content, parser)
  except (etree.XMLSyntaxError, ValueError) as error:
    raise UserError(
      f"{path}: is not a score; give a MusicXML (.musicxml, .xml, .mxl) or "
      "MIDI (.mid) file"
    ) from error


def _unfold(
  root: Any, part_id: str, voice: int
) -> list[tuple[str, int, RawNote]]:
  """Notes of a voice, repeats written out: (id, the how manieth time, note)."""
  import partitura
  from partitura import score as partitura_score

  document: Any = io.BytesIO(etree.tostring(root))
  parts = {
    part.id: partitura_score.unfold_part_maximal(part, ignore_leaps=False)
    for part in partitura.load_musicxml(document).parts
  }
  part: Any = parts[part_id]
  tempo = _Tempo.of_parts(parts.values())
  line = []
  for note in part.notes_tied:
    if (note.voice or 1) == voice:
      # Unfolding adds to an id which time around this is.
      name, _, times = note.id.partition("-")
      ends = (note.start.t, note.end_tied.t)
      onset, end = (tempo.seconds(part.quarter_map(t)) for t in ends)
      raw = RawNote(onset, end, note.midi_pitch, "", False)
      line.append((name, int(times or 1), raw))
  return sorted(line, key=lambda item: item[2].onset_sec)


def _label(
  path: pathlib.Path, root: Any, verse: int
) -> tuple[dict[str, dict[int, Lyric]], str, str]:
  """Gives every note an id of its own.

  Returns:
    The lyrics, by id and verse, of the first voice that has some, the id of its
    part and its number.
  """
  by_voice = collections.defaultdict(dict)
  notes = [(part, note) for part in root.iter("part") for note in part.iter()]
  notes = [(part, note) for part, note in notes if note.tag == "note"]
  if not any(note.find("pitch") is not None for _, note in notes):
    raise raw_score.no_notes(path)
  for index, (part, note) in enumerate(notes):
    name = f"n{index}"
    note.set("id", name)
    written = {}
    for element in note.findall("lyric"):
      # Verses may be named "part1verse2" or "chorus".
      number = re.findall(r"\d+", element.get("number", "1"))
      lyric = _read_lyric(element)
      if lyric is not None:
        written[int(number[-1]) if number else 1] = lyric
    if written:
      voice = note.findtext("voice", "1").strip()
      by_voice[part.get("id"), voice][name] = written
  if not by_voice:
    raise raw_score.no_lyrics(path)
  (part_id, voice), lyrics = next(iter(by_voice.items()))
  numbers = sorted(
    {number for written in lyrics.values() for number in written}
  )
  if not 1 <= verse <= len(numbers):
    raise UserError(
      f"{path}: has no verse {verse}; its verses are 1 to {len(numbers)}"
    )
  # Whatever the numbers are, the first verse is 1.
  lyrics = {
    name: {numbers.index(number) + 1: lyric for number, lyric in of.items()}
    for name, of in lyrics.items()
  }
  # A verse that leaves out one note holds it; one that leaves out more has
  # these in common with the verse before.
  lines = list(lyrics.values())
  for before, here, after in zip(lines, lines[1:], lines[2:], strict=False):
    for number in before.keys() & after.keys() - here.keys():
      here[number] = Lyric("", False)
  return lyrics, part_id, voice


def _read_lyric(element: Any) -> Lyric | None:
  """A `lyric` element; None where it is only a line to the next note."""
  texts = []
  for child in element:
    if child.tag == "text":
      texts.append(child.text or "")
    elif child.tag == "elision":
      texts.append(" ")
  if not any(text.strip() for text in texts):
    return Lyric("", False) if element.find("extend") is not None else None
  syllabic = element.findtext("syllabic", "single")
  return Lyric("".join(texts), syllabic in ("middle", "end"))


def _sung_verse(written: dict[int, Lyric], verse: int) -> Lyric:
  """The verse, or where a note has none such the last one before it."""
  fitting = [number for number in written if number <= verse]
  return written[max(fitting)] if fitting else Lyric("", False)


def _write_out_tempo(root: Any) -> None:
  """Adds the tempo for the player to metronome marks that are only printed."""
  for mark in root.iter("metronome"):
    direction = next(mark.iterancestors("direction"), None)
    bpm = re.search(r"\d+(\.\d+)?", mark.findtext("per-minute", ""))
    quarters = _QUARTERS.get(mark.findtext("beat-unit", "").strip())
    if direction is None or bpm is None or quarters is None:
      continue
    quarters *= 2.0 - 0.5 ** len(mark.findall("beat-unit-dot"))
    sound = direction.find("sound")
    if sound is None:
      sound = etree.SubElement(direction, "sound")
    if "tempo" not in sound.attrib:
      sound.set("tempo", f"{float(bpm[0]) * quarters:g}")


class _Tempo(NamedTuple):
  """When each quarter of a piece sounds."""

  starts: list[float]  # in quarters; each tempo lasts until the next begins
  sec_per_quarter: list[float]

  @classmethod
  def of_parts(cls, parts: Any) -> "_Tempo":
    """The marks of all parts, of which often only the first has any."""
    from partitura import score as partitura_score

    marks = {}
    first = 0.0
    for part in parts:
      first = min(first, float(part.quarter_map(part.first_point.t)))
      for mark in part.iter_all(partitura_score.Tempo):
        start = float(part.quarter_map(mark.start.t))
        marks.setdefault(start, mark.microseconds_per_quarter / 1e6)
    starts = sorted(marks)
    # The first mark holds for what is before it too.
    initial = marks[starts[0]] if starts else 60.0 / raw_score.DEFAULT_BPM
    return cls([first, *starts], [initial, *(marks[s] for s in starts)])

  def seconds(self, quarter: float) -> float:
    """Time of a position since the beginning of the piece."""
    total = 0.0
    ends = [*self.starts[1:], float("inf")]
    for start, end, sec in zip(
      self.starts, ends, self.sec_per_quarter, strict=True
    ):
      total += sec * max(0.0, min(float(quarter), end) - start)
    return total
