# SPDX-License-Identifier: Apache-2.0
"""What is in records, counted in one pass, and what looks wrong."""

import collections
import dataclasses
import heapq
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tqdm

from data_pipelines.corpora.corpus import Record
from data_pipelines.records import Records, read_facts
from ns_jax.audio import AudioSpec
from ns_jax.text import symbols

_SPEAKER_FEW_SEC = 60.0
_RARE = 10  # times in the train split
_LONG_PHONE_SEC, _LONG_PAUSE_SEC = 0.6, 2.0
_LEAST_VOICED = 0.2  # share of frames
_MOST_LISTED = 20
_F0_BINS_HZ = np.geomspace(50.0, 600.0, 73)
SECONDS_BINS = np.arange(0.0, 31.0, 0.5)


@dataclasses.dataclass
class Voice:
  """What one speaker said."""

  clips: int = 0
  seconds: float = 0.0
  f0_counts: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(len(_F0_BINS_HZ) - 1, np.int64)
  )
  frames: int = 0

  def f0_percentiles_hz(self, percentiles: tuple[float, ...]) -> np.ndarray:
    """Pitch below which so many percent of voiced frames lie; NaN: no voice."""
    total = self.f0_counts.sum()
    if not total:
      return np.full(len(percentiles), np.nan)
    shares = np.append(0.0, np.cumsum(self.f0_counts) / total)
    return np.interp(np.array(percentiles) / 100, shares, _F0_BINS_HZ)

  @property
  def voiced(self) -> float:
    """Share of frames with pitch."""
    return float(self.f0_counts.sum()) / max(self.frames, 1)


@dataclasses.dataclass
class Statistics:
  """Counts over all splits of a dataset."""

  spec: AudioSpec
  fields: tuple[str, ...] = ()
  voices: dict[str, dict[str, Voice]] = dataclasses.field(default_factory=dict)
  seconds_counts: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros(len(SECONDS_BINS) - 1, np.int64)
  )
  # By phoneme id; of durations: [V, frames up to 2 s].
  phoneme_counts: dict[str, np.ndarray] = dataclasses.field(
    default_factory=dict
  )
  duration_counts: np.ndarray = dataclasses.field(
    default_factory=lambda: np.zeros((0, 0), np.int64)
  )
  longest: list[tuple[float, str, str]] = dataclasses.field(
    default_factory=list
  )  # (seconds, phoneme, clip) of phones and pauses that last too long
  num_long: int = 0

  def __post_init__(self):
    """Sizes the table of durations."""
    bins = self.spec.seconds_to_frames(2.0) + 1
    self.duration_counts = np.zeros((symbols.VOCABULARY_SIZE, bins), np.int64)

  def add(self, split: str, record: Record) -> None:
    """Counts one record."""
    seconds = len(record["wav"]) / self.spec.sample_rate_hz
    voices = self.voices.setdefault(split, {})
    voice = voices.setdefault(record["speaker"], Voice())
    voice.clips += 1
    voice.seconds += seconds
    voice.frames += len(record["f0"])
    voice.f0_counts += np.histogram(record["f0"], _F0_BINS_HZ)[0]
    longest = SECONDS_BINS[-1]
    self.seconds_counts += np.histogram(min(seconds, longest), SECONDS_BINS)[0]
    counts = self.phoneme_counts.setdefault(
      split, np.zeros(symbols.VOCABULARY_SIZE, np.int64)
    )
    ids = record["phonemes"]
    np.add.at(counts, ids, 1)
    if "durations" in record:
      self._add_durations(record["id"], ids, record["durations"])

  def hours(self, split: str) -> float:
    """Of speech in a split."""
    voices = self.voices.get(split, {}).values()
    return sum(voice.seconds for voice in voices) / 3600

  def warnings(self) -> list[str]:
    """What a user should look at before training, a sentence each."""
    return [
      *self._speaker_warnings(),
      *self._phoneme_warnings(),
      *self._duration_warnings(),
    ]

  def _add_durations(
    self, clip: str, ids: np.ndarray, durations: np.ndarray
  ) -> None:
    last = self.duration_counts.shape[1] - 1
    np.add.at(self.duration_counts, (ids, np.minimum(durations, last)), 1)
    seconds = durations / self.spec.frame_rate_hz
    limits = np.where(symbols.is_pause(ids), _LONG_PAUSE_SEC, _LONG_PHONE_SEC)
    for i in np.flatnonzero(seconds > limits):
      self.num_long += 1
      entry = (float(seconds[i]), symbols.SYMBOLS[ids[i]], clip)
      if len(self.longest) < _MOST_LISTED:
        heapq.heappush(self.longest, entry)
      else:
        heapq.heappushpop(self.longest, entry)

  def _speaker_warnings(self) -> Iterator[str]:
    train = self.voices.get("train", {})
    for split in ("train", "valid", "test"):
      if not self.voices.get(split):
        yield f"There is no record in split '{split}'."
    shared = [
      name
      for split in ("valid", "test")
      for name in self.voices.get(split, {})
      if name in train
    ]
    if shared and len(train) > 1:
      yield (
        f"{len(set(shared))} held-out speakers are in training, too "
        f"({_some(sorted(set(shared)))}): results are not for unseen voices."
      )
    few = [n for n, v in train.items() if v.seconds < _SPEAKER_FEW_SEC]
    if few:
      yield (
        f"{len(few)} of {len(train)} training speakers have less than "
        f"{_SPEAKER_FEW_SEC:.0f} s ({_some(few)})."
      )
    whispered = [n for n, v in train.items() if v.voiced < _LEAST_VOICED]
    if whispered:
      yield (
        f"{len(whispered)} training speakers have pitch in less than "
        f"{_LEAST_VOICED:.0%} of their frames ({_some(whispered)}): noise, "
        "whispers, or music?"
      )

  def _phoneme_warnings(self) -> Iterator[str]:
    train = self.phoneme_counts.get("train")
    if train is None:
      return
    sounds = range(1, symbols.VOCABULARY_SIZE)
    never = [symbols.SYMBOLS[i] for i in sounds if not train[i]]
    rare = [symbols.SYMBOLS[i] for i in sounds if 0 < train[i] < _RARE]
    if never:
      yield f"{len(never)} phonemes are never trained on: {' '.join(never)}."
    if rare:
      yield (
        f"{len(rare)} phonemes come fewer than {_RARE} times: {' '.join(rare)}."
      )

  def _duration_warnings(self) -> Iterator[str]:
    if "durations" not in self.fields:
      yield "There are no durations: NaturalSpeech 2 cannot be trained yet."
    if self.num_long:
      clips = list(dict.fromkeys(c for *_, c in sorted(self.longest)[::-1]))
      yield (
        f"{self.num_long} phones last longer than {_LONG_PHONE_SEC} s, or "
        f"pauses longer than {_LONG_PAUSE_SEC} s ({_some(clips)}): does the "
        "text leave something out?"
      )


def collect(records_dir: pathlib.Path, spec: AudioSpec) -> Statistics:
  """Reads all records, with a progress bar.

  Raises:
    UserError: there are none.
  """
  splits: Mapping[str, int] = read_facts(records_dir)["splits"]
  statistics = Statistics(spec)
  with tqdm.tqdm(total=sum(splits.values()), desc="inspect") as bar:
    for split in splits:
      records = Records(records_dir, split)
      statistics.fields = records.features
      for record in records:
        statistics.add(split, record)
        bar.update()
  return statistics


def top_reasons(
  rejects: Iterator[Mapping[str, str]],
) -> list[tuple[str, int, str]]:
  """Sums up rejects: (reason without its numbers, how many, an example)."""
  counts = collections.Counter[str]()
  examples: dict[str, str] = {}
  for row in rejects:
    reason = "".join(c for c in row["reason"] if not c.isdigit())
    counts[reason] += 1
    examples.setdefault(reason, f"{row['file'] or row['id']}: {row['reason']}")
  return [
    (reason, count, examples[reason])
    for reason, count in counts.most_common(_MOST_LISTED)
  ]


def _some(names: list[str]) -> str:
  return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
