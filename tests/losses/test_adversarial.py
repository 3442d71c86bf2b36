# SPDX-License-Identifier: Apache-2.0
"""Hinge and feature losses at known points."""

import jax.numpy as jnp
import numpy as np

from ns_jax.losses import adversarial


def _logits(value):
  return [jnp.full((2, length), value) for length in (5, 3)]


def test_hinge_at_known_points():
  right = adversarial.hinge_discriminator(_logits(1.5), _logits(-1.5))
  np.testing.assert_array_equal(right, np.zeros(2))
  unsure = adversarial.hinge_discriminator(_logits(0.0), _logits(0.0))
  np.testing.assert_array_equal(unsure, np.full(2, 2.0))
  np.testing.assert_array_equal(
    adversarial.hinge_generator(_logits(0.0)), np.ones(2)
  )
  np.testing.assert_array_equal(
    adversarial.hinge_generator(_logits(2.0)), np.zeros(2)
  )


def test_least_squares_at_known_points():
  right = adversarial.least_squares_discriminator(_logits(1.0), _logits(0.0))
  np.testing.assert_array_equal(right, np.zeros(2))
  wrong = adversarial.least_squares_discriminator(_logits(3.0), _logits(-2.0))
  np.testing.assert_array_equal(wrong, np.full(2, 8.0))
  np.testing.assert_array_equal(
    adversarial.least_squares_generator(_logits(-1.0)), np.full(2, 4.0)
  )
  np.testing.assert_array_equal(
    adversarial.least_squares_generator(_logits(1.0)), np.zeros(2)
  )


def test_judges_weigh_alike_whatever_their_length():
  logits = [jnp.full((1, 100), 1.0), jnp.full((1, 2), -1.0)]
  np.testing.assert_allclose(adversarial.hinge_generator(logits), [1.0])


def test_feature_matching_averages_layers():
  real = [[jnp.zeros((2, 4, 3)), jnp.zeros((2, 5))], [jnp.zeros((2, 7, 2, 1))]]
  fake = [[real[0][0] + 1.0, real[0][1] - 2.0], [real[1][0]]]
  np.testing.assert_allclose(
    adversarial.feature_matching(real, fake), [1.0, 1.0], rtol=1e-6
  )
  np.testing.assert_array_equal(
    adversarial.feature_matching(real, real), np.zeros(2)
  )
