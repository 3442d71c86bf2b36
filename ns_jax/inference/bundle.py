# SPDX-License-Identifier: Apache-2.0
"""Bundles: what inference needs of a run, in a folder to give away.

model.safetensors   weights in half precision, never pickled
config.json         the run's config
README.md           model card, with the front matter that model hubs read
sup_phonemes.json   tokenizer, where the model reads sup-phonemes
SHA256SUMS          of all that is read, that is, of all but the card

A bundle may come from a stranger. Files are plain files of the folder, of
bounded size; names, types and shapes of the weights are those of the config
before any is read; nothing in it names a path or is run.
"""

import pathlib
import re
import struct
from collections.abc import Mapping
from typing import Any

import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from flax import traverse_util

from ns_jax import files, paths
from ns_jax.errors import UserError
from ns_jax.inference import bundle_config, fitting, sums
from ns_jax.text.sup_phonemes import TOKENIZER_FILE
from ns_jax.training import workdir

WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
_READ = (workdir.CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE)
_OWN = {*_READ, CARD_FILE, sums.SUMS_FILE}
_LARGEST_BYTES = {
  workdir.CONFIG_FILE: 1 << 20,
  CARD_FILE: 1 << 20,  # goes along where a bundle is exported again
  TOKENIZER_FILE: 16 << 20,
  WEIGHTS_FILE: 4 << 30,
  sums.SUMS_FILE: 1 << 20,
}
_LARGEST_HEADER_BYTES = 8 << 20
_DTYPES = {"F16", "F32"}
_BLOB = re.compile(r"[0-9a-f]{40,64}")


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
  """Writes a bundle; the sums come last.

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
    files.tidy(folder)
    workdir.write_json(folder / workdir.CONFIG_FILE, config.to_dict())
    files.write(folder / CARD_FILE, card.encode())
    (folder / TOKENIZER_FILE).unlink(missing_ok=True)  # of an older bundle
    if tokenizer is not None:
      files.write(folder / TOKENIZER_FILE, tokenizer.encode())
    content = safetensors.numpy.save(tensors, metadata=facts)
    files.write(folder / WEIGHTS_FILE, content)
    # Until here an older bundle's sums say that this one is not whole.
    sums.write(folder, _present(folder))
  except OSError as error:
    raise UserError(
      f"{folder}: cannot be written ({error.strerror or error})"
    ) from error


def _present(folder: paths.Path) -> list[str]:
  """Those files of a bundle that are read, where they are."""
  return [name for name in _READ if (folder / name).exists()]


def _check_free(folder: paths.Path) -> None:
  """A bundle replaces a bundle, or goes to an empty folder."""
  if folder.exists() and not folder.is_dir():
    raise UserError(f"{folder}: is a file; give the name of a folder")
  # An export may have been killed right here.
  if not is_bundle(folder) and files.foreign(folder, _OWN):
    raise UserError(
      f"{folder}: is not empty and holds no bundle; give another folder"
    )


def read(
  path: str | paths.Path,
) -> tuple[ml_collections.ConfigDict, int, dict[str, Any]]:
  """Reads a bundle; (config, step, nested dictionaries of float32 arrays).

  Raises:
    UserError: it is damaged, or made to do harm.
  """
  folder = paths.as_path(path)
  _check_files(folder)
  sums.check(folder, _present(folder))
  config = bundle_config.read(folder)
  file = folder / WEIGHTS_FILE
  expected = fitting.shapes(config, folder / workdir.CONFIG_FILE)
  try:
    with paths.local(file) as here:
      _check_header_size(here)
      with safetensors.safe_open(here, "numpy") as opened:
        _check_tensors(opened, expected, file)
        step = int((opened.metadata() or {}).get("step", 0))
        flat = {
          name: _finite(opened.get_tensor(name), f"{file}: {name}")
          for name in expected
        }
  except (safetensors.SafetensorError, ValueError) as error:
    reason = files.first_line(error)
    raise UserError(f"{file}: is damaged ({reason}); get it again") from error
  return config, step, traverse_util.unflatten_dict(flat, sep="/")


def _check_files(folder: paths.Path) -> None:
  """Checks that what is read are files of the folder, of bounded size."""
  for name, limit in _LARGEST_BYTES.items():
    file = folder / name
    if not paths.is_remote(file):
      here = pathlib.Path(file)
      if here.is_symlink() and not _is_cached(here):
        raise UserError(f"{file}: is a link; put the file itself there")
      if here.exists() and not here.is_file():
        raise UserError(f"{file}: is no plain file")
    if file.exists() and paths.size(file) > limit:
      raise UserError(f"{file}: is larger than any bundle's; get it again")


def _is_cached(link: pathlib.Path) -> bool:
  """Whether a link is one of Hugging Face's cache: to ../../blobs/<digest>."""
  target = link.readlink()
  return (
    target.parent == pathlib.Path("../../blobs")
    and _BLOB.fullmatch(target.name) is not None
    and link.resolve().parent == link.parents[2].resolve() / "blobs"
  )


def _check_header_size(file: pathlib.Path) -> None:
  """Checks how much the library is going to read and parse at once."""
  with file.open("rb") as opened:
    head = opened.read(8)
  size = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
  if not 2 <= size <= min(_LARGEST_HEADER_BYTES, file.stat().st_size - 8):
    raise ValueError(f"its header claims {size} bytes")


def _check_tensors(
  opened: Any, expected: Mapping[str, fitting.Shape], file: paths.Path
) -> None:
  """Checks what the header of the weights says, before they are read."""
  parts = {name: opened.get_slice(name) for name in opened.keys()}
  found = {name: tuple(part.get_shape()) for name, part in parts.items()}
  fitting.check(found, expected, file)
  for name, part in parts.items():
    if part.get_dtype() not in _DTYPES:
      raise UserError(
        f"{file}: {name} is of type {part.get_dtype()}; "
        f"weights are {' or '.join(sorted(_DTYPES))}"
      )


def _finite(tensor: np.ndarray, where: str) -> np.ndarray:
  """A tensor in single precision.

  Raises:
    UserError: it holds infinities or what is no number.
  """
  if not np.isfinite(tensor).all():
    raise UserError(f"{where} is not finite; get it again")
  return tensor.astype(np.float32)
