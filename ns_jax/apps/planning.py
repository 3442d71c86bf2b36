# SPDX-License-Identifier: Apache-2.0
"""Plans of configs: what `ns-jax plan` does, in order."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
from absl import flags

from ns_jax import stages
from ns_jax.apps import checks, config_files, starting, synthetic
from ns_jax.errors import UserError
from ns_jax.planning import planner, topology
from ns_jax.planning.compiling import DoesNotFitError, Run
from ns_jax.planning.plan import Step
from ns_jax.planning.planner import Say

_NO_WORKDIR = pathlib.Path("no-workdir")


def load_config(path: str, overrides: Sequence[str]) -> Any:
  """Reads a config as `ns_jax.main` does.

  Args:
    path: of the file, with a preset after a colon.
    overrides: as --config.train.batch_size=32.

  Raises:
    UserError: there is no such file, preset or field.
  """
  values = flags.FlagValues()
  argv = ["ns-jax", f"--config={path}", *overrides]
  config_files.define(values, argv)
  try:
    rest = values(argv)
    values.config.lock()  # a file that could not be read fails at first use
  except config_files.MISTAKES as error:
    raise UserError(config_files.explain(error)) from error
  if len(rest) > 1:
    raise UserError(f"unknown argument {rest[1]!r}; see --help")
  return values.config


def make_run(config: Any) -> Run:
  """What is planned of a config: its shapes, without any data."""
  checks.check_program(config)
  starting.adopt(config, _NO_WORKDIR)
  rows = synthetic.batch(config, stages.build(config), 1)
  shapes = {
    name: jax.ShapeDtypeStruct(value.shape, value.dtype)
    for name, value in rows.items()
  }
  return Run(config, shapes, jax.eval_shape(lambda: synthetic.frozen(config)))


def plan(
  config: Any,
  topology_name: str,
  *,
  num_rows: int | None,
  most: int,
  say: Say,
) -> list[Step]:
  """Plans all phases of a config on a slice.

  Args:
    config: of a run.
    topology_name: of the slice.
    num_rows: of the global batch; None: the config's.
    most: layouts to compile in search of the fastest; 0: the config's alone.
    say: takes lines of progress.

  Returns:
    What each phase's step comes to.

  Raises:
    UserError: no such slice; no libtpu; or the config does not fit it.
  """
  if os.environ.get("JAX_PLATFORMS") != "cpu":
    raise UserError("planning must not touch devices: set JAX_PLATFORMS=cpu")
  within = topology.find(topology_name)
  topology.devices(within)  # complains at once
  rows = config.train.batch_size if num_rows is None else num_rows
  if rows < 1:
    raise UserError(f"config.train.batch_size={rows}: must be at least 1")
  run = make_run(config)
  if rows < within.num_chips:
    say(
      f"{rows} rows are fewer than {within.num_chips} chips: several chips "
      "share a row"
    )
  try:
    if most:
      return planner.fastest(run, within, num_rows=rows, most=most, say=say)
    candidate = planner.as_configured(run, within, rows)
    return [
      planner.compile_candidate(
        run, within, candidate, num_rows=rows, phase=phase, say=say
      )
      for phase in range(len(run.stage.phases))
    ]
  except DoesNotFitError as error:
    raise UserError(
      f"{config.stage} {error} of {within.name}, which has "
      f"{within.chip.hbm_bytes / 1e9:.1f} GB; use a smaller batch or a larger "
      "slice" + ("" if most else ", or leave out --no-search")
    ) from error
