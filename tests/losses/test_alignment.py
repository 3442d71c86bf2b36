# SPDX-License-Identifier: Apache-2.0
"""Alignment losses in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.losses import alignment


def test_uniform_frames_count_the_paths():
  """5 frames over 3 phonemes: C(4, 2) = 6 ways, each of probability 3^-5."""
  log_probs = jnp.full((1, 5, 3), -np.log(3.0))
  got = alignment.forward_sum(
    log_probs, jnp.array([5]), jnp.array([3]), jnp.zeros((1, 3), bool)
  )
  assert got[0] == pytest.approx((5 * np.log(3.0) - np.log(6.0)) / 5, rel=1e-5)


def test_impossible_alignments_teach_nothing():
  got = alignment.forward_sum(
    jnp.zeros((1, 2, 3)),
    jnp.array([2]),
    jnp.array([3]),
    jnp.zeros((1, 3), bool),
  )
  assert got[0] == 0.0


def test_binarisation_reads_the_path():
  log_soft = jnp.asarray(np.random.default_rng(0).normal(size=(1, 6, 3)))
  got = alignment.binarisation(log_soft, jnp.array([[2, 0, 3]]))
  soft = np.asarray(log_soft)[0]
  want = [-soft[0, 0], -soft[1, 0], -soft[2, 2], -soft[3, 2], -soft[4, 2], 0.0]
  np.testing.assert_allclose(got[0], want, rtol=1e-6)
