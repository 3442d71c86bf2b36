# SPDX-License-Identifier: Apache-2.0
"""Codec codes for stored records, and statistics of their latents.

The codec is a function handed in, so nothing here knows a model. Latents are
normalised with the statistics before diffusion (NaturalSpeech 2, Sec. 3.2).
"""

import functools
import json
import pathlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow_datasets as tfds

from data_pipelines import builder
from data_pipelines.corpora.corpus import Corpus, Record
from data_pipelines.records import Records
from ns_jax import audio

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
  """Stores records again with `codes`, beside the old ones, unless done.

  Args:
    records_dir: finished records with `wav`.
    encode_fn: called with one fixed shape, S being the longest record's
      samples, rounded up to whole frames.
    codec_id: names the codec's weights; part of the new directory's name.
    spec: frames of the codec.
    batch_size: utterances a call.

  Returns:
    The new records' directory. It also holds STATS_FILE: codec_id, per-channel
    mean and std over the real frames of the train split, and their number.

  Raises:
    UserError: records are missing or the directory cannot be written.
  """
  records_dir = pathlib.Path(records_dir).expanduser().absolute()
  old = Records(records_dir, "train", ("wav",))
  info = tfds.builder_from_directory(records_dir).info
  stats = _LatentStats()

  # Called by `encode` alone, so that nothing is read where all is done.
  longest_samples = functools.cache(
    lambda: _longest_samples(records_dir, list(info.splits), spec)
  )

  def encode(split: str) -> Iterator[Record]:
    size = longest_samples()
    records = Records(records_dir, split)
    for first in range(0, len(records), batch_size):
      count = min(batch_size, len(records) - first)
      batch = [records[first + i] for i in range(count)]
      codes, latents = _encode(batch, encode_fn, size, batch_size)
      for record, code, latent in zip(batch, codes, latents, strict=False):
        num_frames = spec.num_frames(len(record["wav"]))
        if split == "train":
          stats.update(latent[:num_frames])
        yield {**record, "codes": code[:num_frames].astype(np.uint16)}

  corpus = Corpus(
    name=info.name,
    config=f"{info.config_name}-{codec_id}",
    version=str(info.version),
    description=f"{info.description} With codes of codec {codec_id}.",
    features=(*(name for name in old.features if name != "codes"), "codes"),
    split_sizes={
      name: split.num_examples for name, split in info.splits.items()
    },
    records=encode,
    finish=lambda directory: stats.write(directory / STATS_FILE, codec_id),
  )
  # `info` was read from name/config/version below the data directory.
  return builder.prepare(corpus, records_dir.parents[2], label="codec codes")


def read_latent_stats(
  records_dir: str | pathlib.Path,
) -> tuple[np.ndarray, np.ndarray]:
  """Reads (mean, std), each [D] float32, that `add_codes` stored."""
  stats = json.loads((pathlib.Path(records_dir) / STATS_FILE).read_text())
  mean, std = (np.array(stats[name], np.float32) for name in ("mean", "std"))
  return mean, std


class _LatentStats:
  """Running per-channel mean and variance in float64."""

  def __init__(self):
    self._frames = 0
    self._sum = self._square_sum = np.zeros(())

  def update(self, latent: np.ndarray) -> None:
    """Adds [T, D] frames."""
    latent = latent.astype(np.float64)
    self._frames += len(latent)
    self._sum = self._sum + latent.sum(0)
    self._square_sum = self._square_sum + np.square(latent).sum(0)

  def write(self, path: pathlib.Path, codec_id: str) -> None:
    mean = self._sum / self._frames
    variance = self._square_sum / self._frames - np.square(mean)
    std = np.sqrt(np.maximum(variance, 0.0))
    stats = {
      "codec_id": codec_id,
      "frames": self._frames,
      "mean": mean.tolist(),
      # A channel the codec does not use must not be blown up.
      "std": np.maximum(std, _LEAST_STD * std.max()).tolist(),
    }
    path.write_text(json.dumps(stats, indent=1))


def _encode(
  batch: list[Record], encode_fn: EncodeFn, size: int, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
  wav = np.zeros((batch_size, size), np.float32)
  for row, record in enumerate(batch):
    wav[row, : len(record["wav"])] = audio.from_int16(record["wav"])
  codes, latents = encode_fn(wav)
  return np.asarray(codes), np.asarray(latents)


def _longest_samples(
  records_dir: pathlib.Path, splits: list[str], spec: audio.AudioSpec
) -> int:
  longest = max(
    len(records[i]["wav"])
    for records in (Records(records_dir, split) for split in splits)
    for i in range(len(records))
  )
  return spec.num_samples(spec.num_frames(longest))
