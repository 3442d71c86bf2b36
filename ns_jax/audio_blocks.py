# SPDX-License-Identifier: Apache-2.0
"""Audio files of any length, block by block in constant memory."""

import contextlib
import errno
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
import soxr

from ns_jax import audio_files
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

_BLOCK_SEC = 10.0
_BLOCK_VALUES = 4_000_000  # at most in a block, whatever the header says
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
  path = audio_files.check_readable(path)
  num_samples = 0
  for wav in _resampled(path, spec):
    num_samples += len(wav)
    yield np.clip(wav, -1.0, 1.0)
  if not num_samples:
    raise UserError(f"{path}: holds no audio samples")


class _Noting:
  """A binary file that notes why it failed; libsndfile forgets it."""

  def __init__(self, file: BinaryIO):
    self.error: OSError | None = None
    self._file = file

  def write(self, data: bytes) -> int:
    return self._attempt(self._file.write, data)

  def seek(self, offset: int, whence: int = 0) -> int:
    return self._attempt(self._file.seek, offset, whence)

  def tell(self) -> int:
    return self._attempt(self._file.tell)

  def _attempt(self, work: Callable[..., int], *args: Any) -> int:
    try:
      return work(*args)
    except OSError as error:
      self.error = self.error or error
      return 0


class WaveWriter:
  """Writes mono 16-bit wave or flac to a binary file, block by block."""

  def __init__(self, file: BinaryIO, path: pathlib.Path, spec: AudioSpec):
    """Begins the kind of file that the suffix of `path` names.

    Raises:
      OSError: it cannot be written.
    """
    self._path, self._num_samples = path, 0
    self._file: Any = _Noting(file)
    with self._noticing():
      self._sound = soundfile.SoundFile(
        self._file,
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
      OSError: it cannot be written.
    """
    self._num_samples += len(wav)
    if self._path.suffix == ".wav" and self._num_samples > _WAVE_SAMPLES:
      raise UserError(
        f"{self._path}: is too long for a wave file; choose a name with .flac"
      )
    with self._noticing():
      self._sound.write(np.clip(wav, -1.0, 1.0))

  def __enter__(self) -> "WaveWriter":
    """Returns itself."""
    return self

  def __exit__(self, *_: object) -> None:
    """Writes what is due, and the length into the header.

    Raises:
      OSError: it cannot be written.
    """
    with self._noticing():
      self._sound.close()

  @contextlib.contextmanager
  def _noticing(self) -> Iterator[None]:
    """Raises what the file noted."""
    try:
      yield
    except (AssertionError, soundfile.LibsndfileError) as error:
      unknown = OSError(errno.EIO, "libsndfile failed")
      raise self._file.error or unknown from error
    if self._file.error:
      raise self._file.error


def _resampled(path: pathlib.Path, spec: AudioSpec) -> Iterator[np.ndarray]:
  """Yields mono samples [S] float32 at the spec's rate."""
  resampler, rate_hz = None, 0
  for samples, rate_hz_now in _decoded(path):
    audio_files.check_samples(path, samples)
    mono = samples.mean(axis=1)
    if rate_hz not in (0, rate_hz_now):
      raise UserError(f"{path}: changes its sample rate on the way")
    if resampler is None and rate_hz_now != spec.sample_rate_hz:
      resampler = soxr.ResampleStream(
        rate_hz_now, spec.sample_rate_hz, 1, dtype="float32", quality="HQ"
      )
    rate_hz = rate_hz_now
    yield resampler.resample_chunk(mono) if resampler else mono
  if resampler:
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _decoded(path: pathlib.Path) -> Iterator[tuple[np.ndarray, int]]:
  """Yields samples [S, channels] float32 and their rate in Hz."""
  try:
    file = audio_files.open_sound(path)
  except (soundfile.LibsndfileError, RuntimeError):
    yield from _by_ffmpeg(path)
    return
  with file:
    if file.format == "MP3":
      # soundfile seeks after every block, which an MP3 does not survive.
      yield from _by_ffmpeg(path)
      return
    audio_files.refuse_cut_off(path, file.extra_info)
    size = round(_BLOCK_SEC * file.samplerate)
    size = max(1, min(size, _BLOCK_VALUES // file.channels))
    num_samples = 0
    try:
      for block in file.blocks(size, dtype="float32", always_2d=True):
        num_samples += len(block)
        yield block, file.samplerate
    except (soundfile.LibsndfileError, RuntimeError) as error:
      raise UserError(f"{path}: is damaged ({error})") from error
    if num_samples < audio_files.WHOLE * file.frames:
      raise UserError(
        f"{path}: is cut off: {file.frames} samples promised, "
        f"{num_samples} there"
      )


def _by_ffmpeg(path: pathlib.Path) -> Iterator[tuple[np.ndarray, int]]:
  begun = False
  try:
    container = audio_files.open_container(path)
    if container is None:
      raise audio_files.not_audio(path)
    with container:
      resampler = av.AudioResampler(format="fltp")
      for frame in container.decode(audio=0):
        for part in resampler.resample(frame):
          begun = True
          yield part.to_ndarray().T, part.sample_rate
  except (av.FFmpegError, ValueError) as error:
    if not begun:
      raise audio_files.not_audio(path) from error
    raise UserError(f"{path}: is damaged ({error})") from error
