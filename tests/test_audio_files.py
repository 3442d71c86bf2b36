# SPDX-License-Identifier: Apache-2.0
"""Good and bad audio files, whole and in pieces."""

import av
import numpy as np
import pytest
import soundfile

from ns_jax import audio, audio_files
from ns_jax.errors import UserError

SPEC = audio.AudioSpec()


def test_reads_any_rate_and_channels_as_16_khz_mono(tmp_path):
  seconds = np.arange(44_100) / 44_100
  tone = 0.5 * np.sin(2 * np.pi * 440.0 * seconds)
  soundfile.write(tmp_path / "a.flac", np.stack([tone, tone], 1), 44_100)
  wav = audio_files.read(tmp_path / "a.flac", SPEC)
  expected = 0.5 * np.sin(2 * np.pi * 440.0 * np.arange(16_000) / 16_000)
  assert wav.dtype == np.float32 and wav.shape == (16_000,)
  np.testing.assert_allclose(wav[500:-500], expected[500:-500], atol=2e-3)


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
    audio_files.read(path, SPEC)
  assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_empty_and_not_finite_audio(tmp_path):
  soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
  with pytest.raises(UserError, match="no audio samples"):
    audio_files.read(tmp_path / "empty.wav", SPEC)
  bad = np.full(100, np.nan, np.float32)
  soundfile.write(tmp_path / "nan.wav", bad, 16_000, subtype="FLOAT")
  with pytest.raises(UserError, match="NaN or infinite"):
    audio_files.read(tmp_path / "nan.wav", SPEC)


def _tone(seconds=2.0, rate_hz=16_000):
  return 0.3 * np.sin(2 * np.pi * 300 / rate_hz * np.arange(seconds * rate_hz))


def test_a_piece_of_a_file(tmp_path):
  wav = _tone()
  soundfile.write(tmp_path / "a.wav", wav, 16_000)
  piece, rate_hz = audio_files.decode(
    tmp_path / "a.wav", start_sec=0.5, end_sec=0.75
  )
  assert rate_hz == 16_000
  np.testing.assert_allclose(piece[:, 0], wav[8000:12_000], atol=1e-4)
  with pytest.raises(UserError, match="no piece that begins at 3 s"):
    audio_files.decode(tmp_path / "a.wav", start_sec=3.0)
  with pytest.raises(UserError, match="is longer than 1 s"):
    audio_files.decode(tmp_path / "a.wav", max_sec=1.0)


def test_m4a_is_read(tmp_path):
  path = tmp_path / "a.m4a"
  wav = _tone().astype(np.float32)
  with av.open(str(path), "w") as container:
    stream = container.add_stream("aac", rate=16_000)
    stream.layout = "mono"
    frame = av.AudioFrame.from_ndarray(wav[None], format="fltp", layout="mono")
    frame.sample_rate = 16_000
    container.mux([*stream.encode(frame), *stream.encode(None)])
  samples, rate_hz = audio_files.decode(path)
  assert rate_hz == 16_000 and abs(len(samples) - len(wav)) < 4096
  spectrum = np.abs(np.fft.rfft(samples[8000:24_000, 0]))
  assert np.argmax(spectrum) == 300
  piece, _ = audio_files.decode(path, start_sec=0.5, end_sec=1.0)
  assert len(piece) == 8000
  with pytest.raises(UserError, match="longer than 1 s"):
    audio_files.decode(path, max_sec=1.0)


def test_a_file_that_was_cut_off_and_one_from_a_pipe(tmp_path):
  soundfile.write(tmp_path / "a.wav", _tone(), 16_000)
  whole = (tmp_path / "a.wav").read_bytes()
  (tmp_path / "cut.wav").write_bytes(whole[:20_000])
  with pytest.raises(UserError, match="is cut off: 64000 bytes promised"):
    audio_files.decode(tmp_path / "cut.wav")
  piped = bytearray(whole)
  piped[4:8] = piped[40:44] = b"\xff" * 4  # lengths nobody knew beforehand
  (tmp_path / "pipe.wav").write_bytes(piped)
  assert len(audio_files.decode(tmp_path / "pipe.wav")[0]) == 32_000


def test_a_list_of_other_files_is_not_followed(tmp_path):
  soundfile.write(tmp_path / "secret.wav", _tone(), 16_000)
  (tmp_path / "a.m4a").write_text("ffconcat version 1.0\nfile secret.wav\n")
  with pytest.raises(UserError, match="not readable as audio"):
    audio_files.decode(tmp_path / "a.m4a")
