# SPDX-License-Identifier: Apache-2.0
"""Weights of a run or a bundle, ready for use."""

import dataclasses
import hashlib
import pathlib
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from ns_jax.array_types import Params
from ns_jax.errors import UserError
from ns_jax.inference import bundle
from ns_jax.training import checkpoint, workdir

# The codec that comes along: its name, and where it is.
SHIPPED = "shipped"
SHIPPED_CODEC = pathlib.Path(__file__).parents[1] / "bundles" / "codec"


@dataclasses.dataclass(frozen=True)
class Weights:
  """What inference needs of a run; nested dictionaries of arrays."""

  config: ConfigDict
  step: int
  params: dict[str, Params]  # player -> moving average where there is one
  model_state: dict[str, Any]
  frozen: dict[str, Any] = dataclasses.field(default_factory=dict)


def weights_folder(name: str | pathlib.Path) -> pathlib.Path:
  """Where a bundle or workdir is; "shipped": the codec that comes along."""
  if name == SHIPPED:
    return SHIPPED_CODEC
  return pathlib.Path(name).expanduser().absolute()


def digest(arrays: Any) -> str:
  """Twelve hexadecimal digits that name a tree of arrays."""
  sha = hashlib.sha256()
  for leaf in jax.tree.leaves(arrays):
    sha.update(np.asarray(leaf).tobytes())
  return sha.hexdigest()[:12]


def restore(path: str | pathlib.Path) -> Weights:
  """Reads a bundle, or the newest whole checkpoint of a workdir.

  Raises:
    UserError: the folder holds neither, or nothing that can be read.
  """
  path = pathlib.Path(path).expanduser()
  if bundle.is_bundle(path):
    config, step, arrays = bundle.read(path)
    return Weights(config=config, step=step, **arrays)
  config = workdir.read_config(path)
  step, state = checkpoint.read_newest(path)
  return Weights(
    config=config,
    step=step,
    params={**state["params"], **state["ema_params"]},
    model_state=state["model_state"],
    frozen=state["frozen"],
  )


def export_codec(weights: Weights, folder: pathlib.Path, card: str) -> None:
  """Writes the codec of a codec run as a bundle.

  Args:
    weights: of the run.
    folder: for the bundle.
    card: its model card, Markdown.

  Raises:
    UserError: the run is not of a codec.
  """
  if weights.config.stage != "codec":
    raise UserError(
      f"a run of the stage {weights.config.stage} cannot be exported yet; "
      "give the workdir of a codec"
    )
  codebook = weights.model_state["codebook"]
  arrays = {
    "params": {"gen": weights.params["gen"]},
    "model_state": {"codebook": {"embeddings": codebook["embeddings"]}},
  }
  config = weights.config
  kept = {name: config[name] for name in ("stage", "preset", "dtype", "audio")}
  kept["model"] = {name: config.model[name] for name in ("codec", "quantizer")}
  bundle.write(folder, ConfigDict(kept), weights.step, arrays, card)
