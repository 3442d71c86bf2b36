# SPDX-License-Identifier: Apache-2.0
"""AudioSpec arithmetic and reading of good and bad audio files."""

import errno
import pathlib

import numpy as np
import pytest
import soundfile

from ns_jax import audio
from ns_jax.errors import UserError

SPEC = audio.AudioSpec()


def test_spec_is_80_hz():
  assert SPEC.frame_rate_hz == 80.0
  assert SPEC.frame_period_ms == 12.5
  assert [SPEC.num_frames(s) for s in (0, 1, 199, 200, 201, 16_000)] == [
    *(0, 1, 1, 1, 2, 80)
  ]
  assert SPEC.seconds_to_frames(3.0) == 240


def test_reads_any_rate_and_channels_as_16_khz_mono(tmp_path):
  seconds = np.arange(44_100) / 44_100
  tone = 0.5 * np.sin(2 * np.pi * 440.0 * seconds)
  soundfile.write(tmp_path / "a.flac", np.stack([tone, tone], 1), 44_100)
  wav = audio.read_audio(tmp_path / "a.flac", SPEC)
  expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(16_000) / 16_000)
  assert wav.dtype == np.float32 and wav.shape == (16_000,)
  np.testing.assert_allclose(wav[500:-500], expected[500:-500], atol=2e-3)


def test_int16_round_trip():
  samples = np.arange(-32_767, 32_768, 7, dtype=np.int16)
  np.testing.assert_array_equal(
    audio.to_int16(audio.from_int16(samples)), samples
  )


@pytest.mark.parametrize(
  ("content", "message"),
  [
    (None, "no such audio file"),
    (b"this is not audio", "not readable as audio"),
    (b"", "not readable as audio"),
  ],
)
def test_bad_files_are_one_clear_line(tmp_path, content, message):
  path = tmp_path / "bad.wav"
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(UserError, match=message) as caught:
    audio.read_audio(path, SPEC)
  assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_empty_and_not_finite_audio(tmp_path):
  soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
  with pytest.raises(UserError, match="no audio samples"):
    audio.read_audio(tmp_path / "empty.wav", SPEC)
  bad = np.full(100, np.nan, np.float32)
  soundfile.write(tmp_path / "nan.wav", bad, 16_000, subtype="FLOAT")
  with pytest.raises(UserError, match="NaN or infinite"):
    audio.read_audio(tmp_path / "nan.wav", SPEC)


@pytest.mark.parametrize("gain", [1e-3, 1.0, 3.0])
def test_level_brings_speech_to_one_loudness(gain):
  noise = np.random.default_rng(0).normal(size=16_000).astype(np.float32)
  wav = audio.level(gain * noise)
  assert wav.dtype == np.float32
  assert np.sqrt(np.mean(wav**2)) == pytest.approx(audio.SPEECH_RMS, rel=1e-4)


def test_level_never_clips():
  click = np.zeros(16_000, np.float32)
  click[5] = 1e-2
  assert np.abs(audio.level(click)).max() == pytest.approx(0.95)


def test_a_wave_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  path = tmp_path / "a.wav"
  audio.write_wav(path, np.full(100, 0.5), SPEC)
  before = path.read_bytes()

  def fill_the_disk(path, content):
    path.touch()
    raise OSError(errno.ENOSPC, "no space left")

  monkeypatch.setattr(pathlib.Path, "write_bytes", fill_the_disk)
  with pytest.raises(OSError, match="no space left"):
    audio.write_wav(path, np.zeros(100), SPEC)
  assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
  assert path.read_bytes() == before
