# SPDX-License-Identifier: Apache-2.0
"""Distances against closed forms."""

import numpy as np

from ns_jax.evaluation import audio_metrics

RNG = np.random.default_rng(0)


def test_a_gain_of_6_db_is_a_distance_of_6_db():
  mel = RNG.normal(size=(50, 80))
  louder = mel + np.log(2.0)
  expected = 20 * np.log10(2.0)
  distance = audio_metrics.log_mel_distance_db(louder[:40], mel)
  np.testing.assert_allclose(distance, expected, rtol=1e-6)


def test_warping_forgives_timing_and_nothing_else():
  mel = np.cumsum(RNG.normal(size=(60, 80)), axis=0)
  slower = np.repeat(mel, 2, axis=0)
  assert audio_metrics.warped_log_mel_distance_db(slower, mel) < 1e-9
  assert audio_metrics.log_mel_distance_db(slower, mel) > 1.0
  distance = audio_metrics.warped_log_mel_distance_db(slower + 1.0, mel)
  assert 0.0 < distance <= audio_metrics.NATS_TO_DB + 1e-9


def test_f0_error_is_in_cents_over_frames_voiced_in_both():
  reference = np.array([0.0, 100.0, 200.0, 300.0])
  octave_up = np.array([500.0, 200.0, 400.0, 0.0])
  assert audio_metrics.f0_error_cents(octave_up, reference) == 1200.0
  silent = np.zeros(4)
  assert np.isnan(audio_metrics.f0_error_cents(silent, reference))


def test_si_sdr_ignores_gain_and_measures_noise():
  reference = np.sin(np.arange(16_000) * 0.1)
  noise = RNG.normal(size=16_000)
  noise -= reference * (noise @ reference) / (reference @ reference)
  noise *= np.linalg.norm(reference) / np.linalg.norm(noise) / 10.0
  value = audio_metrics.si_sdr_db(3.0 * (reference + noise), reference)
  np.testing.assert_allclose(value, 20.0, atol=1e-6)


def test_mel_cepstral_distortion_by_its_formula():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 5, 20))
  n = np.arange(20)
  rows = [np.cos(np.pi * k * (n + 0.5) / 20)
          for k in range(1, 14)]  # fmt: skip
  cepstra = (a - b) @ np.array(rows).T / 20
  expected = np.mean(10 / np.log(10) * np.sqrt(2 * (cepstra**2).sum(1)))
  found = audio_metrics.mel_cepstral_distortion_db(a, b)
  np.testing.assert_allclose(found, expected)
  # A change of level is no distortion of the timbre.
  assert audio_metrics.mel_cepstral_distortion_db(a + 1.0, a) < 1e-12
