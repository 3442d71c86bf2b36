# SPDX-License-Identifier: Apache-2.0
"""Fifty hard sentences: are words repeated or skipped (NaturalSpeech 2, 4.3)?

Single letters, words again and again, numbers, tongue twisters. The recogniser
errs on them too, so the model's errors are at most what is counted: a formant
synthesiser, which says exactly what it is told to, is heard beside it.
"""

import itertools
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

import numpy as np
import soxr
import tqdm

from ns_jax import audio
from ns_jax.audio import AudioSpec
from ns_jax.evaluation import clips, judges, trials, words, zero_shot
from ns_jax.evaluation.contract import Context, Section
from ns_jax.evaluation.words import WordErrors
from ns_jax.inference import narrate
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.text import espeak, normalize

SYSTEMS = ("synthesised", "espeak-ng")
_EXPLANATION = """\
Fifty hard sentences in the voices of test speakers, heard by {recogniser}.
repeats: words it heard too many; skips: words it did not hear; substitutions:
words it heard as others. The recogniser errs too, so all counts are upper
bounds of the model's errors: espeak-ng says the same sentences without any
repeat or skip, and what is counted for it is the recogniser's own share."""


def check(config: Any) -> None:
  """Checks what can be known before the model is trained.

  Raises:
    UserError: the stage cannot speak, or judges are missing.
  """
  zero_shot.check_speaker("robustness", config)


def sentences() -> list[str]:
  """The fifty."""
  file = resources.files("ns_jax.evaluation") / "hard_sentences.txt"
  return file.read_text(encoding="utf8").splitlines()


def evaluate(context: Context) -> Section:
  """Speaks the sentences and counts what the recogniser hears wrongly."""
  check(context.weights.config)
  options = context.weights.config.eval
  transcribe = judges.load_recogniser(options.recogniser, context.spec)
  pairs = trials.choose(
    clips.in_turn(context.test_records),
    options.prompt_sec,
    options.num_clips,
    context.spec,
  )
  synthesizer = Synthesizer(context.weights)
  control = espeak.Engine()
  rows = []
  voices = itertools.cycle(other for _, other in pairs)
  texts = tqdm.tqdm(sentences(), desc="robustness", unit="sentence")
  for i, (text, voice) in enumerate(zip(texts, voices, strict=False), 1):
    prompt = trials.cut_prompt(voice, options.prompt_sec, context.spec)
    speaker = synthesizer.in_voice(synthesizer.encode_prompt(prompt.wav))
    speech = narrate.narrate(speaker, text)
    said = (speech.wav, _say(control, text, context.spec))
    for system, wav in zip(SYSTEMS, said, strict=True):
      name = context.save_wav(f"hard_{i:02d}.{system}", wav)
      rows.append(
        {"text": text, "system": system, "speech": name}
        | count(text, transcribe(wav))
      )
  return Section(
    title="Robustness: fifty hard sentences",
    explanation=_EXPLANATION.replace("\n", " ").format(
      recogniser=options.recogniser
    ),
    summary={"sentences": len(rows) // len(SYSTEMS)},
    comparison=compare_systems(rows),
    rows=rows,
  )


def count(text: str, heard: str) -> dict[str, Any]:
  """Counts what was heard wrongly, under the paper's names."""
  errors = words.compare(text, heard, digits_apart=True)
  return {
    "heard": heard,
    "words": errors.words,
    "repeats": errors.insertions,
    "skips": errors.deletions,
    "substitutions": errors.substitutions,
  }


def compare_systems(
  rows: Sequence[Mapping[str, Any]],
) -> dict[str, dict[str, float]]:
  """Sums over sentences, system by system.

  Args:
    rows: from `count`, each with its `system`.

  Returns:
    quantity -> system -> value; error_rate_percent: share of sentences with
    an error.
  """
  found: dict[str, dict[str, float]] = {}
  for system in SYSTEMS:
    each = [
      WordErrors(
        row["words"], row["substitutions"], row["skips"], row["repeats"]
      )
      for row in rows
      if row["system"] == system
    ]
    errors = words.total(each)
    wrong = sum(e.errors > 0 for e in each)
    for quantity, value in {
      "repeats": errors.insertions,
      "skips": errors.deletions,
      "substitutions": errors.substitutions,
      "sentences_with_an_error": wrong,
      "error_rate_percent": 100.0 * wrong / max(len(each), 1),
      "wer_percent": errors.rate_percent,
    }.items():
      found.setdefault(quantity, {})[system] = value
  return found


def _say(engine: espeak.Engine, text: str, spec: AudioSpec) -> np.ndarray:
  """The formant synthesiser's speech, [S] float32."""
  said = engine.synthesize(normalize.normalize(text), espeak.Voice())
  wav = soxr.resample(
    audio.from_int16(said.wav), espeak.SAMPLE_RATE_HZ, spec.sample_rate_hz
  )
  return audio.level(wav)
