# SPDX-License-Identifier: Apache-2.0
"""Blocks joined are the whole, and damage is noticed."""

import errno
import io
import wave

import numpy as np
import pytest
import soundfile

from ns_jax import audio_blocks, audio_files, files
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

SPEC = AudioSpec()


def _tone(seconds, rate_hz, channels=1):
  time = np.arange(int(seconds * rate_hz)) / rate_hz
  tone = 0.3 * np.sin(2 * np.pi * 440.0 * time)
  return np.stack([tone] * channels, axis=1)


@pytest.mark.parametrize(
  ("name", "rate_hz", "channels"),
  [
    ("a.wav", 16_000, 1),
    ("a.wav", 44_100, 2),
    ("a.flac", 8_000, 1),
    ("a.ogg", 48_000, 2),
    ("a.mp3", 22_050, 1),
  ],
)
def test_blocks_joined_are_the_whole(tmp_path, name, rate_hz, channels):
  path = tmp_path / name
  soundfile.write(path, _tone(23.4, rate_hz, channels), rate_hz)
  blocks = list(audio_blocks.read_blocks(path, SPEC))
  assert len(blocks) >= 3
  whole = audio_files.read(path, SPEC)
  joined = np.concatenate(blocks)
  assert abs(len(joined) - len(whole)) <= 1
  size = min(len(joined), len(whole))
  np.testing.assert_allclose(joined[:size], whole[:size], atol=1e-3)


def test_damage_is_noticed(tmp_path):
  path = tmp_path / "a.wav"

  def read():
    return list(audio_blocks.read_blocks(path, SPEC))

  with pytest.raises(UserError, match="no such"):
    read()
  path.write_bytes(b"not audio at all")
  with pytest.raises(UserError, match="not readable as audio"):
    read()
  with wave.open(str(path), "wb") as file:
    file.setparams((1, 2, 16_000, 0, "NONE", ""))
  with pytest.raises(UserError, match="no audio samples"):
    read()
  soundfile.write(path, np.full(100, np.nan), 16_000, subtype="FLOAT")
  with pytest.raises(UserError, match="NaN"):
    read()
  soundfile.write(path, np.full(100, 32_767.0), 16_000, subtype="FLOAT")
  with pytest.raises(UserError, match="reach 32767 where 1 is full scale"):
    read()
  soundfile.write(path, _tone(2.0, 16_000), 16_000)
  path.write_bytes(path.read_bytes()[:-9000])
  with pytest.raises(UserError, match="cut off"):
    read()


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_what_is_written_can_be_read(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  wav = _tone(1.5, 16_000)[:, 0].astype(np.float32)
  with (
    files.appearing(path) as file,
    audio_blocks.WaveWriter(file, path, SPEC) as writer,
  ):
    for piece in np.array_split(wav, 7):
      writer.write(piece)
  samples, rate_hz = soundfile.read(path)
  assert rate_hz == 16_000
  np.testing.assert_allclose(samples, wav, atol=1e-4)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_what_the_system_says_is_handed_on(tmp_path, suffix):
  path = tmp_path / f"a.{suffix}"
  noise = np.random.default_rng(0).uniform(-1, 1, 100_000)

  class Full(io.BytesIO):
    def write(self, data):
      if self.tell() + len(data) > 10_000:
        raise OSError(errno.ENOSPC, "no space left")
      return super().write(data)

  with (
    pytest.raises(OSError, match="no space left"),
    audio_blocks.WaveWriter(Full(), path, SPEC) as writer,
  ):
    writer.write(noise)


def test_a_header_does_not_decide_how_much_is_read(tmp_path):
  """Channels and rates nobody has would fill the memory in ten seconds."""
  path = tmp_path / "a.wav"
  soundfile.write(path, _tone(0.5, 192_000, 200), 192_000, subtype="PCM_U8")
  content = bytearray(path.read_bytes())
  content[24:28] = (2_000_000_000).to_bytes(4, "little")  # the rate
  path.write_bytes(content)
  sizes = [block.size for block, _ in audio_blocks._decoded(path)]
  assert len(sizes) > 3
  assert max(sizes) <= 4_000_000
  assert sum(sizes) == 96_000 * 200


def test_a_wave_file_has_an_end(tmp_path, monkeypatch):
  monkeypatch.setattr(audio_blocks, "_WAVE_SAMPLES", 100)
  path = tmp_path / "a.wav"
  with (
    pytest.raises(UserError, match=r"choose a name with \.flac"),
    files.appearing(path) as file,
    audio_blocks.WaveWriter(file, path, SPEC) as writer,
  ):
    writer.write(np.zeros(101))
  assert not path.exists()
