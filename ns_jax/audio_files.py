# SPDX-License-Identifier: Apache-2.0
"""Audio files of people and programs, read without trusting what they say."""

import math
import os
import pathlib
import re
import stat
from typing import Any

import av
import numpy as np
import soundfile
from av.container import InputContainer

from ns_jax import audio, paths
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

SUFFIXES = (
  *(".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a"),
  *(".aac", ".aif", ".aiff"),
)
WHOLE = 0.99  # of the promised samples; some coders round the last block
_LOUDEST = 100.0  # beyond it samples are in another unit
_MAX_SEC = 3600.0  # of what is read into memory at once
# Kinds of file, as FFmpeg names them.
_CONTAINERS = {
  *("aac", "aiff", "amr", "asf", "caf", "flac", "matroska", "webm"),
  *("mov", "mp4", "m4a", "mp3", "ogg", "wav", "w64", "au"),
}
_UNKNOWN_BYTES = 0x7F000000  # a length nobody means
_MOST_SAMPLES = 2**62  # likewise


def read(path: str | pathlib.Path, spec: AudioSpec) -> np.ndarray:
  """Reads an audio file as mono at the spec's rate.

  Args:
    path: as for `decode`.
    spec: gives the sample rate to resample to.

  Returns:
    [S] float32, in [-1, 1].

  Raises:
    UserError: the file cannot be used.
  """
  samples, rate_hz = decode(path)
  return audio.to_mono(samples, rate_hz, spec)


def decode(
  path: str | pathlib.Path,
  *,
  start_sec: float = 0.0,
  end_sec: float | None = None,
  max_sec: float = _MAX_SEC,
) -> tuple[np.ndarray, int]:
  """Decodes an audio file, or a piece of it, without trusting what it says.

  Args:
    path: wav, flac, ogg, opus, mp3, m4a or what else FFmpeg can read.
    start_sec: of the piece.
    end_sec: of the piece; None: the end of the file.
    max_sec: a longer piece is an error; no more is ever in memory.

  Returns:
    Samples [S, channels] float32 and their rate in Hz.

  Raises:
    UserError: the file is missing, empty, cut off, not audio, too long, or
      holds samples that are not finite.
  """
  if start_sec < 0:
    raise _no_piece(path, start_sec)
  path = check_readable(path)
  for read in (_by_libsndfile, _by_ffmpeg):
    decoded = read(path, start_sec, end_sec, max_sec)
    if decoded is not None:
      break
  else:
    raise not_audio(path)
  samples, rate_hz = decoded
  if samples.shape[0] == 0:
    raise UserError(f"{path}: holds no audio samples")
  check_samples(path, samples)
  return samples, rate_hz


def check_samples(path: str | pathlib.Path, samples: np.ndarray) -> None:
  """Checks that samples are numbers around full scale, 1.

  Raises:
    UserError: they are not.
  """
  if not np.isfinite(samples).all():
    raise UserError(f"{path}: holds samples that are NaN or infinite")
  loudest = np.abs(samples).max(initial=0.0)
  if loudest > _LOUDEST:
    raise UserError(
      f"{path}: its samples reach {loudest:g} where 1 is full scale; "
      "divide them by what was meant to be full scale"
    )


def check_readable(
  path: str | pathlib.Path, kind: str = "audio file"
) -> pathlib.Path:
  """Checks that a path is a plain file with something in it.

  Args:
    path: of the file, or of an example that comes along.
    kind: what it is to be.

  Raises:
    UserError: it is not, or cannot be read.
  """
  try:
    path = paths.or_example(path)
    if not path.exists() and not path.is_symlink():
      raise UserError(f"{path}: no such {kind}")
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
      what = "folder" if stat.S_ISDIR(mode) else "special file"
      raise UserError(f"{path}: is a {what}, no {kind}")
    with path.open("rb"):
      pass
  except OSError as error:
    raise UserError(f"{path}: cannot be read ({error.strerror})") from error
  if path.stat().st_size == 0:
    raise UserError(f"{path}: is empty")
  return path


def _by_libsndfile(
  path: pathlib.Path, start_sec: float, end_sec: float | None, max_sec: float
) -> tuple[np.ndarray, int] | None:
  """Decodes what libsndfile knows; None for anything else."""
  try:
    with open_sound(path) as file:
      refuse_cut_off(path, file.extra_info)
      first = round(start_sec * file.samplerate)
      last = file.frames
      if end_sec is not None:
        last = min(last, round(end_sec * file.samplerate))
      _refuse_long(path, (last - first) / file.samplerate, max_sec)
      if not 0 <= first <= last:
        raise _no_piece(path, start_sec)
      file.seek(first)
      samples = file.read(last - first, dtype="float32", always_2d=True)
      if len(samples) < WHOLE * (last - first):
        raise UserError(
          f"{path}: is cut off: {last - first} samples promised, "
          f"{len(samples)} there"
        )
      return samples, file.samplerate
  except (soundfile.LibsndfileError, RuntimeError):
    return None


def _by_ffmpeg(
  path: pathlib.Path, start_sec: float, end_sec: float | None, max_sec: float
) -> tuple[np.ndarray, int] | None:
  """Decodes what FFmpeg knows; None for anything else."""
  end_sec = math.inf if end_sec is None else end_sec
  pieces, first, decoded, rate_hz = [], 0, 0, 1
  try:
    container = open_container(path)
    if container is None:
      return None
    with container:
      resampler = av.AudioResampler(format="fltp")
      for frame in container.decode(audio=0):
        for part in resampler.resample(frame):
          rate_hz = part.sample_rate
          decoded += part.samples
          if decoded < start_sec * rate_hz:
            first = decoded
          else:
            pieces.append(part.to_ndarray())  # [channels, S]
        if decoded >= end_sec * rate_hz:
          break
        _refuse_long(path, decoded / rate_hz - start_sec, max_sec)
  except (av.FFmpegError, ValueError):
    return None
  if decoded < start_sec * rate_hz:
    raise _no_piece(path, start_sec)
  if not pieces:
    return None
  samples = np.concatenate(pieces, axis=1).T
  last = None if end_sec == math.inf else round(end_sec * rate_hz) - first
  piece = samples[round(start_sec * rate_hz) - first : last]
  return piece.astype(np.float32), rate_hz


def open_sound(path: pathlib.Path) -> soundfile.SoundFile:
  """Opens a file with libsndfile, even where its name is no UTF-8.

  Raises:
    soundfile.LibsndfileError, RuntimeError: it cannot be opened.
  """
  name: Any = os.fsencode(path)
  file = soundfile.SoundFile(name)
  if file.frames > _MOST_SAMPLES:  # a FLAC that was sent as it grew
    file.close()
    raise RuntimeError("the header does not say how long it is")
  return file


def not_audio(path: pathlib.Path) -> UserError:
  """The error for a file that nothing can decode."""
  return UserError(
    f"{path}: not readable as audio; give a wav, flac, ogg, mp3 or m4a file"
  )


def open_container(path: pathlib.Path) -> InputContainer | None:
  """Opens a file with FFmpeg; None unless it is audio of a harmless kind.

  Raises:
    av.FFmpegError, ValueError: it cannot be opened.
  """
  container = av.open(str(path))
  # Others may name files of their own to be read.
  is_audio = _CONTAINERS & set(container.format.name.split(","))
  if is_audio and container.streams.audio:
    return container
  container.close()
  return None


def _no_piece(path: str | pathlib.Path, start_sec: float) -> UserError:
  return UserError(f"{path}: has no piece that begins at {start_sec:g} s")


def _refuse_long(path: pathlib.Path, length_sec: float, max_sec: float) -> None:
  if length_sec > max_sec:
    raise UserError(f"{path}: is longer than {max_sec:g} s")


def refuse_cut_off(path: pathlib.Path, libsndfile_log: str) -> None:
  """Refuses a wave file whose header promises more than there is."""
  match = re.search(r"data : (\d+) \(should be (\d+)\)", libsndfile_log)
  # A program that writes to a pipe does not know the length beforehand.
  if match and int(match[2]) < int(match[1]) < _UNKNOWN_BYTES:
    raise UserError(
      f"{path}: is cut off: {match[1]} bytes promised, {match[2]} there"
    )
