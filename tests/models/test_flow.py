# SPDX-License-Identifier: Apache-2.0
"""The flow: invertible, keeps volumes, blind to padding (T-C2)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ns_jax.models import flow
from tests import codecs

WAYS = {"__call__", "inverse"}
FLOW = flow.Flow(4, 8, num_layers=3, kernel_size=5)
init = jax.jit(FLOW.init)
apply = jax.jit(FLOW.apply, static_argnames="method")


@functools.cache
def make(channels=6, frames=9):
  """Random weights of the flow, an input and its mask."""
  x = jax.random.normal(jax.random.key(0), (2, frames, channels))
  mask = jnp.arange(frames)[None, :] < jnp.array([frames, frames - 3])[:, None]
  variables = init(jax.random.key(1), x, mask)
  params = codecs.shaken(variables, np.random.default_rng(0), 0.3)
  return params, x, mask


@pytest.mark.parametrize(
  ("first", "then"), [("__call__", "inverse"), ("inverse", "__call__")]
)
def test_it_is_undone(first, then):
  params, x, mask = make()
  there = apply(params, x, mask, method=first)
  assert there.shape == x.shape and there.dtype == jnp.float32
  assert jnp.abs(there - x).max() > 0.1
  back = apply(params, there, mask, method=then)
  np.testing.assert_allclose(back, x, atol=1e-5)


@pytest.mark.parametrize("first", sorted(WAYS))
def test_in_float64_it_is_undone_and_keeps_volumes(first):
  (then,) = WAYS - {first}
  with jax.enable_x64(True):
    exact = flow.Flow(4, 8, num_layers=3, kernel_size=5, dtype=jnp.float64)
    params, x, mask = jax.tree.map(
      lambda leaf: leaf.astype(np.float64) if leaf.dtype != bool else leaf,
      make(channels=4, frames=6),
    )

    def run(flat):
      y = exact.apply(params, flat.reshape(x.shape), mask, method=first)
      return y.ravel()

    there = run(x.ravel())
    back = exact.apply(params, there.reshape(x.shape), mask, method=then)
    np.testing.assert_allclose(back, x, rtol=0, atol=1e-14)
    log_det = np.linalg.slogdet(jax.jit(jax.jacrev(run))(x.ravel()))[1]
    assert log_det == pytest.approx(0.0, abs=1e-13)


def test_at_first_it_only_flips():
  _, x, mask = make()  # an even number of times
  params = init(jax.random.key(1), x, mask)
  np.testing.assert_array_equal(apply(params, x, mask), x)


def test_padding_is_not_heard():
  params, x, mask = make()
  noisy = jnp.where(mask[..., None], x, 1e3)
  got, want = (apply(params, one, mask) for one in (noisy, x))
  np.testing.assert_allclose(got[1, :6], want[1, :6], atol=1e-5)


def test_the_size_of_the_paper():
  model = flow.Flow(4, 192, num_layers=4, kernel_size=5)
  shapes = jax.eval_shape(
    model.init,
    jax.random.key(0),
    jnp.zeros((1, 4, 192)),
    jnp.ones((1, 4), bool),
  )
  count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
  assert count == 7_102_080
