# SPDX-License-Identifier: Apache-2.0
"""Runs of the project's own commands, for scripts that need many."""

import pathlib
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def train(
  config: str, workdir: pathlib.Path, overrides: Mapping[str, object]
) -> None:
  """Trains configs/<config>.py with other values; a finished run is kept."""
  run(
    *("-m", "ns_jax.main", f"--config=configs/{config}.py"),
    f"--workdir={workdir}",
    *(f"--config.{field}={value}" for field, value in overrides.items()),
  )


def corpus(name: str) -> str:
  """A corpus by name, or a file or folder as seen from where a script began."""
  return name if name == "demo" else str(pathlib.Path(name).absolute())


def run(*command: object) -> None:
  """Runs Python in the project's folder; where it fails, so does the script."""
  root = pathlib.Path(__file__).parents[1]
  done = subprocess.run(
    [sys.executable, *map(str, command)], cwd=root, check=False
  )
  if done.returncode:
    sys.exit(done.returncode)  # it said why


def compare(
  out: pathlib.Path,
  variants: Mapping[str, Any],
  columns: Sequence[str],
  measure: Callable[[pathlib.Path, Any], Mapping[str, float]],
) -> None:
  """Measures each variant in a folder of its own; prints and writes a table.

  Args:
    out: for the folders and table.md.
    variants: name to what is changed.
    columns: what of the figures is shown.
    measure: (folder, changes) to figures.
  """
  lines = [f"| | {' | '.join(columns)} |", "|---|" + "--:|" * len(columns)]
  for name, changes in variants.items():
    row = measure(out / name.replace(" ", "-").replace(",", ""), changes)
    cells = [f"{row[column]:.3g}" for column in columns]
    lines.append(f"| {name} | {' | '.join(cells)} |")
    print(lines[-1], flush=True)
  (out / "table.md").write_text("\n".join(lines) + "\n")
