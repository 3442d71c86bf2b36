# SPDX-License-Identifier: Apache-2.0
"""Recordings that strangers send: decoded only as far as they are allowed."""

import io
import pathlib
import tempfile

import numpy as np
import soundfile

from ns_jax import audio_blocks, files
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError

_FULL_SCALE = 2**15


def decode(content: bytes, spec: AudioSpec, max_sec: float) -> np.ndarray:
  """Decodes an audio file that came over the network; see `read`."""
  with tempfile.TemporaryDirectory(prefix="ns_jax_upload_") as folder:
    path = pathlib.Path(folder) / "upload"
    path.write_bytes(content)
    try:
      return read(path, spec, max_sec)
    except UserError as error:
      # The path says nothing to whoever sent the file.
      reason = str(error).removeprefix(f"{path}: ")
      raise UserError(f"the recording: {reason}") from error


def read(path: pathlib.Path, spec: AudioSpec, max_sec: float) -> np.ndarray:
  """Decodes a file; memory grows with `max_sec`, not with what it holds.

  Args:
    path: an audio file.
    spec: gives the sample rate to resample to.
    max_sec: longest recording.

  Returns:
    [S] float32, in [-1, 1], of 16 bits, so that a voice stays the same when it
    is written and read again.

  Raises:
    UserError: it is no audio, damaged, or too long.
  """
  waves, num_samples = [], 0
  for wav in audio_blocks.read_blocks(path, spec):
    num_samples += len(wav)
    if num_samples > max_sec * spec.sample_rate_hz:
      raise UserError(f"{path}: is longer than {max_sec:g} s; cut it")
    levels = np.rint(wav * _FULL_SCALE)
    waves.append(np.clip(levels, -_FULL_SCALE, _FULL_SCALE - 1))
  return (np.concatenate(waves) / _FULL_SCALE).astype(np.float32)


def write(path: pathlib.Path, wav: np.ndarray, spec: AudioSpec) -> None:
  """Writes what `read` returned, exactly.

  Raises:
    OSError: it cannot be written.
  """
  levels, content = (wav * _FULL_SCALE).astype(np.int16), io.BytesIO()
  soundfile.write(content, levels, spec.sample_rate_hz, format="WAV")
  files.write(path, content.getvalue())
