# SPDX-License-Identifier: Apache-2.0
"""The format of `.nsc` files, byte by byte, and what damage does to it."""

import io
import struct
import zlib

import numpy as np
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.inference import code_files

HEADER = code_files.Header("0123456789ab", AudioSpec(), 3, 10)


def _codes(frames, seed=0):
  return np.random.default_rng(seed).integers(0, 1024, (frames, 3))


def _content(*blocks, num_samples=None):
  file = io.BytesIO()
  writer = code_files.Writer(file, HEADER)
  for block in blocks:
    writer.write(block)
  frames = sum(map(len, blocks))
  writer.finish(frames * 200 if num_samples is None else num_samples)
  return file.getvalue()


def _read(path):
  with code_files.Reader(path) as reader:
    blocks = list(reader.blocks())
    return reader.header, blocks, reader.num_samples


def test_codes_survive(tmp_path):
  path = tmp_path / "a.nsc"
  blocks = [_codes(1), _codes(7), _codes(code_files.MAX_BLOCK_FRAMES + 5)]
  path.write_bytes(_content(*blocks, num_samples=200 * 4108 + 17))
  header, read, num_samples = _read(path)
  assert header == HEADER
  assert header.bits_per_sec == 2400
  assert num_samples == 200 * 4108 + 17
  np.testing.assert_array_equal(np.concatenate(read), np.concatenate(blocks))


def test_bytes_are_as_the_format_says():
  head = b"\x89NSC\r\n\x1a\n\x01" + bytes.fromhex("0123456789ab")
  head += struct.pack("<IHBB", 16000, 200, 3, 10)
  head += struct.pack("<I", zlib.crc32(head))
  bits = "0000000001" + "1111111111" + "1000000000" + "00"
  codes = int(bits, 2).to_bytes(4, "big")
  block = struct.pack("<H", 1)
  block += struct.pack("<I", zlib.crc32(block + codes)) + codes
  end = struct.pack("<H", 0)
  samples = struct.pack("<Q", 150)
  end += struct.pack("<I", zlib.crc32(end + samples)) + samples
  content = _content(np.array([[1, 1023, 512]]), num_samples=150)
  assert content == head + block + end


def test_every_cut_and_every_flipped_bit_is_noticed(tmp_path):
  path = tmp_path / "a.nsc"
  content = _content(_codes(3), _codes(2, seed=1))
  for size in range(len(content)):
    path.write_bytes(content[:size])
    with pytest.raises(UserError, match=r"a\.nsc: (is cut off|is no file)"):
      _read(path)
  for bit in range(8 * len(content)):
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"a\.nsc: "):
      _read(path)
  path.write_bytes(content + b"x")
  with pytest.raises(UserError, match="is damaged"):
    _read(path)


def test_noise_is_refused_and_never_believed(tmp_path):
  """Also behind a sound header, and with sound checksums."""
  path, rng = tmp_path / "a.nsc", np.random.default_rng(0)
  head = _content()[:-14]
  for _ in range(300):
    noise = rng.bytes(rng.integers(0, 400))
    for content in (noise, head + noise):
      path.write_bytes(content)
      with pytest.raises(UserError, match=r"a\.nsc: "):
        _read(path)
  path.write_bytes(_content(_codes(3), num_samples=2**63))
  with pytest.raises(UserError, match="is damaged"):
    _read(path)
  absurd = struct.pack(
    "<8sB6sIHBB", b"\x89NSC\r\n\x1a\n", 1, b"", 0, 0, 255, 99
  )
  path.write_bytes(absurd + struct.pack("<I", zlib.crc32(absurd)))
  with pytest.raises(UserError, match="is damaged"):
    _read(path)


def test_other_files_and_versions_are_named(tmp_path):
  path = tmp_path / "a.nsc"
  for content in (b"", b"RIFF....WAVE", b"\x89PNG\r\n\x1a\n"):
    path.write_bytes(content)
    with pytest.raises(UserError, match="no file of codes"):
      _read(path)
  newer = bytearray(_content())
  newer[8] = 2
  path.write_bytes(newer)
  with pytest.raises(UserError, match="version 2 .* update ns_jax"):
    _read(path)
  with pytest.raises(UserError, match="cannot be read"):
    _read(tmp_path / "missing.nsc")
  with pytest.raises(UserError, match="no plain file"):
    _read(tmp_path)
