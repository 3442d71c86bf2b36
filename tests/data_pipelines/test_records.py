# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from data_pipelines import layers, records
from ns_jax import files
from ns_jax.errors import UserError


def test_missing_field_names_it_and_what_makes_it(records_dir):
  with pytest.raises(UserError, match="'codes'.*ns-jax prepare"):
    records.Records(records_dir, "train", features=("wav", "codes"))


def test_missing_records_and_split(records_dir, tmp_path):
  with pytest.raises(UserError, match="no finished records"):
    records.Records(tmp_path, "train")
  with pytest.raises(UserError, match="'dev'.*test.*train.*valid"):
    records.Records(records_dir, "dev")


@pytest.fixture
def no_pauses(monkeypatch):
  monkeypatch.setattr(files, "PAUSES_SEC", (0.0, 0.0))


def test_a_file_that_comes_back_is_read(
  records_dir, tmp_path, no_pauses, caplog
):
  shutil.copytree(records_dir, tmp_path / "records")
  stored = records.Records(tmp_path / "records", "train")
  last = len(stored) - 1
  expected = stored[last]
  again = records.Records(tmp_path / "records", "train")
  shards = sorted((tmp_path / "records").glob("train.*"))
  contents = [shard.read_bytes() for shard in shards]
  assert shards and all(contents)
  for shard in shards:
    shard.write_bytes(b"")
  restored = []

  def restore(message):
    restored.append(message)
    for shard, content in zip(shards, contents, strict=True):
      shard.write_bytes(content)
    return True

  caplog.handler.addFilter(restore)  # at the first line about it
  np.testing.assert_array_equal(again[last]["wav"], expected["wav"])
  caplog.handler.removeFilter(restore)
  assert len(restored) == 1
  assert "cannot be read" in restored[0].getMessage()


def test_files_that_are_cut_off_are_named(records_dir, tmp_path, no_pauses):
  shutil.copytree(records_dir, tmp_path / "records")
  stored = records.Records(tmp_path / "records", "train")
  for shard in (tmp_path / "records").glob("train.*"):
    os.truncate(shard, shard.stat().st_size // 2)
  with pytest.raises(UserError, match=f"{tmp_path}.*damaged.*tried 3 times"):
    list(stored)


def test_whole_path_needs_no_tensorflow(tmp_path):
  code = f"""
import functools, sys
from data_pipelines import beam, builder, examples, input_pipeline, records
from data_pipelines.corpora import demo
from data_pipelines.features import codes
from ns_jax.audio import AudioSpec
spec = AudioSpec()
path = builder.build(
  demo.DemoCorpus("tiny", spec), {str(tmp_path / "out")!r}, label="demo",
  beam_options=beam.THIS_PROCESS)
batches = input_pipeline.make_batches(
  path, "train", reader="array_record", batch_size=2, seed=0,
  example_fn=functools.partial(
    examples.waveform, crop_frames=4, gain_db=(0.0, 0.0), spec=spec))
assert next(batches)["wav"].shape == (2, 800)
assert "tensorflow" not in sys.modules
assert "jax" not in sys.modules
"""
  subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.fixture
def toy_layer(records_dir):
  """A layer of made-up durations, gone after the test."""

  def fill(split, stored, notes):
    return [
      {"durations": np.full(len(record["phonemes"]), 7, np.int32)}
      for record in stored
    ]

  yield layers.add_layer(
    records_dir,
    "durations",
    fields=("durations",),
    identity={"by": "toy"},
    fill=fill,
    label="toy",
  )
  shutil.rmtree(records_dir / "layers" / "durations")


def test_a_layer_named_after_its_field_is_always_joined(records_dir, toy_layer):
  plain = records.Records(records_dir, "test")
  assert set(plain[0]["durations"]) == {7}
  assert plain[0]["wav"].any()
  named = records.Records(toy_layer, "test")
  assert named.features == plain.features
  assert len(named) == len(plain)


def test_a_layer_of_other_records_is_refused(records_dir, toy_layer, tmp_path):
  copy = tmp_path / "copy"
  shutil.copytree(records_dir, copy)
  swapped = copy / "layers" / "durations"
  of_test, of_valid = (
    swapped / f"{split}.array_record-00000-of-00001"
    for split in ("test", "valid")
  )
  of_test.unlink()
  shutil.copy(of_valid, of_test)
  with pytest.raises(UserError, match="does not fit"):
    records.Records(copy, "test")[0]
