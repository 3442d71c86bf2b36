# SPDX-License-Identifier: Apache-2.0
"""`ns-jax train` and `evaluate`: what `python -m ns_jax.main` does."""

import runpy
import sys

import click

from ns_jax.apps.commands import options, shared

# What is no option of the verb's is one of ns_jax.main.
_PASSED_ON = {"ignore_unknown_options": True}
_FLAGS = click.argument("flags", nargs=-1, type=click.UNPROCESSED)


@shared.verb(context_settings=_PASSED_ON)
@click.argument("config", type=options.ConfigFile(), metavar="CONFIG[:PRESET]")
@click.option(
  "--workdir",
  type=options.PATH,
  help="Folder of the run, or gs://bucket/run.  "
  "[default: runs/<stage>-<preset>]",
)
@_FLAGS
def train(
  config: str, workdir: str | None, flags: tuple[str, ...]
) -> shared.Done:
  """Trains what a config file says, and writes a report.

  CONFIG is a file, or one that comes along: ns2, ns1, codec, aligner,
  phoneme_lm, ns2_distilled. FLAGS change its fields, as
  --config.train.batch_size=16, or are other flags of python -m ns_jax.main,
  which does the work.

  Stopped in any way, the same command goes on.

  Example: ns-jax train configs/ns2.py:tiny --workdir=runs/tiny
  """
  given = [] if workdir is None else [f"--workdir={workdir}"]
  return _run(f"--config={config}", *given, *flags)


@shared.verb(context_settings=_PASSED_ON)
@click.argument("workdir", type=options.PATH)
@_FLAGS
def evaluate(workdir: str, flags: tuple[str, ...]) -> shared.Done:
  """Measures the run in WORKDIR again and rewrites its report.

  FLAGS change fields of its config that training does not depend on, as
  --config.eval.num_batches=8 or --config.sample.steps=50.

  Example: ns-jax evaluate runs/ns2-demo
  """
  from ns_jax.apps import saved_config

  saved_config.get_config(workdir)  # complains in one line
  return _run(
    "--mode=evaluate",
    f"--config={saved_config.__file__}:{workdir}",
    f"--workdir={workdir}",
    *flags,
  )


def _run(*flags: str) -> shared.Done:
  """Runs `python -m ns_jax.main` in this process; its report, as facts."""
  sys.argv = ["ns-jax", *flags]
  try:
    runpy.run_module("ns_jax.main", run_name="__main__", alter_sys=True)
  except SystemExit as end:
    if end.code:
      raise
  from absl.flags import FLAGS

  from ns_jax import paths
  from ns_jax.evaluation import report
  from ns_jax.training import workdir

  run_dir = paths.resolve(FLAGS.workdir or workdir.default(FLAGS.config))
  page = run_dir / report.REPORT_PAGE
  return shared.Done(
    str(page),
    {"workdir": run_dir, "page": page, "report": report.read_report(run_dir)},
  )
