# SPDX-License-Identifier: Apache-2.0
"""Runs of the project's own commands, for scripts that need many."""

import pathlib
import subprocess
import sys
from collections.abc import Mapping


def train(
  config: str, workdir: pathlib.Path, overrides: Mapping[str, object]
) -> None:
  """Trains configs/<config>.py with other values; a finished run is kept."""
  run(
    *("-m", "ns_jax.main", f"--config=configs/{config}.py"),
    f"--workdir={workdir}",
    *(f"--config.{field}={value}" for field, value in overrides.items()),
  )


def run(*command: object) -> None:
  """Runs Python in the project's folder; where it fails, so does the script."""
  root = pathlib.Path(__file__).parents[1]
  done = subprocess.run(
    [sys.executable, *map(str, command)], cwd=root, check=False
  )
  if done.returncode:
    sys.exit(done.returncode)  # it said why
