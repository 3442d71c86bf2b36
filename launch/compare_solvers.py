# SPDX-License-Identifier: Apache-2.0
"""What fewer evaluations of the network cost in words, voice and sound.

  python launch/compare_solvers.py MODEL RECORDS --out=DIR [--distilled=MODEL]

Speaks test sentences of RECORDS, after prompts of their speakers, with each
solver of _SETTINGS, from the same noise, and compares with the paper's 150
Euler steps. MODEL is a workdir or bundle of ns2, --distilled one that was
distilled from it. DIR gets the waves, table.json and table.md. Needs the extra
`judges`.
"""

import argparse
import dataclasses
import json
import pathlib
import sys
import time
from typing import Any

import numpy as np
import tqdm

from data_pipelines.records import Records
from ns_jax import audio
from ns_jax.apps import terminal
from ns_jax.dsp import mel
from ns_jax.evaluation import (
  audio_metrics,
  clips,
  judges,
  trials,
  words,
)
from ns_jax.inference.synthesize import Synthesizer
from ns_jax.inference.utterance import Speech, Utterance

_REFERENCE = ("euler", 150)
_SETTINGS = (
  _REFERENCE,
  *(("dpmpp_2m", 16), ("dpmpp_2m", 11), ("dpmpp_2m", 7)),
  *(("euler", 11), ("heun", 6), ("ddim", 11), ("ddim", 3)),
  ("distilled", 3),
)
_COLUMNS = (
  *("evaluations", "wer_percent", "similarity", "dnsmos"),
  *("mel_db_to_reference", "rtf"),
)


def main() -> None:
  """Speaks, judges and prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("model")
  parser.add_argument("records", help="folder that `ns-jax prepare` made")
  parser.add_argument("--distilled", help="a model distilled from MODEL")
  parser.add_argument("--out", required=True, type=pathlib.Path)
  parser.add_argument("--clips", type=int, default=20)
  parser.add_argument("--prompt-sec", type=float, default=3.0)
  parser.add_argument("--recogniser", default=judges.MOONSHINE)
  parser.add_argument("--speaker-model", default=judges.RESEMBLYZER)
  args = parser.parse_args()
  args.out.mkdir(parents=True, exist_ok=True)
  teacher = Synthesizer.load(args.model)
  spec = teacher.spec
  listeners = judges.Judges.load(args, spec)
  records = clips.in_turn(Records(args.records, "test"))
  pairs = trials.choose(records, args.prompt_sec, args.clips, spec)
  texts = [target["text"] for target, _ in pairs]
  prompts = [
    trials.cut_prompt(other, args.prompt_sec, spec).wav for _, other in pairs
  ]
  rows: dict[str, dict[str, float]] = {}
  reference: list[Speech] = []
  for solver, steps in _SETTINGS:
    synthesizer = teacher
    if solver == "distilled":
      if not args.distilled:
        continue
      synthesizer = Synthesizer.load(args.distilled)
    else:
      synthesizer.options = dataclasses.replace(
        synthesizer.options, solver=solver, steps=steps
      )
    name = f"{solver} {steps}"
    spoken, rtf = _speak(name, synthesizer, pairs, prompts)
    reference = reference or spoken
    for (target, _), speech in zip(pairs, spoken, strict=True):
      path = args.out / f"{target['id']}.{name.replace(' ', '_')}.wav"
      audio.write_wav(path, speech.wav, spec)
    rows[name] = {
      "evaluations": (2 if solver == "heun" else 1) * steps + 1,
      **_judge(listeners, texts, prompts, spoken),
      "mel_db_to_reference": _distance_db(spoken, reference, spec),
      "rtf": rtf,
    }
  _write(args.out, rows)


def _speak(
  name: str, synthesizer: Synthesizer, pairs: Any, prompts: list[np.ndarray]
) -> tuple[list[Speech], float]:
  """What is said, and seconds of computing per second of it."""
  spoken, seconds, computing_sec = [], 0.0, 0.0
  for (target, _), wav in zip(
    tqdm.tqdm(pairs, desc=name, unit="clip"), prompts, strict=True
  ):
    prompt = synthesizer.encode_prompt(wav)
    utterance = Utterance(target["phonemes"], prompt)
    synthesizer.speak([utterance])  # compiles what is new
    start = time.perf_counter()
    (speech,) = synthesizer.speak([utterance])
    computing_sec += time.perf_counter() - start
    seconds += len(speech.wav) / synthesizer.spec.sample_rate_hz
    spoken.append(speech)
  return spoken, computing_sec / seconds


def _judge(
  listeners: judges.Judges,
  texts: list[str],
  prompts: list[np.ndarray],
  spoken: list[Speech],
) -> dict[str, float]:
  errors = [
    words.compare(text, listeners.transcribe(speech.wav))
    for text, speech in zip(texts, spoken, strict=True)
  ]
  similarity = [
    judges.similarity(
      listeners.embed_voice(speech.wav), listeners.embed_voice(prompt)
    )
    for speech, prompt in zip(spoken, prompts, strict=True)
  ]
  return {
    "wer_percent": words.total(errors).rate_percent,
    "similarity": float(np.nanmean(similarity)),
    "dnsmos": float(np.mean([listeners.dnsmos(s.wav) for s in spoken])),
  }


def _distance_db(
  spoken: list[Speech], reference: list[Speech], spec: audio.AudioSpec
) -> float:
  """Mean log-mel distance; all have the same timing and pitch."""
  return float(
    np.mean(
      [
        audio_metrics.log_mel_distance_db(
          mel.clip_log_mel(one.wav, spec), mel.clip_log_mel(other.wav, spec)
        )
        for one, other in zip(spoken, reference, strict=True)
      ]
    )
  )


def _write(out: pathlib.Path, rows: dict[str, dict[str, float]]) -> None:
  lines = [f"| | {' | '.join(_COLUMNS)} |", "|---|" + "--:|" * len(_COLUMNS)]
  for name, row in rows.items():
    cells = [f"{row[column]:.3g}" for column in _COLUMNS]
    lines.append(f"| {name} | {' | '.join(cells)} |")
  (out / "table.json").write_text(json.dumps(rows, indent=1) + "\n")
  (out / "table.md").write_text("\n".join(lines) + "\n")
  print("\n".join(lines))


if __name__ == "__main__":
  sys.exit(terminal.guarded(main))
