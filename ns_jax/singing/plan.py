# SPDX-License-Identifier: Apache-2.0
"""A score as what the model is told: phonemes, their durations, and pitch.

Vowels begin on the beat, as singers have them: the consonants before a vowel
take their time from the end of the note before, but have the pitch of their
own. What is left of a note is its vowel's.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.models import prosody
from ns_jax.singing import lyrics
from ns_jax.singing.lyrics import SungSyllable
from ns_jax.singing.score import Note, Score
from ns_jax.text import symbols

# Typical lengths of sung consonants.
_CONSONANT_SEC = {
  **dict.fromkeys(("ɾ", "ʲ"), 0.03),
  **dict.fromkeys(("b", "d", "ɡ", "ʔ", "j", "w"), 0.05),
  **dict.fromkeys(("h", "l", "m", "n", "ŋ", "r", "v", "ð", "ɹ"), 0.06),
  **dict.fromkeys(("p", "t", "k", "dʒ", "z", "ʒ"), 0.07),
  **dict.fromkeys(("f", "s", "tʃ", "x", "ɬ", "ʃ", "θ"), 0.09),
}
_SYLLABIC_SEC = 0.06  # of a vowel that is no vowel here: it cannot happen often
_MOST_OF_A_NOTE = 0.5  # that consonants may take, so that a vowel is heard
_MOST_LATE_SEC = 0.1  # that a vowel may be after its beat
_VIBRATO_GROWTH_SEC = 0.2  # in which it begins, and ends, within a vowel
_A4_HZ, _A4_PITCH = 440.0, 69.0
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@dataclasses.dataclass(frozen=True)
class Rendition:
  """How to sing what is written."""

  transpose_semitones: float = 0.0
  glide_sec: float = 0.06  # from one pitch to the next; 0: none
  vibrato_cents: float = 0.0  # up and down from the note; 0: none
  vibrato_hz: float = 5.5
  margin_sec: float = 0.0  # silence before the score begins and after it ends

  def __post_init__(self) -> None:
    """Checks the values."""
    for name, most in (
      ("glide_sec", 1.0),
      ("vibrato_cents", 300.0),
      ("vibrato_hz", 20.0),
      ("margin_sec", 10.0),
    ):
      value = getattr(self, name)
      if not 0.0 <= value <= most:
        raise UserError(f"{name}={value:g}: must be between 0 and {most:g}")
    if not abs(self.transpose_semitones) <= 60.0:
      raise UserError(
        f"transpose_semitones={self.transpose_semitones:g}: "
        "must be between -60 and 60"
      )


@dataclasses.dataclass(frozen=True)
class Plan:
  """What the model is told: T = sum of durations."""

  phonemes: np.ndarray  # [N] int32 ids, first and last a pause
  durations: np.ndarray  # [N] int32, frames; phones at least 1, pauses 0
  f0_hz: np.ndarray  # [T] float32, 0 on voiceless consonants and in pauses


class _Phone(NamedTuple):
  symbol: str
  start_sec: float  # it lasts until the next begins
  notes: tuple[int, ...]  # whose pitch it has; none for a pause


def plan(
  score: Score,
  spec: AudioSpec | None = None,
  rendition: Rendition | None = None,
) -> Plan:
  """Lays out a score on the model's frames.

  Args:
    score: from `read_score`.
    spec: gives the frame rate.
    rendition: transposition, glides, vibrato, margins.

  Returns:
    A plan as long as the score, to one frame, and its margins.

  Raises:
    UserError: notes are too high, too low or too fast, or words cannot be
      read.
  """
  spec = spec or AudioSpec()
  rendition = rendition or Rendition()
  pitches_hz = _pitches_hz(score, rendition.transpose_semitones)
  # Times are from here on since the beginning of the margin.
  notes = [
    dataclasses.replace(note, onset_sec=note.onset_sec + rendition.margin_sec)
    for note in score.notes
  ]
  phones = _lay_out(lyrics.syllabify(score), notes)
  total_sec = score.duration_sec + 2.0 * rendition.margin_sec
  ids = symbols.to_ids(phone.symbol for phone in phones)
  bounds = _to_frames(phones, ids, total_sec, spec)
  return Plan(
    ids,
    np.diff(bounds).astype(np.int32),
    _f0_hz(phones, ids, bounds, notes, pitches_hz, spec, rendition),
  )


def _pitches_hz(score: Score, transpose_semitones: float) -> np.ndarray:
  """Pitch of each note, [notes] Hz."""
  pitches = np.array([note.pitch for note in score.notes])
  pitches = pitches + transpose_semitones
  pitches_hz = _A4_HZ * 2.0 ** ((pitches - _A4_PITCH) / 12.0)
  is_low = pitches_hz < prosody.MIN_F0_HZ
  is_high = pitches_hz > prosody.MAX_F0_HZ
  if (is_low | is_high).any():
    index = int(np.argmax(is_low | is_high))
    pitch = round(float(pitches[index]))
    way = "up" if is_low[index] else "down"
    raise UserError(
      f"the note at {score.notes[index].onset_sec:.2f} s is "
      f"{_NAMES[pitch % 12]}{pitch // 12 - 1} ({pitches_hz[index]:.0f} Hz), "
      f"outside {prosody.MIN_F0_HZ:.0f} to {prosody.MAX_F0_HZ:.0f} Hz; "
      f"transpose {way}, 12 semitones being an octave"
    )
  return pitches_hz


def _length_sec(consonants: tuple[str, ...]) -> float:
  return sum(_CONSONANT_SEC.get(symbol, _SYLLABIC_SEC) for symbol in consonants)


def _spread(
  consonants: tuple[str, ...], start_sec: float, end_sec: float, note: int
) -> list[_Phone]:
  """Divides a time among consonants by their typical lengths."""
  total = max(_length_sec(consonants), 1e-9)
  phones = []
  at = start_sec
  for symbol in consonants:
    phones.append(_Phone(symbol, at, (note,)))
    at += _length_sec((symbol,)) / total * (end_sec - start_sec)
  return phones


def _beats_sec(sung: list[SungSyllable], notes: list[Note]) -> list[float]:
  """When each vowel begins; syllables on one note share it evenly."""
  firsts = [syllable.notes[0] for syllable in sung]
  beats, nth = [], 0
  for i, first in enumerate(firsts):
    nth = nth + 1 if i and firsts[i - 1] == first else 0
    share = nth / firsts.count(first)
    beats.append(notes[first].onset_sec + share * notes[first].duration_sec)
  return beats


def _lay_out(sung: list[SungSyllable], notes: list[Note]) -> list[_Phone]:
  """Symbols with the times at which they begin."""
  beats = _beats_sec(sung, notes)
  rests = lyrics.rests_after(notes)
  phones = [_Phone(symbols.SILENCE, 0.0, ())]
  # What comes before the first beat may take the margin, or else the vowel's.
  first = sung[0]
  onset_sec = _length_sec(first.phones.onset)
  room = _MOST_OF_A_NOTE * notes[first.notes[0]].duration_sec
  vowel_sec = max(beats[0], min(onset_sec, beats[0] + room))
  phones += _spread(
    first.phones.onset,
    max(0.0, vowel_sec - onset_sec),
    vowel_sec,
    first.notes[0],
  )
  for i, syllable in enumerate(sung):
    phones.append(_Phone(syllable.phones.nucleus, vowel_sec, syllable.notes))
    last = syllable.notes[-1]
    coda = syllable.phones.coda
    following = sung[i + 1] if i + 1 < len(sung) else None
    if following and (not rests[last] or following.notes[0] == last):
      onset = following.phones.onset
      end = beats[i + 1]
      room = _MOST_OF_A_NOTE * (end - vowel_sec)
      coda_sec, onset_sec = _length_sec(coda), _length_sec(onset)
      squeeze = min(1.0, room / max(coda_sec + onset_sec, 1e-9))
      between = end - squeeze * onset_sec
      phones += _spread(coda, between - squeeze * coda_sec, between, last)
      phones += _spread(onset, between, end, following.notes[0])
      vowel_sec = end
      continue
    end = notes[last].end_sec
    coda_sec = min(_length_sec(coda), _MOST_OF_A_NOTE * (end - vowel_sec))
    phones += _spread(coda, end - coda_sec, end, last)
    mark = syllable.mark
    if following is None:
      mark = "." if mark == symbols.SILENCE else mark
    phones.append(_Phone(mark, end, ()))
    if following:
      vowel_sec = beats[i + 1]
      onset = following.phones.onset
      room = _MOST_OF_A_NOTE * (vowel_sec - end)
      start = vowel_sec - min(_length_sec(onset), room)
      phones += _spread(onset, start, vowel_sec, following.notes[0])
  return phones


def _to_frames(
  phones: list[_Phone], ids: np.ndarray, total_sec: float, spec: AudioSpec
) -> np.ndarray:
  """Rounds times, so that no phone is empty and errors do not add up.

  Returns:
    [N + 1] int, the first frame of each symbol and the end.
  """
  shortest = np.where(symbols.is_pause(ids), 0, 1)
  total = spec.seconds_to_frames(total_sec)
  exact = [spec.seconds_to_frames(phone.start_sec) for phone in phones]
  bounds = np.array([*exact, total])
  for i in range(1, len(bounds)):
    bounds[i] = max(bounds[i], bounds[i - 1] + shortest[i - 1])
  bounds[-1] = total
  for i in range(len(bounds) - 2, -1, -1):
    bounds[i] = min(bounds[i], bounds[i + 1] - shortest[i])
  late = np.abs(bounds[:-1] - exact) * symbols.is_vowel(ids)
  worst = int(late.argmax())
  if late[worst] > _MOST_LATE_SEC * spec.frame_rate_hz or bounds[0] < 0:
    raise UserError(
      f"the syllables at {phones[worst].start_sec:.2f} s follow each other too "
      "fast to be sung; slow the score down"
    )
  bounds[0] = 0
  return bounds


def _f0_hz(
  phones: list[_Phone],
  ids: np.ndarray,
  bounds: np.ndarray,
  notes: list[Note],
  pitches_hz: np.ndarray,
  spec: AudioSpec,
  rendition: Rendition,
) -> np.ndarray:
  """Pitch of every frame, [T] float32, 0 where there is none."""
  log_f0 = np.zeros(bounds[-1])
  voiced = np.zeros(bounds[-1], bool)
  has_voice = symbols.is_voiced(ids)
  is_vowel = symbols.is_vowel(ids)
  for i, phone in enumerate(phones):
    start, end = bounds[i], bounds[i + 1]
    voiced[start:end] = has_voice[i]
    for note in phone.notes:
      # The first note of a vowel begins with it, the others when they sound.
      if note != phone.notes[0]:
        start = max(start, spec.seconds_to_frames(notes[note].onset_sec))
      log_f0[start:end] = math.log(pitches_hz[note])
  # A pause ends a line, which is sung without a step in it.
  edges = [
    0,
    *(b for i in _pauses(phones) for b in bounds[i : i + 2]),
    len(log_f0),
  ]
  width = max(1, spec.seconds_to_frames(rendition.glide_sec))
  for start, end in zip(edges, edges[1:], strict=False):
    log_f0[start:end] = _smooth(log_f0[start:end], width)
  for i in np.flatnonzero(is_vowel):
    start, end = bounds[i], bounds[i + 1]
    log_f0[start:end] += _vibrato(end - start, spec, rendition)
  return np.where(voiced, np.exp(log_f0), 0.0).astype(np.float32)


def _pauses(phones: list[_Phone]) -> list[int]:
  return [i for i, phone in enumerate(phones) if not phone.notes]


def _smooth(x: np.ndarray, width: int) -> np.ndarray:
  """Mean over `width` frames: a step in [T] becomes a straight line."""
  if width < 2 or not len(x):
    return x
  padded = np.pad(x, ((width - 1) // 2, width // 2), mode="edge")
  return np.convolve(padded, np.full(width, 1.0 / width), mode="valid")


def _vibrato(frames: int, spec: AudioSpec, rendition: Rendition) -> np.ndarray:
  """What to add to the log of f0 on a vowel, [frames]; 0 at both ends."""
  times_sec = np.arange(frames) / spec.frame_rate_hz
  nearest_end = np.minimum(times_sec, times_sec[::-1])
  depth = rendition.vibrato_cents / 1200.0 * math.log(2.0)
  growth = np.minimum(nearest_end / _VIBRATO_GROWTH_SEC, 1.0)
  return depth * growth * np.sin(2.0 * np.pi * rendition.vibrato_hz * times_sec)
