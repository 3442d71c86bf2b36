# SPDX-License-Identifier: Apache-2.0
"""What TensorBoard's own reader finds in the events of a run."""

import io
import sys
import types

import numpy as np
import PIL.Image
import pytest

from ns_jax.audio import AudioSpec
from ns_jax.training import writers

SPEC = AudioSpec()


@pytest.fixture
def read(monkeypatch):
  """Reads a workdir's events; TensorBoard does not need TensorFlow for it."""
  name = "tensorboard.compat.notf"
  monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
  from tensorboard.backend.event_processing import event_accumulator

  def read(workdir):
    events = event_accumulator.EventAccumulator(
      str(workdir / writers.TENSORBOARD_DIR), size_guidance={}
    )
    return events.Reload()

  return read


def make_samples(seed=0):
  """One of each kind, of three examples."""
  rng = np.random.default_rng(seed)
  return {
    "audio/original": rng.uniform(-2.0, 2.0, (3, 4000)),
    "figure/original": rng.normal(size=(3, 80, 20)),
    "figure/made": rng.normal(size=(3, 80, 20)),
    "alignment/durator": rng.uniform(size=(3, 4, 20)),
    "phonemes/text": np.array([[9, 12, 1, 0], [9, 0, 0, 0], [9, 9, 9, 9]]),
    "pitch/recording": rng.uniform(80.0, 300.0, (3, 20)),
    "codebook/usage": rng.uniform(size=(2, 8)),
  }


def test_tensorboard_finds_everything_in_groups(tmp_path, read):
  writer = writers.MetricWriter(tmp_path, SPEC, start_step=-1)
  writer.scalars(
    4,
    {
      **{"gen/pitch": 0.25, "gen/grad_norm": 3.0, "gen/learning_rate": 1e-3},
      **{"valid/pitch": 0.5, "valid/codebook/used_01": 1.0},
    },
    steps_per_sec=7.0,
  )
  writer.samples(4, make_samples())
  events = read(tmp_path)
  expected = {
    "loss/gen/pitch": 0.25,
    "optim/gen/grad_norm": 3.0,
    "optim/gen/learning_rate": 1e-3,
    "valid/pitch": 0.5,
    "codebook/valid/used_01": 1.0,
    "speed/steps_per_sec": 7.0,
  }
  assert {*events.Tags()["scalars"]} == {*expected}
  for tag, value in expected.items():
    (event,) = events.Scalars(tag)
    assert event.step == 4 and event.value == pytest.approx(value)
  assert {*events.Tags()["audio"]} == {"audio/original/0", "audio/original/1"}
  assert {*events.Tags()["images"]} == {
    *("spectrogram/0", "spectrogram/1", "alignment/0", "alignment/1"),
    *("pitch/0", "pitch/1", "codebook/usage"),
  }
  for tag in events.Tags()["images"]:
    (event,) = events.Images(tag)
    image = PIL.Image.open(io.BytesIO(event.encoded_image_string))
    assert image.size == (event.width, event.height) and event.step == 4
    file = tmp_path / writers.PREVIEWS_DIR / f"{tag.replace('/', '_')}.png"
    assert file.read_bytes() == event.encoded_image_string


def test_what_a_killed_run_logged_after_its_checkpoint_is_hidden(
  tmp_path, read
):
  first = writers.MetricWriter(tmp_path, SPEC, start_step=-1)
  for step in (2, 4, 6):
    first.scalars(step, {"gen/loss": 1.0})
  first.samples(6, make_samples())
  second = writers.MetricWriter(tmp_path, SPEC, start_step=4)
  second.scalars(6, {"gen/loss": 2.0})
  found = [(e.step, e.value) for e in read(tmp_path).Scalars("loss/gen/loss")]
  assert found == [(2, 1.0), (4, 1.0), (6, 2.0)]
  assert not read(tmp_path).Images("pitch/0")
  # Pictures are those of the newest call.
  second.samples(6, make_samples(seed=1))
  (event,) = read(tmp_path).Images("pitch/0")
  picture = tmp_path / writers.PREVIEWS_DIR / "pitch_0.png"
  assert picture.read_bytes() == event.encoded_image_string
