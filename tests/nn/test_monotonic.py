# SPDX-License-Identifier: Apache-2.0
"""Sum and best of monotone paths against all of them, one by one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.nn import monotonic

T, N = 9, 6


def paths(num_frames, num_symbols, optional, min_frames):
  """Every path, as the symbol of each frame."""
  symbols = range(num_symbols)
  for size in range(1, num_symbols + 1):
    for kept in itertools.combinations(symbols, size):
      left_out = set(symbols) - set(kept)
      if any(not optional[n] for n in left_out):
        continue
      for cuts in itertools.combinations(range(1, num_frames), size - 1):
        bounds = [0, *cuts, num_frames]
        lengths = np.diff(bounds)
        if (lengths >= min_frames).all():
          yield np.repeat(kept, lengths)


# (frames, symbols, optional ones)
CASES = [
  (1, 1, []),
  (5, 1, []),
  (9, 4, []),
  (5, 5, []),
  (7, 5, [0]),
  (7, 5, [2, 4]),
  (6, 6, [0, 3, 5]),
  (4, 5, [0, 2]),
  (3, 2, [1]),
]


@pytest.fixture(scope="module")
def lattice():
  rng = np.random.default_rng(0)
  log_probs = rng.normal(size=(len(CASES), T, N)) * 3
  optional = np.zeros((len(CASES), N), bool)
  for row, (_, _, pauses) in enumerate(CASES):
    optional[row, pauses] = True
    # Beyond the end everything is more likely than anything before.
    log_probs[row, CASES[row][0] :] = 50.0
    log_probs[row, :, CASES[row][1] :] = 50.0
  frames, symbols = (jnp.array([case[i] for case in CASES]) for i in (0, 1))
  return jnp.asarray(log_probs, jnp.float32), frames, symbols, optional


@pytest.fixture(params=[1, 2, 3])
def min_frames(request):
  return request.param


def scores_of_paths(lattice, min_frames):
  """(row, paths, their scores) of each row that has a path."""
  log_probs, frames, symbols, optional = (np.asarray(x) for x in lattice)
  for row in range(len(CASES)):
    every = list(paths(frames[row], symbols[row], optional[row], min_frames))
    if every:
      each = [log_probs[row, np.arange(len(p)), p] for p in every]
      yield row, every, np.array([x.sum(dtype=np.float64) for x in each])


def test_sum_is_that_of_every_path(lattice, min_frames):
  got = jax.jit(monotonic.log_sum, static_argnums=4)(*lattice, min_frames)
  want = np.full(len(CASES), -1e30)
  for row, _, scores in scores_of_paths(lattice, min_frames):
    want[row] = np.logaddexp.reduce(scores)
  np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_best_is_the_best_of_every_path(lattice, min_frames):
  best = jax.jit(monotonic.best_durations, static_argnums=4)
  got = np.asarray(best(*lattice, min_frames))
  for row, every, scores in scores_of_paths(lattice, min_frames):
    path = every[int(np.argmax(scores))]
    np.testing.assert_array_equal(got[row], np.bincount(path, minlength=N))


def test_gradient_is_the_posterior_of_each_symbol(lattice, min_frames):
  log_probs, *rest = lattice
  got = jax.grad(lambda x: monotonic.log_sum(x, *rest, min_frames).sum())(
    log_probs
  )
  assert np.isfinite(got).all()
  for row, every, scores in scores_of_paths(lattice, min_frames):
    weights = np.exp(scores - np.logaddexp.reduce(scores))
    want = np.zeros((T, N))
    for path, weight in zip(every, weights, strict=True):
      want[np.arange(len(path)), path] += weight
    np.testing.assert_allclose(got[row], want, atol=1e-5)


def test_more_symbols_than_frames_is_impossible_but_finite():
  log_probs = jnp.zeros((1, 3, 5))
  args = (jnp.array([3]), jnp.array([5]), jnp.zeros((1, 5), bool))
  value, gradient = jax.value_and_grad(
    lambda x: monotonic.log_sum(x, *args).sum()
  )(log_probs)
  assert value < -1e29 and np.isfinite(gradient).all()
