# SPDX-License-Identifier: Apache-2.0
"""The built-in corpus: multi-speaker English spoken by espeak-ng.

It needs no download and is the same on every run. Durations are exact: they
come from the synthesiser's own events. The sentences in `demo_sentences.txt`
were written for this project and are in the public domain (CC0); the last of
them are spoken by held-out speakers only.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import soxr

from data_pipelines.corpora import demo_voices
from data_pipelines.corpora.corpus import Item, Note, Record
from data_pipelines.features import durations
from ns_jax import audio
from ns_jax.dsp import pitch
from ns_jax.errors import UserError
from ns_jax.text import espeak, normalize, symbols

VERSION = "1.2.0"
SENTENCES = pathlib.Path(__file__).with_name("demo_sentences.txt")
HELD_OUT_SENTENCES = {"valid": 30, "test": 30}  # at the end, in this order

_MANY = {
  "train": demo_voices.TRAIN,
  "valid": demo_voices.VALID,
  "test": demo_voices.TEST,
}
_ONE = dict.fromkeys(_MANY, demo_voices.ONE)
_ALL_TEXTS = {"train": 748, **HELD_OUT_SENTENCES}
_SOME_TEXTS = {**_ALL_TEXTS, "train": 300}
_ITEM_SENTENCES = 30
_LEAD_FRAMES, _TAIL_FRAMES = 2, 4  # silence around the speech


@dataclasses.dataclass(frozen=True)
class Size:
  """How many voices speak how many sentences each, by split."""

  voices: Mapping[str, int]
  sentences: Mapping[str, int]
  texts: Mapping[str, int]  # that they walk through; the first of a split
  tables: Mapping[str, Mapping[str, espeak.Voice]]


SIZES = {
  # About 60 minutes, about 30, and seconds, for tests.
  "full": Size(
    voices=dict(train=44, valid=4, test=4),
    sentences=dict(train=30, valid=15, test=15),
    texts=_SOME_TEXTS,
    tables=_MANY,
  ),
  "one_voice": Size(
    voices=dict(train=1, valid=1, test=1),
    sentences=_ALL_TEXTS,
    texts=_ALL_TEXTS,
    tables=_ONE,
  ),
  "tiny": Size(
    voices=dict(train=4, valid=2, test=2),
    sentences=dict(train=4, valid=2, test=2),
    texts=_SOME_TEXTS,
    tables=_MANY,
  ),
}


@dataclasses.dataclass(frozen=True)
class DemoCorpus:
  """The corpus as the builder sees it; an item is some sentences."""

  size: str  # a name in SIZES
  spec: audio.AudioSpec
  description = "English by espeak-ng in many voices, with exact durations."
  features = (
    *("id", "speaker", "text", "wav"),
    *("phonemes", "word_starts", "durations", "f0", "f0_phase"),
  )
  items_per_shard = (1, 8)

  def __post_init__(self):
    """Refuses an unknown size."""
    if self.size not in SIZES:
      raise UserError(
        f"demo corpus: no size '{self.size}'; choose of {list(SIZES)}"
      )

  @property
  def split_sizes(self) -> dict[str, int]:
    """Number of records in each split."""
    size = SIZES[self.size]
    return {s: size.voices[s] * size.sentences[s] for s in size.voices}

  def identity(self) -> dict[str, Any]:
    """Which corpus this is."""
    return dict(
      corpus="demo",
      version=VERSION,
      size=self.size,
      audio=self.spec.grid,
    )

  def plan(self, notes: list[Note]) -> Iterator[tuple[str, Item]]:
    """Speakers walk through the sentences one after another.

    So all are used alike, in an order that mixes their subjects.
    """
    del notes
    size = SIZES[self.size]
    for split, num_voices in size.voices.items():
      order = np.random.default_rng(0).permutation(size.texts[split])
      count = size.sentences[split]
      for number, speaker in enumerate(voices(size.tables[split], num_voices)):
        picked = np.arange(number * count, (number + 1) * count) % len(order)
        for first in range(0, count, _ITEM_SENTENCES):
          of_item = order[picked[first : first + _ITEM_SENTENCES]].tolist()
          yield split, dict(split=split, speaker=speaker, sentences=of_item)

  def records(self, items: list[Item], notes: list[Note]) -> Iterator[Record]:
    """Speaks; for each item with an engine that never spoke before."""
    del notes
    for item in items:
      split, speaker = item["split"], item["speaker"]
      engine, voice = espeak.Engine(), SIZES[self.size].tables[split][speaker]
      for i in item["sentences"]:
        name, text = f"{speaker}_{split}{i:03d}", sentences(split)[i]
        yield speak(engine, name, speaker, voice, text, self.spec)

  def finish(self, directory: pathlib.Path, notes: Iterable[Note]) -> None:
    """There is nothing to add."""


def voices(
  table: Mapping[str, espeak.Voice], count: int
) -> dict[str, espeak.Voice]:
  """Takes `count` speakers of a table, low and high ones alike."""
  picked = [round(i * len(table) / count) for i in range(count)]
  names = list(table)
  return {names[i]: table[names[i]] for i in picked}


def sentences(split: str) -> list[str]:
  """Sentences of a split; no two splits share one."""
  lines = SENTENCES.read_text(encoding="utf-8").splitlines()
  first_test = len(lines) - HELD_OUT_SENTENCES["test"]
  first_valid = first_test - HELD_OUT_SENTENCES["valid"]
  return {
    "train": lines[:first_valid],
    "valid": lines[first_valid:first_test],
    "test": lines[first_test:],
  }[split]


def speak(
  engine: espeak.Engine,
  utterance_id: str,
  speaker: str,
  voice: espeak.Voice,
  text: str,
  spec: audio.AudioSpec,
) -> Record:
  """Synthesises one record; what the engine said before colours it a little.

  Returns:
    Record whose wave is S = T * hop samples: lead of silence, speech, tail of
    silence, the latter part of the last punctuation mark.
  """
  speech = engine.synthesize(normalize.normalize(text), voice)
  lead_samples = spec.num_samples(_LEAD_FRAMES)
  resampled = soxr.resample(
    speech.wav.astype(np.float32) / 32768.0,
    espeak.SAMPLE_RATE_HZ,
    spec.sample_rate_hz,
  )
  end_samples = lead_samples + len(resampled)
  num_frames = spec.num_frames(end_samples) + _TAIL_FRAMES
  wav = np.zeros(spec.num_samples(num_frames), np.float32)
  wav[lead_samples:end_samples] = audio.level(resampled)
  f0_hz = pitch.f0(wav, spec, "dio")

  starts_sec = np.array(speech.starts_samples) / espeak.SAMPLE_RATE_HZ
  ids = symbols.to_ids(speech.phonemes)
  return {
    "id": utterance_id,
    "speaker": speaker,
    "text": text,
    "wav": audio.to_int16(wav),
    "phonemes": ids,
    "word_starts": np.array(speech.word_starts, np.uint8),
    "durations": durations.from_starts(
      _LEAD_FRAMES + starts_sec * spec.frame_rate_hz,
      symbols.is_pause(ids),
      num_frames,
    ),
    "f0": f0_hz,
    "f0_phase": pitch.f0_phase(wav, f0_hz, spec),
  }
