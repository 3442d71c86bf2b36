# SPDX-License-Identifier: Apache-2.0
"""The report says what was measured, also where nothing could be."""

import json

import numpy as np
import PIL.Image
from ml_collections import ConfigDict

from ns_jax.audio import AudioSpec
from ns_jax.evaluation import report
from ns_jax.evaluation.contract import Section
from ns_jax.training import workdir, writers


def test_report_is_json_and_tables(tmp_path):
  section = Section(
    title="Clips",
    explanation="What is what.",
    summary={"mel_db": 7.25, "f0_error_cents": float("nan")},
    rows=[{"text": "this | that", "clip": "samples/a.wav", "mel_db": 7.25}],
    pictures=["samples/a.png"],
  )
  path = report.write_report(
    tmp_path, "run", 7, {"clips": section}, {"speak": 3.0}
  )

  def refuse(constant):
    raise AssertionError(f"{constant} is no JSON")

  found = json.loads(
    (tmp_path / "report.json").read_text(), parse_constant=refuse
  )
  assert found["clips"]["summary"] == {"mel_db": 7.25, "f0_error_cents": None}
  assert found["clips"]["rows"] == section.rows
  lines = path.read_text().splitlines()
  assert lines[0] == "# run, step 7" and report.reported_step(tmp_path) == 7
  assert "| mel_db | 7.25 |" in lines and "| f0_error_cents | nan |" in lines
  row = r"| this \| that | [samples/a.wav](samples/a.wav) | 7.25 |"
  assert row in lines
  assert "![samples/a.png](samples/a.png)" in lines
  assert "| speak | 3 |" in lines


def test_page_plays_and_shows_what_the_report_holds(tmp_path):
  section = Section(
    title="Clips & more",
    explanation="Louder < softer.",
    summary={"rtf": 0.5},
    comparison={
      "wer_percent": {"recording": 2.0, "codec": 3.0},
      "pitch_rmse_hz": {"recording": float("nan"), "codec": 4.25},
    },
    rows=[
      {"text": "a <b> c", "speech": "samples/a.wav", "heard": "dot.wav"},
      {"text": "a <b> c", "speech": "samples/b.wav", "heard": "a | b"},
    ],
    details=[{"clip": "a", "skew": float("nan")}],
    pictures=["samples/a.png"],
  )
  path = report.write_report(
    tmp_path, "run", 7, {"clips": section}, {"speak": 3.0}
  )
  page = (tmp_path / report.REPORT_PAGE).read_text()
  for part in (
    "<title>run, step 7</title>",
    '<h2 id="clips-more">Clips &amp; more</h2>',
    "<p>Louder &lt; softer.</p>",
    '<td class="number">4.25</td>',
    '<td rowspan="2">a &lt;b&gt; c</td>',
    '<audio controls preload="none" src="samples/b.wav"></audio>',
    '<img alt="" src="samples/a.png">',
    "<td>dot.wav</td>",
  ):
    assert part in page, part
  assert page.count("<audio") == 2
  assert "| pitch_rmse_hz | nan | 4.25 |" in path.read_text().splitlines()
  found = json.loads((tmp_path / "report.json").read_text())["clips"]
  assert found["comparison"]["pitch_rmse_hz"] == {
    "recording": None,
    "codec": 4.25,
  }
  assert found["details"] == [{"clip": "a", "skew": None}]


def test_no_report_is_of_no_step(tmp_path):
  assert report.reported_step(tmp_path) is None


def test_learning_is_told_from_a_workdir_alone(tmp_path):
  """Held-out means before and after, curves, and the pictures of training."""
  run, stage = tmp_path / "run", tmp_path / "elsewhere"
  run.mkdir()
  workdir.open_workdir(stage, ConfigDict({"stage": "codec", "preset": "tiny"}))
  writer = writers.MetricWriter(stage, AudioSpec(), start_step=-1)
  for step, value in ((0, 2.0), (5, 0.5)):
    writer.scalars(step, {"gen/wave": value, "gen/learning_rate": 1e-3})
    held_out = {"valid/wave": value, "valid/codebook/used_01": 1.0}
    writer.scalars(step, held_out)
  writer.samples(5, {"pitch/recording": np.full((1, 9), 100.0)})
  section = report.learning_section(stage, run)
  (row,) = section.rows
  assert row == {"quantity": "wave", "untrained": 2.0, "trained": 0.5}
  assert section.captions == {
    "learning_codec_training.png": "Training",
    "learning_codec_optimiser.png": "Optimiser",
    "learning_codec_codebook.png": "Codebook",
    "learning_codec_pitch_0.png": "Pitch, held-out example 1",
  }
  for picture in section.pictures:
    assert PIL.Image.open(run / picture).size[0] > 500
  path = report.write_report(run, "run", 5, {"learning": section}, {})
  assert "![Training](learning_codec_training.png)" in path.read_text()
  page = (run / report.REPORT_PAGE).read_text()
  assert "<figcaption>Pitch, held-out example 1</figcaption>" in page
