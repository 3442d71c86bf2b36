# SPDX-License-Identifier: Apache-2.0
"""Runs a model that `ns-jax export-stablehlo` wrote, with JAX and NumPy alone.

  ns-jax export-stablehlo shipped hlo
  python examples/load_stablehlo.py hlo

Prints what codes of the codec make of a second of a tone.
"""

import functools
import hashlib
import json
import pathlib
import struct
import sys
from collections.abc import Callable

import jax
import jax.export
import numpy as np


def load(folder: str) -> dict[str, Callable[..., list[jax.Array]]]:
  """Programs of an export by name; each takes and returns arrays."""
  root = pathlib.Path(folder)
  manifest = json.loads((root / "manifest.json").read_text())
  weights = read_safetensors(read(root, manifest["weights"]))
  programs = {}
  for name, facts in manifest["programs"].items():
    exported = jax.export.deserialize(bytearray(read(root, facts)))
    own = {key: weights[key] for key in facts["weights"]}
    programs[name] = functools.partial(jax.jit(exported.call), own)
  return programs


def read(root: pathlib.Path, facts: dict) -> bytes:
  """A file of the export, if it is the one that the manifest means."""
  content = (root / facts["file"]).read_bytes()
  if hashlib.sha256(content).hexdigest() != facts["sha256"]:
    sys.exit(f"{root / facts['file']}: is not what the manifest says")
  return content


def read_safetensors(content: bytes) -> dict[str, np.ndarray]:
  """All tensors of a file; they are in single precision."""
  (size,) = struct.unpack("<Q", content[:8])
  header, data = json.loads(content[8 : 8 + size]), content[8 + size :]
  header.pop("__metadata__", None)
  tensors = {}
  for name, facts in header.items():
    first, end = facts["data_offsets"]
    flat = np.frombuffer(data[first:end], "<f4")
    tensors[name] = flat.reshape(facts["shape"])
  return tensors


def main() -> None:
  """Encodes and decodes a tone."""
  programs = load(sys.argv[1])
  model = json.loads((pathlib.Path(sys.argv[1]) / "manifest.json").read_text())
  rate_hz, hop = (model["model"][x] for x in ("sample_rate_hz", "hop_samples"))
  samples = np.arange(rate_hz // hop * hop)
  wav = 0.1 * np.sin(2 * np.pi * 220 / rate_hz * samples, dtype=np.float32)
  codes, latents = programs["encode"](wav[None].astype(np.float32))
  (again,) = programs["decode"](latents)
  level_db = 20 * np.log10(np.std(again) / np.std(wav))
  print(f"codes {codes.shape}, wave {again.shape}, level {level_db:+.1f} dB")


if __name__ == "__main__":
  main()
