# SPDX-License-Identifier: Apache-2.0
"""Soft-DTW against the sum over all paths, in double precision (T-C3)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.losses import soft_dtw as soft_dtw_lib

GAMMA, WARP = 0.3, 0.07
_STEPS = ((1, 1), (1, 0), (0, 1))


@pytest.fixture(autouse=True)
def double_precision():
  """As the reference is."""
  with jax.enable_x64(True):
    yield


@functools.cache
def paths(rows, columns):
  """All monotone paths from the first cell to (rows - 1, columns - 1)."""
  if (rows, columns) == (1, 1):
    return [((0, 0),)]
  found = []
  for down, right in _STEPS:
    if rows > down and columns > right:
      for path in paths(rows - down, columns - right):
        found.append((*path, (rows - 1, columns - 1)))
  return found


def path_costs(costs, warp):
  """What each path costs."""
  totals = []
  for path in paths(*costs.shape):
    steps = np.diff(path, axis=0)
    num_warps = np.sum((steps != 1).any(axis=1))
    totals.append(sum(costs[cell] for cell in path) + warp * num_warps)
  return np.array(totals)


def brute_force(costs, gamma, warp):
  totals = path_costs(costs, warp)
  return -gamma * np.logaddexp.reduce(-totals / gamma)


soft_dtw = jax.jit(soft_dtw_lib.soft_dtw)


def of_one(costs, gamma=GAMMA, warp=WARP, size=None):
  rows, columns = size or costs.shape
  return soft_dtw(
    jnp.asarray(costs)[None],
    jnp.array([rows]),
    jnp.array([columns]),
    gamma=gamma,
    warp=warp,
  )[0]


@pytest.mark.parametrize(
  ("shape", "count"), [((3, 4), 25), ((4, 4), 63), ((5, 6), 681), ((1, 4), 1)]
)
@pytest.mark.parametrize("gamma", [1.0, 0.1, 0.01])
def test_it_is_the_soft_minimum_over_all_paths(shape, count, gamma):
  costs = 3.0 * np.random.default_rng(0).random(shape)
  assert len(paths(*shape)) == count
  want = brute_force(costs, gamma, WARP)
  assert of_one(costs, gamma) == pytest.approx(want, rel=1e-12)


def test_it_comes_near_dynamic_time_warping():
  costs = 3.0 * np.random.default_rng(1).random((5, 6))
  least = path_costs(costs, WARP).min()
  for gamma in (0.1, 0.01, 1e-4):
    below = float(of_one(costs, gamma)) - least
    assert -gamma * np.log(681) <= below <= 1e-12


def test_the_gradient_is_the_probability_of_each_cell():
  costs = 3.0 * np.random.default_rng(2).random((4, 5))
  totals = path_costs(costs, WARP)
  weights = np.exp(-(totals - totals.min()) / GAMMA)
  weights /= weights.sum()
  want = np.zeros_like(costs)
  for weight, path in zip(weights, paths(4, 5), strict=True):
    for cell in path:
      want[cell] += weight
  got = jax.grad(of_one)(jnp.asarray(costs))
  np.testing.assert_allclose(got, want, atol=1e-9)
  assert got[0, 0] == pytest.approx(1.0, abs=1e-12)
  assert got[-1, -1] == pytest.approx(1.0, abs=1e-12)


def test_the_gradient_is_that_of_small_differences():
  costs = 3.0 * np.random.default_rng(3).random((5, 7))
  got = np.asarray(jax.grad(of_one)(jnp.asarray(costs)))
  for cell in np.ndindex(*costs.shape):
    shift = np.zeros_like(costs)
    shift[cell] = 1e-6
    slope = (of_one(costs + shift) - of_one(costs - shift)) / 2e-6
    assert got[cell] == pytest.approx(float(slope), abs=1e-8)


def test_padding_changes_nothing():
  costs = 3.0 * np.random.default_rng(4).random((7, 9))
  whole = functools.partial(of_one, size=(5, 8))
  got, gradient = jax.value_and_grad(whole)(jnp.asarray(costs))
  assert got == pytest.approx(float(of_one(costs[:5, :8])), rel=1e-14)
  assert not gradient[5:].any() and not gradient[:, 8:].any()
  np.testing.assert_allclose(
    gradient[:5, :8], jax.grad(of_one)(jnp.asarray(costs[:5, :8])), atol=1e-14
  )


def test_each_of_a_batch_has_its_own_length():
  costs = np.random.default_rng(5).random((3, 6, 6))
  sizes = np.array([[6, 2], [1, 6], [4, 4]])
  got = soft_dtw(
    jnp.asarray(costs), *jnp.asarray(sizes).T, gamma=GAMMA, warp=WARP
  )
  want = [
    brute_force(table[:rows, :columns], GAMMA, WARP)
    for table, (rows, columns) in zip(costs, sizes, strict=True)
  ]
  np.testing.assert_allclose(got, want, rtol=1e-12)


def test_where_warping_is_dear_the_diagonal_is_taken():
  costs = np.random.default_rng(6).random((5, 5))
  assert of_one(costs, warp=1e6) == pytest.approx(np.trace(costs), rel=1e-12)


def test_single_precision_is_enough():
  costs = 200.0 * np.random.default_rng(7).random((200, 220))
  single = functools.partial(of_one, gamma=0.01)
  value, gradient = jax.value_and_grad(single)(jnp.asarray(costs, jnp.float32))
  assert value.dtype == jnp.float32
  assert np.isfinite(gradient).all()
  assert value == pytest.approx(float(of_one(costs, gamma=0.01)), rel=1e-5)
