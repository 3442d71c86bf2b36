# SPDX-License-Identifier: Apache-2.0
"""What every stage's config begins with. One section = one constructor."""

from ml_collections import ConfigDict


def base_config(stage: str, preset: str) -> ConfigDict:
  """Sections shared by all stages, with the built-in demo's values."""
  config = ConfigDict()
  config.stage = stage
  config.preset = preset
  config.seed = 0
  config.dtype = "float32"  # of activations; parameters and losses: float32
  config.audio = dict(sample_rate_hz=16_000, hop_samples=200, num_mels=80)
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  return config
