# SPDX-License-Identifier: Apache-2.0
"""What is kept, drawn and shown is what was said."""

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
import soundfile

from ns_jax.api import Audio
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

SPEC = AudioSpec()


@pytest.fixture(scope="module")
def said():
  """A second: a pause that lasts, a vowel, a pause that is none."""
  t = np.arange(16_000) / 16_000
  wav = 0.3 * np.sin(2 * np.pi * 200.0 * t) * (t > 0.25)
  return Audio(
    wav.astype(np.float32),
    SPEC,
    ("_", "ˈoʊ", "."),
    np.array([20, 60, 0]),
    np.where(np.arange(80) >= 20, 200.0, 0.0).astype(np.float32),
  )


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "opus", "OGG"])
def test_the_suffix_names_the_format(said, suffix, tmp_path):
  path = tmp_path / f"said.{suffix}"
  said.save(path)
  info = soundfile.info(path)
  assert info.samplerate == 16_000
  assert info.duration == pytest.approx(said.seconds, abs=0.1)
  assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_saved(said, tmp_path):
  for name, message in {
    "said.txt": "no format",
    "said": "no format",
    "nowhere/said.wav": "cannot be written",
  }.items():
    with pytest.raises(UserError, match=message):
      said.save(tmp_path / name)
  assert not list(tmp_path.iterdir())


def test_the_picture_shows_wave_pitch_and_phonemes(said):
  figure = said.figure(width_in=12.0)
  assert figure.get_size_inches()[0] == 12.0
  wave, spectrum, pitch = figure.axes
  (line,) = wave.lines
  np.testing.assert_array_equal(line.get_ydata(), said.wav)
  assert [text.get_text() for text in spectrum.texts] == ["_", "ˈoʊ"]
  ends_sec = [line.get_xdata()[0] for line in spectrum.lines]
  np.testing.assert_allclose(ends_sec, [0.25, 1.0])
  (curve,) = pitch.lines
  assert np.nanmin(curve.get_ydata()) == 200.0
  low_hz, high_hz = pitch.get_ylim()
  assert low_hz < 200.0 < high_hz
  (image,) = spectrum.images
  mels = np.asarray(image.get_array())
  assert mels.shape == (80, 80)  # bands, frames
  # A tone of 200 Hz lies in the fifth band of Slaney's scale.
  assert abs(int(mels[:, 50].argmax()) - 5) <= 1
  assert mels[:, 5].max() < mels[:, 50].max() - 4.0


def test_the_pitch_of_a_song_stays_in_the_picture(said):
  high = dataclasses.replace(said, f0_hz=np.full(80, 880.0, np.float32))
  *_, pitch = high.figure().axes
  low_hz, high_hz = pitch.get_ylim()
  assert low_hz < 880.0 < high_hz


def test_names_of_fast_phonemes_do_not_cover_each_other(said):
  """By their extent where they are drawn."""
  fast = dataclasses.replace(
    said, phonemes=("ˈoʊ",) * 20, durations=np.full(20, 4)
  )
  figure = fast.figure(width_in=6.4)
  figure.canvas.draw()
  boxes = [text.get_window_extent() for text in figure.axes[1].texts]
  assert len(boxes) == 20
  for i, box in enumerate(boxes):
    assert not any(box.overlaps(other) for other in boxes[i + 1 :])


def test_a_wave_alone_is_drawn_and_long_ones_are_wider():
  rng = np.random.default_rng(0)
  short, long = (
    Audio(0.1 * rng.normal(size=size).astype(np.float32), SPEC)
    for size in (900, 100_000)
  )
  figures = [audio.figure() for audio in (short, long)]
  assert [len(figure.axes) for figure in figures] == [2, 2]
  widths = [figure.get_size_inches()[0] for figure in figures]
  assert widths[0] < widths[1]


def test_a_notebook_plays_and_shows_it(said):
  html = said._repr_html_()
  found = dict(re.findall(r'src="data:([a-z]+/[a-z]+);base64,([^"]+)"', html))
  assert set(found) == {"audio/wav", "image/png"}
  wav, _ = soundfile.read(io.BytesIO(base64.b64decode(found["audio/wav"])))
  np.testing.assert_allclose(wav, said.wav, atol=1e-4)
  assert base64.b64decode(found["image/png"]).startswith(b"\x89PNG")
  assert repr(said) == "Audio(1.00 s at 16000 Hz)"
