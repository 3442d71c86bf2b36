# SPDX-License-Identifier: Apache-2.0
"""Where examples are cut out of records, and how they are padded."""

from collections.abc import Collection

import numpy as np

from data_pipelines.corpora.corpus import Record
from ns_jax import audio

Example = dict[str, np.ndarray]


def whole(
  sizes: np.ndarray, room: int, most: int, rng: np.random.Generator
) -> slice:
  """Places a window of whole parts, as many as there is room for.

  Args:
    sizes: [K] integers, of all parts in order.
    room: for the sum of the sizes of those taken.
    most: parts to take.
    rng: places the beginning where there is no room for all.

  Returns:
    Which parts; at least one, even if it is too large; not only such as have
    no size.
  """
  ends = np.cumsum(sizes)
  # From the last beginning everything that follows fits.
  fits = ends[-1] - (ends - sizes) <= room
  fits &= np.arange(len(sizes), 0, -1) <= most
  last = int(np.argmax(fits)) if fits.any() else len(sizes) - 1
  first = int(rng.integers(0, last + 1))
  end = int(ends[first] - sizes[first]) + room
  count = int(np.searchsorted(ends, end, side="right")) - first
  count = min(max(count, 1), most)
  if not sizes[first : first + count].any():
    filled = np.flatnonzero(sizes)
    nearest = np.searchsorted(filled, first).clip(max=len(filled) - 1)
    first, count = int(filled[nearest]), 1
  return slice(first, first + count)


def spans(
  record: Record, phonemes: slice, features: Collection[str], max_phonemes: int
) -> Example:
  """What the phonemes of a window are part of.

  Args:
    record: with phonemes and `features`.
    phonemes: the window.
    features: without sup_phonemes every phoneme is a span of its own.
    max_phonemes: N.

  Returns:
    span: [N] int32, which of the window's spans each phoneme is part of, from
    0; num_spans: [] int32; sup_phonemes: [N] int32, ids, if in `features`.
  """
  example = {}
  own = np.arange(len(record["phonemes"]), dtype=np.int32)
  if "sup_phonemes" in features:
    lengths = record["sup_lengths"]
    own = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    ids = np.repeat(record["sup_phonemes"], lengths)[phonemes]
    example["sup_phonemes"] = pad(ids, max_phonemes)
  own = own[phonemes] - own[phonemes.start]
  example["span"] = pad(own, max_phonemes)
  example["num_spans"] = np.array(own[-1] + 1, np.int32)
  return example


def cut(
  record: Record,
  phonemes: slice,
  frames: slice,
  features: Collection[str],
  max_frames: int,
  max_phonemes: int,
  spec: audio.AudioSpec,
) -> Example:
  """Pads a piece of a record: its phonemes, and what of its frames is asked."""
  example = {
    "phonemes": pad(record["phonemes"][phonemes], max_phonemes),
    "num_phonemes": np.array(phonemes.stop - phonemes.start, np.int32),
    "num_frames": np.array(frames.stop - frames.start, np.int32),
  }
  for name in ("f0", "f0_phase"):
    if name in features:
      example[name] = pad(record[name][frames], max_frames)
  if "codes" in features:
    codes = record["codes"][frames].astype(np.int32)
    example["codes"] = pad(codes, max_frames)
  if "wav" in features:
    samples = slice(
      spec.num_samples(frames.start), spec.num_samples(frames.stop)
    )
    wav = audio.from_int16(record["wav"][samples])
    example["wav"] = pad(wav, spec.num_samples(max_frames))
    example["num_samples"] = np.array(len(wav), np.int32)
  return example


def place(length: int, size: int, rng: np.random.Generator) -> int:
  """Where a window of `size` begins within `length`; at 0 if it holds all."""
  return int(rng.integers(0, max(length - size, 0) + 1))


def pad(values: np.ndarray, size: int) -> np.ndarray:
  """Adds zeros to axis 0 up to `size`."""
  padded = np.zeros((size, *values.shape[1:]), values.dtype)
  padded[: len(values)] = values
  return padded
