# SPDX-License-Identifier: Apache-2.0
"""Bundles: what inference needs of a run, in a folder to give away.

model.safetensors   weights in half precision, never pickled
config.json         the run's config
README.md           model card
sup_phonemes.json   tokenizer, where the model reads sup-phonemes
"""

from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.text.sup_phonemes import TOKENIZER_FILE
from ns_jax.training import workdir

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
_PARTS = {"params", "model_state", "frozen"}
_LARGEST_BYTES = 4 << 30


def is_bundle(path: str | paths.Path) -> bool:
  """Whether a folder holds a bundle."""
  return (paths.as_path(path) / WEIGHTS_FILE).is_file()


def write(
  folder: paths.Path,
  config: ml_collections.ConfigDict,
  step: int,
  arrays: Mapping[str, Any],
  card: str,
  tokenizer: str | None = None,
) -> None:
  """Writes a bundle; the weights come last.

  Args:
    folder: made if missing.
    config: of the run.
    step: of the run.
    arrays: nested dictionaries of float arrays.
    card: Markdown.
    tokenizer: of sup-phonemes, where the model reads them.

  Raises:
    UserError: a weight is too large for half precision, or not finite; or the
      folder holds something else, or cannot be written.
  """
  _check_free(folder)
  tensors = {}
  for name, array in traverse_util.flatten_dict(dict(arrays), sep="/").items():
    half = np.asarray(array).astype(np.float16)
    if not np.isfinite(half).all():
      raise UserError(f"{name}: does not fit in half precision")
    tensors[name] = np.asarray(half, order="C")
  facts = {"format": "ns_jax", "step": str(step)}
  try:
    folder.mkdir(parents=True, exist_ok=True)
    workdir.write_json(folder / workdir.CONFIG_FILE, config.to_dict())
    files.write(folder / CARD_FILE, card.encode())
    (folder / TOKENIZER_FILE).unlink(missing_ok=True)  # of an older bundle
    if tokenizer is not None:
      files.write(folder / TOKENIZER_FILE, tokenizer.encode())
    content = safetensors.numpy.save(tensors, metadata=facts)
    files.write(folder / WEIGHTS_FILE, content)
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror or error})"
    ) from error


def _check_free(folder: paths.Path) -> None:
  """A bundle replaces a bundle, or goes to an empty folder."""
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder}: is a file; give the name of a folder")
  own = {
    workdir.CONFIG_FILE,
    CARD_FILE,
    TOKENIZER_FILE,
  }  # of an export killed right here
  if (
    folder.exists() and not is_bundle(folder) and set(paths.names(folder)) - own
  ):
    raise UserError(
      f"{folder}: is not empty and holds no bundle; give another folder"
    )


def read(
  path: str | paths.Path,
) -> tuple[ml_collections.ConfigDict, int, dict[str, Any]]:
  """Reads a bundle; (config, step, nested dictionaries of float32 arrays).

  Raises:
    UserError: it is damaged.
  """
  folder = paths.as_path(path)
  file = folder / WEIGHTS_FILE
  config = workdir.read_config(folder)
  try:
    with paths.local(file) as here:
      if here.stat().st_size > _LARGEST_BYTES:
        raise UserError(f"{file}: is larger than any bundle; get it again")
      with safetensors.safe_open(here, "numpy") as opened:
        step = int((opened.metadata() or {}).get("step", 0))
        flat = {name: opened.get_tensor(name) for name in opened.keys()}
  except (safetensors.SafetensorError, ValueError) as error:
    raise UserError(f"{file}: is damaged ({error}); get it again") from error
  for name, tensor in flat.items():
    is_float = np.issubdtype(tensor.dtype, np.floating)
    if not is_float or not np.isfinite(tensor).all():
      raise UserError(f"{file}: {name} holds no finite weights; get it again")
  leaves = {tuple(name.split("/")) for name in flat}
  branches = {leaf[:i] for leaf in leaves for i in range(1, len(leaf))}
  if not {leaf[0] for leaf in leaves} <= _PARTS or leaves & branches:
    raise UserError(f"{file}: holds other weights than a bundle; get it again")
  wide = {name: tensor.astype(np.float32) for name, tensor in flat.items()}
  return config, step, traverse_util.unflatten_dict(wide, sep="/")
