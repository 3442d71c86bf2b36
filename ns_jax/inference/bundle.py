# SPDX-License-Identifier: Apache-2.0
"""Bundles: what inference needs of a run, in a folder to give away.

model.safetensors   weights in half precision, never pickled
config.json         the run's config
README.md           model card
sup_phonemes.json   tokenizer, where the model reads sup-phonemes
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from ns_jax import files
from ns_jax.errors import UserError
from ns_jax.text.sup_phonemes import TOKENIZER_FILE
from ns_jax.training import workdir

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
_PARTS = {"params", "model_state", "frozen"}
_LARGEST_BYTES = 4 << 30


def is_bundle(path: str | pathlib.Path) -> bool:
  """Whether a folder holds a bundle."""
  return (pathlib.Path(path) / WEIGHTS_FILE).is_file()


def write(
  folder: pathlib.Path,
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
    (folder / CARD_FILE).write_text(card, encoding="utf-8")
    (folder / TOKENIZER_FILE).unlink(missing_ok=True)  # of an older bundle
    if tokenizer is not None:
      (folder / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
    with files.appearing(folder / WEIGHTS_FILE) as file:
      file.write(safetensors.numpy.save(tensors, metadata=facts))
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror})"
    ) from error


def _check_free(folder: pathlib.Path) -> None:
  """A bundle replaces a bundle, or goes to an empty folder."""
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder}: is a file; give the name of a folder")
  own = {
    workdir.CONFIG_FILE,
    CARD_FILE,
    TOKENIZER_FILE,
  }  # of an export killed right here
  if (
    folder.exists()
    and not is_bundle(folder)
    and {child.name for child in folder.iterdir()} - own
  ):
    raise UserError(
      f"{folder}: is not empty and holds no bundle; give another folder"
    )


def read(
  path: str | pathlib.Path,
) -> tuple[ml_collections.ConfigDict, int, dict[str, Any]]:
  """Reads a bundle; (config, step, nested dictionaries of float32 arrays).

  Raises:
    UserError: it is damaged.
  """
  folder = pathlib.Path(path)
  file = folder / WEIGHTS_FILE
  config = workdir.read_config(folder)
  if file.stat().st_size > _LARGEST_BYTES:
    raise UserError(f"{file}: is larger than any bundle; get it again")
  try:
    with safetensors.safe_open(file, "numpy") as opened:
      step = int((opened.metadata() or {}).get("step", 0))
      flat = {name: opened.get_tensor(name) for name in opened.keys()}
  except (safetensors.SafetensorError, ValueError) as error:
    raise UserError(f"{file}: is damaged ({error}); get it again") from error
  for name, tensor in flat.items():
    is_float = np.issubdtype(tensor.dtype, np.floating)
    if not is_float or not np.isfinite(tensor).all():
      raise UserError(f"{file}: {name} holds no finite weights; get it again")
  paths = {tuple(name.split("/")) for name in flat}
  folders = {path[:i] for path in paths for i in range(1, len(path))}
  if not {path[0] for path in paths} <= _PARTS or paths & folders:
    raise UserError(f"{file}: holds other weights than a bundle; get it again")
  wide = {name: tensor.astype(np.float32) for name, tensor in flat.items()}
  return config, step, traverse_util.unflatten_dict(wide, sep="/")
