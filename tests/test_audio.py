# SPDX-License-Identifier: Apache-2.0
"""AudioSpec arithmetic and reading of good and bad audio files."""

import errno
import os

import av
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
    (b"", "is empty"),
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

  def fill_the_disk(descriptor):
    raise OSError(errno.ENOSPC, "no space left")

  monkeypatch.setattr(os, "fsync", fill_the_disk)
  with pytest.raises(OSError, match="no space left"):
    audio.write_wav(path, np.zeros(100), SPEC)
  assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]
  assert path.read_bytes() == before


def _tone(seconds=2.0, rate_hz=16_000):
  return 0.3 * np.sin(2 * np.pi * 300 / rate_hz * np.arange(seconds * rate_hz))


def test_a_piece_of_a_file(tmp_path):
  wav = _tone()
  soundfile.write(tmp_path / "a.wav", wav, 16_000)
  piece, rate_hz = audio.decode(tmp_path / "a.wav", start_sec=0.5, end_sec=0.75)
  assert rate_hz == 16_000
  np.testing.assert_allclose(piece[:, 0], wav[8000:12_000], atol=1e-4)
  with pytest.raises(UserError, match="no piece that begins at 3 s"):
    audio.decode(tmp_path / "a.wav", start_sec=3.0)
  with pytest.raises(UserError, match="is longer than 1 s"):
    audio.decode(tmp_path / "a.wav", max_sec=1.0)


def test_m4a_is_read(tmp_path):
  path = tmp_path / "a.m4a"
  wav = _tone().astype(np.float32)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("aac", rate=16_000)
    stream.layout = "mono"
    frame = av.AudioFrame.from_ndarray(wav[None], format="fltp", layout="mono")
    frame.sample_rate = 16_000
    container.mux([*stream.encode(frame), *stream.encode(None)])
  samples, rate_hz = audio.decode(path)
  assert rate_hz == 16_000 and abs(len(samples) - len(wav)) < 4096
  spectrum = np.abs(np.fft.rfft(samples[8000:24_000, 0]))
  assert np.argmax(spectrum) == 300
  piece, _ = audio.decode(path, start_sec=0.5, end_sec=1.0)
  assert len(piece) == 8000
  with pytest.raises(UserError, match="longer than 1 s"):
    audio.decode(path, max_sec=1.0)


def test_a_file_that_was_cut_off_and_one_from_a_pipe(tmp_path):
  soundfile.write(tmp_path / "a.wav", _tone(), 16_000)
  whole = (tmp_path / "a.wav").read_bytes()
  (tmp_path / "cut.wav").write_bytes(whole[:20_000])
  with pytest.raises(UserError, match="is cut off: 64000 bytes promised"):
    audio.decode(tmp_path / "cut.wav")
  piped = bytearray(whole)
  piped[4:8] = piped[40:44] = b"\xff" * 4  # lengths nobody knew beforehand
  (tmp_path / "pipe.wav").write_bytes(piped)
  assert len(audio.decode(tmp_path / "pipe.wav")[0]) == 32_000


def test_a_list_of_other_files_is_not_followed(tmp_path):
  soundfile.write(tmp_path / "secret.wav", _tone(), 16_000)
  (tmp_path / "a.m4a").write_text("ffconcat version 1.0\nfile secret.wav\n")
  with pytest.raises(UserError, match="not readable as audio"):
    audio.decode(tmp_path / "a.m4a")
