# SPDX-License-Identifier: Apache-2.0
"""Shards made by a Beam pipeline, on this machine or on many."""

import functools
import pathlib
import re
import threading
from collections.abc import Callable, Sequence
from typing import Any

from data_pipelines import progress, shards
from data_pipelines.shards import Shard
from ns_jax.errors import UserError

ALL_CORES = (
  "--runner=DirectRunner",
  "--direct_running_mode=multi_processing",
  "--direct_num_workers=0",  # one a core
)
THIS_PROCESS = ("--runner=DirectRunner", "--direct_running_mode=in_memory")

# Makes the shards that are left, each by a call of the function.
Run = Callable[[Sequence[Shard], Callable[[Shard], None]], None]


def make_run(options: Sequence[str] | Any, log: pathlib.Path) -> Run:
  """Chooses how shards are made.

  Args:
    options: as for any Beam pipeline, where those of ALL_CORES hold unless a
      runner is named; or Beam's own PipelineOptions.
    log: file for what the workers print.
  """
  if isinstance(options, Sequence) and not any(
    option.startswith("--runner=") for option in options
  ):
    options = (*ALL_CORES, *options)
  return functools.partial(_run, options, log)


def _run(
  options: Sequence[str] | Any,
  log: pathlib.Path,
  left: Sequence[Shard],
  make: Callable[[Shard], None],
) -> None:
  if not left:
    return
  from apache_beam.options.pipeline_options import PipelineOptions

  is_text = isinstance(options, Sequence)
  parsed: Any = PipelineOptions(list(options)) if is_text else options
  parsed.get_all_options()  # a mistake in them is said on the terminal
  try:
    with progress.stderr_to(log):
      _watched(functools.partial(_pipeline, parsed, left, make))
  except _WorkerDied as error:
    raise UserError(
      f"a worker died, killed or out of memory{shards.under_way(log.parent)}; "
      "run the same command to go on"
    ) from error
  except (RuntimeError, ValueError) as error:
    # Beam hands on the text of a worker's exception, and nothing else.
    said = re.search(r"UserError: (.*?)(?: \[while running|\n|$)", str(error))
    said = said or re.search(r"(Unexpected pipeline runner.*?)\.", str(error))
    if not said:
      raise
    raise UserError(said[1]) from error


def _pipeline(
  options: Any, left: Sequence[Shard], make: Callable[[Shard], None]
) -> None:
  import apache_beam

  with apache_beam.Pipeline(options=options) as pipeline:
    _ = (
      pipeline
      | "Shards" >> apache_beam.Create([tuple(shard) for shard in left])
      | "Spread" >> apache_beam.Reshuffle()
      | "Make" >> apache_beam.Map(lambda shard: make(Shard(*shard)))
    )


class _WorkerDied(Exception):
  """A worker is gone without a word."""


def _watched(work: Callable[[], None]) -> None:
  """Runs `work`, and stops waiting for it when one of Beam's threads fails.

  Beam notices that a worker is gone in a thread of its own, and goes on waiting
  for that worker's results. Threads of an earlier pipeline may outlive it, and
  what they say is not about this one.
  """
  earlier = set(threading.enumerate())
  over = threading.Event()
  errors: list[BaseException] = []

  def run() -> None:
    try:
      work()
    except BaseException as error:  # handed on below
      errors.append(error)
    finally:
      over.set()

  def failed(args: threading.ExceptHookArgs) -> None:
    if args.thread in earlier:
      usual(args)
    elif "Worker subprocess exited" in str(args.exc_value):
      errors.append(_WorkerDied(str(args.exc_value)))
      over.set()

  usual = threading.excepthook
  threading.excepthook = failed
  try:
    threading.Thread(target=run, daemon=True).start()
    over.wait()
  finally:
    threading.excepthook = usual
  if errors:
    raise errors[0]
