# SPDX-License-Identifier: Apache-2.0
"""The command `ns-jax`: one verb for each thing to be done.

Nothing heavy is imported before a verb needs it, so help comes at once.
"""

import click

from ns_jax import __version__
from ns_jax.apps.commands import (
  bundles,
  checkup,
  codes,
  completing,
  marks,
  page,
  planning,
  records,
  runs,
  serving,
  shared,
  speech,
)

_VERBS = (
  speech.synthesize,
  speech.convert,
  speech.enhance,
  speech.sing,
  serving.serve,
  page.demo,
  marks.detect,
  codes.encode,
  codes.decode,
  records.prepare,
  records.inspect,
  runs.train,
  runs.evaluate,
  bundles.export,
  bundles.export_stablehlo,
  planning.plan,
  checkup.bench,
  checkup.doctor,
  completing.completion,
)


class _InOrder(click.Group):
  """Lists verbs as they are used, and not by their letters."""

  def list_commands(self, ctx: click.Context) -> list[str]:
    """In the order in which they were added."""
    return list(self.commands)


@click.group(
  cls=_InOrder,
  context_settings={"help_option_names": ["-h", "--help"]},
  epilog=shared.EXIT_STATUSES,
)
@click.version_option(__version__, prog_name="ns-jax")
def cli() -> None:
  """NaturalSpeech and NaturalSpeech 2 in JAX.

  ns-jax VERB --help says more, with an example. Every verb knows --json, for
  scripts, and --quiet.
  """


for _verb in _VERBS:
  cli.add_command(_verb)


def main() -> None:
  """Entry point of `ns-jax`."""
  cli(prog_name="ns-jax")


if __name__ == "__main__":
  main()
