# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import pytest

from data_pipelines import records
from ns_jax.errors import UserError


def test_missing_field_names_it_and_what_makes_it(records_dir):
  with pytest.raises(UserError, match="'codes'.*add_codes"):
    records.Records(records_dir, "train", features=("wav", "codes"))


def test_missing_records_and_split(records_dir, tmp_path):
  with pytest.raises(UserError, match="no finished records"):
    records.Records(tmp_path, "train")
  with pytest.raises(UserError, match="'dev'.*test.*train.*valid"):
    records.Records(records_dir, "dev")


def test_whole_path_needs_no_tensorflow(records_dir):
  code = f"""
import functools, sys
from data_pipelines import builder, examples, input_pipeline, records
from data_pipelines.corpora import demo
from data_pipelines.features import codes
from ns_jax.audio import AudioSpec
spec = AudioSpec()
builder.prepare(demo.corpus("tiny", spec), {str(records_dir.parents[2])!r})
batches = input_pipeline.make_batches(
  {str(records_dir)!r}, "train", reader="array_record", batch_size=2, seed=0,
  example_fn=functools.partial(
    examples.waveform, crop_frames=4, spec=spec))
assert next(batches)["wav"].shape == (2, 800)
assert "tensorflow" not in sys.modules
assert "jax" not in sys.modules
"""
  subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
