# SPDX-License-Identifier: Apache-2.0
"""The notes and lyrics in MusicXML and MIDI files, as the files have them.

partitura (Apache-2.0) reads the music of MusicXML, with its repeats, ties and
tempo, but no lyrics: those are taken from the XML and found again by the notes'
ids. mido (MIT) reads MIDI.
"""

import collections
import io
import pathlib
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import mido
import numpy as np
from lxml import etree

from ns_jax.errors import UserError

_MAX_BYTES = 32 * 2**20  # of a score, unpacked
_DEFAULT_BPM = 120.0  # quarters per minute where a score says nothing
_DRUMS = 9  # the MIDI channel without pitches
_NEAR_SEC = 0.1  # how far from its note's beginning a MIDI lyric may be
_HELD = {"-", "_", "~", "+", "--", "__"}  # "sing on", in place of a syllable
_QUARTERS = {  # of the notes that a metronome mark may count
  **{"whole": 4.0, "half": 2.0, "quarter": 1.0},
  **{"eighth": 0.5, "16th": 0.25, "32nd": 0.125},
}
# partitura takes a file at its word; these are what comes of a file that lies.
_BROKEN = (
  *(ArithmeticError, AssertionError, AttributeError, LookupError),
  *(RecursionError, TypeError, ValueError),
)


class RawNote(NamedTuple):
  """A note as written, tied notes being one."""

  onset_sec: float
  end_sec: float
  pitch: int  # MIDI number
  lyric: str  # a syllable, or several words; empty: none
  continues_word: bool  # the lyric goes on the word of the lyric before


class _Lyric(NamedTuple):
  text: str
  continues_word: bool


def read(path: pathlib.Path, verse: int) -> list[RawNote]:
  """Reads the first voice that has lyrics.

  Args:
    path: MusicXML, plain or zipped, or MIDI.
    verse: which line of lyrics, the first being 1.

  Returns:
    Notes in the file's order, chords and all.

  Raises:
    UserError: it cannot be read, or has no lyrics or no notes.
  """
  try:
    content = path.read_bytes()
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  if len(content) > _MAX_BYTES:
    raise _too_large(path)
  if content.startswith(b"MThd"):
    return list(_read_midi(path, content))
  if content.startswith(b"PK"):
    content = _unzip(path, content)
  return list(_read_musicxml(path, content, verse))


def _too_large(path: pathlib.Path) -> UserError:
  return UserError(
    f"{path}: is larger than {_MAX_BYTES // 2**20} MiB; that is no song"
  )


def _no_lyrics(path: pathlib.Path) -> UserError:
  return UserError(
    f"{path}: has no lyrics; write a syllable under each note in a notation "
    "program and export it as MusicXML"
  )


# MusicXML.


def _unzip(path: pathlib.Path, content: bytes) -> bytes:
  """The score in a .mxl file."""
  try:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
      container = _parse(path, archive.read("META-INF/container.xml"))
      rootfile = container.find(".//{*}rootfile")
      name = "" if rootfile is None else rootfile.get("full-path", "")
      if archive.getinfo(name).file_size > _MAX_BYTES:
        raise _too_large(path)
      return archive.read(name)
  except (zipfile.BadZipFile, KeyError, RuntimeError, zlib.error) as error:
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


def _read_musicxml(
  path: pathlib.Path, content: bytes, verse: int
) -> Iterator[RawNote]:
  # It takes a second to import, which only singing needs.
  import partitura
  from partitura import score as partitura_score

  root = _parse(path, content)
  if root.tag != "score-partwise":
    raise UserError(
      f"{path}: is '{root.tag}', not 'score-partwise'; "
      "export it as partwise MusicXML"
    )
  lyrics, part_id, voice = _label(path, root, verse)
  _write_out_tempo(root)
  try:
    score = partitura.load_musicxml(
      io.BytesIO(etree.tostring(root)), quiet=True
    )
    parts = {
      part.id: partitura_score.unfold_part_maximal(part, ignore_leaps=False)
      for part in score.parts
    }
    part: Any = parts[part_id]
    beat_times = _Tempo.of_parts(parts.values())
    tied = [note for note in part.notes_tied if (note.voice or 1) == voice]
    for note in sorted(tied, key=lambda note: note.start.t):
      # Unfolding adds to an id which time around this is.
      name, _, times = note.id.partition("-")
      lyric = _sung_verse(lyrics.get(name, {}), verse + int(times or 1) - 1)
      ends = (note.start.t, note.end_tied.t)
      onset, end = (beat_times.seconds(part.quarter_map(t)) for t in ends)
      yield RawNote(onset, end, note.midi_pitch, *lyric)
  except _BROKEN as error:
    raise UserError(
      f"{path}: is not sound MusicXML; "
      "open it in a notation program and export it again"
    ) from error


def _label(
  path: pathlib.Path, root: Any, verse: int
) -> tuple[dict[str, dict[int, _Lyric]], str, int]:
  """Gives every note an id of its own.

  Returns:
    The lyrics, by id and verse, of the first voice that has some, the id of its
    part and its number.
  """
  by_voice = collections.defaultdict(dict)
  notes = [(part, note) for part in root.iter("part") for note in part.iter()]
  notes = [(part, note) for part, note in notes if note.tag == "note"]
  if not any(note.find("pitch") is not None for _, note in notes):
    raise UserError(f"{path}: has no notes")
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
    raise _no_lyrics(path)
  (part_id, voice), lyrics = next(iter(by_voice.items()))
  verses = {number for written in lyrics.values() for number in written}
  if verse not in verses:
    raise UserError(
      f"{path}: has no verse {verse}; "
      f"it has {', '.join(map(str, sorted(verses)))}"
    )
  return lyrics, part_id, int(voice)


def _read_lyric(element: Any) -> _Lyric | None:
  """A `lyric` element; None where it is only a line to the next note."""
  texts = []
  for child in element:
    if child.tag == "text":
      texts.append(child.text or "")
    elif child.tag == "elision":
      texts.append(" ")
  if not any(text.strip() for text in texts):
    return _Lyric("", False) if element.find("extend") is not None else None
  syllabic = element.findtext("syllabic", "single")
  return _Lyric("".join(texts), syllabic in ("middle", "end"))


def _sung_verse(written: dict[int, _Lyric], verse: int) -> _Lyric:
  """The verse, or where a note has fewer the last that it has."""
  fitting = [number for number in written if number <= verse]
  return written[max(fitting)] if fitting else _Lyric("", False)


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
    initial = marks[starts[0]] if starts else 60.0 / _DEFAULT_BPM
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


# MIDI.


class _MidiNote(NamedTuple):
  onset_ticks: int
  end_ticks: int
  pitch: int
  voice: tuple[int, int]  # track and channel


def _read_midi(path: pathlib.Path, content: bytes) -> Iterator[RawNote]:
  try:
    file = mido.MidiFile(file=io.BytesIO(content), clip=True)
  except (EOFError, LookupError, OSError, ValueError) as error:
    raise UserError(f"{path}: is not a sound MIDI file ({error})") from error
  if file.ticks_per_beat <= 0:
    raise UserError(
      f"{path}: counts film frames in place of beats; export it in beats"
    )
  notes, lyrics, tempi = _midi_events(file)
  if not notes:
    raise UserError(f"{path}: has no notes")
  if not lyrics:
    raise _no_lyrics(path)
  # Every onset once, with the tempo so far counted in.
  ticks = sorted(
    {t for note in notes for t in note[:2]} | {t for t, _ in lyrics}
  )
  seconds = dict(zip(ticks, _midi_seconds(ticks, tempi, file), strict=True))
  line = _sung_line(notes, {tick for tick, _ in lyrics})
  by_note = _place_lyrics(path, line, lyrics, seconds)
  for index, note in enumerate(line):
    yield RawNote(
      seconds[note.onset_ticks],
      seconds[note.end_ticks],
      note.pitch,
      *by_note.get(index, _Lyric("", False)),
    )


def _midi_events(
  file: mido.MidiFile,
) -> tuple[list[_MidiNote], list[tuple[int, str]], list[tuple[int, int]]]:
  """Notes; (tick, lyric); (tick, microseconds per quarter)."""
  notes, lyrics, texts, tempi = [], [], [], []
  for index, track in enumerate(file.tracks):
    tick = 0
    sounding: dict[tuple[int, int], int] = {}
    for message in track:
      tick += message.time
      if message.type == "lyrics":
        lyrics.append((tick, _decode(message.text)))
      elif message.type == "text":
        texts.append((tick, _decode(message.text)))
      elif message.type == "set_tempo":
        tempi.append((tick, message.tempo))
      elif message.type in ("note_on", "note_off"):
        key = (message.channel, message.note)
        start = sounding.pop(key, None)
        if start is not None and tick > start:
          voice = (index, message.channel)
          notes.append(_MidiNote(start, tick, message.note, voice))
        if message.type == "note_on" and message.velocity:
          sounding[key] = tick
  # Karaoke files have their words as plain text, among titles ("@T...").
  karaoke = [(tick, text) for tick, text in texts if text[:1] != "@"]
  notes = [note for note in notes if note.voice[1] != _DRUMS]
  if not lyrics and any(tick for tick, _ in karaoke):
    lyrics = karaoke
  return notes, sorted(lyrics, key=lambda lyric: lyric[0]), sorted(tempi)


def _decode(text: str) -> str:
  """What mido took for Latin-1, which is more often UTF-8."""
  try:
    return text.encode("latin-1").decode("utf-8")
  except UnicodeDecodeError:
    return text


def _midi_seconds(
  ticks: Sequence[int], tempi: Sequence[tuple[int, int]], file: mido.MidiFile
) -> list[float]:
  """Times of ascending ticks."""
  changes = [(0, mido.bpm2tempo(_DEFAULT_BPM)), *tempi]
  seconds, total, last, index = [], 0.0, 0, 0
  for tick in ticks:
    while index + 1 < len(changes) and changes[index + 1][0] <= tick:
      change = changes[index + 1][0]
      total += (change - last) * changes[index][1]
      last, index = change, index + 1
    total += (tick - last) * changes[index][1]
    last = tick
    seconds.append(total / 1e6 / file.ticks_per_beat)
  return seconds


def _sung_line(
  notes: Sequence[_MidiNote], lyric_ticks: set[int]
) -> list[_MidiNote]:
  """The notes of the track and channel that begin most often with a lyric."""
  hits = collections.Counter(
    {note.voice: 0 for note in sorted(notes, key=lambda note: note.voice)}
  )
  for voice, tick in {(note.voice, note.onset_ticks) for note in notes}:
    hits[voice] += tick in lyric_ticks
  best = max(hits, key=lambda voice: hits[voice])
  return sorted(note for note in notes if note.voice == best)


def _place_lyrics(
  path: pathlib.Path,
  line: Sequence[_MidiNote],
  lyrics: Sequence[tuple[int, str]],
  seconds: dict[int, float],
) -> dict[int, _Lyric]:
  """Lyrics by the index of their note."""
  onsets = np.array([seconds[note.onset_ticks] for note in line])
  placed: dict[int, _Lyric] = {}
  # Karaoke files separate words by spaces and line breaks, others by hyphens.
  edges = [bool(re.search(r"^[\s/\\]|\s$", text)) for _, text in lyrics]
  spaced = sum(edges) > len(edges) / 4
  ended = True
  for tick, text in lyrics:
    begins = bool(re.match(r"[\s/\\]", text))
    plain = re.sub(r"^[/\\]|\0", "", text)
    if not plain.strip():
      ended |= begins
      continue
    distances = np.abs(onsets - seconds[tick])
    index = int(distances.argmin())
    if distances[index] > _NEAR_SEC:
      raise UserError(
        f"{path}: the lyric '{plain.strip()}' at {seconds[tick]:.2f} s "
        "begins with no note"
      )
    continues = spaced and not ended and not begins
    if index in placed:  # several at one note: they are sung on it together
      gap = "" if continues else " "
      before = placed[index]
      placed[index] = before._replace(text=before.text + gap + plain)
    else:
      placed[index] = _Lyric(plain, continues)
    ended = bool(re.search(r"\s$", plain))
  return placed


def split_lyric(text: str) -> tuple[str, bool]:
  """What is sung of a lyric, and whether its last word goes on.

  Args:
    text: as written: "2. Twin-", "kle,", "_".

  Returns:
    The text without numbers of verses and hyphens, empty where the vowel
    before is held.
  """
  text = re.sub(r"^\d+\s*[.)]\s*", "", text.strip())
  if text in _HELD:
    return "", False
  return text.strip("-_ "), text.endswith("-")
