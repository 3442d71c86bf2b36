# SPDX-License-Identifier: Apache-2.0
"""What a state begins with: at random, or with parts of another model."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy

from ns_jax.training.state import create_state


def nested_stage():
  """Two players, one of them with a tree of depth three."""

  def init_fn(key, batch, frozen):
    normal = lambda i, *shape: jax.random.normal(
      jax.random.fold_in(key, i), shape
    )
    encoder = {"table": normal(0, 4, 2), "layer": {"kernel": normal(1, 2, 2)}}
    gen = {"encoder": encoder, "decoder": {"kernel": normal(2, 2, 3)}}
    return {"gen": gen, "disc": {"bias": normal(3, 3)}}, {}

  return dataclasses.replace(toy.make_stage(), init_fn=init_fn)


def state(start=None):
  stage = nested_stage()
  make = lambda start: create_state(stage, jax.random.key(0), {}, {}, start)
  return jax.jit(make)(start)


def test_a_part_of_a_player_begins_as_given():
  kernel = jnp.full((2, 2), 7.0)
  start = {"gen": {"encoder": {"layer": {"kernel": kernel}}}}
  plain, started = state(), state(start)
  expected = jax.device_get(plain.params)
  expected["gen"]["encoder"]["layer"]["kernel"] = np.full((2, 2), 7.0)
  jax.tree.map(np.testing.assert_array_equal, started.params, expected)
  for name, average in started.ema_params.items():
    jax.tree.map(np.testing.assert_array_equal, average, expected[name])
  assert jax.tree.structure(started) == jax.tree.structure(plain)


def test_a_whole_player_begins_as_given():
  bias = jnp.arange(3.0)
  started = state({"disc": {"bias": bias}})
  np.testing.assert_array_equal(started.params["disc"]["bias"], bias)
  jax.tree.map(
    np.testing.assert_array_equal,
    started.params["gen"],
    state().params["gen"],
  )


@pytest.mark.parametrize(
  ("start", "said"),
  [
    ({"gen": {"encoder": {"tabel": jnp.zeros((4, 2))}}}, "tabel"),
    ({"gen": {"encoder": {"table": jnp.zeros((5, 2))}}}, "encoder/table is"),
    ({"gen": {"decoder": {"kernel": {"x": jnp.zeros(1)}}}}, "no parameters"),
    ({"gen": {"encoder": jnp.zeros(3)}}, "is"),
  ],
)
def test_what_does_not_fit_is_refused(start, said):
  with pytest.raises(ValueError, match=said):
    state(start)
