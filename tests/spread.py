# SPDX-License-Identifier: Apache-2.0
"""A few steps of a stage's tiny preset, on a mesh of any size."""

import functools
import importlib
import pathlib
from unittest import mock

import jax
import optax

from ns_jax import sharding, stages
from ns_jax.apps import starting, synthetic
from ns_jax.training.program import Program
from ns_jax.training.state import create_state

_ROWS, _STEPS = 8, 3
_EPS = 1e-2  # of Adam
_LEARNING_RATES = {"aligner": 10.0}  # whose gradients are small; others 1e-3


def _shaken(params):
  """Parameters that are none of them zero, and no student's its teacher's."""
  leaves, structure = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [
    leaf + 0.05 * jax.random.normal(key, leaf.shape, leaf.dtype)
    for leaf, key in zip(leaves, keys, strict=True)
  ]
  return jax.tree.unflatten(structure, moved)


def losses(name, mesh):
  """What steps of the last phase of a stage log: metric to a value a step."""
  config = importlib.import_module(f"configs.{name}").get_config("tiny")
  starting.adopt(config, pathlib.Path("none"))
  config.optim.peak_lr = _LEARNING_RATES.get(name, 1e-3)
  # Adam's first steps are as large for gradients that are mere rounding, unless
  # what it adds to their size is larger than they are.
  with (
    mock.patch.object(optax, "adam", functools.partial(optax.adam, eps=_EPS)),
    mock.patch.object(optax, "adamw", functools.partial(optax.adamw, eps=_EPS)),
  ):
    stage = stages.build(config)
  rows = synthetic.batch(config, stage, _ROWS)
  share = _ROWS // jax.process_count()
  first = share * jax.process_index()
  own = {key: value[first : first + share] for key, value in rows.items()}
  frozen = jax.device_get(jax.jit(lambda: synthetic.frozen(config))())

  def make(batch, frozen):
    state = create_state(stage, jax.random.key(0), batch, frozen)
    return state.replace(params=_shaken(state.params))

  with jax.set_mesh(mesh):
    batch = sharding.to_global(own, mesh)
    shapes = jax.eval_shape(make, batch, frozen)
    with mock.patch.object(sharding, "FSDP_MIN_BYTES", 1):  # all are split
      program = Program(stage, mesh, shapes, 1)
    init = jax.jit(make, out_shardings=program.state_shardings)
    state, logged = init(batch, frozen), []
    for _ in range(_STEPS):
      state, logs = program.train_step(stage.phases[-1] + 1, state, batch)
      logged.append(jax.device_get(logs))
  return {key: [float(logs[key]) for logs in logged] for key in logged[0]}
