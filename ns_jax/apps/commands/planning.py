# SPDX-License-Identifier: Apache-2.0
"""`ns-jax plan`: what training will take on TPUs, without one."""

import logging
import os

import click

from ns_jax.apps.commands import options, shared


@shared.verb(context_settings={"ignore_unknown_options": True})
@click.option(
  "--config",
  required=True,
  type=options.ConfigFile(),
  metavar="FILE[:PRESET]",
  help="The run's config.",
)
@click.option(
  "--topology",
  required=True,
  metavar="SLICE",
  help="As v5e-16, or v5e:4x4.",
)
@click.option(
  "--rows",
  type=click.IntRange(min=1),
  help="Global batch; the config's by default.",
)
@click.option(
  "--search/--no-search",
  default=True,
  show_default=True,
  help="Look for the fastest mesh, micro-batches and remat policy.",
)
@click.option(
  "--compile",
  "most",
  default=2,
  show_default=True,
  type=click.IntRange(min=1),
  help="Layouts that a search compiles beside the config's own.",
)
@click.option(
  "--quick",
  is_flag=True,
  help="Compile in a fraction of the time; a step then moves more memory and "
  "takes longer than it will, the other figures hold.",
)
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED)
def plan(
  config: str,
  topology: str,
  rows: int | None,
  search: bool,
  most: int,
  quick: bool,
  overrides: tuple[str, ...],
) -> shared.Done:
  """Says what training will take on TPUs, without one.

  Compiles the train step for a slice of them, which takes minutes: memory of a
  chip, what it computes, moves and sends, and from these bounds on the time of
  a step. OVERRIDES are fields of the config, as --config.train.batch_size=32.

  Example: ns-jax plan --config configs/ns2.py:paper --topology v5e-16
  """
  # Before jax is imported. What is compiled here cannot be read again.
  os.environ["JAX_PLATFORMS"] = "cpu"
  os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"
  if quick:
    os.environ["JAX_EXEC_TIME_OPTIMIZATION_EFFORT"] = "-1.0"
  from ns_jax.apps import planning
  from ns_jax.planning import table

  loaded = planning.load_config(config, overrides)
  steps = planning.plan(
    loaded,
    topology,
    num_rows=rows,
    most=most if search else 0,
    say=logging.getLogger(__name__).info,
  )
  return shared.Done(
    "\n\n".join(table.describe(step) for step in steps),
    {"steps": [step.to_json() for step in steps]},
  )
