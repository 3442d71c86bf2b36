# SPDX-License-Identifier: Apache-2.0
"""The one training loop.

Order of a step, part of the contract because resuming depends on it:
evaluate, save, next batch, step, log.
"""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import tqdm

from ns_jax import paths, sharding
from ns_jax.array_types import Params
from ns_jax.audio import AudioSpec
from ns_jax.errors import Preempted
from ns_jax.training import (
  checkpoint,
  divergence,
  feed,
  metrics,
  preemption,
  writers,
)
from ns_jax.training.feed import HostBatch
from ns_jax.training.program import Program
from ns_jax.training.stage import Stage
from ns_jax.training.state import TrainState, create_state


@dataclasses.dataclass(frozen=True)
class Feeds:
  """Where batches come from: this process's rows of each global batch."""

  train: Callable[[int], Iterator[HostBatch]]  # first number -> endless batches
  valid: Callable[[], Iterator[HostBatch]]  # one pass over held-out batches


@dataclasses.dataclass(frozen=True)
class _Job:
  """What does not change while a run goes on."""

  config: Any
  program: Program
  feeds: Feeds
  mesh: Any
  checkpointer: checkpoint.Checkpointer
  skipped: divergence.Skipped
  is_preempted_at: Callable[[int], bool]  # after so many steps


def fit(
  config: Any,
  stage: Stage,
  feeds: Feeds,
  workdir: paths.Path,
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
    Preempted: SIGTERM came; the newest state is saved.
  """
  spec = AudioSpec(**config.audio)
  skipped = divergence.Skipped(workdir)
  first_batch = lambda: sharding.to_global(
    next(feeds.train(skipped.number(0))), mesh
  )
  make_state = lambda batch, frozen, start: create_state(
    stage, jax.random.key(config.seed), batch, frozen, start
  )
  given = dict(frozen), dict(start or {})
  abstract = jax.eval_shape(make_state, first_batch(), *given)
  program = Program(stage, mesh, abstract, config.train.micro_batches)
  layouts = program.state_shardings
  target = jax.tree.map(
    lambda leaf, layout: jax.ShapeDtypeStruct(
      leaf.shape, leaf.dtype, sharding=layout
    ),
    abstract,
    layouts,
  )
  # The host's, because every process has its own copy of all of it.
  make = lambda: jax.jit(make_state, out_shardings=layouts)(
    first_batch(), *jax.device_get(given)
  )
  checkpointer = checkpoint.Checkpointer(workdir, keep=config.train.keep)
  with (
    contextlib.closing(checkpointer),
    preemption.notice() as is_preempted_at,
  ):
    job = _Job(
      config, program, feeds, mesh, checkpointer, skipped, is_preempted_at
    )
    while True:
      state = checkpointer.restore_latest(target)
      kept_steps = -1 if state is None else int(state.step)
      # With nothing kept, the evaluation before the first step is redone, too.
      writer = writers.MetricWriter(workdir, spec, start_step=kept_steps)
      try:
        return _run(job, make() if state is None else state, writer)
      except divergence.NotFiniteError as error:
        skipped.add(error, checkpointer.newest_step())


def _run(
  job: _Job, state: TrainState, writer: writers.MetricWriter
) -> TrainState:
  """Trains from a state to the end."""
  train, start = job.config.train, int(state.step)
  if start >= train.num_steps:
    return state
  first = job.skipped.number(start)
  batches = job.skipped.kept(job.feeds.train(first), first)
  hidden: Any = {"disable": True} if jax.process_index() else {}
  bar = tqdm.tqdm(
    total=train.num_steps,
    initial=start,
    desc=f"train {job.config.stage}",
    unit="step",
    mininterval=1.0,
    **hidden,
  )
  watch, is_told = divergence.Watch(), False
  clock, clock_step = time.perf_counter(), start
  with bar, feed.on_devices(batches, job.mesh) as next_batch:
    for done in itertools.count(start):
      last = done >= train.num_steps
      is_due = last or done % train.eval_every == 0
      is_told = is_told or job.is_preempted_at(done)
      # Rather a step later than without an evaluation, which takes longer.
      can_stop = done == start or not is_due or train.eval_every == 1
      stops = is_told and not last and can_stop
      if is_due and (done > start or done == 0 and not stops):
        _evaluate(job, done, state, writer)
        clock, clock_step = time.perf_counter(), done
      is_due = done % train.save_every == 0 or job.checkpointer.has_failed()
      if done > start and (last or stops or is_due):
        watch.look()
        job.checkpointer.save(done, state, wait=last or stops)
      if stops:
        raise Preempted(done)
      if last:
        return state
      state, logs = job.program.train_step(done, state, next_batch())
      watch.add(done, logs)
      bar.update()
      if (done + 1) % train.log_every == 0:
        values = watch.look()
        now = time.perf_counter()
        speed = (done + 1 - clock_step) / max(now - clock, 1e-9)
        clock, clock_step = now, done + 1
        writer.scalars(done + 1, values, steps_per_sec=speed)
        bar.set_postfix(loss=f"{_headline(values):.4g}")
        job.checkpointer.seal_finished()
  raise AssertionError("unreachable: the loop returns at its last step")


def _headline(values: Mapping[str, float]) -> float:
  """The loss shown beside the progress bar: the last player's."""
  return [v for name, v in values.items() if name.endswith("/loss")][-1]


def _evaluate(
  job: _Job, done: int, state: TrainState, writer: writers.MetricWriter
) -> None:
  """Held-out means and samples, with the same keys at every evaluation."""
  key = jax.random.key(0)
  means, first = [], {}
  batches = itertools.islice(job.feeds.valid(), job.config.eval.num_batches)
  for i, host_batch in enumerate(batches):
    batch = sharding.to_global(host_batch, job.mesh)
    first = first or batch
    eval_key = jax.random.fold_in(key, i)
    means.append(job.program.eval_step(state, batch, eval_key))
  values = metrics.merge_means(means)
  writer.scalars(done, {f"valid/{name}": v for name, v in values.items()})
  samples = job.program.sample_step(state, first, key)
  writer.samples(done, jax.device_get(samples))
