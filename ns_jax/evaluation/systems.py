# SPDX-License-Identifier: Apache-2.0
"""A sentence as recorded, as the codec keeps it, and as the model says it."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ns_jax.errors import UserError
from ns_jax.evaluation import clips, words
from ns_jax.evaluation.contract import Context, mean
from ns_jax.evaluation.trials import Spoken
from ns_jax.inference.align import SpeechAligner
from ns_jax.inference.codec import SpeechCodec
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Utterance

NAMES = ("recording", "codec", "synthesised")
_TIMED_CLIPS = 4


def compare(
  details: Sequence[Mapping[str, Any]],
  names: Sequence[str],
  means: Sequence[str],
) -> dict[str, dict[str, float]]:
  """Sums word errors and takes means of the rest, system by system.

  Args:
    details: a row for each sentence and system, with its word errors.
    names: of the systems.
    means: of the columns to take means of.

  Returns:
    quantity -> system -> value; NaN where it makes no sense.
  """
  of_system = {
    name: [row for row in details if row["system"] == name] for name in names
  }
  fields = [field.name for field in dataclasses.fields(words.WordErrors)]
  errors = {
    name: words.total(
      words.WordErrors(*(row[field] for field in fields)) for row in rows
    )
    for name, rows in of_system.items()
  }
  return {
    "wer_percent": {name: e.rate_percent for name, e in errors.items()},
    **{
      quantity: {name: mean(rows, quantity) for name, rows in of_system.items()}
      for quantity in means
    },
  }


class Systems:
  """Speaks a sentence as each system does, and takes the time of a few."""

  def __init__(self, context: Context):
    """Takes the model, and the aligner that `config.eval` names."""
    self._spec = context.spec
    self._codec = SpeechCodec.of(context.weights)
    self._synthesizer = Synthesizer(context.weights)
    aligner = context.weights.config.eval.aligner
    self._aligner = SpeechAligner.load(aligner) if aligner else None
    self.real_time_factors: list[float] = []

  def __call__(
    self, target: Mapping[str, Any], prompt: Spoken
  ) -> dict[str, Spoken]:
    """Speaks one sentence.

    Args:
      target: its record.
      prompt: the voice.

    Returns:
      system -> what it says, in the order of `NAMES`.
    """
    utterance = Utterance(
      target["phonemes"], self._synthesizer.encode_prompt(prompt.wav)
    )
    (speech,) = self._synthesizer.speak([utterance])
    if len(self.real_time_factors) < _TIMED_CLIPS:
      start = time.perf_counter()
      self._synthesizer.speak([utterance])  # nothing is left to compile
      seconds = len(speech.wav) / self._spec.sample_rate_hz
      self.real_time_factors.append((time.perf_counter() - start) / seconds)
    recording = clips.reference_wav(target)
    systems = {
      "recording": (recording, target["durations"]),
      "codec": (self._codec.reconstruct(recording), target["durations"]),
      "synthesised": (speech.wav, speech.durations),
    }
    phonemes = target["phonemes"]
    return {
      name: Spoken(
        wav,
        phonemes,
        self._aligned(phonemes, wav, known),
        clips.f0_hz(wav, self._spec),
      )
      for name, (wav, known) in systems.items()
    }

  def durations(self, record: Mapping[str, Any]) -> np.ndarray:
    """Of a recording's phonemes, [N] frames."""
    return self._aligned(
      record["phonemes"], clips.reference_wav(record), record["durations"]
    )

  def _aligned(
    self, phonemes: np.ndarray, wav: np.ndarray, known: np.ndarray
  ) -> np.ndarray:
    """Durations [N] as the aligner hears them; as known without one."""
    if self._aligner is None:
      return known
    (durations,) = self._aligner.align([phonemes], [wav])
    if durations.sum() != self._spec.num_frames(len(wav)):
      raise UserError(
        "config.eval.aligner: works on another rate or hop than this run"
      )
    return durations
