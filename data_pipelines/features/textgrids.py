# SPDX-License-Identifier: Apache-2.0
"""Durations from the TextGrid files of a forced aligner, such as MFA."""

import dataclasses
import pathlib
from typing import Any

import numpy as np
from praatio import textgrid
from praatio.utilities import errors

from data_pipelines.corpora.listing import Clip
from data_pipelines.features import durations as rounding
from data_pipelines.features import phone_matching
from ns_jax.audio import AudioSpec
from ns_jax.errors import UserError
from ns_jax.text import pauses, symbols
from ns_jax.text.frontend import Reading

_LEAST_MATCHED = 0.7  # of the phones


@dataclasses.dataclass(frozen=True)
class Phones:
  """Phones of a clip as an aligner found them."""

  labels: list[str]
  starts_sec: list[float]  # from the beginning of the clip
  end_sec: float


def read(directory: pathlib.Path, clip: Clip) -> Phones:
  """Reads the TextGrid of a clip, or of the recording it is a piece of.

  It is found by the clip's id or by its file's name, in the folder or in one
  of the speaker's name.

  Raises:
    UserError: there is none, or it cannot be read.
  """
  stem = pathlib.Path(clip.file).stem
  for name in dict.fromkeys((clip.id, stem)):
    for folder in (directory / clip.speaker, directory):
      path = folder / f"{name}.TextGrid"
      if path.is_file():
        begin_sec = clip.start_sec if name == stem else 0.0
        return _cut(_read_phones(path), begin_sec, clip.end_sec)
  raise UserError(f"has no {clip.id}.TextGrid in {directory}")


def align(
  phones: Phones,
  reading: Reading,
  num_frames: int,
  spec: AudioSpec,
  *,
  start_sec: float,
) -> dict[str, np.ndarray]:
  """Brings a TextGrid's boundaries to our phonemes and frames.

  Args:
    phones: from `read`.
    reading: the clip's phonemes; N of them once pauses are added.
    num_frames: T.
    spec: frame rate.
    start_sec: where the stored wave begins in the clip.

  Returns:
    phonemes and durations [N] int32, word_starts [N] uint8; durations sum to T.

  Raises:
    UserError: the TextGrid is of other words.
  """
  offered = pauses.offer(reading.phonemes, reading.word_starts)
  ours = symbols.from_ids(offered.phonemes)
  is_pause = symbols.is_pause(offered.phonemes)
  found = phone_matching.match(ours, phones.labels)
  matched = np.array([index is not None for index in found])[~is_pause].mean()
  if matched < _LEAST_MATCHED:
    raise UserError(
      f"its TextGrid is of other words: {matched:.0%} of the phones match"
    )
  starts_sec = phone_matching.transfer_starts(
    ours, found, phones.starts_sec, phones.end_sec
  )
  starts_frames = (starts_sec - start_sec) * spec.frame_rate_hz
  durations = rounding.from_starts(
    np.clip(starts_frames, 0.0, num_frames), is_pause, num_frames
  )
  return pauses.settle(offered, durations)


def _cut(phones: Phones, begin_sec: float, end_sec: float | None) -> Phones:
  """What lies in a piece of a recording, in the piece's own time."""
  end_sec = phones.end_sec if end_sec is None else end_sec
  ends_sec = [*phones.starts_sec[1:], phones.end_sec]
  kept = [
    i
    for i, (start, end) in enumerate(
      zip(phones.starts_sec, ends_sec, strict=True)
    )
    if start < end_sec and end > begin_sec
  ]
  if not kept:
    raise UserError("its TextGrid has no phones in this piece")
  return Phones(
    [phones.labels[i] for i in kept],
    [max(phones.starts_sec[i] - begin_sec, 0.0) for i in kept],
    min(ends_sec[kept[-1]], end_sec) - begin_sec,
  )


def _read_phones(path: pathlib.Path) -> Phones:
  try:
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
  except (OSError, ValueError, IndexError, errors.PraatioException) as error:
    raise UserError(f"its TextGrid cannot be read: {path}") from error
  tier = next((name for name in grid.tierNames if "phone" in name.lower()), "")
  if not tier:
    raise UserError(
      f"its TextGrid has no tier 'phones' but {', '.join(grid.tierNames)}"
    )
  entries: Any = grid.getTier(tier).entries  # (start, end, label)
  if not entries:
    raise UserError(f"its TextGrid has no phones: {path}")
  return Phones(
    [label.strip() for _, _, label in entries],
    [float(start) for start, _, _ in entries],
    float(entries[-1][1]),
  )
