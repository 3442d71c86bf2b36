# SPDX-License-Identifier: Apache-2.0
"""The notebook, from its first cell to its last, on the tiny preset."""

import pathlib

import pytest

from tests import notebooks

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


@pytest.mark.slow
@pytest.mark.nightly
def test_trains_shows_and_speaks(tmp_path, monkeypatch):
  notebook = notebooks.read(notebooks.PATHS[1])
  notebooks.settings_of(notebook).source += SETTINGS
  notebooks.run(notebook, tmp_path, monkeypatch)
  # Learning curves, and the spectrograms of one sentence.
  assert len(notebooks.shown(notebook, "image/png")) == 2
  sounds = [h for h in notebooks.shown(notebook, "text/html") if "<audio" in h]
  assert len(sounds) == 3
  assert all("base64" in sound and len(sound) > 10_000 for sound in sounds)
  run = pathlib.Path(tmp_path / "runs" / "colab")
  assert (run / "report.html").is_file() and (tmp_path / "said.wav").is_file()
