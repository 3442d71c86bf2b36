# SPDX-License-Identifier: Apache-2.0
"""Marks on what is spoken: which key, and looking for them in files."""

import os

from ns_jax import audio_blocks, watermark
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.watermark import Detection

KEY_VARIABLE = "NS_JAX_MARK_KEY"


def key() -> str:
  """The key of marks: the environment's, else the one that all know.

  Raises:
    UserError: it is there but empty.
  """
  found = os.environ.get(KEY_VARIABLE, watermark.PUBLIC_KEY)
  if not found:
    raise UserError(f"{KEY_VARIABLE} is empty; give it a key or unset it")
  return found


def key_if(wanted: bool) -> str | None:
  """The key of marks for what is to be spoken; None: it is not to be marked.

  Raises:
    UserError: see `key`.
  """
  return key() if wanted else None


def detect(path: str, key: str) -> Detection:
  """Looks for the mark of a key in an audio file of any length.

  Raises:
    UserError: the file cannot be used.
  """
  spec = AudioSpec(sample_rate_hz=watermark.DETECTOR_RATE_HZ)
  return watermark.detect(audio_blocks.read_blocks(path, spec), key)
