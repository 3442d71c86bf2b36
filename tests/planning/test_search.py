# SPDX-License-Identifier: Apache-2.0
"""The search finds the best of what it is told."""

import pytest

from ns_jax.planning import search
from ns_jax.planning.estimating import Candidate, Estimate


def guess(name, size, seconds):
  return Estimate(Candidate((name, 1, 1), 1, None), size, seconds)


GUESSES = [
  guess(1, 50.0, 9.0),
  guess(2, 500.0, 1.0),  # far too large: never compiled
  guess(3, 70.0, 3.0),
  guess(4, 80.0, 2.0),  # guessed to fit, but does not
  guess(5, 60.0, 4.0),
  guess(6, 60.0, 5.0),
]
TRUTH = {1: (50.0, 2.0), 3: (95.0, 1.0), 5: (60.0, 5.0), 6: (60.0, 4.5)}


@pytest.mark.parametrize(("most", "expected"), [(2, 6), (3, 1)])
def test_the_fastest_that_fits(most, expected):
  compiled = []

  def compile_fn(candidate):
    name = candidate.mesh[0]
    compiled.append(name)
    if name not in TRUTH:
      return None
    return search.Measure(*TRUTH[name]), f"step {name}"

  found = search.best(GUESSES, compile_fn, hbm_bytes=100.0, most=most)
  candidate, measure, result = found
  assert candidate.mesh[0] == expected
  assert measure == search.Measure(*TRUTH[expected])
  assert result == f"step {expected}"
  # In the order of the guesses; 3 fits, but without headroom.
  assert compiled == [4, 3, 5, 6, 1][: most + 2]


@pytest.mark.parametrize(("own_sec", "expected"), [(0.5, 7), (9.0, 6)])
def test_the_configs_own_is_to_be_beaten(own_sec, expected):
  compiled = []
  truth = TRUTH | {7: (90.0, own_sec)}

  def compile_fn(candidate):
    compiled.append(candidate.mesh[0])
    found = truth.get(candidate.mesh[0])
    return found and (search.Measure(*found), None)

  own = guess(7, 300.0, 20.0).candidate  # guessed to be large and slow
  found = search.best(GUESSES, compile_fn, hbm_bytes=100.0, most=2, own=own)
  assert found[0].mesh[0] == expected
  assert compiled == [7, 4, 3, 5, 6]


def test_nothing_fits():
  found = search.best(GUESSES, lambda candidate: None, hbm_bytes=100.0, most=2)
  assert found is None
