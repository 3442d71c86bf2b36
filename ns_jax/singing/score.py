# SPDX-License-Identifier: Apache-2.0
"""What to sing: a line of notes with a syllable on each."""

import dataclasses
import pathlib
from collections.abc import Iterable

from ns_jax import paths
from ns_jax.errors import UserError
from ns_jax.singing import midi, musicxml, raw_score
from ns_jax.singing.raw_score import RawNote

MAX_SEC = 900.0  # of a score; a longer one is a slip of the tempo
MAX_NOTES = 10_000


@dataclasses.dataclass(frozen=True)
class Note:
  """One pitch, tied notes being one."""

  onset_sec: float  # since the beginning of the score
  duration_sec: float
  pitch: float  # MIDI number: 69 is A4, 440 Hz
  syllable: str  # may be several words; empty: the vowel before is held
  continues_word: bool = False  # the syllable goes on the word before it

  @property
  def end_sec(self) -> float:
    """When it ends, since the beginning of the score."""
    return self.onset_sec + self.duration_sec


@dataclasses.dataclass(frozen=True)
class Score:
  """One voice."""

  notes: tuple[Note, ...]  # in order, one at a time; rests are between them

  @property
  def duration_sec(self) -> float:
    """Length up to the end of the last note."""
    return self.notes[-1].end_sec


def read_score(path: str | pathlib.Path, *, verse: int = 1) -> Score:
  """Reads the first voice of a score that has lyrics.

  Of a chord the top note is sung; a note that begins while another sounds ends
  it. Repeats are sung, each time with the next verse where there is one. Grace
  notes are left out.

  Args:
    path: MusicXML (.musicxml, .xml, .mxl) or MIDI (.mid) with lyrics.
    verse: which line of lyrics to begin with; MIDI has only one.

  Raises:
    UserError: it cannot be read, has no notes, no lyrics, or is too long.
  """
  path = paths.or_example(path)
  if not path.is_file():
    raise UserError(f"{path}: no such score")
  notes = _sing_one_at_a_time(_read_file(path, verse))
  if not notes:
    raise raw_score.no_notes(path)
  if not notes[0].syllable:
    raise UserError(
      f"{path}: the first note, at {notes[0].onset_sec:.2f} s, has no lyric"
    )
  if notes[-1].end_sec > MAX_SEC or len(notes) > MAX_NOTES:
    raise UserError(
      f"{path}: lasts {notes[-1].end_sec:.0f} s and has {len(notes)} notes; "
      f"at most {MAX_SEC:.0f} s and {MAX_NOTES} notes are sung: "
      "check its tempo, or cut it"
    )
  return Score(tuple(notes))


def _read_file(path: pathlib.Path, verse: int) -> list[RawNote]:
  """Reads the kind of file that it is, whatever its name says."""
  try:
    if path.stat().st_size > raw_score.MAX_BYTES:
      raise raw_score.too_large(path)
    content = path.read_bytes()
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  if content.startswith(b"MThd"):
    return midi.read(path, content)
  return musicxml.read(path, content, verse)


def _sing_one_at_a_time(raw: Iterable[RawNote]) -> list[Note]:
  """Makes one voice of chords and overlaps, and words of syllables."""
  chords: dict[float, list[RawNote]] = {}
  for note in raw:
    if note.end_sec > note.onset_sec:
      chords.setdefault(note.onset_sec, []).append(note)
  onsets = sorted(chords)
  notes = []
  word_goes_on = False
  ends = [*onsets, float("inf")][1:]
  for onset, following in zip(onsets, ends, strict=True):
    chord = chords[onset]
    top = max(chord, key=lambda note: note.pitch)
    lyric = next((note for note in chord if note.lyric.strip()), top)
    syllable, hyphen = raw_score.split_lyric(lyric.lyric)
    continues = bool(syllable) and (lyric.continues_word or word_goes_on)
    end = min(top.end_sec, following)
    notes.append(Note(onset, end - onset, top.pitch, syllable, continues))
    if syllable:
      word_goes_on = hyphen
  return notes
