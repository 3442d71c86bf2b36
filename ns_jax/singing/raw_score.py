# SPDX-License-Identifier: Apache-2.0
"""Notes and lyrics as files have them, before they are made one voice."""

import pathlib
import re
from typing import NamedTuple

from ns_jax.errors import UserError

MAX_BYTES = 32 * 2**20  # of a score, unpacked
DEFAULT_BPM = 120.0  # quarters per minute where a score says nothing
_HELD = {"-", "_", "~", "+", "--", "__"}  # "sing on", in place of a syllable


class RawNote(NamedTuple):
  """A note as written, tied notes being one."""

  onset_sec: float
  end_sec: float
  pitch: int  # MIDI number
  lyric: str  # a syllable, or several words; empty: none
  continues_word: bool  # the lyric goes on the word of the lyric before


class Lyric(NamedTuple):
  """What is under a note."""

  text: str
  continues_word: bool


def too_large(path: pathlib.Path) -> UserError:
  """The error for what would fill the memory."""
  return UserError(
    f"{path}: is larger than {MAX_BYTES // 2**20} MiB; that is no song"
  )


def no_lyrics(path: pathlib.Path) -> UserError:
  """The error for a melody without words."""
  return UserError(
    f"{path}: has no lyrics; write a syllable under each note in a notation "
    "program and export it as MusicXML"
  )


def no_notes(path: pathlib.Path) -> UserError:
  """The error for words without a melody."""
  return UserError(f"{path}: has no notes")


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
