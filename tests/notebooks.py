# SPDX-License-Identifier: Apache-2.0
"""Notebooks, read and run as Jupyter does."""

import nbclient
import nbformat

from tests import commands

PATHS = (
  commands.ROOT / "examples" / "speak.ipynb",
  commands.ROOT / "launch" / "colab.ipynb",
)


def read(path):
  """A notebook as it is in a file."""
  return nbformat.read(path, as_version=4)


def settings_of(notebook):
  """The one cell that is there to be changed."""
  (cell,) = [
    cell
    for cell in notebook.cells
    if "parameters" in cell.metadata.get("tags", ())
  ]
  return cell


def run(notebook, folder, monkeypatch):
  """Runs all cells in a folder; raises what a cell raises."""
  monkeypatch.setenv("PYTHONPATH", str(commands.ROOT))
  monkeypatch.setenv("PYTHONWARNINGS", "ignore")
  for name, value in commands.environment(folder / "compiled").items():
    monkeypatch.setenv(name, value)
  nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name="python3",
    resources={"metadata": {"path": str(folder)}},
  ).execute()


def shown(notebook, kind):
  """Outputs of a kind, of all cells."""
  return [
    output["data"][kind]
    for cell in notebook.cells
    for output in cell.get("outputs", ())
    if kind in output.get("data", {})
  ]
