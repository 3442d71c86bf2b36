# SPDX-License-Identifier: Apache-2.0
"""Weights of a run or a bundle, ready for use."""

import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from ml_collections import ConfigDict

from ns_jax import paths
from ns_jax.array_types import Params
from ns_jax.errors import UserError
from ns_jax.inference import bundle, fitting
from ns_jax.training import checkpoint, workdir

SHIPPED = "shipped"  # the name of what comes along
BUNDLES = pathlib.Path(__file__).parents[1] / "bundles"


@dataclasses.dataclass(frozen=True)
class Weights:
  """What inference needs of a run; nested dictionaries of arrays."""

  config: ConfigDict
  step: int
  params: dict[str, Params]  # player -> moving average where there is one
  model_state: dict[str, Any] = dataclasses.field(default_factory=dict)
  frozen: dict[str, Any] = dataclasses.field(default_factory=dict)
  folder: paths.Path | None = None  # where they were read


def weights_folder(name: str | paths.Path, stage: str) -> paths.Path:
  """Where a bundle or workdir is; "shipped": the one that comes along.

  Raises:
    UserError: none comes along.
  """
  if name == SHIPPED:
    if not (BUNDLES / stage).is_dir():
      raise UserError(
        f"no trained {stage} comes along with this version; "
        "give the folder of one you trained"
      )
    return BUNDLES / stage
  return paths.resolve(name)


def digest(arrays: Any) -> str:
  """Twelve hexadecimal digits that name a tree of arrays."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(arrays):
    sha.update(np.asarray(leaf).tobytes())
  return sha.hexdigest()[:12]


def restore(path: str | paths.Path) -> Weights:
  """Reads a bundle, or the newest whole checkpoint of a workdir.

  Raises:
    UserError: the folder holds neither, or nothing that can be read.
  """
  path = paths.resolve(path)
  if bundle.is_bundle(path):
    config, step, arrays = bundle.read(path)
    return Weights(config=config, step=step, folder=path, **arrays)
  config = workdir.read_config(path)
  step, state = checkpoint.read_newest(path)
  params = {**state["params"], **state["ema_params"]}
  _check_fit(config, params, path)
  return Weights(
    config=config,
    step=step,
    params=params,
    model_state=state["model_state"],
    frozen=state["frozen"],
    folder=path,
  )


def _check_fit(
  config: ConfigDict, params: Mapping[str, Params], path: paths.Path
) -> None:
  """Checks the parameters of a run whose stage also has bundles."""
  if config.get("stage") not in fitting.STAGES:
    return
  wanted = fitting.shapes(config, path / workdir.CONFIG_FILE)
  own = {"params": {"gen": params["gen"]}}
  flat: dict[str, Any] = traverse_util.flatten_dict(own, sep="/")
  fitting.check(
    {
      name: np.shape(leaf)
      for name, leaf in flat.items()
      if not name.startswith(f"params/gen/{fitting.HEARING}/")
    },
    {name: s for name, s in wanted.items() if name.startswith("params/")},
    path,
  )
