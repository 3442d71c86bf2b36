# SPDX-License-Identifier: Apache-2.0
"""Weights of a trained run, ready for use."""

import dataclasses
import hashlib
import pathlib
from typing import Any

import jax
import ml_collections
import numpy as np

from ns_jax.array_types import Params
from ns_jax.training import checkpoint, workdir


@dataclasses.dataclass(frozen=True)
class Weights:
  """What inference needs of a run; nested dictionaries of arrays."""

  config: ml_collections.ConfigDict
  step: int
  params: dict[str, Params]  # player -> moving average where there is one
  model_state: dict[str, Any]
  frozen: dict[str, Any]


def digest(arrays: Any) -> str:
  """Twelve hexadecimal digits that name a tree of arrays."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(arrays):
    sha.update(np.asarray(leaf).tobytes())
  return sha.hexdigest()[:12]


def restore(path: str | pathlib.Path) -> Weights:
  """Reads the newest whole checkpoint of a workdir; changes nothing there.

  Raises:
    UserError: the folder holds no run, or no checkpoint that can be read.
  """
  config = workdir.read_config(path)
  step, state = checkpoint.read_newest(path)
  return Weights(
    config=config,
    step=step,
    params={**state["params"], **state["ema_params"]},
    model_state=state["model_state"],
    frozen=state["frozen"],
  )
