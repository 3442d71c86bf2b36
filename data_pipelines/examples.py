# SPDX-License-Identifier: Apache-2.0
"""Records to fixed-shape examples; plain numpy, shared by both readers.

Shapes depend on the arguments, never on the record, so that every process of a
run compiles and steps alike.
"""

import functools
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from data_pipelines import windows
from data_pipelines.corpora.corpus import Record
from data_pipelines.windows import Example
from ns_jax import audio
from ns_jax.errors import UserError
from ns_jax.text import pauses


def make_example_fn(
  data: Any, features: Collection[str], spec: audio.AudioSpec
) -> Callable[[Record, np.random.Generator], Example]:
  """Chooses the transform that a config's `data` section names.

  Args:
    data: section with `example` ("waveform", "text", "utterance", "passage" or
      "whole") and its lengths.
    features: record fields the stage reads.
    spec: gives the hop.

  Returns:
    (record, rng) -> example.

  Raises:
    UserError: the name is unknown.
  """
  if data.example == "waveform":
    return functools.partial(
      waveform,
      crop_frames=data.crop_frames,
      gain_db=tuple(data.gain_db),
      spec=spec,
    )
  if data.example == "text":
    return functools.partial(
      text, features=features, max_phonemes=data.max_phonemes
    )
  if data.example not in _OF_TEXT:
    raise UserError(
      f"config.data.example={data.example!r} is unknown; "
      f"use waveform, text, {' or '.join(_OF_TEXT)}"
    )
  return functools.partial(
    _OF_TEXT[data.example],
    features=features,
    max_frames=data.max_frames,
    max_phonemes=data.max_phonemes,
    spec=spec,
  )


def waveform(
  record: Record,
  rng: np.random.Generator,
  *,
  crop_frames: int,
  gain_db: tuple[float, float],
  spec: audio.AudioSpec,
) -> Example:
  """Cuts a random piece of the wave, as the codec trains on.

  Args:
    record: with wav.
    rng: places the piece and draws its gain.
    crop_frames: length of the piece.
    gain_db: lowest and highest gain, so that a codec learns all levels; records
      are all of one (SoundStream, Sec. IV-A).
    spec: gives the hop.

  Returns:
    wav: [crop_frames * hop] float32, zeros after the end of a shorter record.
    num_samples: [] int32, real samples.
  """
  size = spec.num_samples(crop_frames)
  samples = record["wav"]
  first = rng.integers(0, max(len(samples) - size, 0) + 1)
  piece = audio.from_int16(samples[first : first + size])
  gain = np.float32(10.0 ** (rng.uniform(gain_db[0], gain_db[1]) / 20.0))
  return {
    "wav": windows.pad(gain * piece, size),
    "num_samples": np.array(len(piece), np.int32),
  }


def text(
  record: Record,
  rng: np.random.Generator,
  *,
  features: Collection[str],
  max_phonemes: int,
) -> Example:
  """Pads the phonemes of an utterance, without what is heard.

  Args:
    record: with phonemes and `features`.
    rng: places the beginning where the utterance is too long.
    features: whether sup_phonemes are wanted, which are never cut apart; other
      names are ignored.
    max_phonemes: N.

  Returns:
    phonemes: [N] int32, 0 after num_phonemes: [] int32. With sup_phonemes as
    `passage` has them; without, every phoneme is a span of its own.
  """
  lengths = np.ones(len(record["phonemes"]), np.int32)
  if "sup_phonemes" in features:
    lengths = record["sup_lengths"]
  ends = np.cumsum(lengths)
  spans = windows.whole(lengths, max_phonemes, len(lengths), rng)
  first = int(ends[spans.start] - lengths[spans.start])
  # One sup-phoneme alone may be too long.
  stop = min(int(ends[spans.stop - 1]), first + max_phonemes)
  cut = slice(first, stop)
  return windows.spans(record, cut, features, max_phonemes) | {
    "phonemes": windows.pad(record["phonemes"][cut], max_phonemes),
    "num_phonemes": np.array(stop - first, np.int32),
  }


def utterance(
  record: Record,
  rng: np.random.Generator,
  *,
  features: Collection[str],
  max_frames: int,
  max_phonemes: int,
  spec: audio.AudioSpec,
) -> Example:
  """Pads an utterance: its phonemes, and as many frames as there is room for.

  Where it is too long, a window of phonemes is placed first and one of frames
  within it. How many phonemes are seen must not depend on how fast they are
  spoken, or a model learns to read the one from the other.

  Args:
    record: with phonemes, durations and `features`.
    rng: places the windows.
    features: which of f0, f0_phase, codes and wav to return; other names are
      ignored.
    max_frames: T.
    max_phonemes: N.
    spec: gives the hop.

  Returns:
    phonemes, durations: [N] int32, 0 after num_phonemes; frames.
    first_frame: [] int32, where the frames begin, counted from the first
    phoneme. num_phonemes, num_frames: [] int32.
    f0, f0_phase: [T] float32, Hz and radians. codes: [T, Q] int32.
    wav: [T * hop] float32 with num_samples: [] int32. Each only if in
    `features`; 0 after the end.
  """
  first = windows.place(len(record["phonemes"]), max_phonemes, rng)
  phonemes = slice(first, first + max_phonemes)
  durations = record["durations"][phonemes]
  first_frame = windows.place(int(durations.sum()), max_frames, rng)
  start = int(record["durations"][:first].sum()) + first_frame
  stop = start + min(int(durations.sum()) - first_frame, max_frames)
  example = {
    "durations": windows.pad(durations, max_phonemes),
    "first_frame": np.array(first_frame, np.int32),
  }
  return example | windows.cut(
    record,
    slice(first, first + len(durations)),
    slice(start, stop),
    features,
    max_frames,
    max_phonemes,
    spec,
  )


def passage(
  record: Record,
  rng: np.random.Generator,
  *,
  features: Collection[str],
  max_frames: int,
  max_phonemes: int,
  spec: audio.AudioSpec,
) -> Example:
  """Pads whole phonemes with all their frames, as many as there is room for.

  Text and wave belong to each other from the first frame to the last.

  Args:
    record: with phonemes, durations and `features`.
    rng: places the beginning where the utterance is too long.
    features: which of f0, f0_phase, codes, wav and sup_phonemes to return;
      other names are ignored.
    max_frames: T.
    max_phonemes: N.
    spec: gives the hop.

  Returns:
    As `utterance`, without first_frame: durations add up to num_frames. Of
    sup-phonemes, span: [N] int32, which of the passage's each phoneme is part
    of, from 0; sup_phonemes: [N] int32, its id; num_spans: [] int32.
  """
  durations = record["durations"]
  ends = np.cumsum(durations)
  phonemes = windows.whole(durations, max_frames, max_phonemes, rng)
  start = int(ends[phonemes.start] - durations[phonemes.start])
  # One phoneme alone may be too long.
  kept = np.minimum(durations[phonemes], max_frames)
  example = {"durations": windows.pad(kept, max_phonemes)}
  if "sup_phonemes" in features:
    example |= windows.spans(record, phonemes, features, max_phonemes)
  return example | windows.cut(
    record,
    phonemes,
    slice(start, start + int(kept.sum())),
    features,
    max_frames,
    max_phonemes,
    spec,
  )


def whole(
  record: Record,
  rng: np.random.Generator,
  *,
  features: Collection[str],
  max_frames: int,
  max_phonemes: int,
  spec: audio.AudioSpec,
) -> Example:
  """Pads an utterance to be aligned: never cut, with a pause before each word.

  Args:
    record: with phonemes, word_starts, wav and `features`.
    rng: not used.
    features: which of durations, f0, f0_phase, codes and wav to return; other
      names are ignored.
    max_frames: T.
    max_phonemes: N.
    spec: gives the hop.

  Returns:
    As `utterance`; durations only if in `features`; and is_offer: [N] bool,
    True for the pauses that were added.

  Raises:
    UserError: the utterance does not fit.
  """
  del rng
  offered = pauses.offer(record["phonemes"], record["word_starts"])
  num_frames = spec.num_frames(len(record["wav"]))
  num_phonemes = len(offered.phonemes)
  if num_frames > max_frames or num_phonemes > max_phonemes:
    raise UserError(
      f"record {record['id']}: {num_frames} frames and {num_phonemes} phonemes "
      f"do not fit config.data.max_frames={max_frames} and "
      f"config.data.max_phonemes={max_phonemes}"
    )
  example = {"is_offer": windows.pad(offered.is_offer, max_phonemes)}
  if "durations" in features:
    durations = np.zeros(num_phonemes, np.int32)
    durations[~offered.is_offer] = record["durations"]
    example["durations"] = windows.pad(durations, max_phonemes)
  phonemes, frames = slice(0, num_phonemes), slice(0, num_frames)
  record = {**record, "phonemes": offered.phonemes}
  return example | windows.cut(
    record, phonemes, frames, features, max_frames, max_phonemes, spec
  )


_OF_TEXT = {"utterance": utterance, "passage": passage, "whole": whole}
