# SPDX-License-Identifier: Apache-2.0
"""Divergences against broadcasting and closed forms (T-C5, T-C6)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.losses import gaussian
from ns_jax.nn.gaussian import Gaussian


def some(seed, frames, channels=192):
  rng = np.random.default_rng(seed)
  mean, log_std = rng.normal(size=(2, 1, frames, channels)).astype(np.float32)
  return Gaussian(jnp.asarray(mean), jnp.asarray(0.3 * log_std))


@pytest.mark.parametrize("form", [gaussian.drawn, gaussian.moments])
def test_the_table_is_that_of_all_pairs(form):
  with jax.enable_x64(True):
    one, other = jax.tree.map(
      lambda x: x.astype(np.float64), (some(0, 11), some(1, 13))
    )
    carried = form(one.mean, one.log_std)
    got = gaussian.pairwise_divergence(carried, other)
    assert got.shape == (1, 11, 13) and got.dtype == np.float64
    for i in range(11):
      row = jax.tree.map(
        lambda x, i=i: jnp.repeat(x[:, i, None], 13, 1), carried
      )
      want = gaussian.divergence(row, other)
      np.testing.assert_allclose(got[:, i], want, rtol=1e-12)


def test_the_table_in_float32():
  one, other = some(0, 11), some(1, 13)
  carried = gaussian.moments(one.mean, one.log_std)
  got = gaussian.pairwise_divergence(carried, other)
  with jax.enable_x64(True):
    exact = jax.tree.map(lambda x: x.astype(np.float64), (carried, other))
    want = gaussian.pairwise_divergence(*exact)
  np.testing.assert_allclose(got, want, rtol=1e-6)


def test_by_hand():
  """KL(N(1, 2²) || N(3, 0.5²)) = log(1/4) - 1/2 + (4 + 4) / (2 · 1/4)."""
  one = gaussian.moments(
    jnp.full((1, 1, 1), 1.0), jnp.full((1, 1, 1), np.log(2))
  )
  other = Gaussian(jnp.full((1, 1, 1), 3.0), jnp.full((1, 1, 1), np.log(0.5)))
  want = np.log(0.25) - 0.5 + 16.0
  assert gaussian.divergence(one, other)[0, 0] == pytest.approx(want, rel=1e-6)


def test_of_the_same_set():
  """At the mean a draw counts -1/2 a channel; moments count 0, and no less."""
  same = some(2, 9)
  at_mean = gaussian.drawn(same.mean, same.log_std)
  table = gaussian.pairwise_divergence(at_mean, same)[0]
  np.testing.assert_allclose(np.diag(table), -0.5, atol=1e-5)
  by_moments = gaussian.moments(same.mean, same.log_std)
  table = gaussian.pairwise_divergence(by_moments, same)[0]
  np.testing.assert_allclose(np.diag(table), 0.0, atol=1e-5)
  off_diagonal = np.asarray(table)[~np.eye(9, dtype=bool)]
  assert off_diagonal.min() > 0.1


def test_draws_are_right_on_average():
  """Mean over M draws is the analytic divergence to within 3 / sqrt(M)."""
  count = 10_000
  one, other = some(3, 1, 4), some(4, 1, 4)
  keys = jax.random.split(jax.random.key(0), count)
  draw = lambda key: gaussian.divergence(
    gaussian.drawn(one.draw(key), one.log_std), other
  )
  values = np.asarray(jax.vmap(draw)(keys))[:, 0, 0]
  want = gaussian.divergence(gaussian.moments(one.mean, one.log_std), other)
  assert abs(values.mean() - want[0, 0]) < 3.0 * values.std() / np.sqrt(count)
  itself = jax.vmap(
    lambda key: gaussian.divergence(
      gaussian.drawn(one.draw(key), one.log_std), one
    )
  )(jax.random.clone(keys))
  assert abs(itself.mean()) < 3.0 / np.sqrt(count)


def test_both_directions_with_a_flow_that_does_nothing():
  """1-D: backward and forward are the two divergences, and not the same."""
  count = 1_000_000
  q, p = (
    Gaussian(
      jnp.full((1, count, 1), mean), jnp.full((1, count, 1), np.log(std))
    )
    for mean, std in ((0.3, 0.8), (-0.2, 1.3))
  )
  keys = jax.random.split(jax.random.key(1))
  found = []
  for one, other, key in ((q, p, keys[0]), (p, q, keys[1])):
    got = gaussian.divergence(
      gaussian.drawn(one.draw(key), one.log_std), other
    ).mean()
    want = gaussian.divergence(gaussian.moments(one.mean, one.log_std), other)[
      0, 0
    ]
    assert got == pytest.approx(float(want), rel=0.01)
    found.append(float(want))
  assert abs(found[0] - found[1]) > 0.05


def test_a_draw_has_the_deviation_it_is_told():
  wide = Gaussian(
    jnp.full((1, 50_000, 1), 2.0), jnp.full((1, 50_000, 1), np.log(3.0))
  )
  for temperature in (1.0, 0.5):
    drawn = wide.draw(jax.random.key(2), temperature)
    assert drawn.mean() == pytest.approx(2.0, abs=0.05)
    assert drawn.std() == pytest.approx(3.0 * temperature, rel=0.02)


def test_features_become_mean_and_deviation():
  read = Gaussian.of(jnp.arange(8.0).reshape(1, 2, 4))
  np.testing.assert_array_equal(read.mean[0], [[0, 1], [4, 5]])
  np.testing.assert_array_equal(read.log_std[0], [[2, 3], [6, 7]])
