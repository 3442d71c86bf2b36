# SPDX-License-Identifier: Apache-2.0
"""Marks are found where they are, after what happens to audio, and only there.

Real speech, and more that happens to it: launch/measure_watermark.py.
"""

import io

import numpy as np
import pytest
import soundfile
import soxr

from ns_jax import audio_formats, watermark
from ns_jax.api import Audio
from ns_jax.audio import AudioSpec
from tests import waves

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def marked():
  return watermark.mark(waves.syllables(), RATE_HZ)


def found(*blocks, **options):
  return watermark.detect(blocks, **options).is_marked


def test_the_mark_is_found_by_its_key_alone(marked):
  assert found(marked) and not found(waves.syllables())
  assert not found(marked, key="another")
  other = watermark.mark(waves.syllables(), RATE_HZ, "another")
  assert found(other, key="another") and not found(other)


def test_the_mark_is_small(marked):
  assert marked.dtype == np.float32 and len(marked) == len(waves.syllables())
  error = marked - waves.syllables()
  snr_db = 10 * np.log10(np.sum(waves.syllables() ** 2) / np.sum(error**2))
  assert 12.0 < snr_db < 25.0


def _by_file(wav, format):
  content = audio_formats.encode(wav, RATE_HZ, format)
  samples, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
  return soxr.resample(samples, rate_hz, RATE_HZ)


@pytest.mark.parametrize(
  "change",
  [
    lambda x: _by_file(x, "opus"),
    lambda x: _by_file(x, "mp3"),
    lambda x: soxr.resample(soxr.resample(x, RATE_HZ, 8_000), 8_000, RATE_HZ),
    lambda x: soxr.resample(x, RATE_HZ * 1.02, RATE_HZ),
    lambda x: 0.01 * x,
    lambda x: -x,
    lambda x: x[12_345:44_345],  # two seconds
    lambda x: np.round(x * 127) / 127,
    lambda x: np.concatenate([waves.syllables(60.0, seed=1), x]),
  ],
)
def test_it_survives(marked, change):
  assert found(change(marked))


def test_where_in_a_long_recording(marked):
  before = waves.syllables(60.0, seed=1)
  blocks = np.array_split(np.concatenate([before, marked]), 7)
  detection = watermark.detect(blocks)
  assert detection.is_marked and detection.speed == 1.0
  assert 44.0 < detection.begin_sec < 66.0


def test_false_alarms_are_as_rare_as_is_proved():
  """Of a fixed recording, over the keys; Hoeffding's bound and the variance."""
  rows = watermark.evidence(waves.syllables(8.0))
  np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0)
  signs = [watermark.chips(f"key {i}").ravel() for i in range(4_000)]
  z = rows[::40] @ np.stack(signs, axis=1)
  assert abs(z.mean()) < 0.02 and abs(z.var() - 1.0) < 0.03
  for level in (1.0, 2.0, 3.0):
    assert np.mean(z >= level) <= np.exp(-(level**2) / 2)
  assert z.max() < watermark.threshold(1)
  bound = len(rows) * np.exp(-(watermark.threshold(1) ** 2) / 2)
  assert bound == pytest.approx(watermark.FALSE_ALARM)
  assert watermark.threshold(450) > watermark.threshold(1)  # more is tried


def test_evidence_is_what_falls_on_each_chip():
  """By brute force, of a tone that is louder in one band for one cell."""
  edges = [500.0]
  while edges[-1] + max(50.0, 0.02 * edges[-1]) <= 7_000.0:
    edges.append(edges[-1] + max(50.0, 0.02 * edges[-1]))
  rng = np.random.default_rng(0)
  wav = 0.01 * rng.normal(size=4 * RATE_HZ)
  band, cell = 20, 5
  centre_hz = (edges[band] + edges[band + 1]) / 2
  t = np.arange(len(wav)) / RATE_HZ
  in_cell = np.floor(t / 0.128) % 8 == cell
  wav += in_cell * 0.1 * np.sin(2 * np.pi * centre_hz * t)
  # The sixth speed is one; its first row begins with the recording.
  row = watermark.evidence(wav)[5 * 80].reshape(8, len(edges) - 1)
  assert np.unravel_index(row.argmax(), row.shape) == (cell, band)
  assert row[cell, band] > 2 * np.delete(row[:, band], cell).max()


def test_cells_are_louder_or_softer_by_two_decibels():
  tone = np.sin(2 * np.pi * 1_025.0 / RATE_HZ * np.arange(4 * RATE_HZ))
  wav = watermark.mark(0.1 * tone, RATE_HZ)
  band = 10  # 1000 to 1050 Hz
  for cell in range(20):
    middle = round((cell + 0.5) * 0.128 * RATE_HZ)
    part = slice(middle - 160, middle + 160)
    gain_db = 20 * np.log10(np.std(wav[part]) / np.std(0.1 * tone[part]))
    sign = watermark.chips(watermark.PUBLIC_KEY)[cell % 8, band]
    assert gain_db == pytest.approx(2.0 * sign, abs=0.35)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 48_000])
@pytest.mark.parametrize("size", [1, 400, 6_000])
def test_pieces_are_the_whole(rate_hz, size):
  wav = soxr.resample(waves.syllables(2.0), RATE_HZ, rate_hz)[: 60 * size]
  marker = watermark.Marker(rate_hz)
  pieces = [marker.push(wav[i : i + size]) for i in range(0, len(wav), size)]
  joined = np.concatenate([*pieces, marker.finish()])
  assert len(joined) == len(wav)
  np.testing.assert_allclose(joined, watermark.mark(wav, rate_hz), atol=1e-6)


@pytest.mark.parametrize("rate_hz", [22_050, 24_000, 48_000])
def test_other_sample_rates(rate_hz):
  wav = watermark.mark(
    soxr.resample(waves.syllables(), RATE_HZ, rate_hz), rate_hz
  )
  assert found(soxr.resample(wav, rate_hz, RATE_HZ))


@pytest.mark.parametrize("size", [0, 1, 700, 16_000, 300_000])
def test_silence_and_scraps(size):
  silence = np.zeros(size, np.float32)
  np.testing.assert_array_equal(watermark.mark(silence, RATE_HZ), silence)
  assert watermark.detect([silence]).z == 0.0
  scrap = watermark.mark(waves.syllables()[:size], RATE_HZ)
  assert len(scrap) == min(size, len(waves.syllables()))
  assert watermark.detect([]).z == 0.0


def test_audio_of_the_api():
  plain = Audio(waves.syllables(), AudioSpec())
  assert found(plain.marked().wav)
  assert found(plain.marked("mine").wav, key="mine")
  assert not found(plain.wav)
