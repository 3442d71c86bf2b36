# SPDX-License-Identifier: Apache-2.0
"""Which layout a folder has."""

import pathlib

from data_pipelines.corpora import (
  folder,
  kaldi,
  librispeech,
  ljspeech,
  manifest,
  mls,
  vctk,
)
from data_pipelines.corpora.listing import List
from ns_jax.errors import UserError

LAYOUTS: dict[str, List] = {
  "kaldi": kaldi.clips,
  "ljspeech": ljspeech.clips,
  "manifest": manifest.clips,
  "mls": mls.clips,
  "vctk": vctk.clips,
  "librispeech": librispeech.clips,
  "folder": folder.clips,
}
# In this order: a `metadata.csv` with bars is no table with a header.
_TESTS = {
  "kaldi": kaldi.is_layout,
  "ljspeech": ljspeech.is_layout,
  "manifest": lambda root: manifest.find(root) is not None,
  "mls": mls.is_layout,
  "vctk": vctk.is_layout,
  "librispeech": librispeech.is_layout,
  "folder": folder.is_layout,
}


def find(root: pathlib.Path) -> str:
  """Names the layout of a folder.

  Raises:
    UserError: it is no folder, or has none of them.
  """
  if not root.is_dir():
    raise UserError(f"{root}: no such folder; give the corpus's own")
  for name, has_layout in _TESTS.items():
    if has_layout(root):
      return name
  raise UserError(
    f"{root}: no transcripts found; put a .txt or .lab beside each audio file, "
    f"a table ({manifest.NAMES[0]}, ...) into the folder, or give an unpacked "
    "LJSpeech, VCTK, LibriSpeech, LibriTTS, MLS or Kaldi folder"
  )
