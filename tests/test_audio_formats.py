# SPDX-License-Identifier: Apache-2.0
"""What we write is what others read, whole or as it comes."""

import io

import numpy as np
import pytest
import scipy.signal
import soundfile

from ns_jax import audio, audio_files, audio_formats
from ns_jax.errors import UserError

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def wav():
  """A second and a half of a gliding tone with overtones."""
  t = np.arange(24_000) / RATE_HZ
  phase = 2 * np.pi * (200.0 * t + 60.0 * t**2)
  tone = sum(np.sin(k * phase) / k for k in range(1, 6))
  return (0.2 * tone).astype(np.float32)


def _pushed(wav, format, rate_hz=RATE_HZ):
  encoder = audio_formats.Encoder(format, rate_hz)
  parts = [encoder.push(part) for part in np.array_split(wav, 7)]
  return [*parts, encoder.finish()]


def _alike(ours, theirs):
  """Correlation at the delay that a coder adds."""
  lags = scipy.signal.correlate(theirs, ours[2_000:18_000], "valid")
  best = int(lags.argmax())
  return np.corrcoef(theirs[best : best + 16_000], ours[2_000:18_000])[0, 1]


@pytest.mark.parametrize("format", ["wav", "flac"])
def test_exact_formats_keep_sixteen_bits(wav, format, tmp_path):
  whole = audio_formats.encode(wav, RATE_HZ, format)
  read, rate_hz = soundfile.read(io.BytesIO(whole), dtype="int16")
  assert rate_hz == RATE_HZ
  np.testing.assert_array_equal(read, audio.to_int16(wav))
  # Its header knows no length, and still every sample is found.
  path = tmp_path / f"sent.{format}"
  path.write_bytes(b"".join(_pushed(wav, format)))
  samples, rate_hz = audio_files.decode(path)
  assert rate_hz == RATE_HZ
  np.testing.assert_array_equal(32768 * samples[:, 0], audio.to_int16(wav))


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 22_050])
@pytest.mark.parametrize("format", ["mp3", "opus"])
def test_lossy_formats_sound_alike(wav, format, rate_hz):
  for content in (
    audio_formats.encode(wav, rate_hz, format),
    b"".join(_pushed(wav, format, rate_hz)),
  ):
    assert len(content) < wav.nbytes / 3
    read, read_hz = soundfile.read(io.BytesIO(content))
    assert len(read) / read_hz == pytest.approx(len(wav) / rate_hz, abs=0.15)
    if read_hz == rate_hz:
      assert _alike(wav, read) > 0.98


def test_raw_samples_are_little_endian(wav):
  content = b"".join(_pushed(wav, "pcm"))
  np.testing.assert_array_equal(
    np.frombuffer(content, "<i2"), audio.to_int16(wav)
  )
  assert content == audio_formats.encode(wav, RATE_HZ, "pcm")


@pytest.mark.parametrize("format", audio_formats.FORMATS)
def test_a_stream_is_sent_as_it_grows_and_always_the_same(wav, format):
  parts = _pushed(wav, format)
  assert all(len(part) > 0 for part in parts[1:-1])
  assert parts == _pushed(wav, format)


@pytest.mark.parametrize("format", audio_formats.FORMATS)
def test_nothing_is_a_file_too(format):
  assert isinstance(audio_formats.encode(np.zeros(0), RATE_HZ, format), bytes)


def test_too_loud_is_clipped():
  loud = np.array([2.0, -2.0, 0.5], np.float32)
  content = audio_formats.encode(loud, RATE_HZ, "pcm")
  assert np.frombuffer(content, "<i2").tolist() == [32767, -32767, 16384]


def test_formats_that_do_not_exist():
  with pytest.raises(UserError, match="'aac': no such audio format"):
    audio_formats.encode(np.zeros(1), RATE_HZ, "aac")
  with pytest.raises(UserError, match="use one of wav, flac"):
    audio_formats.Encoder("", RATE_HZ)
  with pytest.raises(UserError, match=".txt: no format"):
    audio_formats.format_of(".txt")
  assert audio_formats.format_of(".OGG") == "opus"
