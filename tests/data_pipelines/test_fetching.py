# SPDX-License-Identifier: Apache-2.0
"""Records of a bucket come to this machine."""

import collections
import shutil

import numpy as np
import pytest

from data_pipelines import fetching, records
from ns_jax import paths
from ns_jax.errors import UserError
from tests import gcs


@pytest.fixture
def bucket(records_dir):
  with gcs.used() as storage:
    for path in records_dir.rglob("*"):
      if path.is_file():
        name = path.relative_to(records_dir).as_posix()
        storage.put("bucket", f"a/records/{name}", path.read_bytes())
    yield storage


def test_records_are_copied_once_and_what_is_missing_again(
  bucket, records_dir, tmp_path
):
  source = paths.resolve("gs://bucket/a/records")
  here = fetching.fetch(source, tmp_path)
  assert here == tmp_path / "bucket/a/records"
  expected, found = (records.Records(d, "test") for d in (records_dir, here))
  assert len(found) == len(expected) > 0
  np.testing.assert_array_equal(found[0]["wav"], expected[0]["wav"])
  cut, gone = sorted(here.glob("train.*"))[:2]
  whole = cut.read_bytes(), gone.read_bytes()
  cut.write_bytes(whole[0][:10])
  gone.unlink()
  bucket.asked.clear()
  assert fetching.fetch(source, tmp_path) == here
  assert (cut.read_bytes(), gone.read_bytes()) == whole
  media = [line for line in bucket.asked if "alt=media" in line]
  assert media and all(cut.name in line or gone.name in line for line in media)


def test_a_layer_brings_its_records(bucket, tmp_path):
  bucket.put("bucket", "a/records/layers/x/records.json", b"{}")
  layer = paths.resolve("gs://bucket/a/records/layers/x")
  here = fetching.fetch(layer, tmp_path)
  assert here == tmp_path / "bucket/a/records/layers/x"
  assert (records.base_of(here) / records.RECORDS_FILE).is_file()


def test_no_records_and_no_room(bucket, tmp_path, monkeypatch):
  with pytest.raises(UserError, match="no finished records"):
    fetching.fetch(paths.resolve("gs://bucket/b"), tmp_path)
  usage = collections.namedtuple("usage", "total used free")
  monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(9, 9, 1000))
  with pytest.raises(UserError, match="gcsfuse"):
    fetching.fetch(paths.resolve("gs://bucket/a/records"), tmp_path)
