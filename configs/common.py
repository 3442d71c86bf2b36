# SPDX-License-Identifier: Apache-2.0
"""What every stage's config begins with. One section = one constructor."""

from collections.abc import Collection

from ml_collections import ConfigDict

from ns_jax.errors import UserError


def base_config(
  stage: str, preset: str, presets: Collection[str]
) -> ConfigDict:
  """Sections shared by all stages, with the built-in demo's values.

  Args:
    stage: name of the stage and of its config file.
    preset: what followed the colon.
    presets: what may follow it.

  Raises:
    UserError: there is no such preset.
  """
  if preset not in presets:
    names = ", ".join(repr(name) for name in presets)
    raise UserError(
      f"configs/{stage}.py:{preset} is no preset; use one of {names}"
    )
  config = ConfigDict()
  config.stage = stage
  config.preset = preset
  config.seed = 0
  config.dtype = "float32"  # of activations; parameters and losses: float32
  config.audio = dict(sample_rate_hz=16_000, hop_samples=200, num_mels=80)
  config.mesh = dict(data=-1, fsdp=1, tensor=1)
  return config
