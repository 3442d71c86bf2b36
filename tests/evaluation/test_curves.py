# SPDX-License-Identifier: Apache-2.0
"""Charts of what a run logged hold its numbers, sorted."""

import math

import numpy as np

from ns_jax.evaluation import curves


def make_records():
  """As of a GAN with two codebooks, evaluated twice."""
  records = [
    {
      "step": step,
      "gen/loss": 3.0 / step,
      "gen/feature": math.nan if step == 2 else 1.0,
      "gen/learning_rate": 1e-3,
      **{f"gen/pitch_t{t}": 4.0 for t in ("0.00-0.50", "0.50-1.00")},
      "disc/loss": 2.0,
      "timing": {"steps_per_sec": 1.0},
    }
    for step in range(1, 61)
  ]
  held_out = {"valid/feature": 5.0, "valid/si_sdr_db": -3.0}
  held_out |= {f"valid/codebook/used_0{i}": 1.0 / i for i in (1, 2)}
  held_out |= {f"valid/pitch_t{t}": 6.0 for t in ("0.00-0.50", "0.50-1.00")}
  records += [{"step": step, **held_out} for step in (0, 60)]
  return records


def test_metrics_are_sorted_into_charts():
  found = curves.panels(make_records())
  assert {name: [*charts] for name, charts in found.items()} == {
    "training": ["loss, disc", "loss, gen", "feature", "pitch, by time"],
    "optimiser": ["learning_rate, gen"],
    "held out": ["si_sdr_db"],
    "codebook": ["used"],
  }
  assert [*found] == ["training", "held out", "optimiser", "codebook"]
  feature = found["training"]["feature"]
  assert [step for step, _ in feature.training[""]] == [1, *range(3, 61)]
  assert feature.held_out[""] == [(0, 5.0), (60, 5.0)]
  assert found["codebook"]["used"].held_out == {
    "01": [(0, 1.0), (60, 1.0)],
    "02": [(0, 0.5), (60, 0.5)],
  }


def test_charts_show_every_line_and_the_mean_of_many_points():
  charts = curves.panels(make_records())
  first, second, *_ = curves.draw(charts["training"]).axes
  assert second.get_title(loc="left") == "loss, gen"
  raw, smooth = second.lines
  np.testing.assert_allclose(raw.get_ydata(), 3.0 / np.arange(1, 61))
  inner = [np.mean(raw.get_ydata()[i - 1 : i + 2]) for i in range(1, 59)]
  np.testing.assert_allclose(smooth.get_ydata()[1:-1], inner)
  (used, *_) = curves.draw(charts["codebook"]).axes
  heights = [line.get_ydata() for line in used.lines if len(line.get_ydata())]
  np.testing.assert_array_equal(heights, [[1.0, 1.0], [0.5, 0.5]])
  marks = [text.get_text() for text in used.get_legend().get_texts()]
  assert marks == ["01", "02"]
