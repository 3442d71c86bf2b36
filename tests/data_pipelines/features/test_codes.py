# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import pytest

from data_pipelines import records
from data_pipelines.features import codes
from ns_jax import audio


class _Codec:
  """Codes and latents that are plain functions of each frame's samples."""

  def __init__(self, spec):
    self._hop = spec.hop_samples
    self.shapes = []

  def __call__(self, wav):
    self.shapes.append((wav.shape, wav.dtype))
    frames = wav.reshape(len(wav), -1, self._hop)
    loudness = np.abs(frames).max(-1)
    quantised = np.stack([loudness * 1000, loudness * 60_000], -1)
    latents = frames[..., :3] + 1.0
    return quantised.astype(np.int32), latents


@pytest.fixture(scope="module")
def encoded(records_dir, spec):
  codec = _Codec(spec)
  return codes.add_codes(
    records_dir, codec, "codec7", spec=spec, batch_size=5
  ), codec


def test_codes_are_those_of_each_record(encoded, records_dir, spec):
  new_dir, codec = encoded
  assert new_dir == records_dir / "layers" / "codes-codec7"
  assert {shape[0] for shape, _ in codec.shapes} == {5}
  for split in ("train", "valid", "test"):
    old = records.Records(records_dir, split)
    new = records.Records(new_dir, split, ("codes", "wav", "f0"))
    assert len(new) == len(old)
    for i in range(len(old)):
      assert new[i]["id"] == old[i]["id"]
      np.testing.assert_array_equal(new[i]["wav"], old[i]["wav"])
      frames = audio.from_int16(old[i]["wav"]).reshape(-1, spec.hop_samples)
      loudness = np.abs(frames).max(-1)
      expected = np.stack([loudness * 1000, loudness * 60_000], -1)
      np.testing.assert_array_equal(new[i]["codes"], expected.astype(np.uint16))


def test_statistics_are_of_real_training_frames(encoded, records_dir, spec):
  new_dir, _ = encoded
  train = records.Records(records_dir, "train")
  latents = np.concatenate(
    [
      audio.from_int16(train[i]["wav"]).reshape(-1, spec.hop_samples)[:, :3]
      for i in range(len(train))
    ]
  ).astype(np.float64)
  mean, std = codes.read_latent_stats(new_dir)
  np.testing.assert_allclose(mean, latents.mean(0) + 1.0, rtol=1e-5)
  np.testing.assert_allclose(std, latents.std(0), rtol=1e-4)
  stats = json.loads((new_dir / codes.STATS_FILE).read_text())
  assert stats["codec_id"] == "codec7" and stats["frames"] == len(latents)


def test_an_unused_channel_keeps_a_width(tmp_path):
  stats = codes._LatentStats()
  latents = np.random.default_rng(0).normal(size=(50, 3))
  latents[:, 1] = 0.25
  stats.update(latents[:20])
  rest = codes._LatentStats()
  rest.update(latents[20:])
  stats.add(rest.to_json())
  (tmp_path / codes.STATS_FILE).write_text(json.dumps(stats.moments()))
  _, std = codes.read_latent_stats(tmp_path)
  assert 0.0 < std[1] < 0.01 * std[0]


def test_second_call_encodes_nothing(encoded, records_dir, spec):
  def fail(wav):
    raise AssertionError("encoded again")

  again = codes.add_codes(records_dir, fail, "codec7", spec=spec)
  assert again == encoded[0]
