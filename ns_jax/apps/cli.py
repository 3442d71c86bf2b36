# SPDX-License-Identifier: Apache-2.0
"""The command `ns-jax`: one verb for each thing to be done.

Nothing heavy is imported before a verb needs it, so help comes at once.
"""

import click

from ns_jax.apps.commands import bundles, codes, planning, records, speech

_VERBS = (
  records.prepare,
  records.inspect,
  codes.encode,
  codes.decode,
  speech.synthesize,
  speech.convert,
  speech.enhance,
  speech.sing,
  bundles.export,
  planning.plan,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ns_jax", prog_name="ns-jax")
def cli() -> None:
  """NaturalSpeech and NaturalSpeech 2 in JAX."""


for _verb in _VERBS:
  cli.add_command(_verb)


def main() -> None:
  """Entry point of `ns-jax`."""
  cli(prog_name="ns-jax")


if __name__ == "__main__":
  main()
