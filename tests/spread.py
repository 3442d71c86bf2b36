# SPDX-License-Identifier: Apache-2.0
"""A few steps of a stage's tiny preset, on a mesh of any size."""

import importlib
import pathlib
from unittest import mock

import jax

from ns_jax import sharding, stages
from ns_jax.apps import starting, synthetic
from ns_jax.training.program import Program
from ns_jax.training.state import create_state

_ROWS, _STEPS = 8, 3


def losses(name, mesh):
  """What steps of the last phase of a stage log: metric to a value a step."""
  config = importlib.import_module(f"configs.{name}").get_config("tiny")
  starting.adopt(config, pathlib.Path("none"))
  # Adam's first steps are as large for gradients that are mere rounding.
  config.optim.peak_lr = 1e-4
  stage = stages.build(config)
  rows = synthetic.batch(config, stage, _ROWS)
  share = _ROWS // jax.process_count()
  first = share * jax.process_index()
  own = {key: value[first : first + share] for key, value in rows.items()}
  frozen = jax.device_get(jax.jit(lambda: synthetic.frozen(config))())

  def make(batch, frozen):
    state = create_state(stage, jax.random.key(0), batch, frozen)
    # A student that is still its teacher has a loss of nothing but rounding.
    moved = jax.tree.map(lambda leaf: 1.05 * leaf, state.params)
    return state.replace(params=moved)

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
