# SPDX-License-Identifier: Apache-2.0
"""Bundles that are written to a bucket and read from there."""

import pytest

from ns_jax import paths
from ns_jax.inference import restore
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.export import export
from tests import gcs


@pytest.fixture
def bucket():
  with gcs.used() as storage:
    yield storage


def test_a_codec_goes_to_a_bucket_and_comes_back(bucket):
  weights = restore.restore(restore.BUNDLES / "codec")
  export(weights, paths.resolve("gs://bucket/a/codec"), "# Card")
  assert bucket.names("bucket") == [
    f"a/codec/{name}" for name in ("README.md", "SHA256SUMS", "config.json")
  ] + ["a/codec/model.safetensors"]
  again = restore.restore("gs://bucket/a/codec")
  assert again.step == weights.step
  assert restore.digest(again.params) == restore.digest(weights.params)
  codec = SpeechCodec.load("gs://bucket/a/codec")
  assert codec.codec_id == SpeechCodec.load().codec_id
