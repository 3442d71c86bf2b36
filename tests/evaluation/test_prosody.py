# SPDX-License-Identifier: Apache-2.0
"""Prosody statistics against SciPy's."""

import math

import numpy as np
import pytest
import scipy.stats

from ns_jax.evaluation import prosody
from ns_jax.text import symbols


@pytest.mark.parametrize("shape", [0.5, 2.0, 9.0])
def test_moments_are_of_the_population_with_fishers_kurtosis(shape):
  values = np.random.default_rng(0).gamma(shape, 40.0, 200)
  got = prosody.moments(values)
  second, third, fourth = (
    scipy.stats.moment(values, order) for order in (2, 3, 4)
  )
  assert got["mean"] == pytest.approx(values.mean())
  assert got["std"] == pytest.approx(second**0.5)
  assert got["skew"] == pytest.approx(third / second**1.5)
  assert got["kurtosis"] == pytest.approx(fourth / second**2 - 3.0)


def test_moments_that_do_not_exist_are_nan():
  assert all(map(math.isnan, prosody.moments(np.array([])).values()))
  flat = prosody.moments(np.full(5, 120.0))
  assert (flat["mean"], flat["std"]) == (120.0, 0.0)
  assert math.isnan(flat["skew"]) and math.isnan(flat["kurtosis"])


def test_phoneme_pitch_is_the_mean_over_voiced_frames():
  f0_hz = np.array([0.0, 100.0, 120.0, 0.0, 0.0, 200.0], np.float32)
  got = prosody.phoneme_f0_hz(f0_hz, np.array([3, 0, 2, 1]))
  np.testing.assert_allclose(got, [110.0, 200.0])


def test_difference_is_taken_moment_by_moment_over_phonemes():
  durations = np.array([2, 1, 3])
  low = np.repeat([100.0, 110.0, 150.0], durations)
  slow = np.repeat([120.0, 130.0, 170.0], 2 * durations)
  got = prosody.difference((low, durations), (slow, 2 * durations))
  assert got["pitch_mean"] == pytest.approx(20.0)
  assert got["pitch_std"] == pytest.approx(0.0)
  assert got["duration_mean"] == pytest.approx(2.0)
  assert got["duration_std"] == pytest.approx(np.std(durations))
  durations = np.array([2, 2, 2])
  low = np.repeat([100.0, 110.0, 150.0], durations)
  same = prosody.difference((low, durations), (low, durations))
  assert same["pitch_mean"] == same["pitch_std"] == same["pitch_skew"] == 0.0
  assert same["duration_mean"] == 0.0 and math.isnan(same["duration_skew"])


def test_tuning_counts_frames_within_a_semitone():
  planned = np.array([0.0, 200.0, 200.0, 200.0, 200.0, 0.0])
  sung = np.array([150.0, 202.0, 400.0, 0.0, 195.0, 0.0, 100.0])
  got = prosody.tuning(sung, planned)
  assert got.in_tune == pytest.approx(2 / 3)  # an octave off is off
  assert got.voiced == pytest.approx(3 / 4)
  assert got.median_error_semitones == pytest.approx(
    12 * math.log2(200 / 195), abs=1e-9
  )
  assert prosody.tuning(sung, planned, tolerance_semitones=0.3).in_tune == (
    pytest.approx(1 / 3)
  )


def test_tuning_of_silence_is_nan():
  got = prosody.tuning(np.zeros(4), np.full(4, 200.0))
  assert got.voiced == 0.0 and math.isnan(got.in_tune)
  assert math.isnan(prosody.tuning(np.ones(4), np.zeros(4)).voiced)


def test_agreement_is_over_phonemes_voiced_in_both():
  rng = np.random.default_rng(0)
  durations, others = rng.integers(1, 9, (2, 40))
  pitches = rng.uniform(80.0, 300.0, (2, 40))
  pitches[0, ::7] = pitches[1, ::5] = 0.0
  got = prosody.agreement(
    (np.repeat(pitches[0], durations), durations),
    (np.repeat(pitches[1], others), others),
  )
  one, other = pitches[:, (pitches > 0).all(axis=0)]
  assert len(one) < 35
  assert got["pitch_correlation"] == pytest.approx(
    scipy.stats.pearsonr(one, other).statistic
  )
  assert got["pitch_rmse_hz"] == pytest.approx(
    np.sqrt(((one - other) ** 2).mean())
  )
  assert got["duration_correlation"] == pytest.approx(
    scipy.stats.pearsonr(durations, others).statistic
  )
  assert got["duration_rmse_frames"] == pytest.approx(
    np.sqrt(((durations - others) ** 2).mean())
  )


def test_agreement_of_nothing_is_nan():
  silent = (np.zeros(6), np.array([2, 2, 2]))
  got = prosody.agreement(silent, silent)
  assert math.isnan(got["pitch_correlation"])
  assert math.isnan(got["pitch_rmse_hz"])
  assert math.isnan(got["duration_correlation"])
  assert got["duration_rmse_frames"] == 0.0


def test_pauses_are_no_speech():
  phonemes = symbols.to_ids(["_", "k", "ˈæ", ",", "t", "."])
  durations = np.array([2, 1, 3, 2, 1, 0])
  f0_hz = np.arange(9.0)
  got_f0_hz, got_durations = prosody.of_speech(phonemes, f0_hz, durations)
  np.testing.assert_array_equal(got_f0_hz, [2, 3, 4, 5, 8])
  np.testing.assert_array_equal(got_durations, [1, 3, 1])
