# SPDX-License-Identifier: Apache-2.0
"""Prosody statistics against SciPy's."""

import math

import numpy as np
import pytest
import scipy.stats

from ns_jax.evaluation import prosody


@pytest.mark.parametrize("shape", [0.5, 2.0, 9.0])
def test_moments_are_scipys_with_bias_and_fishers_kurtosis(shape):
  values = np.random.default_rng(0).gamma(shape, 40.0, 200)
  got = prosody.moments(values)
  assert got.mean == pytest.approx(values.mean())
  assert got.std == pytest.approx(scipy.stats.moment(values, 2) ** 0.5)
  assert got.skew == pytest.approx(scipy.stats.skew(values, bias=True))
  assert got.kurtosis == pytest.approx(
    scipy.stats.kurtosis(values, fisher=True, bias=True)
  )


def test_moments_that_do_not_exist_are_nan():
  assert math.isnan(prosody.moments(np.array([])).mean)
  flat = prosody.moments(np.full(5, 120.0))
  assert (flat.mean, flat.std) == (120.0, 0.0)
  assert math.isnan(flat.skew) and math.isnan(flat.kurtosis)


def test_phoneme_pitch_is_the_mean_over_voiced_frames():
  f0_hz = np.array([0.0, 100.0, 120.0, 0.0, 0.0, 200.0], np.float32)
  got = prosody.phoneme_f0_hz(f0_hz, np.array([3, 0, 2, 1]))
  np.testing.assert_allclose(got, [110.0, 200.0])
