# SPDX-License-Identifier: Apache-2.0
"""The notebook, from its first cell to its last, on the tiny preset."""

import pathlib

import nbclient
import nbformat
import pytest

from tests import commands

NOTEBOOK = commands.ROOT / "launch" / "colab.ipynb"
# Compiles fast; what it says nobody understands.
SETTINGS = """
PRESET = ":tiny"
STEPS = 4
TEXT = "It's a test."
SMALL = ["phoneme_encoder", "prompt_encoder", "duration_predictor",
         "pitch_predictor", "denoiser"]
FLAGS = [f"--config.model.{name}.num_layers=1" for name in SMALL] + [
  "--config.data.reader=array_record",
  "--config.frozen.codec=shipped",
  "--config.eval.evaluators=('synthesis',)",
  "--config.eval.num_clips=1",
]
"""


@pytest.fixture
def notebook():
  return nbformat.read(NOTEBOOK, as_version=4)


def settings_of(notebook):
  """The one cell that is there to be changed."""
  (cell,) = [
    cell
    for cell in notebook.cells
    if "parameters" in cell.metadata.get("tags", ())
  ]
  return cell


def shown(notebook, kind):
  """Outputs of a kind, as they are in the file."""
  return [
    output["data"][kind]
    for cell in notebook.cells
    for output in cell.get("outputs", ())
    if kind in output.get("data", {})
  ]


def test_is_a_notebook_without_results(notebook):
  nbformat.validate(notebook)
  code = [cell for cell in notebook.cells if cell.cell_type == "code"]
  assert len(code) > 5
  assert not [cell.id for cell in code if cell.outputs]
  assert not [cell.id for cell in code if cell.execution_count is not None]
  assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_documents_it_leads_to_exist(notebook):
  text = "".join(cell.source for cell in notebook.cells)
  links = [part.split(")")[0] for part in text.split("](")[1:]]
  own = [link for link in links if "://" not in link]
  assert own and all((NOTEBOOK.parent / link).is_file() for link in own)


@pytest.mark.slow
@pytest.mark.nightly
def test_trains_shows_and_speaks(notebook, tmp_path, monkeypatch):
  settings_of(notebook).source += SETTINGS
  monkeypatch.setenv("PYTHONPATH", str(commands.ROOT))
  monkeypatch.setenv("PYTHONWARNINGS", "ignore")
  for name, value in commands.environment(tmp_path / "compiled").items():
    monkeypatch.setenv(name, value)
  client = nbclient.NotebookClient(
    notebook,
    timeout=600,
    kernel_name="python3",
    resources={"metadata": {"path": str(tmp_path)}},
  )
  client.execute()  # raises what a cell raises
  # Learning curves, and the spectrograms of one sentence.
  assert len(shown(notebook, "image/png")) == 2
  sounds = [h for h in shown(notebook, "text/html") if "<audio" in h]
  assert len(sounds) == 3
  assert all("base64" in sound and len(sound) > 10_000 for sound in sounds)
  run = pathlib.Path(tmp_path / "runs" / "colab")
  assert (run / "report.html").is_file() and (tmp_path / "said.wav").is_file()
