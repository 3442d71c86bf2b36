# SPDX-License-Identifier: Apache-2.0
"""How soon, how fast, how steadily and in what memory a model speaks.

A sentence, a paragraph and a text of minutes are streamed, and played from the
first piece on. "First sound" is the time from the call to that piece, "waits"
is how long the sound then stops for want of the next. The sentences of the
paragraph are also said in batches.
"""

import argparse
import dataclasses
import math
import statistics
import time
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks import accelerators, timing
from ns_jax import api

_SENTENCES = (
  "The kettle is on, come and sit down.",
  "We walked along the shore until it was dark.",
  "Nobody at the table had anything to say.",
  "In the morning the boats came back, and the harbour was full of voices.",
  "She read the letter twice, folded it, and put it away.",
  "It rained for the rest of the week.",
)
_BATCH_SIZES = (1, 2, 4)


@dataclasses.dataclass(frozen=True)
class Heard:
  """One stream, as its listener has it."""

  first_sec: float  # from the call to the first sound
  made_sec: float  # to the last
  audio_sec: float
  waits_sec: float  # silence for want of the next piece


def add_arguments(parser: argparse.ArgumentParser) -> None:
  """What may be asked for."""
  parser.add_argument("--model", default="shipped")
  parser.add_argument("--prompt", default="examples/voice_librivox.mp3")
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument("--minutes", type=float, default=5.0, help="at least")


def run(args: argparse.Namespace) -> None:
  """Prints the figures."""
  tts = api.load(args.model)
  voice = tts.listen(args.prompt) if tts.needs_prompt else None
  _, warm_sec = timing.timed(tts.warm_up)
  print(f"warm-up: {warm_sec:.1f} s\n")
  print(
    "| stream of | speech, s | first sound, s | computing per second of "
    "speech, s | waits, s | memory of the process so far, GB |"
  )
  print("|---|--:|--:|--:|--:|--:|")

  def stream(name: str, text: str, rounds: int) -> float:
    all_heard = [
      listen(tts.stream(text, voice), tts.sample_rate_hz) for _ in range(rounds)
    ]
    _print_row(name, all_heard)
    return all_heard[0].audio_sec

  paragraph = " ".join(_SENTENCES)
  stream("a sentence", _SENTENCES[0], args.rounds)
  seconds = stream("a paragraph", paragraph, args.rounds)
  times = math.ceil(60.0 * args.minutes / seconds)
  stream("minutes", "\n\n".join([paragraph] * times), 1)
  _time_batches(tts, voice, args.rounds)


def listen(pieces: Iterable[np.ndarray], rate_hz: int) -> Heard:
  """Takes a stream as it comes, and plays it from the first piece on.

  Args:
    pieces: waves [S].
    rate_hz: their sample rate.
  """
  start_sec = time.perf_counter()
  arrivals, lengths = [], []
  for piece in pieces:
    arrivals.append(time.perf_counter() - start_sec)
    lengths.append(len(piece) / rate_hz)
  end_sec = arrivals[0]
  waits_sec = 0.0
  for arrival_sec, length_sec in zip(arrivals, lengths, strict=True):
    waits_sec += max(0.0, arrival_sec - end_sec)
    end_sec = max(arrival_sec, end_sec) + length_sec
  return Heard(arrivals[0], arrivals[-1], sum(lengths), waits_sec)


def _print_row(name: str, all_heard: Sequence[Heard]) -> None:
  """Medians of the rounds, but the longest wait."""
  first_sec = statistics.median(heard.first_sec for heard in all_heard)
  made_sec = statistics.median(heard.made_sec for heard in all_heard)
  waits_sec = max(heard.waits_sec for heard in all_heard)
  audio_sec = all_heard[0].audio_sec
  print(
    f"| {name} | {audio_sec:.1f} | {first_sec:.2f} | {made_sec / audio_sec:.3f}"
    f" | {waits_sec:.2f} | {accelerators.peak_bytes() / 1e9:.2f} |",
    flush=True,
  )


def _time_batches(
  tts: api.TextToSpeech, voice: api.Voice | None, rounds: int
) -> None:
  works = {
    f"{size} at once": lambda size=size: tts.batch(
      _SENTENCES, voice, batch_size=size
    )
    for size in _BATCH_SIZES
  }
  audio_sec = sum(audio.seconds for audio in tts.batch(_SENTENCES, voice))
  times = timing.in_turn(works, rounds=rounds)
  print()
  timing.print_table(
    "computing per second of speech, s",
    [(f"{len(_SENTENCES)} sentences", audio_sec, times)],
    lambda seconds, taken: taken / seconds,
  )
