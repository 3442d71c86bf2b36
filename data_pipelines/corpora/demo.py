# SPDX-License-Identifier: Apache-2.0
"""The built-in corpus: multi-speaker English spoken by espeak-ng.

It needs no download and is the same on every run. Durations are exact: they
come from the synthesiser's own events. The sentences in `demo_sentences.txt`
were written for this project and are in the public domain (CC0); the last of
them are spoken by held-out speakers only.
"""

import concurrent.futures
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import soxr

from data_pipelines.corpora import demo_voices
from data_pipelines.corpora.corpus import Corpus, Record
from data_pipelines.features import durations, pitch
from ns_jax import audio
from ns_jax.errors import UserError
from ns_jax.text import espeak, normalize, symbols

VERSION = "1.0.0"
SENTENCES = pathlib.Path(__file__).with_name("demo_sentences.txt")
HELD_OUT_SENTENCES = {"valid": 30, "test": 30}  # at the end, in this order

_LEAD_FRAMES, _TAIL_FRAMES = 2, 4  # silence around the speech


@dataclasses.dataclass(frozen=True)
class Size:
  """How many voices speak how many sentences each, by split."""

  voices: Mapping[str, int]
  sentences: Mapping[str, int]


SIZES = {
  "full": Size(
    voices=dict(train=44, valid=4, test=4),
    sentences=dict(train=30, valid=15, test=15),
  ),
  "tiny": Size(
    voices=dict(train=4, valid=2, test=2),
    sentences=dict(train=4, valid=2, test=2),
  ),
}


def corpus(size: str, spec: audio.AudioSpec) -> Corpus:
  """Describes the corpus; nothing is synthesised before it is read.

  Args:
    size: "full" (about 45 minutes) or "tiny" (seconds, for tests).
    spec: rate and frames of the records.
  """
  if size not in SIZES:
    raise UserError(f"demo corpus: no size '{size}'; choose of {list(SIZES)}")
  chosen = SIZES[size]
  return Corpus(
    name="demo",
    config=f"{size}_{spec.sample_rate_hz}hz_hop{spec.hop_samples}",
    version=VERSION,
    description="English by espeak-ng in many voices, with exact durations.",
    features=(
      *("id", "speaker", "text", "wav"),
      *("phonemes", "durations", "f0"),
    ),
    split_sizes={
      split: chosen.voices[split] * chosen.sentences[split]
      for split in chosen.voices
    },
    records=functools.partial(_records, chosen, spec),
  )


def voices(split: str, count: int) -> dict[str, espeak.Voice]:
  """Takes `count` speakers of a split, low and high ones alike."""
  table = {
    "train": demo_voices.TRAIN,
    "valid": demo_voices.VALID,
    "test": demo_voices.TEST,
  }[split]
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


def _records(size: Size, spec: audio.AudioSpec, split: str) -> Iterator[Record]:
  texts = sentences(split)
  count = size.sentences[split]
  # Speakers walk through the sentences one after another: all are used alike,
  # in an order that mixes their subjects.
  order = np.random.default_rng(0).permutation(len(texts))

  def speak_all(job: tuple[int, tuple[str, espeak.Voice]]) -> list[Record]:
    number, (speaker, voice) = job
    engine = espeak.Engine()
    picked = [order[(number * count + j) % len(texts)] for j in range(count)]
    return [
      speak(engine, f"{speaker}_{split}{i:03d}", speaker, voice, texts[i], spec)
      for i in picked
    ]

  jobs = enumerate(voices(split, size.voices[split]).items())
  # Threads: synthesiser, resampler and PyWorld all work outside Python's lock.
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    for records in pool.map(speak_all, jobs):
      yield from records


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

  starts_sec = np.array(speech.starts_samples) / espeak.SAMPLE_RATE_HZ
  ids = symbols.to_ids(speech.phonemes)
  return {
    "id": utterance_id,
    "speaker": speaker,
    "text": text,
    "wav": audio.to_int16(wav),
    "phonemes": ids,
    "durations": durations.from_starts(
      _LEAD_FRAMES + starts_sec * spec.frame_rate_hz,
      symbols.is_pause(ids),
      num_frames,
    ),
    "f0": pitch.f0(wav, spec),
  }
