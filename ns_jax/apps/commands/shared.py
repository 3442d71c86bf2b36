# SPDX-License-Identifier: Apache-2.0
"""What several verbs have in common."""

import sys
from collections.abc import Callable

import click

from ns_jax.apps import terminal

SOME_REJECTED = 3  # exit status: done, but some clips were left out
OVERWRITE = click.option(
  "--overwrite", is_flag=True, help="Replace files that are there already."
)


def run(job: Callable[[], int]) -> None:
  """Does the work of a verb and exits with its status."""
  terminal.quiet_libraries()
  sys.exit(terminal.guarded(job))
