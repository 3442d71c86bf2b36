# SPDX-License-Identifier: Apache-2.0
"""Notebooks are kept without results, and the one that speaks does."""

import base64
import io

import nbformat
import numpy as np
import pytest
import soundfile

from tests import notebooks


@pytest.mark.parametrize("path", notebooks.PATHS, ids=lambda path: path.stem)
class TestFile:
  def test_is_a_notebook_without_results(self, path):
    notebook = notebooks.read(path)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not [cell.id for cell in code if cell.outputs]
    assert not [cell.id for cell in code if cell.execution_count is not None]
    assert set(notebook.metadata) == {"kernelspec", "language_info"}

  def test_documents_it_leads_to_exist(self, path):
    text = "".join(cell.source for cell in notebooks.read(path).cells)
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    own = [link for link in links if "://" not in link]
    assert own and all((path.parent / link).is_file() for link in own)


@pytest.mark.slow
@pytest.mark.nightly
def test_speaks(tmp_path, monkeypatch):
  notebook = notebooks.read(notebooks.PATHS[0])
  notebooks.run(notebook, tmp_path, monkeypatch)
  players = notebooks.shown(notebook, "text/html")
  assert len(players) == 2  # what is said, and said otherwise
  for html in players:
    content = base64.b64decode(html.split("base64,")[1].split('"')[0])
    wav, rate_hz = soundfile.read(io.BytesIO(content))
    assert 1.5 < len(wav) / rate_hz < 6.0
    assert np.sqrt(np.mean(wav**2)) > 0.01
    assert 'src="data:image/png;base64,' in html
  assert len(notebooks.shown(notebook, "image/png")) == 1  # of the stream
  assert (tmp_path / "said.mp3").stat().st_size > 5_000
