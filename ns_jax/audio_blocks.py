# SPDX-License-Identifier: Apache-2.0
"""Audio files of any length, block by block in constant memory."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import BinaryIO

import av
import numpy as np
import soundfile
import soxr

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

_BLOCK_SEC = 10.0
_WAVE_SAMPLES = 2**31 - 64  # a wave file holds 4 GB


def read_blocks(
  path: str | pathlib.Path, spec: AudioSpec
) -> Iterator[np.ndarray]:
  """Reads an audio file as mono at the spec's rate.

  Args:
    path: wav, flac, ogg, opus, mp3, m4a or what else FFmpeg can read.
    spec: gives the sample rate to resample to.

  Yields:
    [S] float32 in [-1, 1], about ten seconds each.

  Raises:
    UserError: the file cannot be used, or turns out to be damaged.
  """
  path = audio.check_readable(path)
  resampler, rate_hz, empty = None, 0, True
  for samples, rate_hz_now in _decoded(path):
    if not np.isfinite(samples).all():
      raise UserError(f"{path}: holds samples that are NaN or infinite")
    mono = samples.mean(axis=1)
    empty = empty and not len(mono)
    if rate_hz not in (0, rate_hz_now):
      raise UserError(f"{path}: changes its sample rate on the way")
    if resampler is None and rate_hz_now != spec.sample_rate_hz:
      resampler = soxr.ResampleStream(
        rate_hz_now, spec.sample_rate_hz, 1, dtype="float32", quality="HQ"
      )
    rate_hz = rate_hz_now
    if resampler is not None:
      mono = resampler.resample_chunk(mono.astype(np.float32))
    yield np.clip(mono, -1.0, 1.0).astype(np.float32)
  if empty:
    raise UserError(f"{path}: holds no audio samples")
  if resampler is not None:
    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    yield np.clip(rest, -1.0, 1.0)


@contextlib.contextmanager
def appearing(path: pathlib.Path) -> Iterator[BinaryIO]:
  """Opens a file that appears, or replaces an older one, when it is whole.

  Raises:
    UserError: it cannot be written there.
  """
  unfinished = path.with_name(f"{path.name}.part")
  try:
    file = unfinished.open("wb")
  except OSError as error:
    raise UserError(f"{path}: cannot be written ({error.strerror})") from error
  try:
    with file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    unfinished.replace(path)
  finally:
    unfinished.unlink(missing_ok=True)


class WaveWriter:
  """Writes mono 16-bit wave or flac to a binary file, block by block."""

  def __init__(self, file: BinaryIO, path: pathlib.Path, spec: AudioSpec):
    """Begins the kind of file that the suffix of `path` names."""
    self._path, self._num_samples = path, 0
    self._sound = soundfile.SoundFile(
      file,
      "w",
      samplerate=spec.sample_rate_hz,
      channels=1,
      subtype="PCM_16",
      format=path.suffix[1:].upper(),
    )

  def write(self, wav: np.ndarray) -> None:
    """Writes [S] float samples in [-1, 1].

    Raises:
      UserError: a wave file of this length is not possible.
    """
    self._num_samples += len(wav)
    if self._path.suffix == ".wav" and self._num_samples > _WAVE_SAMPLES:
      raise UserError(
        f"{self._path}: is too long for a wave file; choose a name with .flac"
      )
    self._sound.write(np.clip(wav, -1.0, 1.0))

  def __enter__(self) -> "WaveWriter":
    """Returns itself."""
    return self

  def __exit__(self, *_: object) -> None:
    """Writes what is due, and the length into the header."""
    self._sound.close()


def _decoded(path: pathlib.Path) -> Iterator[tuple[np.ndarray, int]]:
  """Yields samples [S, channels] float32 and their rate in Hz."""
  try:
    file = soundfile.SoundFile(path)
  except (soundfile.LibsndfileError, RuntimeError):
    yield from _by_ffmpeg(path)
    return
  with file:
    if file.format == "MP3":
      # soundfile seeks after every block, which an MP3 does not survive.
      yield from _by_ffmpeg(path)
      return
    audio.refuse_cut_off(path, file.extra_info)
    size, num_samples = round(_BLOCK_SEC * file.samplerate), 0
    try:
      for block in file.blocks(size, dtype="float32", always_2d=True):
        num_samples += len(block)
        yield block, file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
      raise UserError(f"{path}: is damaged ({error})") from error
    if num_samples < audio.WHOLE * file.frames:
      raise UserError(
        f"{path}: is cut off: {file.frames} samples promised, "
        f"{num_samples} there"
      )


def _by_ffmpeg(path: pathlib.Path) -> Iterator[tuple[np.ndarray, int]]:
  begun = False
  try:
    container = audio.open_container(path)
    if container is None:
      raise audio.not_audio(path)
    with container:
      resampler = av.AudioResampler(format="fltp")
      for frame in container.decode(audio=0):
        for part in resampler.resample(frame):
          begun = True
          yield part.to_ndarray().T, part.sample_rate
  except (av.FFmpegError, ValueError) as error:
    if not begun:
      raise audio.not_audio(path) from error
    raise UserError(f"{path}: is damaged ({error})") from error
