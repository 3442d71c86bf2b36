# SPDX-License-Identifier: Apache-2.0
"""The config of a bundle, which a stranger may have written.

It holds names and numbers of a model and nothing else: no paths, and no number
that would have a model built that no machine can hold.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from ns_jax import paths
from ns_jax.errors import UserError
from ns_jax.training import workdir

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_WORD = re.compile(r"[A-Za-z0-9_+-]{0,60}")
_MOST_VALUES = 2_000
_LARGEST = 65_536  # of all numbers, but for these
_LIMITS = {
  "sample_rate_hz": 192_000,
  "hop_samples": 8_192,
  "num_mels": 1_024,
  "num_stages": 256,
  "num_couplings": 64,
  "num_layers": 256,
  "encoder_layers": 256,
  "decoder_layers": 256,
  "steps": 10_000,
  "max_phonemes": 10_000,
}
_CODECS = ("", "shipped")  # what `frozen.codec` says: inside, or comes along


def read(folder: paths.Path) -> ml_collections.ConfigDict:
  """Reads and checks the config of a bundle.

  Raises:
    UserError: it is damaged, or holds what no bundle needs.
  """
  config = workdir.read_config(folder)
  file = folder / workdir.CONFIG_FILE
  try:
    leaves = list(_leaves(config.to_dict(), ""))
  except RecursionError as error:
    raise UserError(f"{file}: is nested too deeply") from error
  if len(leaves) > _MOST_VALUES:
    raise UserError(f"{file}: has more fields than any bundle")
  for name, value in leaves:
    objection = _objection(name.rpartition(".")[2], value)
    if objection:
      raise UserError(f"{file}: {name[:80]} {objection}; this is no bundle")
  frozen = config.get("frozen") or {}
  if frozen and frozen.get("codec") not in _CODECS:
    raise UserError(
      f"{file}: frozen.codec is not one of {_CODECS}; this is no bundle"
    )
  return config


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
  """Names and values of all that a config holds; of lists, of each element."""
  if isinstance(value, Mapping):
    for key, child in value.items():
      if not _KEY.fullmatch(key):
        yield f"{name}.(a field)", key
      yield from _leaves(child, f"{name}.{key}".lstrip("."))
  elif isinstance(value, list | tuple):
    for child in value:
      yield from _leaves(child, name)
  else:
    yield name, value


def _objection(field: str, value: Any) -> str | None:
  """What is wrong with the value of a field; None if nothing is."""
  if field == "(a field)":
    return "has a name that is none"
  if isinstance(value, str):
    return None if _WORD.fullmatch(value) else "is no word"
  if value is None or isinstance(value, bool):
    return None
  limit = _LIMITS.get(field, _LARGEST)
  return None if abs(value) <= limit else f"is not within {limit}"
