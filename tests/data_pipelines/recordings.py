# SPDX-License-Identifier: Apache-2.0
"""Recordings to lay out as a corpus: clips of the built-in one."""

import pathlib
from typing import NamedTuple

import numpy as np
import soundfile

from data_pipelines import records
from ns_jax import audio
from ns_jax.text import symbols

RATE_HZ = 16_000


class Recording(NamedTuple):
  """One clip."""

  name: str
  speaker: str
  text: str
  wav: np.ndarray  # [S] float32 at RATE_HZ


def of(records_dir: pathlib.Path, count: int) -> list[Recording]:
  """The first clips of the train split."""
  stored = records.Records(records_dir, "train")
  return [
    Recording(
      f"clip{i}",
      stored[i]["speaker"],
      stored[i]["text"],
      audio.from_int16(stored[i]["wav"]),
    )
    for i in range(count)
  ]


def write(
  path: pathlib.Path, wav: np.ndarray, rate_hz: int = RATE_HZ, **kwargs
):
  """Writes a wave file and the folders above it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  soundfile.write(path, wav, rate_hz, **kwargs)


def write_textgrid(path: pathlib.Path, record, spec):
  """Writes a record's durations as the Montreal Forced Aligner would."""
  path.parent.mkdir(parents=True, exist_ok=True)
  bounds = np.cumsum([0, *record["durations"]]) / spec.frame_rate_hz
  starts, ends = bounds[:-1], bounds[1:]
  intervals = [
    (start, end, "" if symbol in symbols.PAUSES else symbol.strip("ˈˌ"))
    for start, end, symbol in zip(
      starts, ends, symbols.from_ids(record["phonemes"]), strict=True
    )
    if end > start
  ]
  lines = [
    'File type = "ooTextFile"',
    'Object class = "TextGrid"',
    "",
    "xmin = 0",
    f"xmax = {ends[-1]}",
    "tiers? <exists>",
    "size = 1",
    "item []:",
    "    item [1]:",
    '        class = "IntervalTier"',
    '        name = "phones"',
    "        xmin = 0",
    f"        xmax = {ends[-1]}",
    f"        intervals: size = {len(intervals)}",
  ]
  for i, (start, end, label) in enumerate(intervals, 1):
    lines += [
      f"        intervals [{i}]:",
      f"            xmin = {start}",
      f"            xmax = {end}",
      f'            text = "{label}"',
    ]
  path.write_text("\n".join(lines) + "\n")
