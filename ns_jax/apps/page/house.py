# SPDX-License-Identifier: Apache-2.0
"""What the page works with: models, examples, limits, uploads."""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np

from ns_jax import audio_files, paths
from ns_jax.api import TextToSpeech
from ns_jax.errors import UserError
from ns_jax.inference.codec import SpeechCodec

ALLISON = str(paths.EXAMPLES / "voice_allison.mp3")
LIBRIVOX = str(paths.EXAMPLES / "voice_librivox.mp3")
SONG = str(paths.EXAMPLES / "twinkle.musicxml")
SAID_BY_ALLISON = (
  "The person you are calling is not at their desk; "
  "I will try to locate them for you."
)


@dataclasses.dataclass(frozen=True)
class Limits:
  """What one visitor may ask for, and how many may wait."""

  text_characters: int = 2_000
  upload_mb: int = 20
  recording_sec: float = 60.0
  waiting: int = 20


@dataclasses.dataclass(frozen=True)
class House:
  """What the page works with."""

  models: Mapping[str, TextToSpeech]  # by name; the first is chosen
  codec: SpeechCodec
  limits: Limits = Limits()

  def text(self, written: str) -> str:
    """A text of bearable length.

    Raises:
      UserError: it is too long.
    """
    most = self.limits.text_characters
    if len(written) > most:
      raise UserError(
        f"the text has {len(written)} characters; cut it to {most} at most"
      )
    return written

  def recording(self, path: str | None, what: str) -> tuple[np.ndarray, int]:
    """An upload as a wave [S] float32 and its rate in Hz.

    Args:
      path: where the page keeps it; None: nothing was uploaded.
      what: it is called on the page.

    Raises:
      UserError: it is missing, too long or no audio.
    """
    try:
      samples, rate_hz = audio_files.decode(
        uploaded(path, what), max_sec=self.limits.recording_sec
      )
    except UserError as error:
      raise UserError(by_name(error, path)) from error
    return samples.mean(axis=1), rate_hz


def uploaded(path: str | None, what: str) -> str:
  """The path of an upload that must be there.

  Raises:
    UserError: it is not.
  """
  if path is None:
    raise UserError(f"{what} is missing; upload it first")
  return path


def by_name(error: UserError, path: str | None) -> str:
  """What was wrong with an upload, without saying where we keep it."""
  message = str(error)
  return message.replace(path, pathlib.Path(path).name) if path else message
