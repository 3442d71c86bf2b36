# SPDX-License-Identifier: Apache-2.0
"""Codec codes for stored records, and statistics of their latents.

The codec is a function handed in, so nothing here knows a model. Latents are
normalised with the statistics before diffusion (NaturalSpeech 2, Sec. 3.2).
"""

import json
import pathlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from data_pipelines import layers
from data_pipelines.corpora.corpus import Note, Record
from ns_jax import audio
from ns_jax.errors import UserError

STATS_FILE = "latent_stats.json"
_LEAST_STD = 1e-3  # of the widest channel's

# wav [B, S] float32 -> (codes [B, T, Q] integers, latents [B, T, D] float)
EncodeFn = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def add_codes(
  records_dir: str | pathlib.Path,
  encode_fn: EncodeFn,
  codec_id: str,
  *,
  spec: audio.AudioSpec,
  batch_size: int = 16,
) -> pathlib.Path:
  """Adds the layer `codes-<codec_id>` to records, unless done.

  Args:
    records_dir: finished records with `wav`.
    encode_fn: called with batches of whole frames, zero-padded at the end; S
      varies.
    codec_id: names the codec's weights.
    spec: frames of the codec.
    batch_size: utterances a call.

  Returns:
    The layer's directory: the records with their codes. It also holds
    STATS_FILE: codec_id, per-channel mean and std over the frames of the train
    split, and their number.

  Raises:
    UserError: records are missing or the directory cannot be written.
  """

  def fill(
    split: str, records: list[Record], notes: list[Note]
  ) -> list[dict[str, Any]]:
    waves = [audio.from_int16(record["wav"]) for record in records]
    codes: list[Any] = [None] * len(waves)
    stats = _LatentStats()
    for picked in layers.by_length([len(wav) for wav in waves], batch_size):
      batch = _pad([waves[i] for i in picked], batch_size, spec)
      encoded, latents = encode_fn(batch)
      for i, code, latent in zip(picked, encoded, latents, strict=False):
        num_frames = spec.num_frames(len(waves[i]))
        codes[i] = {"codes": np.asarray(code[:num_frames], np.uint16)}
        stats.update(np.asarray(latent[:num_frames]))
    notes.append({"split": split, **stats.to_json()})
    return codes

  def finish(directory: pathlib.Path, notes: Iterable[Note]) -> None:
    stats = _LatentStats()
    for note in notes:
      if note["split"] == "train":
        stats.add(note)
    if stats.frames:
      facts = {"codec_id": codec_id, **stats.moments()}
      (directory / STATS_FILE).write_text(json.dumps(facts, indent=1))

  return layers.add_layer(
    pathlib.Path(records_dir).expanduser().absolute(),
    f"codes-{codec_id}",
    fields=("codes",),
    identity={"codec_id": codec_id},
    fill=fill,
    label="codec codes",
    finish=finish,
  )


def read_latent_stats(
  records_dir: str | pathlib.Path,
) -> tuple[np.ndarray, np.ndarray]:
  """Reads (mean, std), each [D] float32, that `add_codes` stored.

  Raises:
    UserError: the records have no train split.
  """
  path = pathlib.Path(records_dir) / STATS_FILE
  if not path.is_file():
    raise UserError(
      f"{records_dir}: has no statistics of latents, because there is no "
      "'train' split; nothing can be trained on these records"
    )
  stats = json.loads(path.read_text())
  mean, std = (np.array(stats[name], np.float32) for name in ("mean", "std"))
  return mean, std


class _LatentStats:
  """Running per-channel mean and variance in float64."""

  def __init__(self):
    self.frames = 0
    self._sum = self._square_sum = np.zeros(())

  def update(self, latent: np.ndarray) -> None:
    """Adds [T, D] frames."""
    latent = latent.astype(np.float64)
    self.frames += len(latent)
    self._sum = self._sum + latent.sum(0)
    self._square_sum = self._square_sum + np.square(latent).sum(0)

  def add(self, note: Note) -> None:
    """Adds what `to_json` gave elsewhere."""
    self.frames += note["frames"]
    self._sum = self._sum + np.array(note["sum"])
    self._square_sum = self._square_sum + np.array(note["square_sum"])

  def to_json(self) -> Note:
    """The sums so far."""
    return {
      "frames": self.frames,
      "sum": self._sum.tolist(),
      "square_sum": self._square_sum.tolist(),
    }

  def moments(self) -> dict[str, Any]:
    """Number of frames, mean and standard deviation of each channel."""
    mean = self._sum / self.frames
    variance = self._square_sum / self.frames - np.square(mean)
    std = np.sqrt(np.maximum(variance, 0.0))
    return {
      "frames": self.frames,
      "mean": mean.tolist(),
      # A channel the codec does not use must not be blown up.
      "std": np.maximum(std, _LEAST_STD * std.max()).tolist(),
    }


def _pad(
  waves: list[np.ndarray], batch_size: int, spec: audio.AudioSpec
) -> np.ndarray:
  """Stacks waves [S] of whole frames to [batch_size, S_max], zeros after."""
  num_frames = spec.num_frames(max(map(len, waves)))
  batch = np.zeros((batch_size, spec.num_samples(num_frames)), np.float32)
  for row, wav in zip(batch, waves, strict=False):
    row[: len(wav)] = wav
  return batch
