# SPDX-License-Identifier: Apache-2.0
"""The one training loop.

Order of a step, part of the contract because resuming depends on it:
evaluate, save, next batch, step, log.
"""

import dataclasses
import itertools
import math
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm

from ns_jax import sharding
from ns_jax.array_types import Params
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.training import checkpoint, metrics, step, writers
from ns_jax.training.stage import Stage
from ns_jax.training.state import TrainState, create_state

HostBatch = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Feeds:
  """Where batches come from: this process's rows of each global batch."""

  train: Callable[[int], Iterator[HostBatch]]  # start step -> endless batches
  valid: Callable[[], Iterator[HostBatch]]  # one pass over held-out batches


class _Program:
  """The compiled functions of a run, with pinned layouts and donated state."""

  def __init__(self, stage: Stage, mesh: Any, state: Any, micro_batches: int):
    """Args: stage, mesh, the state or its shapes, parts of a batch."""
    rules = stage.partition_rules
    self.state_shardings = sharding.tree_shardings(state, mesh, rules)
    batch, everywhere = sharding.batch_sharding(mesh), sharding.replicated(mesh)
    self._stage = stage
    self._train_steps = [
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
    return self._train_steps[phase](state, batch)


def fit(
  config: Any,
  stage: Stage,
  feeds: Feeds,
  workdir: pathlib.Path,
  *,
  mesh: Any,
  frozen: Mapping[str, Any],
  start: Mapping[str, Params] | None = None,
) -> TrainState:
  """Trains a stage to `config.train.num_steps`, resuming where it stopped.

  Args:
    config: the run's config; sections audio, seed, train are read here.
    stage: what to train.
    feeds: training and held-out batches.
    workdir: where checkpoints, metrics and events go.
    mesh: from `sharding.make_mesh`.
    frozen: weights of earlier stages.
    start: parameters that do not begin at random, see `create_state`.

  Returns:
    The final state.

  Raises:
    UserError: training diverged, or no checkpoint of the workdir is whole.
  """
  spec = AudioSpec(**config.audio)
  first_batch = sharding.to_global(next(feeds.train(0)), mesh)
  make_state = lambda batch, frozen, start: create_state(
    stage, jax.random.key(config.seed), batch, frozen, start
  )
  given = dict(frozen), dict(start or {})
  abstract = jax.eval_shape(make_state, first_batch, *given)
  program = _Program(stage, mesh, abstract, config.train.micro_batches)
  checkpointer = checkpoint.Checkpointer(workdir, keep=config.train.keep)
  try:
    state = checkpointer.restore_latest(
      jax.tree.map(
        lambda leaf, layout: jax.ShapeDtypeStruct(
          leaf.shape, leaf.dtype, sharding=layout
        ),
        abstract,
        program.state_shardings,
      )
    )
    if state is None:
      init = jax.jit(make_state, out_shardings=program.state_shardings)
      # From the host, where every process has its own copy of all of it.
      state = init(first_batch, *jax.device_get(given))
      kept_steps = -1  # also the evaluation before the first step is redone
    else:
      kept_steps = int(state.step)
    writer = writers.MetricWriter(workdir, spec, start_step=kept_steps)
    try:
      return _run(config, state, program, feeds, mesh, checkpointer, writer)
    finally:
      writer.close()
  finally:
    checkpointer.close()


def _run(
  config: Any,
  state: TrainState,
  program: _Program,
  feeds: Feeds,
  mesh: Any,
  checkpointer: checkpoint.Checkpointer,
  writer: writers.MetricWriter,
) -> TrainState:
  train = config.train
  start = int(state.step)
  if start >= train.num_steps:
    return state
  batches = feeds.train(start)
  bar = tqdm.tqdm(
    total=train.num_steps,
    initial=start,
    desc=f"train {config.stage}",
    unit="step",
    disable=jax.process_index() != 0,
    mininterval=1.0,
  )
  logs: dict[str, Any] = {}
  clock, clock_step = time.perf_counter(), start
  with bar:
    for done in itertools.count(start):
      last = done >= train.num_steps
      if done > start or done == 0:
        if last or done % train.eval_every == 0:
          _evaluate(done, state, program, feeds, mesh, writer, config)
          clock, clock_step = time.perf_counter(), done
        if done > 0 and (last or done % train.save_every == 0):
          _raise_if_not_finite(logs, done, checkpointer)
          checkpointer.save(done, state)
      if last:
        return state
      batch = sharding.to_global(next(batches), mesh)
      state, logs = program.train_step(done, state, batch)
      bar.update()
      if (done + 1) % train.log_every == 0:
        values = _raise_if_not_finite(logs, done + 1, checkpointer)
        now = time.perf_counter()
        speed = (done + 1 - clock_step) / max(now - clock, 1e-9)
        clock, clock_step = now, done + 1
        writer.scalars(done + 1, values, steps_per_sec=speed)
        bar.set_postfix(loss=f"{_headline(values):.4g}")
        checkpointer.seal_finished()
  raise AssertionError("unreachable: the loop returns at its last step")


def _headline(values: Mapping[str, float]) -> float:
  """The loss shown beside the progress bar: the last player's."""
  return [v for name, v in values.items() if name.endswith("/loss")][-1]


def _raise_if_not_finite(
  logs: Mapping[str, Any], done: int, checkpointer: checkpoint.Checkpointer
) -> dict[str, float]:
  values = {name: float(v) for name, v in jax.device_get(dict(logs)).items()}
  bad = sorted(name for name, v in values.items() if not math.isfinite(v))
  if bad:
    checkpointer.wait()
    raise UserError(
      f"training diverged: {bad[0]} is not finite at step {done}; the last "
      "good checkpoint is kept; lower config.optim.peak_lr or clip_norm and "
      "start again in a new workdir"
    )
  return values


def _evaluate(
  done: int,
  state: TrainState,
  program: _Program,
  feeds: Feeds,
  mesh: Any,
  writer: writers.MetricWriter,
  config: Any,
) -> None:
  """Held-out means and samples, with the same keys at every evaluation."""
  key = jax.random.key(0)
  means, first = [], {}
  batches = itertools.islice(feeds.valid(), config.eval.num_batches)
  for i, host_batch in enumerate(batches):
    batch = sharding.to_global(host_batch, mesh)
    first = first or batch
    means.append(program.eval_step(state, batch, jax.random.fold_in(key, i)))
  values = metrics.merge_means(means)
  writer.scalars(done, {f"valid/{name}": v for name, v in values.items()})
  writer.samples(done, jax.device_get(program.sample_step(state, first, key)))
