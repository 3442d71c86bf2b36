# SPDX-License-Identifier: Apache-2.0
"""Files of codes, `.nsc`: version 1.

  header   magic 8s, version u8, codec id 6s, rate u32 (Hz), hop u16,
           codebooks u8, bits per code u8, checksum u32
  block    frames u16 (1 to 4096), checksum u32, codes
  …
  end      frames u16 = 0, checksum u32, samples u64

Numbers are little-endian. Codes are written frame by frame, codebook by
codebook, most significant bit first, with zeros up to a whole byte at the end
of a block. A checksum is the CRC-32 of all else in its part. Nothing is trusted
before its checksum fits, and no more than a block is ever in memory.
"""

import dataclasses
import pathlib
import stat
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

SUFFIX = ".nsc"
MAX_BLOCK_FRAMES = 4096
_MAGIC = b"\x89NSC\r\n\x1a\n"  # like PNG's, it does not survive text mode
_VERSION = 1
_HEADER = struct.Struct("<8sB6sIHBB")
_COUNT, _CHECKSUM, _SAMPLES = (struct.Struct(f"<{c}") for c in "HIQ")
_MAX_BITS = 16


@dataclasses.dataclass(frozen=True)
class Header:
  """What a file says of its codes."""

  codec_id: str  # twelve hexadecimal digits
  spec: AudioSpec
  num_codebooks: int  # codes in a frame
  bits_per_code: int

  @property
  def bits_per_sec(self) -> float:
    """Bitrate of the codes themselves."""
    return self.num_codebooks * self.bits_per_code * self.spec.frame_rate_hz


class Writer:
  """Writes codes to a binary file, block by block."""

  def __init__(self, file: BinaryIO, header: Header):
    """Writes the header."""
    self._file, self._header = file, header
    head = _HEADER.pack(
      _MAGIC,
      _VERSION,
      bytes.fromhex(header.codec_id),
      header.spec.sample_rate_hz,
      header.spec.hop_samples,
      header.num_codebooks,
      header.bits_per_code,
    )
    file.write(head + _CHECKSUM.pack(zlib.crc32(head)))

  def write(self, codes: np.ndarray) -> None:
    """Writes codes [T, q], T of any size."""
    for first in range(0, len(codes), MAX_BLOCK_FRAMES):
      block = codes[first : first + MAX_BLOCK_FRAMES]
      self._part(len(block), _pack(block, self._header.bits_per_code))

  def finish(self, num_samples: int) -> None:
    """Writes the end, with the length of the wave."""
    self._part(0, _SAMPLES.pack(num_samples))

  def _part(self, num_frames: int, content: bytes) -> None:
    count = _COUNT.pack(num_frames)
    checksum = _CHECKSUM.pack(zlib.crc32(count + content))
    self._file.write(count + checksum + content)


class Reader:
  """Reads a file of codes; every doubt is a UserError with the file's name."""

  def __init__(self, path: str | pathlib.Path):
    """Opens a file and reads its header.

    Raises:
      UserError: it cannot be read, or is no file of codes of this version.
    """
    self._path = path
    try:
      if not stat.S_ISREG(pathlib.Path(path).stat().st_mode):
        raise UserError(f"{path}: is no plain file; give a file of codes")
      self._file = pathlib.Path(path).open("rb")
    except OSError as error:
      raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    try:
      self.header = self._read_header()
    except BaseException:
      self._file.close()
      raise
    self.num_samples = 0  # known at the end

  def __enter__(self) -> "Reader":
    """Returns itself."""
    return self

  def __exit__(self, *_: object) -> None:
    """Closes the file."""
    self._file.close()

  def blocks(self) -> Iterator[np.ndarray]:
    """Yields codes [T, q] int32; then `num_samples` is known.

    Raises:
      UserError: the file is damaged or cut off.
    """
    header, num_frames = self.header, 0
    bits = header.num_codebooks * header.bits_per_code
    while True:
      count_bytes = self._read(_COUNT.size)
      (count,) = _COUNT.unpack(count_bytes)
      (checksum,) = _CHECKSUM.unpack(self._read(_CHECKSUM.size))
      if count > MAX_BLOCK_FRAMES:
        raise self._damaged()
      content = self._read(-(-count * bits // 8) if count else _SAMPLES.size)
      if zlib.crc32(count_bytes + content) != checksum:
        raise self._damaged()
      if not count:
        break
      num_frames += count
      yield _unpack(content, count, header.num_codebooks, header.bits_per_code)
    (self.num_samples,) = _SAMPLES.unpack(content)
    fits = header.spec.num_frames(self.num_samples) == num_frames
    if not fits or self._file.read(1):
      raise self._damaged()

  def _read_header(self) -> Header:
    head = self._file.read(_HEADER.size)
    if not head.startswith(_MAGIC):
      raise UserError(
        f"{self._path}: is no file of codes; give one that 'ns-jax encode' made"
      )
    if len(head) > len(_MAGIC) and head[len(_MAGIC)] != _VERSION:
      raise UserError(
        f"{self._path}: has version {head[len(_MAGIC)]} of the format, this "
        f"program reads version {_VERSION}; update ns_jax"
      )
    checksum = self._file.read(_CHECKSUM.size)
    if len(head + checksum) < _HEADER.size + _CHECKSUM.size:
      raise self._cut_off()
    if zlib.crc32(head) != _CHECKSUM.unpack(checksum)[0]:
      raise self._damaged()
    _, _, codec_id, rate_hz, hop, codebooks, bits = _HEADER.unpack(head)
    if not (rate_hz and hop and codebooks and 0 < bits <= _MAX_BITS):
      raise self._damaged()
    spec = AudioSpec(sample_rate_hz=rate_hz, hop_samples=hop)
    return Header(codec_id.hex(), spec, codebooks, bits)

  def _read(self, size: int) -> bytes:
    content = self._file.read(size)
    if len(content) < size:
      raise self._cut_off()
    return content

  def _cut_off(self) -> UserError:
    return UserError(f"{self._path}: is cut off; encode the recording again")

  def _damaged(self) -> UserError:
    return damaged(self._path)


def damaged(path: str | pathlib.Path) -> UserError:
  """The error for a file of codes that says what it cannot mean."""
  return UserError(f"{path}: is damaged; encode the recording again")


def _pack(codes: np.ndarray, bits: int) -> bytes:
  shifts = np.arange(bits - 1, -1, -1)
  return np.packbits((codes[..., None] >> shifts) & 1).tobytes()


def _unpack(
  content: bytes, num_frames: int, num_codebooks: int, bits: int
) -> np.ndarray:
  count = num_frames * num_codebooks * bits
  flags = np.unpackbits(np.frombuffer(content, np.uint8), count=count)
  flags = flags.reshape(num_frames, num_codebooks, bits).astype(np.int32)
  return flags @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int32))
