# SPDX-License-Identifier: Apache-2.0
"""MIDI, with lyric events or as karaoke, to notes and lyrics.

mido (MIT) reads the file.
"""

import collections
import io
import pathlib
import re
from collections.abc import Sequence
from typing import NamedTuple

import mido
import numpy as np

from ns_jax.errors import UserError
from ns_jax.singing import raw_score
from ns_jax.singing.raw_score import Lyric, RawNote

_DRUMS = 9  # the MIDI channel without pitches
_NEAR_SEC = 0.1  # how far from its note's beginning a MIDI lyric may be


class _Note(NamedTuple):
  onset_ticks: int
  end_ticks: int
  pitch: int
  voice: tuple[int, int]  # track and channel


def read(path: pathlib.Path, content: bytes) -> list[RawNote]:
  """Reads the track and channel that the lyrics fit best.

  Args:
    path: for messages.
    content: of the file.

  Returns:
    Notes in order, chords and overlaps and all.

  Raises:
    UserError: it cannot be read, or has no lyrics or no notes.
  """
  try:
    file = mido.MidiFile(file=io.BytesIO(content), clip=True)
  except (
    *(EOFError, LookupError, OSError, ValueError),
    mido.KeySignatureError,
  ) as error:
    raise UserError(
      f"{path}: is not a sound MIDI file; export it again"
    ) from error
  if file.ticks_per_beat <= 0:
    raise UserError(
      f"{path}: counts film frames in place of beats; export it in beats"
    )
  notes, lyrics, tempi = _events(file)
  if not notes:
    raise raw_score.no_notes(path)
  if not lyrics:
    raise raw_score.no_lyrics(path)
  # Every onset once, with the tempo so far counted in.
  ticks = sorted(
    {t for note in notes for t in note[:2]} | {t for t, _ in lyrics}
  )
  seconds = dict(zip(ticks, _seconds(ticks, tempi, file), strict=True))
  line = _sung_line(notes, {tick for tick, _ in lyrics})
  by_note = _place_lyrics(path, line, lyrics, seconds)
  return [
    RawNote(
      seconds[note.onset_ticks],
      seconds[note.end_ticks],
      note.pitch,
      *by_note.get(index, Lyric("", False)),
    )
    for index, note in enumerate(line)
  ]


def _events(
  file: mido.MidiFile,
) -> tuple[list[_Note], list[tuple[int, str]], list[tuple[int, int]]]:
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
          notes.append(_Note(start, tick, message.note, voice))
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


def _seconds(
  ticks: Sequence[int], tempi: Sequence[tuple[int, int]], file: mido.MidiFile
) -> list[float]:
  """Times of ascending ticks."""
  changes = [(0, mido.bpm2tempo(raw_score.DEFAULT_BPM)), *tempi]
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


def _sung_line(notes: Sequence[_Note], lyric_ticks: set[int]) -> list[_Note]:
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
  line: Sequence[_Note],
  lyrics: Sequence[tuple[int, str]],
  seconds: dict[int, float],
) -> dict[int, Lyric]:
  """Lyrics by the index of their note."""
  onsets = np.array([seconds[note.onset_ticks] for note in line])
  placed: dict[int, Lyric] = {}
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
      placed[index] = Lyric(plain, continues)
    ended = bool(re.search(r"\s$", plain))
  return placed
