# SPDX-License-Identifier: Apache-2.0
"""The compiled functions of a run, with pinned layouts and donated state."""

from typing import Any

import jax

from ns_jax import sharding
from ns_jax.training import step
from ns_jax.training.stage import Stage
from ns_jax.training.state import TrainState


class Program:
  """What a stage does on a mesh; each part is compiled when it is first run."""

  def __init__(self, stage: Stage, mesh: Any, state: Any, micro_batches: int):
    """Pins the layouts.

    Args:
      stage: what to train.
      mesh: from `sharding.make_mesh`.
      state: a TrainState or its shapes.
      micro_batches: parts of a batch, see `accumulation`.
    """
    self.state_shardings = sharding.tree_shardings(
      state, mesh, stage.partition_rules
    )
    batch, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    self._stage = stage
    self.train_steps = [  # of each phase: (state, batch) -> (state, logs)
      jax.jit(
        step.make_train_step(stage, phase, micro_batches),
        donate_argnums=0,
        in_shardings=(self.state_shardings, batch),
        out_shardings=(self.state_shardings, everywhere),
      )
      for phase in range(len(stage.phases))
    ]
    self._begin_steps = [
      jax.jit(
        step.make_begin_step(stage, phase),
        donate_argnums=0,
        in_shardings=(self.state_shardings, batch),
        out_shardings=self.state_shardings,
      )
      for phase in range(len(stage.phases))
      if stage.begin_fn
    ]
    self.eval_step = jax.jit(
      step.make_eval_step(stage),
      in_shardings=(self.state_shardings, batch, everywhere),
      out_shardings=everywhere,
    )
    self.sample_step = jax.jit(
      step.make_sample_step(stage),
      in_shardings=(self.state_shardings, batch, everywhere),
      out_shardings=everywhere,
    )

  def train_step(
    self, done: int, state: TrainState, batch: Any
  ) -> tuple[TrainState, step.Logs]:
    """One step after `done` others; compiled when its phase begins."""
    phase = self._stage.phase(done)
    if self._stage.begin_fn and phase and done == self._stage.phases[phase]:
      state = self._begin_steps[phase](state, batch)
    return self.train_steps[phase](state, batch)
