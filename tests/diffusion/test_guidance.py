# SPDX-License-Identifier: Apache-2.0
"""Classifier-free guidance."""

import gaussian
import jax
import jax.numpy as jnp
import numpy as np

from ns_jax.diffusion import guidance

CONDITIONAL = gaussian.denoiser(gaussian.SCHEDULES["vp"])
X = jax.random.normal(jax.random.key(0), (5, 3))
T = jnp.linspace(0.1, 1.0, 5)


def _unconditional(x, t):
  return CONDITIONAL(x, t) + 1.0


def test_weight_zero_is_the_conditional_denoiser_to_the_bit():
  guided = guidance.classifier_free(CONDITIONAL, _unconditional, 0.0)
  assert np.array_equal(guided(X, T), CONDITIONAL(X, T))


def test_guidance_is_linear_in_its_weight():
  c, u = CONDITIONAL(X, T), _unconditional(X, T)
  for weight in (0.5, 1.0, 2.0):
    guided = guidance.classifier_free(CONDITIONAL, _unconditional, weight)
    np.testing.assert_allclose(
      guided(X, T), (1.0 + weight) * c - weight * u, atol=1e-5
    )
