# SPDX-License-Identifier: Apache-2.0
"""Stages by name: the only place where model, loss and data meet."""

import importlib

from ml_collections import ConfigDict

from ns_jax.errors import UserError
from ns_jax.training.stage import Stage

STAGES = ("aligner", "codec", "ns1", "ns2", "ns2_distilled", "phoneme_lm")


def build(config: ConfigDict) -> Stage:
  """Builds the stage a config names.

  Args:
    config: from `configs/<stage>.py`.

  Returns:
    Its functions, players and sharding rules.

  Raises:
    UserError: no such stage, or its config does not fit together.
  """
  if config.stage not in STAGES:
    raise UserError(
      f"config.stage={config.stage!r} is unknown; use one of "
      f"{', '.join(STAGES)}"
    )
  return importlib.import_module(f"ns_jax.stages.{config.stage}").build(config)
