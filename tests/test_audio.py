# SPDX-License-Identifier: Apache-2.0
"""AudioSpec arithmetic, levels, and waves that are written."""

import errno
import os

import numpy as np
import pytest

from ns_jax import audio

SPEC = audio.AudioSpec()


def test_spec_is_80_hz():
  assert SPEC.frame_rate_hz == 80.0
  assert SPEC.frame_period_ms == 12.5
  assert [SPEC.num_frames(s) for s in (0, 1, 199, 200, 201, 16_000)] == [
    *(0, 1, 1, 1, 2, 80)
  ]
  assert SPEC.seconds_to_frames(3.0) == 240


def test_int16_round_trip():
  samples = np.arange(-32_767, 32_768, 7, dtype=np.int16)
  np.testing.assert_array_equal(
    audio.to_int16(audio.from_int16(samples)), samples
  )


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

  def fill_the_disk(descriptor):
    raise OSError(errno.ENOSPC, "no space left")

  monkeypatch.setattr(os, "fsync", fill_the_disk)
  with pytest.raises(OSError, match="no space left"):
    audio.write_wav(path, np.zeros(100), SPEC)
  assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
  assert path.read_bytes() == before
