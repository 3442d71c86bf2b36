# SPDX-License-Identifier: Apache-2.0
"""Speech and timed phonemes from libespeak-ng, loaded from its Python wheel.

espeak-ng is licensed GPL-3.0. It is a run-time dependency: the wheel
`espeakng-loader` brings the shared library and its data, and nothing of it is
part of this package. This module is a thin ctypes wrapper; what its symbols
mean is in `symbols`, which text it gets is in `normalize`.
"""

import ctypes
import dataclasses
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import espeakng_loader
import numpy as np

from ns_jax.errors import UserError
from ns_jax.text import symbols

LANGUAGE = "en-us"  # one accent for all voices, so one phoneme inventory
SAMPLE_RATE_HZ = 22_050

_VARIANTS = pathlib.Path(espeakng_loader.get_data_path()) / "voices" / "!v"

# Values from espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 2, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARS_UTF8 = 1
_LIST_END, _WORD, _CLAUSE_END, _PHONEME = 0, 1, 5, 7
_NAME_BYTES = 8


class _Event(ctypes.Structure):
  _fields_ = (
    ("type", ctypes.c_int),
    ("unique_identifier", ctypes.c_uint),
    ("text_position", ctypes.c_int),
    ("length", ctypes.c_int),
    ("audio_position_ms", ctypes.c_int),
    ("sample", ctypes.c_int),
    ("user_data", ctypes.c_void_p),
    ("name", ctypes.c_uint8 * _NAME_BYTES),
  )


class _RawEvent(NamedTuple):
  type: int  # _WORD, _CLAUSE_END or _PHONEME
  text_position: int
  sample: int
  name: str  # IPA; empty for a pause and where there is no phoneme


_Callback = ctypes.CFUNCTYPE(
  ctypes.c_int,
  ctypes.POINTER(ctypes.c_short),
  ctypes.c_int,
  ctypes.POINTER(_Event),
)


@dataclasses.dataclass(frozen=True)
class Voice:
  """How espeak-ng sounds; none of it changes which phonemes are spoken."""

  variant: str = ""  # timbre: a file of espeak-ng-data/voices/!v
  rate_wpm: int = 175  # words per minute
  pitch: int = 50  # 0 to 99
  pitch_range: int = 50  # 0 (monotone) to 99


@dataclasses.dataclass(frozen=True)
class Speech:
  """Sound and the symbols in it, in order."""

  wav: np.ndarray  # [S] int16 at SAMPLE_RATE_HZ
  phonemes: tuple[str, ...]  # N symbols of the inventory
  starts_samples: tuple[int, ...]  # N; a symbol lasts until the next begins
  word_starts: tuple[bool, ...]  # N; "of the" and its like are one word


class Engine:
  """One private copy of the library, whose state is all its own.

  The library keeps its state in globals, some of which (flutter, breath) colour
  whatever is spoken next. A fresh engine speaks the same sequence of texts
  with the same samples, whatever other engines do.
  """

  def __init__(self):
    # The loader shares a library by its file, so a copy is a fresh one.
    with tempfile.TemporaryDirectory() as directory:
      copy = pathlib.Path(directory) / "libespeak-ng"
      shutil.copyfile(espeakng_loader.get_library_path(), copy)
      self._library = ctypes.CDLL(str(copy))
    rate_hz = self._library.espeak_Initialize(
      _AUDIO_OUTPUT_SYNCHRONOUS,
      0,
      espeakng_loader.get_data_path().encode(),
      _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT,
    )
    if rate_hz != SAMPLE_RATE_HZ:
      raise RuntimeError(f"espeak_Initialize returned {rate_hz}")
    # Breath is noise, seeded by the clock unless told otherwise.
    self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))
    self._lock = threading.Lock()
    self._chunks: list[np.ndarray] = []
    self._events: list[_RawEvent] = []
    self._callback = _Callback(self._collect)  # must outlive every call
    self._library.espeak_SetSynthCallback(self._callback)

  def synthesize(self, text: str, voice: Voice) -> Speech:
    """Speaks normalised text.

    Args:
      text: from `normalize.normalize`; its punctuation names the pauses.
      voice: timbre, speed and pitch.

    Returns:
      Speech that begins with SILENCE and ends with the pause after the last
      word.
    """
    with self._lock:
      self._chunks, self._events = [], []
      self._run(text, voice)
      names, starts, word_starts = _read_events(self._events, text)
      wav = np.concatenate([np.zeros(0, np.int16), *self._chunks])
    return Speech(wav, tuple(names), tuple(starts), tuple(word_starts))

  def _run(self, text: str, voice: Voice) -> None:
    name = f"{LANGUAGE}+{voice.variant}" if voice.variant else LANGUAGE
    # The library would quietly speak with its default timbre.
    if not (_VARIANTS / voice.variant).exists():
      raise UserError(f"espeak-ng has no voice '{name}'")
    if self._library.espeak_SetVoiceByName(name.encode()):
      raise RuntimeError(f"espeak_SetVoiceByName refused '{name}'")
    self._library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)
    self._library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    self._library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
    encoded = text.encode() + b"\0"
    size = ctypes.c_size_t(len(encoded))
    self._library.espeak_Synth(encoded, size, 0, 0, 0, _CHARS_UTF8, None, None)

  def _collect(self, wav: Any, num_samples: int, events: Any) -> int:
    if num_samples:
      self._chunks.append(np.ctypeslib.as_array(wav, (num_samples,)).copy())
    for event in events:
      if event.type == _LIST_END:
        break
      if event.type in (_WORD, _PHONEME, _CLAUSE_END):
        # The field has no closing NUL where the name is 8 bytes long.
        name = bytes(event.name) if event.type == _PHONEME else b""
        self._events.append(
          _RawEvent(
            event.type,
            event.text_position,
            event.sample,
            name.split(b"\0")[0].decode(),
          )
        )
    return 0


def _read_events(
  events: Sequence[_RawEvent], text: str
) -> tuple[list[str], list[int], list[bool]]:
  """Turns events into symbols, their first samples, and where words begin."""
  names, starts, word_starts = [symbols.SILENCE], [0], [False]
  unnamed: list[int] = []  # starts of a run of events without a name
  is_new_word = False
  for event in events:
    if event.type == _WORD:
      is_new_word = True
      continue
    ends_clause = event.type == _CLAUSE_END
    if not ends_clause and not event.name:
      unnamed.append(event.sample)
      continue
    # A pause is two unnamed events, its start and its end. A single one is a
    # glide inside the clause and belongs to the phone before.
    if len(unnamed) > 1:
      spoken = text[: event.text_position].rstrip() if ends_clause else ""
      mark = spoken[-1:]
      names.append(mark if mark in symbols.PUNCTUATION else symbols.SILENCE)
      starts.append(unnamed[0])
      word_starts.append(False)
    unnamed = []
    if event.name:
      names.append(event.name)
      starts.append(event.sample)
      word_starts.append(is_new_word)
      is_new_word = False
  return names, starts, word_starts
