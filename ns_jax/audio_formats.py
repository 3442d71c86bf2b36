# SPDX-License-Identifier: Apache-2.0
"""Waves as the bytes of an audio file, whole or as they come."""

import io
from typing import Any

import av
import numpy as np

from ns_jax import audio
from ns_jax.errors import UserError

FORMATS = {  # name -> media type
  "wav": "audio/wav",
  "flac": "audio/flac",
  "mp3": "audio/mpeg",
  "opus": "audio/ogg",
  "pcm": "audio/pcm",  # 16 bits, little-endian, without any header
}
SUFFIXES = {".ogg": "opus", **{f".{name}": name for name in FORMATS}}
# Container, codec and bits a second.
_KINDS = {
  "wav": ("wav", "pcm_s16le", None),
  "flac": ("flac", "flac", None),
  "mp3": ("mp3", "libmp3lame", 64_000),
  "opus": ("ogg", "libopus", 32_000),
  "pcm": ("s16le", "pcm_s16le", None),
}
_TOP_RATE_HZ = 48_000  # that every coder with a choice of rates can do


def format_of(suffix: str) -> str:
  """The format of a file's suffix.

  Raises:
    UserError: there is none.
  """
  if suffix.lower() not in SUFFIXES:
    raise UserError(
      f"{suffix or 'a name without suffix'}: no format that can be written; "
      f"use {', '.join(SUFFIXES)}"
    )
  return SUFFIXES[suffix.lower()]


def encode(wav: np.ndarray, rate_hz: int, format: str) -> bytes:
  """A whole file.

  Args:
    wav: [S] float in [-1, 1], clipped where it is beyond.
    rate_hz: its sample rate.
    format: a name in FORMATS.

  Raises:
    UserError: there is no such format.
  """
  content = io.BytesIO()
  encoder = _Encoding(content, format, rate_hz)
  encoder.add(wav)
  encoder.close()
  return content.getvalue()


class Encoder:
  """A file that is sent while it grows; its header knows no length."""

  def __init__(self, format: str, rate_hz: int):
    """Begins a file.

    Args:
      format: a name in FORMATS.
      rate_hz: sample rate of what will be pushed.

    Raises:
      UserError: there is no such format.
    """
    self._sent = _Pipe()
    self._encoding = _Encoding(self._sent, format, rate_hz)

  def push(self, wav: np.ndarray) -> bytes:
    """Takes samples [S] float in [-1, 1]; returns the bytes now known."""
    self._encoding.add(wav)
    return self._sent.take()

  def finish(self) -> bytes:
    """Ends the file; returns its last bytes."""
    self._encoding.close()
    return self._sent.take()


class _Pipe:
  """What is written waits until it is taken; there is no way back."""

  def __init__(self):
    self._waiting = bytearray()

  def write(self, data: bytes) -> int:
    self._waiting += data
    return len(data)

  def take(self) -> bytes:
    taken = bytes(self._waiting)
    self._waiting.clear()
    return taken


class _Encoding:
  """FFmpeg's encoder of one mono stream."""

  def __init__(self, file: Any, format: str, rate_hz: int):
    if format not in FORMATS:
      raise UserError(
        f"{format!r}: no such audio format; use one of {', '.join(FORMATS)}"
      )
    container, codec, bits_per_sec = _KINDS[format]
    rates = av.Codec(codec, "w").audio_rates
    own_hz = rate_hz if not rates or rate_hz in rates else _TOP_RATE_HZ
    self._rate_hz = rate_hz
    # Bit for bit the same whenever it is made.
    options = {"fflags": "+bitexact"}
    if container == "ogg":  # else it waits for a second to be full
      options["page_duration"] = "100000"  # microseconds
    self._container = av.open(file, "w", format=container, options=options)
    self._stream: Any = self._container.add_stream(
      codec, rate=own_hz, layout="mono"
    )
    if bits_per_sec:
      self._stream.bit_rate = bits_per_sec
    self._stream.codec_context.open()
    self._resampler = av.AudioResampler(
      self._stream.format,
      "mono",
      own_hz,
      frame_size=self._stream.codec_context.frame_size or None,
    )

  def add(self, wav: np.ndarray) -> None:
    """Encodes samples [S]."""
    if not len(wav):
      return
    samples = audio.to_int16(wav)[None]
    frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
    frame.sample_rate = self._rate_hz
    self._encode(frame)

  def close(self) -> None:
    """Writes what is due."""
    self._encode(None)
    self._container.mux(self._stream.encode(None))
    self._container.close()

  def _encode(self, frame: Any) -> None:
    for part in self._resampler.resample(frame):
      self._container.mux(self._stream.encode(part))
