# SPDX-License-Identifier: Apache-2.0
"""Pictures show the numbers they are given."""

import numpy as np
import pytest

from ns_jax import figures
from ns_jax.audio import AudioSpec
from ns_jax.training import previews

SPEC = AudioSpec()


def test_alignments_end_where_their_frames_end():
  weights = np.zeros((3, 10))
  weights[[0, 1, 1, 2], range(4)] = 1.0
  figure = figures.alignment_figure({"durator": weights}, ["h", "iː"], SPEC)
  (axis,) = figure.axes
  assert [label.get_text() for label in axis.get_yticklabels()] == ["h", "iː"]
  (image,) = axis.images
  np.testing.assert_array_equal(image.get_array(), weights[:2, :4])
  assert image.get_extent() == [0.0, pytest.approx(0.05), -0.5, 1.5]


def test_pitch_has_gaps_where_speech_is_unvoiced():
  f0_hz = {"recording": np.array([100.0, 0.0, 120.0, 0.0, 0.0])}
  f0_hz["predicted"] = np.array([0.0, 90.0, 0.0, 0.0, 0.0])
  (axis,) = figures.pitch_figure(f0_hz, SPEC).axes
  recording, predicted = axis.lines
  np.testing.assert_array_equal(recording.get_ydata(), [100.0, np.nan, 120.0])
  np.testing.assert_array_equal(predicted.get_ydata(), [np.nan, 90.0, np.nan])
  np.testing.assert_allclose(recording.get_xdata(), [0.00625, 0.01875, 0.03125])


def test_perplexity_of_codebooks():
  """As many codes as are used evenly: all, half and one of eight."""
  hits = np.array([[3.0] * 8, [5.0, 0.0] * 4, [0.0] * 7 + [9.0]])
  left, right = figures.codebook_figure(hits).axes
  heights = [bar.get_height() for bar in left.patches]
  np.testing.assert_allclose(heights, [8.0, 4.0, 1.0], rtol=1e-6)
  most = [line.get_ydata()[0] for line in right.lines[:3]]
  np.testing.assert_allclose(most, [1.0, 2.0, 8.0])


def test_previews_show_what_was_to_be_made_first():
  samples = {
    "figure/generated": np.zeros((2, 80, 7)),
    # Silent from the sixth frame on.
    "figure/recording": np.ones((2, 80, 7)) * (np.arange(7) < 5),
  }
  (name, figure), _ = previews.pictures(previews.by_kind(samples), SPEC)
  assert name == "spectrogram/0"
  titles = [axis.get_title(loc="left") for axis in figure.axes]
  assert titles == ["recording", "generated"]
  assert figure.axes[0].images[0].get_array().shape == (80, 5)
