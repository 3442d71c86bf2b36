# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch


@pytest.fixture
def spec():
  return AudioSpec()


@pytest.fixture(params=["harvest", "dio"])
def method(request):
  return request.param


def _harmonics(f0_hz, spec):
  """[S] tone whose pitch is f0_hz, [S]."""
  phase = 2 * np.pi * np.cumsum(f0_hz) / spec.sample_rate_hz
  return 0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))


@pytest.mark.parametrize("hz", [100.0, 220.0, 440.0])
def test_tone(hz, spec, method):
  f0 = pitch.f0(_harmonics(np.full(16_000, hz), spec), spec, method)
  assert f0.shape == (80,) and f0.dtype == np.float32
  voiced = f0[f0 > 0]
  assert voiced.size > 70
  np.testing.assert_allclose(np.median(voiced), hz, rtol=0.003)


def test_frames_are_centred(spec, method):
  sweep_hz = np.linspace(100.0, 300.0, 32_000)
  f0 = pitch.f0(_harmonics(sweep_hz, spec), spec, method)
  centres = sweep_hz.reshape(-1, spec.hop_samples).mean(1)
  inner = slice(10, -10)
  # Half a frame off would be 0.6 Hz.
  assert abs(np.median(f0[inner] - centres[inner])) < 0.3


@pytest.mark.parametrize("num_samples", [1, 200, 3999, 4000, 4001])
def test_one_value_a_frame_and_silence_is_unvoiced(num_samples, spec, method):
  f0 = pitch.f0(np.zeros(num_samples), spec, method)
  assert f0.shape == (spec.num_frames(num_samples),)
  assert (f0 == 0).all()


def test_harvest_hears_a_voice_over_mains_hum(spec):
  voice = _harmonics(np.full(32_000, 190.0), spec)
  hum = 0.05 * np.sin(2 * np.pi * 60.5 / 16_000 * np.arange(32_000))
  f0 = pitch.f0(voice + hum, spec, "harvest")
  np.testing.assert_allclose(np.median(f0), 190.0, rtol=0.01)


@pytest.mark.parametrize("num_samples", [32_000, 31_901])
def test_phase_of_the_fundamental(num_samples, spec):
  sweep_hz = np.linspace(100.0, 300.0, 32_000)
  wav = _harmonics(sweep_hz, spec)[:num_samples]
  f0 = sweep_hz.reshape(-1, spec.hop_samples).mean(1).astype(np.float32)
  f0[40:60] = 0.0
  phase = pitch.f0_phase(wav, f0, spec)
  assert phase.shape == f0.shape and phase.dtype == np.float32
  assert (phase[40:60] == 0).all()
  true = 2 * np.pi * np.cumsum(sweep_hz)[100::200] / spec.sample_rate_hz
  true -= np.pi / 2  # the tone is made of sines
  error = np.angle(np.exp(1j * (phase - true)))[np.r_[3:37, 63:157]]
  assert np.abs(error).max() < 0.05


def test_phase_of_silence_is_zero(spec):
  phase = pitch.f0_phase(np.zeros(1000), np.zeros(5, np.float32), spec)
  np.testing.assert_array_equal(phase, np.zeros(5))
