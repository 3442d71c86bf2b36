# SPDX-License-Identifier: Apache-2.0
"""Clips to records and records to batches: seconds of audio a second and core.

Part by part; from that, what 44,000 hours need and how many hosts feed a TPU
v5e-256. Every part is timed on the same clips in the same process.
"""

import argparse
import dataclasses
import functools
import math
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import timing
from configs import ns2
from data_pipelines import (
  beam,
  builder,
  examples,
  input_pipeline,
  records,
  shards,
)
from data_pipelines.corpora import sources, speech
from data_pipelines.features import alignment, clip_audio, codes
from ns_jax import audio, stages
from ns_jax.audio import AudioSpec
from ns_jax.dsp import pitch
from ns_jax.inference.align import SpeechAligner
from ns_jax.text import pauses
from ns_jax.text.frontend import Frontend

MLS_HOURS = 44_660  # Multilingual LibriSpeech, English: train, dev and test
_CODEBOOKS, _CODEBOOK_SIZE = 16, 1024
_BATCHES = 30
# TPU v5e: peak of a chip, and the hosts of a slice of 256 chips.
_PEAK_FLOPS, _CHIPS, _POD_HOSTS = 197e12, 256, 64
_UTILISATION = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("corpus")
  parser.add_argument("--clips", type=int, default=100)
  parser.add_argument("--aligner", default="", help="workdir of a trained one")


def run(args: argparse.Namespace) -> None:
  """Prints the rates."""
  with tempfile.TemporaryDirectory() as directory:
    _bench_data(args, pathlib.Path(directory))


def _bench_data(args: argparse.Namespace, work: pathlib.Path) -> None:
  spec = AudioSpec()
  source = sources.Folder.at(args.corpus)
  corpus = _Sample(source, spec, pitch_method="dio", count=args.clips)
  rates = _preparation_rates(corpus, spec)
  out = builder.build(
    corpus, work / "out", label="clips", beam_options=beam.THIS_PROCESS
  )
  if args.aligner:
    rates["durations (a device step)"] = _alignment_rate(args.aligner, out)
  _print_rates("Making records", rates)
  _print_plan(rates, out)
  encoded = codes.add_codes(out, _fake_codec(spec), "bench", spec=spec)
  _print_rates("Making batches", _reading_rates(encoded, spec))


@dataclasses.dataclass(frozen=True)
class _Sample(speech.SpeechCorpus):
  """Clips from all over a corpus, for training."""

  count: int = 100

  def plan(self, notes: list[Any]) -> Iterator[tuple[str, Any]]:
    clips = [dataclasses.asdict(clip) for clip in self.source.clips(notes)]
    picked = np.linspace(0, len(clips) - 1, min(self.count, len(clips)))
    yield from (("train", clips[i]) for i in picked.astype(int))


def _preparation_rates(corpus: _Sample, spec: AudioSpec) -> dict[str, float]:
  """Audio seconds per second of one core, of each part."""
  items = [speech.Clip(**item) for _, item in corpus.plan([])]
  limits = corpus.limits
  decode = list(corpus.source.decoders(items))
  frontend = Frontend()
  decoded, seconds = timing.timed(
    lambda: [d(limits.max_sec) for _, d in decode]
  )
  total_sec = sum(len(samples) / rate for samples, rate in decoded)
  rates = {"decode": total_sec / seconds}
  frontend.read("warm up")
  clip_audio.clean(*decoded[0], spec, limits)
  clean, seconds = timing.timed(
    lambda: [clip_audio.clean(*d, spec, limits).wav for d in decoded]
  )
  rates["resample, measure, trim"] = total_sec / seconds
  readings, seconds = timing.timed(
    lambda: [frontend.read(clip.text.lower()) for clip in items]
  )
  rates["text to phonemes"] = total_sec / seconds
  for method, share in (("dio", 1), ("harvest", 5)):
    some = clean[::share]
    f0, seconds = timing.timed(
      lambda some=some, method=method: [
        pitch.f0(wav, spec, method) for wav in some
      ]
    )
    some_sec = sum(map(len, some)) / spec.sample_rate_hz
    rates[f"pitch by {method}"] = some_sec / seconds
  f0 = [pitch.f0(wav, spec, "dio") for wav in clean]
  features = shards.tfds_features(corpus.features)

  def serialise() -> None:
    for clip, wav, reading, hz in zip(items, clean, readings, f0, strict=True):
      features.serialize_example(
        {
          "id": clip.id,
          "speaker": clip.speaker,
          "text": clip.text,
          "wav": audio.to_int16(wav),
          "phonemes": reading.phonemes,
          "word_starts": reading.word_starts,
          "f0": hz,
          "f0_phase": np.zeros_like(hz),
        }
      )

  _, seconds = timing.timed(serialise)
  rates["serialise"] = total_sec / seconds
  return rates


def _alignment_rate(workdir: str, out: pathlib.Path) -> float:
  """Audio seconds per second of a trained aligner on this machine's device."""
  aligner = SpeechAligner.load(workdir)
  stored = list(records.Records(out, "train"))[:64]
  offers = [pauses.offer(r["phonemes"], r["word_starts"]) for r in stored]
  phonemes = [offer.phonemes for offer in offers]
  waves = [audio.from_int16(record["wav"]) for record in stored]
  for _ in range(2):  # the first compiles
    _, seconds = timing.timed(lambda: aligner.align(phonemes, waves))
  return sum(map(len, waves)) / AudioSpec().sample_rate_hz / seconds


def _print_plan(rates: dict[str, float], out: pathlib.Path) -> None:
  """What Multilingual LibriSpeech English would take."""
  stored = sum(path.stat().st_size for path in out.glob("*record-*"))
  audio_sec = (
    sum(len(record["wav"]) for record in records.Records(out, "train"))
    / AudioSpec().sample_rate_hz
  )
  gigabytes = stored / audio_sec * MLS_HOURS * 3600 / 1e9
  common = sum(
    1 / rate
    for name, rate in rates.items()
    if not name.startswith(("pitch", "durations"))
  )
  print(f"{MLS_HOURS} hours: {gigabytes:,.0f} GB of records")
  for method in ("dio", "harvest"):
    per_second = common + 1 / rates[f"pitch by {method}"]
    print(f"  with {method}: {MLS_HOURS * per_second:,.0f} core-hours")
  print()


def _fake_codec(spec: AudioSpec) -> Callable:
  """Codes of the right shape; what they say does not change the speed."""
  rng = np.random.default_rng(0)

  def encode(wav: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    shape = wav.shape[0], wav.shape[1] // spec.hop_samples
    numbers = rng.integers(0, _CODEBOOK_SIZE, (*shape, _CODEBOOKS))
    return numbers, rng.normal(size=(*shape, 4))

  return encode


def _reading_rates(encoded: pathlib.Path, spec: AudioSpec) -> dict[str, float]:
  """Audio seconds per second of one process, and what a pod wants."""
  paper = ns2.get_config("paper")
  rates = {}
  features = ("codes", "f0", "f0_phase", "phonemes", "durations")
  _with_even_durations(encoded.parent.parent)
  for reader in ("array_record", "tf_data"):
    for name, make, wanted in (
      ("codec", functools.partial(
        examples.waveform, crop_frames=80, gain_db=(0, 0), spec=spec),
        ("wav",)),
      ("ns2", functools.partial(
        examples.utterance, features=features, spec=spec,
        max_frames=paper.data.max_frames,
        max_phonemes=paper.data.max_phonemes), features),
    ):  # fmt: skip
      batches = input_pipeline.make_batches(
        encoded, "train", reader=reader, example_fn=make, batch_size=32,
        seed=0, features=wanted,
      )  # fmt: skip
      for _ in range(6):  # what was read ahead
        next(batches)
      frames = 0
      start = time.perf_counter()
      for _ in range(_BATCHES):
        batch = next(batches)
        frames += int(
          batch["num_frames"].sum()
          if name == "ns2"
          else batch["num_samples"].sum() / spec.hop_samples
        )
      seconds = time.perf_counter() - start
      rates[f"{name} by {reader}"] = frames / spec.frame_rate_hz / seconds
  wanted = _pod_appetite(paper, spec)
  slowest = min(rates["ns2 by tf_data"], rates["ns2 by array_record"])
  print(
    f"A v5e-256 training ns2:paper at {_UTILISATION:.0%} of its peak takes "
    f"{wanted:,.0f} s of audio a second. One reading process gives "
    f"{slowest:,.0f}, so {math.ceil(wanted / slowest)} hosts with one each "
    f"would do; the slice has {_POD_HOSTS}.\n"
  )
  return rates


def _with_even_durations(out: pathlib.Path) -> None:
  """A layer of durations, so that batches can be cut."""

  def even(phonemes: Any, waves: Any) -> list[np.ndarray]:
    return [
      np.diff(
        np.linspace(0, -(-len(wav) // 200), len(ids) + 1).astype(np.int32)
      )
      for ids, wav in zip(phonemes, waves, strict=True)
    ]

  alignment.add_durations(out, even, "bench")


def _pod_appetite(config: Any, spec: AudioSpec) -> float:
  """Audio seconds per second, by 6 FLOP per weight and frame."""
  stage = stages.build(config)
  frames, phonemes = config.data.max_frames, config.data.max_phonemes
  batch = {
    "phonemes": np.zeros((1, phonemes), np.int32),
    "num_phonemes": np.full(1, phonemes, np.int32),
    "durations": np.ones((1, phonemes), np.int32),
    "num_frames": np.full(1, frames, np.int32),
    "first_frame": np.zeros(1, np.int32),
    "f0": np.zeros((1, frames), np.float32),
    "f0_phase": np.zeros((1, frames), np.float32),
    "codes": np.zeros((1, frames, _CODEBOOKS), np.int32),
  }
  params, _ = jax.eval_shape(stage.init_fn, jax.random.key(0), batch, {})
  weights = sum(leaf.size for leaf in jax.tree.leaves(params))
  frames_per_sec = _UTILISATION * _PEAK_FLOPS * _CHIPS / (6 * weights)
  return frames_per_sec / spec.frame_rate_hz


def _print_rates(title: str, rates: dict[str, float]) -> None:
  print(f"| {title} | audio s per s and core |\n|---|--:|")
  for name, rate in rates.items():
    print(f"| {name} | {rate:,.0f} |")
  print()
